"""Changed copies."""

from __future__ import annotations

import numpy as np
import pytest

from edgelab import graph, targets
from edgelab.errors import InputError, ModelError


def test_constants_can_be_changed_in_place(converted):
    found = graph.read(converted)
    weights = next(tensor for tensor in found.parameters if len(tensor.shape) == 2)
    changed = graph.with_values(converted, {weights.index: weights.values() * 2})
    assert len(changed) == len(converted)
    again = graph.read(changed)
    for before, after in zip(found.parameters, again.parameters, strict=True):
        factor = 2 if before.index == weights.index else 1
        np.testing.assert_array_equal(after.values(), before.values() * factor)
    with pytest.raises(InputError, match="expected float32"):
        graph.with_values(converted, {weights.index: weights.values().astype(np.float64)})
    with pytest.raises(ModelError, match="no values"):
        graph.with_values(converted, {found.inputs[0]: np.zeros((1, 8, 8, 3), np.float32)})


@pytest.mark.parametrize("edit", [graph.with_batch_of_one, graph.without_float_ends])
def test_damage_that_reading_does_not_see_is_named(converted, edit):
    """The name of a custom operator that points outside the file; no operator has one."""
    for place in range(len(converted) - 1, len(converted) - 400, -1):
        changed = converted[:place] + b"\xff" + converted[place + 1 :]
        try:
            graph.read(changed)
            edit(changed)
        except ModelError as error:
            if "cannot be changed" in error.what:
                return
    pytest.fail("no byte near the end is one that only unpacking reads")


@pytest.mark.parametrize(("mean", "std"), [((127.5,), (127.5,)), ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))])
def test_scaling_moves_into_the_model(converted, tmp_path, mean, std):
    pixels = np.random.default_rng(0).integers(0, 256, graph.read(converted).tensors[0].shape)
    scaled = ((pixels - np.array(mean)) / np.array(std)).astype(np.float32)
    answers = []
    for name, content, values in (
        ("before", converted, scaled),
        ("after", graph.with_scaled_input(converted, mean, std), pixels.astype(np.float32)),
    ):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with targets.get("cpu").open(path) as session:
            answers.append(session.run(values)[0])
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)
    changed = graph.read(graph.with_scaled_input(converted, mean, std))
    assert [one.name for one in changed.operators][:2] == ["SUB", "MUL"]
    assert len(changed.operators) == len(graph.read(converted).operators) + 2


def test_scaling_needs_as_many_numbers_as_channels_and_no_zero(converted):
    for mean, std in (((1, 2), (1,)), ((1,), (0,)), ((), (1,))):
        with pytest.raises(InputError, match="expected 1 or"):
            graph.with_scaled_input(converted, mean, std)
