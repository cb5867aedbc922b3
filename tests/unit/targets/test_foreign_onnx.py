"""ONNX from anywhere: one file that takes raw pixels, whose answers are those of the file given."""

import foreign_onnx_models as foreign
import numpy as np
import onnx
import pytest

from edgelab import graph, targets
from edgelab.errors import ModelError
from edgelab.targets import foreign_onnx
from edgelab.targets.cache import compiled

PIXELS = np.random.default_rng(1).integers(0, 256, (6, foreign.SIZE, foreign.SIZE, 3)).astype(np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def expected(scaled=lambda pixels: pixels):
    return foreign.answers(scaled(PIXELS.astype(np.float32)).transpose(0, 3, 1, 2).astype(np.float32))


def given(model):
    with targets.get("onnxruntime").open(model) as session:
        assert session.inputs[0].shape == (1, foreign.SIZE, foreign.SIZE, 3)
        return np.concatenate([session.run(one[np.newaxis].astype(np.float32))[0] for one in PIXELS])


def save(path, **options):
    onnx.save_model(foreign.network(**options), path)
    return path


@pytest.mark.parametrize("options", [{}, {"batch": 1}, {"batch": 0}, {"opset": 11}, {"opset": 21}])
def test_batch_layout_and_opset_are_fixed_and_the_answers_stay(path, options):
    made = foreign_onnx.prepared(save(path, **options))
    np.testing.assert_allclose(given(made), expected(), rtol=1e-4, atol=1e-3)
    assert not graph.read(made).has_open_batch


def test_weights_beside_the_file_come_into_it(path, tmp_path):
    made = foreign_onnx.prepared(foreign.with_external_weights(path))
    (tmp_path / "model.onnx.data").unlink()
    np.testing.assert_allclose(given(made), expected(), rtol=1e-4, atol=1e-3)


def test_changed_weights_beside_the_file_make_another(path, tmp_path):
    before = foreign_onnx.prepared(foreign.with_external_weights(path))
    weights = tmp_path / "model.onnx.data"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    assert foreign_onnx.prepared(path) != before


def test_16_bit_floats_become_32(path):
    made = foreign_onnx.prepared(foreign.in_float16(path))
    found = graph.read(made)
    assert {one.dtype for one in found.tensors} <= {"float32", "int64"}
    np.testing.assert_allclose(given(made), expected(), rtol=0.02, atol=0.5)


def test_scaling_moves_into_the_file(path):
    mean, std = (120.0, 110.0, 100.0), 60.0
    made = foreign_onnx.prepared(save(path), mean=mean, std=(std,))
    wanted = expected(lambda pixels: (pixels - np.array(mean)) / std)
    np.testing.assert_allclose(given(made), wanted, rtol=1e-4, atol=1e-4)


def test_prepared_twice_is_the_same(path):
    once = foreign_onnx.prepared(save(path))
    assert foreign_onnx.prepared(once).read_bytes() == once.read_bytes()


def test_open_sizes_are_fixed_on_request_and_only_then(path):
    save(path, size="side")
    with pytest.raises(ModelError, match="left open") as raised:
        foreign_onnx.prepared(path)
    assert "--input-shape" in raised.value.fix
    with pytest.raises(ModelError):
        foreign_onnx.prepared(path, input_shape=(1, 4, 16, 16))
    made = foreign_onnx.prepared(path, input_shape=(1, 3, foreign.SIZE, foreign.SIZE))
    np.testing.assert_allclose(given(made), expected(), rtol=1e-4, atol=1e-3)


def test_channels_first_undoes_the_turn(path):
    content = foreign_onnx.channels_first(foreign_onnx.prepared(save(path)))
    (path.parent / "first.onnx").write_bytes(content)
    found = graph.read(path.parent / "first.onnx")
    assert "Transpose" not in found.operator_counts
    assert found.tensors[found.inputs[0]].shape == (1, 3, foreign.SIZE, foreign.SIZE)
    scaled = foreign_onnx.prepared(path, mean=(1,), std=(2,))
    (path.parent / "scaled.onnx").write_bytes(foreign_onnx.channels_first(scaled))
    assert graph.read(path.parent / "scaled.onnx").operator_counts["Transpose"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "rknn"])
def test_targets_start_from_it(path, name):
    target = targets.get(name, **({"where": "simulator"} if name == "rknn" else {}))
    if not target.probe().can_compile:
        pytest.skip(target.probe().detail)
    with target.open(compiled(target, save(path), calibration=PIXELS)) as session:
        spec = session.inputs[0]
        rows = []
        for one in PIXELS:
            values = one[np.newaxis].astype(np.float32)
            values = values if spec.dtype == np.float32 else spec.quantize(values)
            rows.append(session.outputs[0].dequantize(session.run(values)[0]).ravel())
    wanted = expected()
    error = np.abs(np.stack(rows) - wanted).max() / np.abs(wanted).max()
    assert error < 0.05


@pytest.mark.slow
def test_tensorrt_prepares_it(path):
    from edgelab.targets import onnx_model

    made = targets.get("tensorrt").prepare(save(path), calibration=PIXELS)
    assert onnx_model.check_symmetric(made)
