"""Layers written from nothing: they run, compute what their weights say, and their work is counted."""

import numpy as np
import pytest

from edgelab import graph
from edgelab.errors import InputError
from edgelab.graph.layers import DTYPES, KINDS, Layers, network


def outputs(content, seed=0):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    spec = interpreter.get_input_details()[0]
    values = np.random.default_rng(seed).integers(0, 60, spec["shape"]).astype(spec["dtype"])
    interpreter.set_tensor(spec["index"], values)
    interpreter.invoke()
    return values, interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_runs_and_its_work_is_that_of_the_graph(kind, dtype):
    layers = Layers(kind, 6, 8, 3, 3, dtype)
    content = network(layers, seed=2)
    found = graph.read(content)
    assert found.macs == layers.macs and len(found.operators) == 3
    values, result = outputs(content)
    assert result.shape == values.shape and result.dtype == values.dtype
    assert len(np.unique(result)) > 10


def test_dense_layers_compute_their_products():
    content = network(Layers("dense", 4, 8, count=2), seed=1)
    values, result = outputs(content)
    found = graph.read(content)
    for operator in found.operators:
        values = np.maximum(values @ found.tensors[operator.inputs[1]].values().T, 0)
    assert np.allclose(result, values, atol=1e-3)


def test_its_size_follows_from_its_weights_and_its_content_from_the_seed():
    layers = Layers("dense", 1, 64, count=5)
    content, weights = network(layers), 4 * 5 * 64 * 65
    assert weights < len(content) < weights + 5000
    assert content == network(layers) != network(layers, seed=1)


@pytest.mark.parametrize("kind", KINDS)
def test_int8_computes_what_its_codes_stand_for(kind):
    content = network(Layers(kind, 5, 4, 3, 1, "int8"), seed=3)
    found = graph.read(content)
    values, result = outputs(content)
    kernel = found.tensors[1].real_values()
    real = 0.05 * (values.astype(float) + 128)
    if kind == "dense":
        expected = real @ kernel.T
    else:
        padded = np.pad(real, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        taken = "bhwcij,ocij->bhwo" if kind == "conv" else "bhwcij,ocij->bhwc"
        expected = np.einsum(taken, windows, kernel.transpose(0, 3, 1, 2))
    codes = np.clip(np.rint(expected / 0.05) - 128, -128, 127)
    assert np.abs(codes - result).max() <= 1


@pytest.mark.parametrize("wrong", [{"kind": "pool"}, {"dtype": "int4"}, {"size": 0}, {"count": 0}])
def test_what_cannot_be_written_is_told(wrong):
    with pytest.raises(InputError):
        network(Layers(**{"kind": "conv", "size": 4, "channels": 4, **wrong}))


def test_the_same_seed_gives_the_same_file():
    layers = Layers("conv", 4, 4)
    assert network(layers, 1) == network(layers, 1) != network(layers, 2)
    assert str(layers) == "conv 3x3, 4x4x4, float32"
    assert str(Layers("dense", 2, 8)) == "dense 8, batch 2, float32"
