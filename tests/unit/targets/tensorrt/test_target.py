"""TensorRT, as far as it goes without a GPU."""

import pytest
from onnx_comparison import assert_close, damage, outputs_of

from edgelab import targets
from edgelab.errors import ModelError, TargetError
from edgelab.targets import onnx_model
from edgelab.targets.tensorrt import engine
from edgelab.targets.tensorrt import target as tensorrt_target

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_tensorrt_prepares_without_a_gpu(precision, files, images, patterns, cpu_outputs):
    prepared = targets.get("tensorrt", precision=precision).prepare(files["float32"], calibration=images)
    assert_close(outputs_of(targets.get("onnxruntime"), prepared, patterns), cpu_outputs, 0.99)
    if precision == "int8":
        onnx_model.check_symmetric(prepared)
    else:
        assert prepared.stat().st_size < 0.7 * onnx_model.from_tflite(files["float32"]).stat().st_size


def test_tensorrt_without_a_gpu_says_what_is_missing(files, images, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt_target, "_gpu", lambda: "")
    target = targets.get("tensorrt")
    found = target.probe()
    assert not found.can_compile and not found.can_run and "jetpack" in found.fix
    with pytest.raises(TargetError, match="cannot be used on this machine") as caught:
        target.compile(files["float32"], tmp_path / "out.engine", calibration=images)
    assert "prepare" in caught.value.fix
    assert not list(tmp_path.iterdir())


def test_an_engine_is_checked_before_anything_is_started(tmp_path):
    start = tensorrt_target.HEADER
    for content in (b"", b"rubbish", start, start + b"{}\nengine", start + b"{not json}\nengine"):
        with pytest.raises(ModelError, match="not a TensorRT engine"):
            targets.get("tensorrt").open(damage(tmp_path / "bad.engine", content))


def test_a_missing_driver_is_told(tmp_path, monkeypatch):
    if tensorrt_target._gpu():
        pytest.skip("a driver is here")
    (tmp_path / "tensorrt.py").write_text("__version__ = '11.0.0'\nclass Builder: ...")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(TargetError, match="driver's library") as caught:
        engine.Engine()
    assert "driver" in caught.value.fix
