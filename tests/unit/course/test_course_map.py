import re
import xml.etree.ElementTree as ElementTree

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from edgelab import display, exercises
from edgelab.course import course_map, pages


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """A function that returns the map's HTML and plain text, with a progress file of its own."""
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))

    def show():
        InteractiveShell.instance()
        with capture_output() as captured:
            course_map.show()
        InteractiveShell.clear_instance()
        return captured.outputs[0].data["text/html"], captured.outputs[0].data["text/plain"]

    return show


def test_every_chapter_is_a_link_with_its_time_and_what_is_solved(shown):
    content, plain = shown()
    links = ElementTree.fromstring(content).findall(".//a")
    assert [link.get("href") for link in links] == [chapter["notebook"] for chapter in display.chapters()]
    for link, chapter in zip(links, display.chapters(), strict=True):
        time = display.minutes_text(chapter["notebook"]).split(" to run")[0]
        assert link.text.startswith(f"{chapter['number']} {chapter['title']} · {time} · ○ 0 of ")
        assert link.text in plain


def test_a_solved_exercise_shows_in_its_chapter(shown):
    exercises.check("00.1", 32 * 32 * 27 * 16)
    assert "✓ 1 of 1 solved" in shown()[0].split("</a>")[0]


def test_the_drawing_has_a_line_with_its_stops_for_each_path_and_says_so(shown):
    drawing = ElementTree.fromstring(shown()[0]).find(".//svg")
    assert drawing.get("role") == "img"
    assert len(drawing.findall(".//line")) == len(display.paths()) == len(course_map.STOPS)
    stops = [len(line.findall("g")) for line in drawing.findall("g")]
    assert stops == [len(path["chapters"]) for path in display.paths()]
    for path in display.paths():
        assert f"{path['name']}: chapters {', '.join(path['chapters'])}" in drawing.get("aria-label")


def test_every_chapter_lies_on_a_path():
    on_paths = {number for path in display.paths() for number in path["chapters"]}
    assert on_paths == {chapter["number"] for chapter in display.chapters()}


def test_links_lead_to_pages(shown):
    content = shown()[0]
    linked = re.findall('href="([^"]+)"', pages.link_chapters(content, "../{name}/index.html"))
    names = [chapter["notebook"].removesuffix(".ipynb") for chapter in display.chapters()]
    assert linked == [f"../{name}/index.html" for name in names]
    only = pages.link_chapters(content, "{name}.html", {names[1]})
    assert re.findall('href="([^"]+)"', only) == [f"{names[1]}.html"] and ".ipynb" not in only


def test_other_links_stay():
    other = '<a href="https://example.org/04_quantize.ipynb">a</a> <code>href=04_quantize.ipynb</code>'
    assert pages.link_chapters(other, "{name}.html") == other
