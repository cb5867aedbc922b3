"""A file of dense layers, written without TensorFlow: it runs, and computes what its weights say."""

import numpy as np
import pytest

from edgelab import graph
from edgelab.errors import InputError


@pytest.mark.parametrize(("width", "count"), [(1, 1), (8, 1), (16, 3)])
def test_it_computes_its_layers(width, count):
    from ai_edge_litert.interpreter import Interpreter

    content = graph.dense_network(width, count, seed=4)
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    values = np.random.default_rng(1).normal(size=(1, width)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    found = graph.read(content)
    for operator in found.operators:
        kernel, bias = (found.tensors[index].values() for index in operator.inputs[1:])
        values = np.maximum(values @ kernel.T + bias, 0)
    assert len(found.operators) == count
    assert np.allclose(got, values, atol=1e-5)


def test_its_size_follows_from_its_weights_and_its_content_from_the_seed():
    content = graph.dense_network(64, 5)
    weights = 4 * 5 * 64 * 65
    assert weights < len(content) < weights + 5000
    assert content == graph.dense_network(64, 5) != graph.dense_network(64, 5, seed=1)


@pytest.mark.parametrize(("width", "count"), [(0, 1), (4, 0)])
def test_nothing_is_no_network(width, count):
    with pytest.raises(InputError):
        graph.dense_network(width, count)
