"""What a browser offers, told in rows: a real one, none, and one without a GPU."""

import pytest

from edgelab.machine import browsers
from edgelab.targets.web import engine
from edgelab.web import about


def by_name(rows):
    return {row["what"]: row for row in rows}


@pytest.mark.slow
def test_a_real_page_tells_its_gpu_and_features(page):
    found = by_name(about.described(page))
    assert found["browser"]["here"] == page.browser
    assert found["secure context"]["here"] == "yes" and not found["secure context"]["how to fix it"]
    assert page.adapter in found["WebGPU adapter"]["here"]
    assert ("played by the processor" in found["WebGPU adapter"]["here"]) == page.is_software
    assert found["WebGPU features"]["here"].startswith(str(len(page.found["adapter"]["features"])))
    assert found["isolated from other sites"]["here"] == "yes"


def test_a_page_without_a_gpu_on_a_plain_address_says_what_to_do():
    bare = engine.Page("tab", None, {"adapter": None, "secure": False, "brands": "x"})
    found = by_name(about.described(bare))
    assert "https" in found["secure context"]["how to fix it"]
    assert (
        found["WebGPU adapter"]["here"] == "none"
        and "chrome://gpu" in found["WebGPU adapter"]["how to fix it"]
    )
    assert found["WebGPU features"]["here"] == "–"


def test_nonsense_of_a_page_is_no_feature():
    odd = engine.Page("tab", None, {"adapter": {"vendor": "x", "features": [7, "subgroups", None]}})
    assert by_name(about.described(odd))["WebGPU features"]["here"] == "1 in all; subgroups"


def test_without_a_browser_the_one_row_tells_the_way_to_one(monkeypatch):
    monkeypatch.setenv(browsers.VARIABLE, "no-such-browser")
    monkeypatch.setattr(engine, "_PAGES", {})
    [row] = about.rows()
    assert row["how to fix it"]
