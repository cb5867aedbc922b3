"""One model from the file to a record, in a real browser."""

import pytest

from edgelab import results
from edgelab.__main__ import main
from edgelab.errors import InputError
from edgelab.web import checking

pytestmark = pytest.mark.slow


@pytest.fixture
def own_results(monkeypatch, tmp_path):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))


def test_what_is_right_is_timed_and_recorded(page, web_files, own_results):
    found = checking.check(
        web_files["int8"], page, accelerator="wasm", name="small", dataset="none", max_seconds=0.5
    )
    assert found.is_sound and found.parity.is_exact and found.parity.count == 32
    stored = results.load()
    assert set(stored["metric"]) == {"latency", "throughput"} and set(stored["target"]) == {"web/wasm"}
    row = stored[stored["metric"] == "latency"].iloc[0]
    assert row["provenance"] == "measured" and row["precision"] == "int8" and row["model"] == "small"
    assert "LiteRT.js" in row["runtime_version"] and page.browser in row["runtime_version"]
    assert row["low"] <= row["median"] <= row["high"] and row["placement"] == "10 of 10 operators"
    text = str(found)
    assert "latency" in text and "placement" in text and page.browser in text and "adapter" in text
    assert text.index("placement") < text.index("outputs") < text.index("latency")


def test_what_is_wrong_has_no_time_and_no_record(page, web_files, own_results):
    found = checking.check(web_files["int8"], page, accelerator="webgpu")
    assert not found.is_sound and found.measurement is None and found.records == ()
    assert "wrong answer has no speed" in str(found) and "\nlatency:" not in str(found)
    assert results.load().empty


def test_a_simulated_gpu_has_no_time_and_no_record(page, web_files, own_results):
    found = checking.check(web_files["float32"], page, accelerator="webgpu")
    assert found.is_sound and found.measurement is None and results.load().empty
    assert "processor plays the GPU" in found.no_time_because


def test_the_count_of_inputs_is_checked(page, web_files):
    with pytest.raises(InputError):
        checking.check(web_files["float32"], page, count=0)


def test_the_command_runs_a_model_that_is_right_and_one_that_is_not(
    page, web_files, own_results, monkeypatch, capsys
):
    from edgelab.targets.web import engine

    kept = engine.Page(page.place, page._host, page.found)
    monkeypatch.setattr(kept, "close", lambda: None)
    monkeypatch.setattr(engine, "headless", lambda software: kept)
    right = ["web", str(web_files["int8"]), "--headless", "--accelerator", "wasm", "--seconds", "0.3"]
    assert main(right) == 0 and "latency" in capsys.readouterr().out
    assert main([*right[:3], "--accelerator", "webgpu"]) == 1
    assert main(["web", str(web_files["flex"]), "--headless", "--accelerator", "wasm"]) == 1
    assert "FlexMatrixInverse" in capsys.readouterr().err
    assert main(["web"]) == 2
