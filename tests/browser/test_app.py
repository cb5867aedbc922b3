"""The application in a real browser: log in, look, draw zones by mouse and by keyboard, see alarms."""

import urllib.parse

import accessibility
import pytest
from running_app import running, settings
from waiting import wait_for

NARROWEST = 360  # pixels
WAIT_S = 180  # beside other work a machine takes several times as long as alone

# Whether the picture that is shown has changed: the sum of some of its pixels.
PIXELS = """() => {
  const image = document.getElementById("live"), canvas = document.createElement("canvas");
  canvas.width = 64; canvas.height = 48;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, 64, 48);
  return context.getImageData(0, 0, 64, 48).data.reduce((sum, value, i) => (31 * sum + value) % 1000003, 0);
}"""


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    chosen = settings(tmp_path_factory.mktemp("data"), server={"requests_per_second": 1000.0})
    with running(chosen) as app:
        wait_for(lambda: app.hub.latest, WAIT_S)
        yield app


@pytest.fixture
def browse(chromium):
    """A page that may reach this machine, and keeps what it asked of others, and its errors."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.elsewhere, page.errors = [], []

    def asked(request):
        if urllib.parse.urlsplit(request.url).hostname not in ("127.0.0.1", None):
            page.elsewhere.append(request.url)

    page.on("request", asked)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
    yield page
    context.close()


@pytest.fixture
def inside(browse, app):
    """The page, logged in."""
    browse.goto(app.address)
    browse.fill("#token", app.token)
    browse.get_by_role("button", name="Log in").click()
    browse.wait_for_selector("#live")
    return browse


def until(page, expression):
    """Wait until JavaScript is true; Playwright's own way needs eval, which the page forbids."""
    wait_for(lambda: page.evaluate(expression), WAIT_S)


def places(app):
    return {place.name: place for place in app.places.all()}


def test_a_stranger_comes_to_the_login_and_a_wrong_token_is_told(browse, app):
    browse.goto(app.address)
    assert browse.url.endswith("/login")
    browse.fill("#token", "wrong")
    browse.keyboard.press("Enter")
    browse.wait_for_selector("[role=alert]")
    assert "not the token" in browse.inner_text("[role=alert]")
    assert not [one for one in accessibility.findings(browse) if one]


def test_the_picture_moves_and_nothing_comes_from_elsewhere(inside, app):
    until(inside, "document.getElementById('live').naturalWidth > 0")
    first = inside.evaluate(PIXELS)
    wait_for(lambda: inside.evaluate(PIXELS) != first, WAIT_S)
    until(inside, "document.getElementById('status').textContent.startsWith('Running')")
    assert inside.locator("#numbers tr").count() >= 10
    assert not inside.elsewhere and not inside.errors
    assert app.token not in inside.content()


def test_a_zone_is_drawn_with_the_mouse_kept_and_deleted(inside, app):
    inside.get_by_role("button", name="Draw a zone").click()
    assert inside.get_attribute("#draw-zone", "aria-pressed") == "true"
    box = inside.locator("#stage").bounding_box()
    for x, y in ((0.5, 0.05), (0.95, 0.05), (0.95, 0.95), (0.5, 0.95)):
        inside.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    assert inside.locator("#draft circle").count() == 4
    inside.get_by_role("button", name="Take back a point").click()
    assert inside.locator("#draft circle").count() == 3
    inside.fill("#name", "right <b>side</b>")
    inside.get_by_role("button", name="Keep it").click()
    inside.wait_for_selector("#places li")
    zone = places(app)["right <b>side</b>"]
    assert zone.corners[0] == pytest.approx((0.5, 0.05), abs=0.01) and len(zone.corners) == 3
    assert "right <b>side</b>" in inside.inner_text("#places"), "text, not markup"
    inside.reload()
    inside.wait_for_selector("#places li")
    inside.get_by_label("Delete right <b>side</b>").click()
    wait_for(lambda: "right <b>side</b>" not in places(app), WAIT_S)
    assert not inside.errors


def test_a_line_is_typed_with_the_keyboard_alone_and_its_alarms_are_shown(inside, app):
    inside.focus("#name")
    inside.keyboard.type("middle")
    inside.keyboard.press("Tab")
    inside.keyboard.type("line")
    inside.keyboard.press("Tab")
    inside.keyboard.type("50 0, 50 100")
    inside.keyboard.press("Tab")
    inside.keyboard.press("Enter")
    wait_for(lambda: "middle" in places(app), WAIT_S)
    assert places(app)["middle"].end == (0.5, 1.0)
    until(inside, "document.getElementById('alarms').textContent.includes('crossed middle')")
    focused = inside.evaluate("document.activeElement.tagName")
    assert focused in ("BUTTON", "INPUT")


def test_what_is_no_zone_is_told(inside):
    inside.fill("#name", "broken")
    inside.fill("#points", "10 10, 200 20, 30 30")
    inside.get_by_role("button", name="Keep it").click()
    inside.wait_for_selector("#problem:not([hidden])")
    assert "0 to 1" in inside.inner_text("#problem")


def test_axe_finds_nothing_and_a_narrow_screen_needs_no_sideways_scrolling(inside, app):
    inside.wait_for_selector("#numbers tr")
    for scheme in ("light", "dark"):
        inside.emulate_media(color_scheme=scheme)
        assert accessibility.findings(inside) == [], scheme
    inside.set_viewport_size({"width": NARROWEST, "height": 740})
    assert inside.evaluate("document.documentElement.scrollWidth") <= NARROWEST
    assert inside.locator("#stage").bounding_box()["width"] <= NARROWEST


def test_a_lost_source_is_told_on_the_page(inside, app, monkeypatch):
    from dataclasses import replace

    real = app.loop.state

    def lost():
        return replace(real(), status="waiting", error="The camera stopped.", next_try_s=4.2)

    monkeypatch.setattr(app.loop, "state", lost)
    until(inside, "document.getElementById('status').textContent.includes('The camera stopped.')")
    assert "Next try in 5 s" in inside.inner_text("#status")
    monkeypatch.undo()
    until(inside, "document.getElementById('status').textContent.startsWith('Running')")


def test_logging_out_closes_the_door(inside, app):
    inside.get_by_role("button", name="Log out").click()
    inside.wait_for_selector("#token")
    inside.goto(app.address)
    assert inside.url.endswith("/login")
