"""Slides in a real browser: nothing overflows, nothing is fetched, everything has a text."""

import re
from pathlib import Path

import accessibility
import pytest
from live_controls import NOTE, controls_in

from edgelab.course import execution, slides

SMALLEST_SCALE = 0.6  # of 24 px on a screen of 720 lines
EDGE = 2  # pixels of an arrow's button that are empty
EVERY_SLIDE = """async () => {
  const found = [];
  for (const slide of Reveal.getSlides()) {
    const at = Reveal.getIndices(slide);
    Reveal.slide(at.h, at.v, 99);
    await new Promise(done => setTimeout(done, 10));
    const box = slide.querySelector('.fit').getBoundingClientRect();
    let right = box.right;
    for (const part of slide.querySelectorAll('.fit *')) {
      const shown = getComputedStyle(part).visibility !== 'hidden';
      if (shown) right = Math.max(right, part.getBoundingClientRect().right);
    }
    const arrows = [...document.querySelectorAll('.controls button.enabled')];
    const room = Math.min(...arrows.map(arrow => arrow.getBoundingClientRect().top)) - box.bottom;
    found.push({h: at.h, v: at.v, scale: Number(slide.dataset.scale), room, right,
                text: slide.innerText.slice(0, 60)});
  }
  return found;
}"""


@pytest.fixture(scope="module")
def written(build):
    return build, slides.write_all(build, deeper=True)


@pytest.fixture(params=[chapter["notebook"].removesuffix(".ipynb") for chapter in execution.select([])])
def deck(request, written, page):
    """The page, opened on the slides of one chapter."""
    path = written[0] / "slides" / request.param / "index.html"
    if not path.exists():
        pytest.skip(f"{request.param} has not been executed")
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page


def test_slides_hold_everything_and_fetch_nothing(deck, stand_still):
    stand_still(deck)  # the arrows, too
    found = deck.evaluate(EVERY_SLIDE)
    assert len(found) > 8
    too_large = [slide for slide in found if slide["room"] < -EDGE or slide["right"] > 1281]
    assert not too_large
    assert not [slide for slide in found if slide["scale"] < SMALLEST_SCALE]
    assert not deck.requests
    assert not deck.errors


def test_slides_have_notes_alt_texts_and_formulas(deck):
    assert deck.locator("aside.notes").count() >= 2
    for picture in deck.locator(".slides img").all():
        assert (picture.get_attribute("alt") or "").strip()
    assert "$$" not in deck.inner_text(".slides")


def test_every_control_has_a_picture_that_says_where_the_live_one_is(deck):
    name = Path(deck.url).parent.name
    count = controls_in(execution.NOTEBOOKS_DIR / f"{name}.ipynb", on_slides=True)
    assert deck.locator(f".slides [{NOTE}]").count() == count


def test_keys_turn_the_pages(deck):
    first = deck.evaluate("JSON.stringify(Reveal.getIndices())")
    deck.keyboard.press("Space")
    assert deck.evaluate("JSON.stringify(Reveal.getIndices())") != first


def test_printed_each_slide_is_a_page_of_its_own(deck):
    count = deck.evaluate("Reveal.getTotalSlides()")
    pages = re.findall(rb"/Type\s*/Page\b", deck.pdf(prefer_css_page_size=True))
    assert len(pages) == count
    assert deck.locator(".paper .page").count() == count
    deck.keyboard.press("Space")
    deck.wait_for_selector(".reveal .slides")
    deck.goto(deck.url.split("#")[0].split("?")[0] + "?print-pdf")  # Reveal's own word for it
    deck.wait_for_selector("body[data-ready]")
    assert deck.locator(".paper .page").count() == count


def test_code_that_only_shows_leaves_its_room_to_what_it_shows(deck):
    sources = deck.locator(".jp-InputArea-editor").all_text_contents()
    assert sources and not [source for source in sources if slides.only_shows(source.strip())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('guess = exercises.predict("10.live", "FPS?", default=20)', True),
        ('display.figure(draw(), "a picture")', True),
        ("rows = []\ndisplay.table(rows, 'nothing')", False),
        ("live_stats", False),
        ("%matplotlib inline", False),
        ("def answer(): ...", False),
    ],
)
def test_which_code_only_shows(source, expected):
    assert slides.only_shows(source) is expected


def test_axe_finds_nothing(deck, stand_still):
    findings = []
    stand_still(deck)
    for share in (0, 0.2, 0.4, 0.8):
        deck.evaluate(
            """async share => {
              const slides = Reveal.getSlides();
              const at = Reveal.getIndices(slides[Math.floor(share * slides.length)]);
              Reveal.slide(at.h, at.v, 99);
              for (let i = 0; i < 2; i += 1) await new Promise(requestAnimationFrame);  // it is drawn
            }""",
            share,
        )
        findings += accessibility.findings(deck)
    assert not findings
