"""On a machine with an NVIDIA GPU and TensorRT: engines are built, run and compared with ONNX Runtime."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edgelab import benchmark, quantization, targets
from edgelab.errors import ModelError, TargetError
from edgelab.runtime import predict
from edgelab.targets.tensorrt import engine as tensorrt_target_engine
from edgelab.targets.tensorrt import target as tensorrt_target
from edgelab.verification import output_error

FOUND = targets.get("tensorrt").probe()
pytestmark = pytest.mark.skipif(not FOUND.can_run, reason=FOUND.detail)


@pytest.fixture(scope="module")
def float_file(small_model):
    return quantization.convert(small_model, "float32", name="small").path


@pytest.fixture(scope="module", params=["int8", "fp16"])
def built(request, float_file, patterns, tmp_path_factory):
    """The target, what it compiled, and the ONNX file that went in."""
    target = targets.get("tensorrt", precision=request.param)
    images = patterns.train_images[:60]
    out = tmp_path_factory.mktemp("engines") / f"{request.param}.engine"
    compiled = target.compile(float_file, out, calibration=images)
    return target, compiled, target.prepare(float_file, calibration=images)


def test_engine_gives_what_onnx_runtime_gives(built, patterns):
    target, compiled, prepared = built
    with targets.get("onnxruntime").open(prepared) as session:
        expected = predict(session, patterns.test_images)
    with target.open(compiled) as session:
        assert session.device and session.runtime_version.startswith("TensorRT ")
        assert session.inputs[0].shape == (1, 32, 32, 3)
        found = predict(session, patterns.test_images)
    error = output_error(expected, found)
    assert error.cosine > 0.999, error
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) >= 0.97


def test_every_layer_is_listed_and_int8_is_used(built):
    target, compiled, _ = built
    assert compiled.placement.total == len(compiled.log_rows) > 0
    if target.precision == "int8":
        assert any("int8" in json.dumps(row).lower() for row in compiled.log_rows)


def test_latency_is_read_in_the_child_process(built):
    target, compiled, _ = built
    with target.open(compiled) as session:
        measured = benchmark.measure(session, max_seconds=1.0)
        [outside] = [session.run(*benchmark.sample_inputs(session)) for _ in range(1)]
    assert 0 < measured.median_ms < 100
    assert np.isfinite(outside[0]).all()


def test_a_second_build_uses_the_timing_cache(built, float_file, patterns, tmp_path):
    from edgelab.machine import artifacts

    target, _, _ = built
    caches = list((artifacts.artifacts_dir() / "tensorrt").glob("timing-*.cache"))
    assert len(caches) == 1 and caches[0].stat().st_size > 0
    again = target.compile(float_file, tmp_path / "again.engine", calibration=patterns.train_images[:60])
    assert again.size_bytes > 0


def test_two_sessions_share_the_gpu(built, patterns):
    target, compiled, _ = built
    images = patterns.test_images[:10]
    with target.open(compiled) as one, target.open(compiled) as other:
        np.testing.assert_array_equal(predict(one, images), predict(other, images))


@pytest.mark.parametrize("key", ["gpu", "tensorrt"])
def test_an_engine_of_another_machine_is_refused(built, key, tmp_path):
    target, compiled, _ = built
    facts, engine = tensorrt_target._read(compiled.path)
    other = tmp_path / "other.engine"
    facts[key] = "another"
    other.write_bytes(tensorrt_target.HEADER + json.dumps(facts).encode() + b"\n" + engine)
    with pytest.raises(ModelError, match="built for another"):
        target.open(other)


def test_a_damaged_engine_is_an_error(built, tmp_path):
    target, compiled, _ = built
    facts, engine = tensorrt_target._read(compiled.path)
    cut = tmp_path / "cut.engine"
    cut.write_bytes(tensorrt_target.HEADER + json.dumps(facts).encode() + b"\n" + engine[: len(engine) // 2])
    with pytest.raises((ModelError, TargetError)):
        target.open(cut)


def test_tensorrt_refuses_asymmetric_zero_points(float_file, patterns, tmp_path):
    """The trap is real: what `check_symmetric` refuses, TensorRT refuses too."""
    from edgelab.targets import onnx_model

    trap = onnx_model.quantize(
        onnx_model.from_tflite(float_file), patterns.train_images[:60], onnx_model.ASYMMETRIC
    )
    engine = tensorrt_target_engine.Engine()
    request = {
        "do": "build",
        "onnx": str(trap.resolve()),
        "out": str(tmp_path / "trap.engine"),
        "timing_cache": "",
        "new_timing_cache": str(tmp_path / "timing.cache"),
    }
    try:
        with pytest.raises((ModelError, TargetError)):
            engine.ask(request, tensorrt_target.BUILD_LIMIT_S)
    finally:
        engine.close()


def test_a_killed_child_is_an_error_and_the_gpu_is_free_again(built, patterns):
    target, compiled, _ = built
    session = target.open(compiled)
    session._engine._worker._process.kill()
    with pytest.raises(TargetError, match="ended with exit code"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))
    session.close()
    with target.open(compiled) as fresh:
        predict(fresh, patterns.test_images[:2])


def test_no_child_is_left_when_python_ends(built):
    target, compiled, _ = built
    script = (
        "import sys; from pathlib import Path; from edgelab import targets;"
        f"s = targets.get('tensorrt', precision={target.precision!r}).open(Path({str(compiled.path)!r}));"
        "print(s._engine._worker._process.pid)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    import psutil

    assert not psutil.pid_exists(int(done.stdout.split()[-1])), done.stderr[-500:]
