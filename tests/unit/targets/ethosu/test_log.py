"""Vela's report, read."""

import pytest

from edgelab import graph, targets
from edgelab.errors import TargetError
from edgelab.targets import cache
from edgelab.targets.ethosu import log
from edgelab.targets.ethosu import target as ethosu

installed = pytest.mark.skipif(not targets.get("ethosu").probe().can_compile, reason="Vela is not installed")


@installed
def test_the_estimate_adds_up(compiled, int8_path):
    macs = graph.read(int8_path).macs
    for name, made in compiled.items():
        whole = log.estimate(made)
        assert made.vendor_latency_ms == pytest.approx(1e3 * whole.cycles / whole.clock_hz, rel=1e-6)
        table = log.layers(made)
        assert table["cycles"].sum() == pytest.approx(whole.cycles, rel=0.02), name
        assert (table["runs_on"] == "NPU").all()
        assert whole.macs == pytest.approx(macs, rel=0.05)
        assert 0 < whole.utilisation < 1
        assert 0 < whole.sram_bytes < 200_000 and whole.flash_bytes + whole.dram_bytes > 0
        assert name in made.vendor_note and "estimate" in made.vendor_note


@installed
def test_a_result_survives_the_cache(int8_path, monkeypatch):
    target = targets.get("ethosu")
    first = cache.compiled(target, int8_path)
    monkeypatch.setattr(ethosu, "COMMAND", ("no_such_program",))
    again = cache.compiled(target, int8_path)
    assert again == first
    assert log.estimate(again) == log.estimate(first)
    with pytest.raises(TargetError, match="cannot be started"):
        cache.compiled(targets.get("ethosu", accelerator="ethos-u55-64"), int8_path)


@installed
@pytest.mark.real_data
def test_the_estimate_agrees_with_a_published_log(real_data, tmp_path):
    """Cycles of MobileNetV2 on Arm's own reference system, logged by its evaluation kit."""
    from edgelab import results

    [logged] = [row for row in results.published("microcontrollers") if row.metric == "cycles"]
    path = real_data / "edgetpu_pairs" / "mobilenet_v2_1.0_224_quant.tflite"
    made = targets.get("ethosu", accelerator="ethos-u55-128").compile(path, tmp_path / "out.tflite")
    assert log.estimate(made).cycles == pytest.approx(logged.value, rel=0.03)
