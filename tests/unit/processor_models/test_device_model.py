"""Work and traffic of a layer on an array."""

from __future__ import annotations

import pandas as pd
import pytest

from edgelab import estimate
from edgelab.processor_models import device_model


def layer(operator, macs=0, kernel="", weights=0, taken=0, given=0):
    """One row as `layers` and `placed` give it."""
    row = {"operator": operator, "macs": macs, "kernel": kernel, "weights": weights, "taken": taken}
    return row | {"given": given, "accelerated": True}


@pytest.mark.parametrize(
    ("row", "steps"),
    [
        (layer("CONV_2D", 100 * 64 * 64, "64x1x1x64"), 100),  # 100 places, the array is full
        (layer("CONV_2D", 100 * 64 * 65, "64x1x1x65"), 200),  # one channel too many: a second block
        (layer("CONV_2D", 100 * 65 * 64, "65x1x1x64"), 200),
        (layer("CONV_2D", 100 * 8 * 9 * 3, "8x3x3x3"), 100),  # a picture: 27 taps and channels in one block
        (layer("DEPTHWISE_CONV_2D", 100 * 64 * 9, "1x3x3x64"), 100 * 9),
        (layer("FULLY_CONNECTED", 128 * 1000, "1000x128"), 2 * 16),
        (layer("ADD", 0, ""), 0),
    ],
)
def test_steps_of_a_64x64_array(row, steps):
    assert device_model.array_steps(pd.Series(row), estimate.DEVICES["edgetpu"]) == steps


def test_only_weights_beyond_the_chips_memory_are_streamed():
    device = estimate.DEVICES["edgetpu"]
    half = int(device.on_chip_bytes / device_model.PACKING / 2)
    rows = [layer("CONV_2D", 64 * 64, "64x1x1x64", weights=half, taken=10**6, given=10**6) for _ in range(3)]
    found = device_model.quantities(pd.DataFrame(rows), device)
    assert found["streamed"].tolist() == pytest.approx([0, 0, half * device_model.PACKING / 1e6], abs=1e-5)
    assert found["transfer"].tolist() == [1.0, 0.0, 1.0]
    assert found["start"].tolist() == [1.0, 0.0, 0.0]
