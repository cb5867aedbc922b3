"""What follows from operators and tensors."""

from __future__ import annotations

import numpy as np

from edgelab import graph


def tensor(index, size_bytes, *, constant=False, variable=False):
    return graph.Tensor(
        index, f"t{index}", (size_bytes,), "int8", (), (), 0, constant, variable, (), False, size_bytes, index
    )


def chain(tensors, edges, inputs, outputs):
    """A graph of operators given as (inputs, outputs)."""
    operators = tuple(graph.Operator(i, "ADD", 1, a, b, 0, {}, False) for i, (a, b) in enumerate(edges))
    return graph.Graph(operators, tuple(tensors), inputs, outputs, "", 0)


def test_real_values_undo_per_channel_quantization():
    data = np.array([[10, 20], [30, 40]], np.int8)
    weights = graph.Tensor(
        0,
        "w",
        (2, 2),
        "int8",
        (0.5, 2.0),
        (0, 10),
        0,
        True,
        False,
        (),
        False,
        4,
        1,
        0,
        data.view(np.uint8).ravel(),
    )
    assert weights.is_per_channel
    np.testing.assert_allclose(weights.real_values(), [[5, 10], [40, 60]])


def test_peak_activation_memory_of_a_diamond():
    # t0 -> a -> t1 (10), t0 -> b -> t2 (20); c adds t1, t2 into t3 (5). While b runs, t0 to t2 are alive.
    tensors = [tensor(0, 100), tensor(1, 10), tensor(2, 20), tensor(3, 5), tensor(4, 1000, constant=True)]
    diamond = chain(tensors, [((0, 4), (1,)), ((0,), (2,)), ((1, 2), (3,))], (0,), (3,))
    assert diamond.activation_bytes == (110, 130, 35)
    assert diamond.peak_activation_bytes == 130


def test_liveness_of_variables_missing_inputs_and_folded_constants():
    tensors = [tensor(0, 8, constant=True), tensor(1, 500), tensor(2, 10), tensor(3, 7), tensor(4, 3)]
    tensors[4] = tensor(4, 3, variable=True)
    found = chain(tensors, [((0,), (1,)), ((2, 1, -1), (3,))], (2,), (3,))
    assert found.activation_bytes == (13, 20)
    assert chain(tensors, [], (2,), (2,)).peak_activation_bytes == 0
