"""ONNX, ONNX Runtime, OpenVINO and TensorRT: right results, the asymmetric trap, and what cannot be used."""

import os
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest

from edgelab import quantization, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.runtime import predict
from edgelab.targets import onnx_model
from edgelab.targets.onnxruntime import session as onnxruntime_target_session
from edgelab.targets.onnxruntime import target as onnxruntime_target
from edgelab.targets.tensorrt import engine as tensorrt_target_engine
from edgelab.targets.tensorrt import target as tensorrt_target
from edgelab.verification import output_error

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def images(patterns):
    return patterns.train_images[:60]


@pytest.fixture(scope="module")
def files(small_model, images):
    return {
        mode: quantization.convert(
            small_model, mode, images, io_dtype="uint8" if mode == "int8" else "float32", name="small"
        ).path
        for mode in ("float32", "int8", "dynamic_range")
    }


@pytest.fixture(scope="module")
def float_onnx(files):
    return onnx_model.from_tflite(files["float32"])


@pytest.fixture(scope="module")
def symmetric(float_onnx, images):
    return onnx_model.quantize(float_onnx, images, "symmetric")


@pytest.fixture(scope="module")
def cpu_outputs(files, patterns):
    with targets.get("cpu").open(files["float32"]) as session:
        return predict(session, patterns.test_images)


@pytest.fixture(scope="module")
def openvino_model(files, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("openvino") / "small.zip"
    return targets.get("openvino", threads=1).compile(files["float32"], out, calibration=images)


def outputs_of(target, model, patterns):
    with target.open(model) as session:
        return predict(session, patterns.test_images)


def assert_close(candidate, reference, cosine, agreement=0.95):
    assert output_error(reference, candidate).cosine > cosine
    assert np.mean(candidate.argmax(axis=1) == reference.argmax(axis=1)) >= agreement


def test_float_onnx_equals_litert(float_onnx, patterns, cpu_outputs):
    found = outputs_of(targets.get("onnxruntime", threads=1), float_onnx, patterns)
    np.testing.assert_allclose(found, cpu_outputs, atol=1e-5)


def test_onnxruntime_compiles_to_integer_kernels(files, images, patterns, cpu_outputs, tmp_path):
    target = targets.get("onnxruntime", threads=1)
    compiled = target.compile(files["float32"], tmp_path / "model.onnx", calibration=images)
    assert_close(outputs_of(target, compiled, patterns), cpu_outputs, 0.99)
    assert compiled.placement.accelerated == compiled.placement.total > 0
    kernels = {row["kernel"]: row for row in compiled.log_rows}
    assert kernels["QLinearConv"]["count"] == 3
    share = onnxruntime_target_session.in_eight_bits(compiled.log_rows)
    assert share.accelerated >= share.total - 1
    assert (
        onnxruntime_target_session.in_eight_bits(
            onnxruntime_target_session.executed_kernels(files_float(files))
        ).accelerated
        == 0
    )


def files_float(files):
    return onnx_model.from_tflite(files["float32"])


def test_symmetric_quantization_has_int8_codes_and_zero_points_0(symmetric, patterns, cpu_outputs):
    found = onnx_model.check_symmetric(symmetric)
    assert {entry.dtype for entry in found} == {"int8"}
    assert not any(value for entry in found for value in entry.values)
    assert any(entry.is_weight and len(entry.values) > 1 for entry in found)  # one scale per channel
    assert any(not entry.is_weight for entry in found)
    assert_close(outputs_of(targets.get("onnxruntime"), symmetric, patterns), cpu_outputs, 0.99)


def test_no_pair_between_a_convolution_and_its_activation_function(symmetric):
    nodes = onnx_model.read(symmetric).graph.node
    makers = {name: node.op_type for node in nodes for name in node.output}
    between = [node for node in nodes if node.op_type in ("Clip", "Relu")]
    assert between
    assert {makers[node.input[0]] for node in between} == {"Conv"}


@pytest.mark.parametrize("source", ["asymmetric", "int8"])
def test_the_asymmetric_trap_is_found_and_explained(source, files, float_onnx, images):
    if source == "asymmetric":
        trap = onnx_model.quantize(float_onnx, images, "asymmetric")
    else:
        trap = onnx_model.from_tflite(files["int8"])
    with pytest.raises(ModelError, match="quantized asymmetrically") as caught:
        onnx_model.check_symmetric(trap)
    assert "zero point" in caught.value.why and "symmetric" in caught.value.fix


def test_a_single_wrong_zero_point_is_found(symmetric, tmp_path):
    import onnx
    from onnx import numpy_helper

    proto = onnx_model.read(symmetric)
    wrong = next(node for node in proto.graph.node if node.op_type == "DequantizeLinear").input[2]
    for tensor in proto.graph.initializer:
        if tensor.name == wrong:
            codes = numpy_helper.to_array(tensor).copy()
            codes.flat[-1] = 3
            tensor.CopyFrom(numpy_helper.from_array(codes, wrong))
    onnx.save_model(proto, tmp_path / "wrong.onnx")
    with pytest.raises(ModelError, match="zero point 3"):
        onnx_model.check_symmetric(tmp_path / "wrong.onnx")


def test_scales_of_integer_inputs_and_outputs_are_read(files, patterns, cpu_outputs):
    with targets.get("onnxruntime").open(onnx_model.from_tflite(files["int8"])) as session:
        assert session.inputs[0].dtype == np.uint8 and session.inputs[0].scale == 1.0
        assert session.outputs[0].is_quantized
        assert_close(predict(session, patterns.test_images), cpu_outputs, 0.99, 0.9)


def test_openvino_quantizes_with_nncf(openvino_model, patterns, cpu_outputs):
    assert_close(outputs_of(targets.get("openvino"), openvino_model, patterns), cpu_outputs, 0.99)
    share = onnxruntime_target_session.in_eight_bits(openvino_model.log_rows)
    assert share.accelerated >= 4  # three convolutions and the dense layer


def test_openvino_reads_tflite_as_it_is(files, patterns, cpu_outputs):
    target = targets.get("openvino", threads=1)
    np.testing.assert_allclose(outputs_of(target, files["float32"], patterns), cpu_outputs, atol=1e-4)
    assert_close(outputs_of(target, files["int8"], patterns), cpu_outputs, 0.99, 0.9)


@pytest.mark.parametrize("hint", ["LATENCY", "THROUGHPUT"])
def test_many_inferences_at_once_keep_their_order(hint, files, patterns):
    with targets.get("openvino", threads=2, hint=hint).open(files["float32"]) as session:
        batches = [image[np.newaxis].astype(np.float32) for image in patterns.test_images[:31]]
        many = session.run_many(batches)
        assert session.run_many([]) == []
        assert len(session.run_many(batches[:1])) == 1
        one_by_one = [session.run(batch)[0] for batch in batches]
    np.testing.assert_allclose(np.concatenate(many), np.concatenate(one_by_one), atol=1e-6)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_threads_are_handed_on(name, float_onnx, files):
    model = float_onnx if name == "onnxruntime" else files["float32"]
    with targets.get(name, threads=1).open(model) as session:
        assert session.threads == 1
        if name == "onnxruntime":
            assert session._session.get_session_options().intra_op_num_threads == 1
        else:
            assert session._compiled.get_property("INFERENCE_NUM_THREADS") == 1
    with pytest.raises(InputError):
        targets.get(name, threads=0)
    with pytest.raises(ModelError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_wrong_inputs_are_refused_before_native_code_sees_them(name, float_onnx, files):
    with targets.get(name).open(float_onnx if name == "onnxruntime" else files["float32"]) as session:
        with pytest.raises(InputError):
            session.run(np.zeros((1, 32, 32, 3), np.float64))
        with pytest.raises(InputError):
            session.run(np.zeros((1, 3, 32, 32), np.float32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt"])
@pytest.mark.parametrize("mode", ["int8", "dynamic_range"])
def test_quantized_models_are_not_quantized_again(name, mode, files, images, tmp_path):
    target = targets.get(name)
    prepare = (
        target.prepare
        if name == "tensorrt"
        else lambda model, **rest: target.compile(model, tmp_path / "out", **rest)
    )
    with pytest.raises(ModelError, match="quantized already"):
        prepare(files[mode], calibration=images)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [None, "float", "size"])
def test_calibration_images_must_fit(wrong, files, images, tmp_path):
    given = {None: None, "float": images / 255.0, "size": images[:, :16]}[wrong]
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(InputError, match="Calibration images"):
            targets.get(name).compile(files["float32"], tmp_path / "out", calibration=given)


def damage(path, content):
    path.write_bytes(content)
    return path


def test_damaged_models_are_refused(files, float_onnx, openvino_model, images, tmp_path):
    whole = float_onnx.read_bytes()
    for number, content in enumerate((b"", b"rubbish" * 99, whole[: len(whole) // 2])):
        with pytest.raises(ModelError):
            targets.get("onnxruntime").open(damage(tmp_path / f"{number}.onnx", content))
    archive = openvino_model.path.read_bytes()
    for number, content in enumerate((b"", b"rubbish" * 99, archive[: len(archive) // 2])):
        with pytest.raises(ModelError):
            targets.get("openvino").open(damage(tmp_path / f"{number}.zip", content))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("model.xml", "<net/>")
        other.writestr("model.bin", b"")
    with pytest.raises(ModelError):
        targets.get("openvino").open(tmp_path / "other.zip")
    cut = damage(tmp_path / "cut.tflite", files["float32"].read_bytes()[:2000])
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(ModelError):
            targets.get(name).compile(cut, tmp_path / "out", calibration=images)
        with pytest.raises(ModelError):
            targets.get(name).open(tmp_path / "missing")
    with pytest.raises(ModelError):
        targets.get("tensorrt").prepare(cut, calibration=images)


def test_flipped_bytes_never_end_the_process(float_onnx, tmp_path):
    """In a child process, which would die in our place."""
    script = tmp_path / "flip.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import random
            from pathlib import Path
            from edgelab import targets
            from edgelab.errors import ModelError
            whole, rng = Path({str(float_onnx)!r}).read_bytes(), random.Random(1)
            for number in range(60):
                data = bytearray(whole)
                for _ in range(3):
                    data[rng.randrange(len(data))] = rng.randrange(256)
                path = Path({str(tmp_path)!r}) / "flipped.onnx"
                path.write_bytes(data)
                try:
                    targets.get("onnxruntime", threads=1).open(path).close()
                except ModelError:
                    pass
            print("survived")
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "survived", done.stderr[-500:]


def test_a_dynamic_batch_runs_but_is_not_quantized(float_onnx, images, tmp_path):
    import onnx

    proto = onnx_model.read(float_onnx)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save_model(proto, tmp_path / "dynamic.onnx")
    with pytest.raises(ModelError, match="-1") as caught:
        onnx_model.quantize(tmp_path / "dynamic.onnx", images)
    assert "batch size of 1" in caught.value.fix
    with targets.get("onnxruntime").open(tmp_path / "dynamic.onnx") as session:
        assert session.inputs[0].shape == (-1, 32, 32, 3)


def test_an_operator_that_onnx_lacks_is_named(tmp_path, images):
    import tensorflow as tf

    function = tf.function(
        lambda pixels: tf.raw_ops.Erfinv(x=pixels / 256.0),
        input_signature=[tf.TensorSpec((1, 32, 32, 3), tf.float32, name="pixels")],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.allow_custom_ops = True
    with quantization.silence():
        (tmp_path / "odd.tflite").write_bytes(converter.convert())
    with pytest.raises(ModelError, match="could not be converted to ONNX") as caught:
        targets.get("onnxruntime").compile(tmp_path / "odd.tflite", tmp_path / "out", calibration=images)
    assert "Erfinv" in caught.value.why
    with pytest.raises(ModelError):
        targets.get("openvino").compile(tmp_path / "odd.tflite", tmp_path / "out", calibration=images)


def test_missing_and_half_installed_packages_are_told(tmp_path, monkeypatch):
    (tmp_path / "half_there").mkdir()
    (tmp_path / "broken_inside.py").write_text("raise ImportError('libodd.so: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    for package, why in (
        ("not_there_at_all", "No module"),
        ("half_there", "empty folder"),
        ("broken_inside", "libodd.so"),
    ):
        with pytest.raises(TargetError, match=why) as caught:
            onnx_model.load(package)
        assert "targets" in caught.value.fix


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt"])
def test_probe_tells_what_is_missing(name, monkeypatch):
    monkeypatch.setattr("edgelab.machine.hardware.version_of", lambda package: "")
    monkeypatch.setattr("edgelab.machine.hardware.native", lambda name: ([], "cannot be loaded"))
    found = targets.get(name).probe()
    assert not found.can_compile and not found.can_run
    assert found.detail and found.why_it_matters and found.fix


def test_openvino_names_the_devices_that_are_there(files):
    with pytest.raises(TargetError, match="no NPU9"):
        targets.get("openvino", device="NPU9").open(files["float32"])


def test_reduced_range_follows_the_processor(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("edgelab.machine.hardware.instruction_sets", lambda: ("AVX2",))
    assert onnxruntime_target.needs_reduced_range()
    monkeypatch.setattr("edgelab.machine.hardware.instruction_sets", lambda: ("AVX2", "AVX-512 VNNI"))
    assert not onnxruntime_target.needs_reduced_range()
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("edgelab.machine.hardware.instruction_sets", lambda: ())
    assert not onnxruntime_target.needs_reduced_range()


def test_nothing_is_reported_to_anyone(float_onnx, files, tmp_path):
    """Both tools write an identifier into the home folder before they report; none appears."""
    script = tmp_path / "work.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import numpy as np
            from pathlib import Path
            from edgelab import targets
            images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
            targets.get("onnxruntime").open(Path({str(float_onnx)!r})).close()
            model, out = Path({str(files["float32"])!r}), Path({str(tmp_path / "out.zip")!r})
            targets.get("openvino").compile(model, out, calibration=images)
            print("done")
            """
        )
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "NNCF_CI")
    } | {"HOME": str(home), "USERPROFILE": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.stdout.strip() == "done", done.stderr[-500:]
    assert done.stderr == ""
    written = [str(path.relative_to(home)) for path in home.rglob("*")]
    assert not [name for name in written if "intel" in name or "onnxruntime" in name or "deviceid" in name]


# TensorRT, as far as it goes without a GPU.


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


BROKEN_TENSORRT = {
    "missing": ("", "cannot be loaded", "No module named 'tensorrt'"),
    "half installed": ("import nothing_of_this_name", "cannot be loaded", "nothing_of_this_name"),
    "crashes": ("import os; print('about to die', flush=True); os.abort()", "ended with exit code", ""),
    "hangs": ("import time; time.sleep(60)", "gave no answer", ""),
    "lean": ("__version__ = '11.0.0'; print('answer rubbish'); print('{}')", "cannot be used", "no builder"),
    "old": ("__version__ = '8.6.1'\nclass Builder: ...", "cannot be used", "older than 10"),
}


@pytest.mark.parametrize("case", BROKEN_TENSORRT)
def test_a_broken_tensorrt_is_an_error_and_leaves_nothing(case, tmp_path, monkeypatch):
    code, what, why = BROKEN_TENSORRT[case]
    if code:
        (tmp_path / "tensorrt.py").write_text(code)
    elif tensorrt_target._version():
        pytest.skip("TensorRT is installed here")
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(left))
    monkeypatch.setattr(tensorrt_target, "START_LIMIT_S", 3.0 if case == "hangs" else 60.0)
    with pytest.raises(TargetError, match=what) as caught:
        tensorrt_target_engine.Engine()
    assert why in caught.value.why
    assert not list(left.iterdir())


def test_a_missing_driver_is_told(tmp_path, monkeypatch):
    if tensorrt_target._gpu():
        pytest.skip("a driver is here")
    (tmp_path / "tensorrt.py").write_text("__version__ = '11.0.0'\nclass Builder: ...")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(TargetError, match="driver's library") as caught:
        tensorrt_target_engine.Engine()
    assert "driver" in caught.value.fix


DRIVER_ERRORS = {803: "too old", 2: "memory is full", 46: "not available any more", 1: "driver failed"}


@pytest.mark.parametrize("code", DRIVER_ERRORS)
def test_a_failing_driver_is_told_in_words(code):
    """An old driver, a full memory, a GPU that was taken away: the library's number becomes advice."""
    from edgelab.targets.tensorrt import worker as tensorrt_worker

    class FailingLibrary:
        def cuInit(self, flags):  # noqa: N802 - the driver's own names
            return code

        def cuGetErrorString(self, number, text):  # noqa: N802 - its name in CUDA
            return 0

    driver = object.__new__(tensorrt_worker.Driver)
    driver._library = FailingLibrary()
    with pytest.raises(tensorrt_worker.Refusal, match=DRIVER_ERRORS[code]) as caught:
        driver._call("cuInit", 0)
    error = caught.value.answer["error"]
    assert f"error {code}" in error["why"] and error["fix"] and not error["is_model"]
