"""One model on the CPU and in a real browser: compared, then timed, or a note that says why not."""

import pytest

from edgelab.errors import TargetError
from edgelab.machine import browsers
from edgelab.machine.gpu_adapter import SOFTWARE_VARIABLE
from edgelab.targets.web import engine
from edgelab.web import places


@pytest.fixture
def with_page(page, monkeypatch):
    """The page of the other tests serves these, too."""
    monkeypatch.setenv(SOFTWARE_VARIABLE, "1")
    monkeypatch.setattr(engine, "_PAGES", {("headless", True): page, ("headless", False): page})


@pytest.mark.slow
def test_what_is_right_is_timed_in_turns_and_a_software_gpu_is_not(with_page, page, web_files):
    found = places.compare({"small": web_files["float32"]}, max_seconds=0.3)
    assert [one.place for one in found.found] == ["cpu", "web/wasm", "web/webgpu"]
    wasm, gpu = found["small", "web/wasm"], found["small", "web/webgpu"]
    assert wasm.parity.agrees and wasm.provenance == "measured" and not wasm.note
    assert wasm.speed_up.low <= wasm.speed_up.ratio <= wasm.speed_up.high
    assert wasm.cost == pytest.approx(1 / wasm.speed_up.ratio) and f"{wasm.cost:.2f}" in wasm.cost_text
    assert gpu.parity.agrees and gpu.placement.total == 8
    assert (gpu.measurement is None) == page.is_software and bool(gpu.note) == page.is_software
    rows = found.rows()
    assert rows[0]["outputs"] == "the reference" and rows[1]["time (ms)"].startswith("●")
    assert "web/wasm" in {record.target for record in found.records()} <= {"web/wasm", "web/webgpu"}
    assert {record.model for record in found.records()} == {"small"}
    assert {(one.model, one.dataset) for one in found.records("other", "set")} == {("other", "set")}
    assert "web/wasm" in str(found)


def test_what_is_wrong_or_refused_says_so_and_the_other_places_go_on(with_page, web_files):
    found = places.compare({"int8": web_files["int8"]}, max_seconds=0.2)
    wrong = found["int8", "web/webgpu"]
    assert wrong.measurement is None and "wrong answer has no speed" in wrong.note
    assert found["int8", "web/wasm"].parity.is_exact and found["int8", "web/wasm"].cost
    refused = places.compare({"int64": web_files["int64"]}, ["web/wasm"], max_seconds=0.2)
    assert refused["int64", "cpu"].measurement and "int64" in refused["int64", "web/wasm"].note
    assert refused.rows()[1]["time (ms)"] == "–"


def test_without_a_browser_the_cpu_is_timed_and_the_rest_says_what_to_do(web_files, monkeypatch):
    monkeypatch.setenv(browsers.VARIABLE, "no-such-browser")
    monkeypatch.setattr(engine, "_PAGES", {})
    tried = []

    def refuse(*_, **__):
        tried.append(1)
        raise TargetError("No browser.", fix="install one")

    monkeypatch.setattr(engine, "headless", refuse)
    models = {"one": web_files["float32"], "two": web_files["float32"]}
    found = places.compare(models, ["web/wasm"], max_seconds=0.2)
    for name in models:
        assert found[name, "cpu"].measurement and found[name, "web/wasm"].cost is None
        assert "install one" in found[name, "web/wasm"].note
    assert len(tried) == 1, "a browser that is missing is looked for once"
