"""How figures, tables, headers and claims are shown, and in which colours."""

import base64
import io
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from figure_rules import findings
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from edgelab import display
from edgelab.errors import InputError

# Machado, Oliveira, Fernandes 2009: linear RGB as seen without one kind of cone.
COLOUR_VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear_rgb(colour):
    values = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour, vision):
    """CIE L*a*b* (D65) of a colour as seen with the given vision."""
    to_xyz = [[0.41246, 0.35758, 0.18044], [0.21267, 0.71515, 0.07218], [0.01933, 0.11919, 0.95030]]
    seen = np.clip(np.array(COLOUR_VISION[vision]) @ linear_rgb(colour), 0, 1)
    xyz = np.array(to_xyz) @ seen / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.fixture
def shown():
    """Runs a function inside an IPython shell and returns what it displayed, as MIME bundles."""
    InteractiveShell.instance()

    def run(function, *args, **kwargs):
        with capture_output() as captured:
            function(*args, **kwargs)
        return [output.data for output in captured.outputs]

    yield run
    InteractiveShell.clear_instance()


@pytest.mark.parametrize("colour", display.PALETTE)
def test_every_colour_can_be_read_on_white(colour):
    luminance = linear_rgb(colour) @ [0.2126, 0.7152, 0.0722]  # WCAG 2.2
    assert 1.05 / (luminance + 0.05) >= 4.5


@pytest.mark.parametrize("vision", COLOUR_VISION)
def test_every_pair_of_colours_is_told_apart(vision):
    for one, other in itertools.combinations(display.PALETTE, 2):
        assert np.linalg.norm(lab(one, vision) - lab(other, vision)) > 20, (one, other)


def test_use_style_makes_lines_differ_without_colour():
    import matplotlib.pyplot as plt

    display.use_style()
    styles = [entry["linestyle"] for entry in plt.rcParams["axes.prop_cycle"]]
    assert len(styles) == len(display.PALETTE) == len(set(map(str, styles)))


def test_figure_is_a_png_with_alt_text_and_is_closed(shown):
    import matplotlib.pyplot as plt
    from PIL import Image

    fig, axes = plt.subplots()
    axes.plot([1, 2])
    (data,) = shown(display.figure, fig, 'Time <grows> "fast"', caption="a & b")
    assert 'alt="Time &lt;grows&gt; &quot;fast&quot;"' in data["text/html"]
    assert "<figcaption>a &amp; b</figcaption>" in data["text/html"]
    assert data["text/plain"] == 'Time <grows> "fast"'
    encoded = re.search(r"base64,([^\"]+)", data["text/html"]).group(1)
    assert Image.open(io.BytesIO(base64.b64decode(encoded))).width > 100
    assert not plt.fignum_exists(fig.number)


def test_figure_without_alt_text_is_refused():
    import matplotlib.pyplot as plt

    with pytest.raises(InputError, match="alt text"):
        display.figure(plt.figure(), "  ")


def test_table_escapes_and_names_its_headers(shown):
    frame = pd.DataFrame({"model": ["<b>", "x"], "size_bytes": [1234567, 8], "share": [0.12345678, np.nan]})
    (data,) = shown(display.table, frame, "Sizes")
    page = data["text/html"]
    assert "Sizes</caption>" in page and page.count('scope="col"') == 3 and page.count('scope="row"') == 2
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert "1,234,567" in page and "0.1235" in page and "nan" not in page
    assert data["text/plain"].startswith("Sizes\n")


def test_table_takes_rows_and_uses_a_named_index(shown):
    (data,) = shown(display.table, [{"a": 1}, {"a": 2}], "Rows")
    assert data["text/html"].count("<tr>") == 3
    (data,) = shown(display.table, pd.DataFrame({"a": [1]}, index=pd.Index(["first"], name="run")), "Indexed")
    assert ">run</th>" in data["text/html"] and ">first</th>" in data["text/html"]
    (data,) = shown(display.table, pd.DataFrame({"a": [1]}, index=["mean"]), "Without a name")
    assert "index" not in data["text/html"] and ">mean</th>" in data["text/html"]
    (data,) = shown(display.table, pd.DataFrame({"a": [5, 7, 9]}).iloc[[2, 0]], "Rows picked from others")
    assert data["text/html"].count('scope="col"') == 1 and ">2</" not in data["text/html"]


def test_header_shows_the_chapter_and_its_recorded_minutes(shown, tmp_path, monkeypatch):
    monkeypatch.setattr(display, "MINUTES_FILE", tmp_path / "minutes.json")
    (data,) = shown(display.header, "04_quantize")
    assert "not timed yet" in data["text/plain"] and "Takes: the float model" in data["text/plain"]
    record = {"date": "2030-01-02", "machine": "4 cores", "seconds": {"04_quantize.ipynb": 126.0}}
    display.MINUTES_FILE.write_text(json.dumps(record))
    (data,) = shown(display.header, "04_quantize.ipynb")
    assert "2.1 min to run in the fast profile, recorded 2030-01-02 on 4 cores" in data["text/html"]
    assert "made here first" in data["text/html"]  # that time began with chapter 3's model
    (data,) = shown(display.header, "00_start_here")
    assert "made here first" not in data["text/html"]


def test_header_of_an_unknown_chapter():
    with pytest.raises(InputError, match="99_nothing"):
        display.header("99_nothing")


def test_claims_show_where_each_number_comes_from(shown):
    row = {"what": "size", "claim": "-75 %", "found": "-73 %", "provenance": "measured"}
    published = {**row, "provenance": "published", "source": "a data sheet"}
    (data,) = shown(display.claim_vs_measured, [row, published])
    assert ">measured</td>" in data["text/html"] and "published (a data sheet)" in data["text/html"]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"provenance": "guessed"}, "guessed"),
        ({"provenance": "published"}, "no source"),
    ],
)
def test_claims_without_a_sound_provenance_are_refused(change, message):
    row = {"what": "size", "claim": "-75 %", "found": "-73 %", "provenance": "measured"}
    with pytest.raises(InputError, match=message):
        display.claim_vs_measured([{**row, **change}])


def test_claims_with_a_missing_key_are_refused():
    with pytest.raises(InputError, match="found"):
        display.claim_vs_measured([{"what": "size", "claim": "-75 %", "provenance": "measured"}])


def test_explore_shows_the_result_at_the_start_values(shown):
    import ipywidgets

    def draw(scale):
        display.show_html(f"<p>scale is {scale}</p>", f"scale is {scale}")

    slider = ipywidgets.IntSlider(3, 1, 9, description="scale")
    *_, data = shown(display.explore, draw, scale=slider)
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "scale = 3" in data["text/html"] and "<p>scale is 3</p>" in data["text/html"]
    assert "scale is 3" in data["text/plain"]
    assert "make lab" in data["text/html"] and "make lab" in data["text/plain"]


def test_explore_redraws_when_a_control_moves_without_an_output_widget(shown, monkeypatch):
    import ipywidgets

    made = []
    monkeypatch.setattr(display, "show_widget", lambda widget, content, plain: made.append(widget))
    slider = ipywidgets.IntSlider(3, 1, 9)
    display.explore(lambda scale: display.show_html(f"<p>is {scale}</p>", "text"), scale=slider)
    [box] = made
    drawing = box.children[-1]
    assert drawing.value == "<p>is 3</p>"
    slider.value = 7
    assert drawing.value == "<p>is 7</p>"
    assert not any(isinstance(child, ipywidgets.Output) for child in box.children)


def test_every_chapter_in_the_course_file_is_complete():
    keys = {"number", "notebook", "title", "promise", "takes", "leaves", "needs"}
    entries = display.chapters()
    assert all(set(entry) == keys and all(entry.values()) for entry in entries)
    assert [entry["number"] for entry in entries] == sorted(entry["number"] for entry in entries)
    assert all(entry["notebook"].startswith(entry["number"] + "_") for entry in entries)


def test_every_path_stops_at_chapters_that_exist_in_their_order():
    numbers = [entry["number"] for entry in display.chapters()]
    for path in display.paths():
        assert path["name"] and path["for"]
        assert path["chapters"] == [number for number in numbers if number in path["chapters"]]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "labels", [("one call", "median of all 300"), ("a" * 40, "b" * 45, "c" * 30), ("x",)]
)
def test_a_legend_never_lies_on_points_wherever_they_fall_nor_on_a_title(seed, labels):
    """Clouds of points at the edges, where a legend inside the frame has covered measured ones."""
    rng = np.random.default_rng(seed)
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(7.5, 3.2))
    for label in labels:
        points = rng.beta(0.3, 0.3, (80, 2))
        axes.plot(*points.T, "o", label=label)
    axes.set(xlabel="number of the run", ylabel="time (ms)", title="Measured" if seed % 2 else "")
    display.legend(axes)
    found = [finding for finding in findings(fig) if finding.startswith(("covered", "overlap"))]
    plt.close(fig)
    assert not found
