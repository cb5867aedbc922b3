"""Changed copies."""

from __future__ import annotations

import numpy as np
import pytest

from edgelab import graph
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
