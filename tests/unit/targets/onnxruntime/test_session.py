"""ONNX Runtime really computes in eight bits."""

import pytest
from onnx_comparison import assert_close, outputs_of

from edgelab import targets
from edgelab.targets import onnx_model
from edgelab.targets.onnxruntime import session
from edgelab.targets.onnxruntime import target as onnxruntime_target

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_onnxruntime_compiles_to_integer_kernels(files, images, patterns, cpu_outputs, tmp_path):
    target = targets.get("onnxruntime", threads=1)
    compiled = target.compile(files["float32"], tmp_path / "model.onnx", calibration=images)
    assert_close(outputs_of(target, compiled, patterns), cpu_outputs, 0.99)
    assert compiled.placement.accelerated == compiled.placement.total > 0
    kernels = {row["kernel"]: row for row in compiled.log_rows}
    assert kernels["QLinearConv"]["count"] == 3
    share = session.in_eight_bits(compiled.log_rows)
    assert share.accelerated >= share.total - 1
    assert session.in_eight_bits(session.executed_kernels(files_float(files))).accelerated == 0


def files_float(files):
    return onnx_model.from_tflite(files["float32"])


def test_reduced_range_follows_the_processor(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("edgelab.machine.hardware.instruction_sets", lambda: ("AVX2",))
    assert onnxruntime_target.needs_reduced_range()
    monkeypatch.setattr("edgelab.machine.hardware.instruction_sets", lambda: ("AVX2", "AVX-512 VNNI"))
    assert not onnxruntime_target.needs_reduced_range()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("edgelab.machine.hardware.instruction_sets", lambda: ())
    assert not onnxruntime_target.needs_reduced_range()
