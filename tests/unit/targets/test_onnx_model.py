"""Models as ONNX: the same numbers, quantized as each runtime wants it."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from onnx_comparison import assert_close, outputs_of

from edgelab import quantization, targets
from edgelab.errors import ModelError, TargetError
from edgelab.runtime import predict
from edgelab.targets import onnx_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def symmetric(float_onnx, images):
    return onnx_model.quantize(float_onnx, images, "symmetric")


def test_float_onnx_equals_litert(float_onnx, patterns, cpu_outputs):
    found = outputs_of(targets.get("onnxruntime", threads=1), float_onnx, patterns)
    np.testing.assert_allclose(found, cpu_outputs, atol=1e-5)


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


@pytest.mark.parametrize("io_dtype", ["float32", "int8", "uint8"])
def test_every_kind_of_input_keeps_its_scale(io_dtype, small_model, patterns):
    converted = quantization.convert(
        small_model, "int8", patterns.train_images[:40], io_dtype=io_dtype, name="scale"
    )
    with targets.get("cpu", threads=1).open(converted.path) as session:
        expected = predict(session, patterns.test_images[:40])
        spec = session.inputs[0]
    with targets.get("onnxruntime", threads=1).open(onnx_model.from_tflite(converted.path)) as session:
        assert (session.inputs[0].scale, session.inputs[0].zero_point) == (spec.scale, spec.zero_point)
        found = predict(session, patterns.test_images[:40])
    # Its kernels round otherwise; a lost scale takes away a quarter of the answers.
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.95
