"""Cut a model, and find the operator that a faulty target gets wrong."""

import numpy as np
import pytest

from edgelab import graph, quantization
from edgelab.errors import InputError
from edgelab.targets.cpu.target import CpuTarget
from edgelab.verification import divergence

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = keras.layers.Add()([x, y])
    x = keras.layers.Conv2D(12, 3, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(4)(x)
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELAB_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        net = keras.Model(inputs, outputs)
        yield quantization.convert(net, "int8", images, io_dtype="uint8", name="small").path, images[:4]


def test_every_cut_computes_what_the_whole_model_computes_there(model, tmp_path):
    path, images = model
    content, found = path.read_bytes(), graph.read(path)
    kernels = CpuTarget(kernels="builtin")
    with kernels.open(path, keep_tensors=True) as whole:
        whole.run(images[:1])
        for operator in found.operators:
            cut = tmp_path / f"{operator.index}.tflite"
            cut.write_bytes(graph.prefix(content, operator.index))
            assert len(graph.read(cut).operators) <= operator.index + 1
            assert cut.stat().st_size <= len(content)
            with kernels.open(cut) as part:
                result = part.outputs[0].dequantize(part.run(images[:1])[0])
            assert np.array_equal(result, whole.tensor(operator.outputs[0])), operator


@pytest.mark.parametrize("index", [-1, 99])
def test_a_cut_needs_an_operator_that_exists(model, index):
    with pytest.raises(InputError, match="cannot be cut after operator"):
        graph.prefix(model[0].read_bytes(), index)


def faulty_from(index, whole):
    """Opens a model on a CPU that computes operator `index` with other weights."""
    name = whole.tensors[whole.operators[index].inputs[1]].name

    def open_it(path):
        content, found = path.read_bytes(), graph.read(path)
        used = {i for operator in found.operators for i in operator.inputs}
        weights = [t for t in found.tensors if t.name == name and t.index in used]
        changes = {t.index: np.where(t.values() < 0, 127, -127).astype(np.int8) for t in weights}
        path.with_suffix(".bad.tflite").write_bytes(graph.with_values(content, changes))
        return CpuTarget().open(path.with_suffix(".bad.tflite"))

    return open_it


@pytest.mark.parametrize(("kind", "which"), [("CONV_2D", 0), ("CONV_2D", 1), ("FULLY_CONNECTED", 0)])
def test_the_first_wrong_operator_is_found(model, kind, which):
    path, images = model
    whole = graph.read(path)
    index = [operator.index for operator in whole.operators if operator.name == kind][which]
    found = divergence.first_wrong(path, faulty_from(index, whole), images)
    assert (found.index, found.operator) == (index, kind)
    assert found.snr_db < divergence.RIGHT_SNR_DB <= found.snr_before_db


def test_a_right_target_has_no_wrong_operator(model):
    path, images = model
    assert divergence.first_wrong(path, CpuTarget(kernels="reference").open, images) is None
    with pytest.raises(InputError, match="no images"):
        divergence.first_wrong(path, CpuTarget().open, images[:0])
