"""Pages and browsers: what they tell of themselves, and what is said where there is none."""

import psutil
import pytest

from edgelab.errors import InputError, TargetError
from edgelab.machine import browsers, state
from edgelab.targets.web import engine, files
from edgelab.targets.web.engine import Page, adapter_name, browser_name

EDGE = {"brands": [{"brand": "Not:A-Brand", "version": "8"}, {"brand": "Chromium", "version": "156.0"},
                   {"brand": "Microsoft Edge", "version": "156.1"}]}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (EDGE, "Microsoft Edge 156.1"),
        ({"brands": [{"brand": "Chromium", "version": "156.0"}]}, "Chromium 156.0"),
        (
            {"agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
            "Firefox 140.0",
        ),
        (
            {"agent": "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 Version/26.0 Mobile/15E148 Safari/604.1"},
            "Safari 26.0",
        ),
        ({"agent": "other\n\0thing", "brands": "x"}, "other thing"),
        ({"brands": [7, {"brand": None}]}, "an unknown browser"),
    ],
)
def test_a_browser_is_called_by_what_it_tells(found, name):
    assert browser_name(found) == name


@pytest.mark.parametrize(
    ("adapter", "is_software"),
    [
        ({"vendor": "google", "architecture": "swiftshader", "fallback": True}, True),
        ({"vendor": "mesa", "description": "llvmpipe (LLVM 19)", "fallback": False}, True),
        ({"vendor": "nvidia", "architecture": "ada", "fallback": False}, False),
        ({"vendor": "apple", "architecture": "metal-3"}, False),
        ({"vendor": "microsoft", "description": "Microsoft Basic Render Driver"}, True),
        (None, False),
        ("rubbish", False),
    ],
)
def test_a_gpu_that_the_processor_plays_is_known_by_its_name(adapter, is_software):
    assert Page("tab", None, {"adapter": adapter}).is_software is is_software


def test_names_are_short_and_printable():
    assert (
        len(adapter_name({"description": "x" * 5000})) <= 80 and adapter_name({}) and adapter_name(None) == ""
    )
    assert "\x1b" not in adapter_name({"vendor": "\x1b[31mred"})


@pytest.mark.parametrize("told", [None, "x", -1, 0, float("nan"), 1e9])
def test_a_clock_that_tells_nonsense_counts_as_coarse(told):
    assert Page("tab", None, {"clock_ms": told}).clock_ms == 1.0


def test_without_a_browser_the_fix_is_told(monkeypatch):
    monkeypatch.setenv(browsers.VARIABLE, "no-such-browser")
    with pytest.raises(TargetError, match="No browser") as caught:
        engine.headless()
    assert "install Chromium" in caught.value.fix and browsers.VARIABLE in caught.value.fix


def test_without_files_the_fix_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(TargetError, match="not here") as caught:
        engine.tab(limit_s=0.1)
    assert "make web-files" in caught.value.fix


@pytest.mark.skipif(bool(files.missing()), reason="make web-files")
def test_a_browser_that_ends_at_once_is_told_with_its_code(monkeypatch, tmp_path):
    import sys

    monkeypatch.setattr(engine, "_command", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(TargetError, match="does not answer") as caught:
        engine.headless(limit_s=60)
    assert "code 3" in caught.value.why


@pytest.mark.skipif(bool(files.missing()), reason="make web-files")
def test_a_tab_that_nobody_opens_is_given_up(monkeypatch):
    monkeypatch.setattr(engine.webbrowser, "open", lambda _: False)
    shown = []
    with pytest.raises(TargetError, match="No browser has opened"):
        engine.tab(shown.append, limit_s=0.2)
    assert shown[0].startswith("http://127.0.0.1:")


def test_a_page_is_remembered_and_a_closed_one_replaced(page, monkeypatch):
    monkeypatch.setattr(engine, "_PAGES", {("headless", True): page})
    assert (
        engine.remembered("headless") is page
        and engine.remembered("headless", gpu=True, software=True) is page
    )
    assert engine.open_already() is page and engine.open_already(software=False) is None
    assert engine.open_already("tab") is None


def test_places_are_checked():
    with pytest.raises(InputError, match="place"):
        engine.remembered("moon")
    with pytest.raises(TargetError, match="no widget is shown"):
        engine.remembered("lab")


def test_a_browser_counts_as_ours_until_it_ends():
    if reason := engine.readiness()[0]:
        pytest.skip(reason)
    before = set(state._OURS)
    opened = engine.headless(software=True)
    [pid] = state._OURS - before
    assert psutil.Process(pid).children(recursive=True)
    opened.close()
    assert before == state._OURS


@pytest.mark.skipif(bool(files.missing()), reason="make web-files")
@pytest.mark.parametrize(("place", "fix"), [("lab", "show()"), ("headless", "install"), ("tab", "")])
def test_what_is_missing_depends_on_the_place(monkeypatch, place, fix):
    monkeypatch.setenv(browsers.VARIABLE, "no-such-browser")
    reason, told = engine.readiness(place)
    assert bool(reason) == bool(fix) and fix in told
