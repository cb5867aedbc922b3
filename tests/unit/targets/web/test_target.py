"""The browser as a target."""

import pytest

from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import browsers
from edgelab.targets.web import engine, files
from edgelab.targets.web.target import WebTarget


@pytest.mark.parametrize(
    "options",
    [{"accelerator": "webnn"}, {"precision": "int8"}, {"accelerator": "wasm", "precision": "float16"},
     {"threads": 0}, {"where": "moon"}],
)  # fmt: skip
def test_options_are_checked(options):
    with pytest.raises(InputError):
        WebTarget(**options)


def test_what_it_takes_follows_the_accelerator():
    assert WebTarget().takes == "float32" and WebTarget("wasm").takes == "int8"
    assert WebTarget().settings["runtime"] == f"LiteRT.js {files.VERSION}"


def test_what_is_missing_is_a_report_and_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "_PAGES", {})  # a page that is open has its files, and needs no browser
    with monkeypatch.context() as without_files:
        without_files.setenv(files.FOLDER_VARIABLE, str(tmp_path))
        found = WebTarget().probe()
    assert not found.can_run and "make web-files" in found.fix and found.why_it_matters
    monkeypatch.setenv(browsers.VARIABLE, "no-such-browser")
    found = WebTarget().probe()
    assert not found.can_run and found.fix


@pytest.fixture
def nothing_open(monkeypatch):
    """No page is open, and none can be opened."""
    if reason := engine.readiness()[0]:
        pytest.skip(reason)

    def refuse(*_, **__):
        raise AssertionError("a browser was started")

    monkeypatch.setattr(engine, "_PAGES", {})
    monkeypatch.setattr(engine, "headless", refuse)
    monkeypatch.setattr(engine, "tab", refuse)


def test_a_probe_starts_no_browser_and_promises_no_gpu(nothing_open):
    name = browsers.name_of(browsers.find())
    gpu, wasm = WebTarget().probe(), WebTarget("wasm").probe()
    assert gpu.can_run and name in gpu.detail and "asked when a model is opened" in gpu.detail
    assert wasm.can_run and name in wasm.detail and "GPU" not in wasm.detail
    assert WebTarget(software=True).probe().is_simulated and not gpu.is_simulated
    assert WebTarget(where="tab").probe().can_run
    lab = WebTarget(where="lab").probe()
    assert not lab.can_run and "show()" in lab.fix


def test_a_page_that_is_open_already_tells_more(page, monkeypatch):
    monkeypatch.setattr(engine, "_PAGES", {("headless", True): page})
    found = WebTarget().probe()
    assert found.is_simulated and page.adapter in found.detail
    assert WebTarget(software=False).probe().detail != found.detail


def test_a_software_gpu_is_reported_as_a_simulation(page):
    found = WebTarget(page=page).probe()
    assert found.can_run and found.is_simulated and "swiftshader" in found.detail.lower()
    assert WebTarget("wasm", page=page).probe().can_run
    with pytest.raises(TargetError, match="processor plays"):
        WebTarget(page=page, software=False).page()


def test_a_page_without_a_gpu_says_why(page):
    bare = engine.Page("tab", page._host, {**page.found, "adapter": None, "secure": False})
    with pytest.raises(TargetError, match="no GPU") as caught:
        WebTarget(page=bare).page()
    assert "secure" in caught.value.why and "wasm" in caught.value.fix
    assert not WebTarget(page=bare).probe().can_run


def test_compiling_is_a_trial_and_a_copy(page, web_files, tmp_path):
    made = WebTarget("wasm", page=page).compile(web_files["float32"], tmp_path / "out.tflite")
    assert made.path.read_bytes() == web_files["float32"].read_bytes()
    assert (made.placement.accelerated, made.target) == (8, "web")
    with pytest.raises(ModelError):
        WebTarget("wasm", page=page).compile(web_files["flex"], tmp_path / "flex.tflite")
    assert not (tmp_path / "flex.tflite").exists()
