"""On a Coral device, with Google's compiler: outputs equal the CPU's, and the rules say what it does."""

from __future__ import annotations

import numpy as np
import pytest

from edgelab import pipeline, targets
from edgelab.runtime import prediction as base_prediction
from edgelab.targets.cache import compiled
from edgelab.targets.edgetpu import target as edgetpu


@pytest.fixture(scope="module")
def model():
    target = targets.get("edgetpu")
    if not target.probe().can_compile:
        pytest.skip("edgetpu_compiler is not on PATH")
    return pipeline.open().converted("int8").path


def test_the_compiler_maps_what_the_rules_say(model):
    expected = edgetpu.placement(model)
    assert compiled(targets.get("edgetpu"), model).placement == expected.summary


def test_outputs_agree_with_the_cpu(model):
    target = targets.get("edgetpu")
    if not target.probe().can_run:
        pytest.skip("no Edge TPU, or no libedgetpu")
    images = pipeline.open().dataset.test_images[:200]
    with target.open(compiled(target, model)) as session, targets.get("cpu").open(model) as control:
        ours, theirs = base_prediction.predict(session, images), base_prediction.predict(control, images)
    # The Edge TPU rounds in its own way: by a few steps of the output, not by a class.
    assert np.mean(ours.argmax(1) == theirs.argmax(1)) > 0.97
    assert np.abs(ours - theirs).max() < 0.1


def test_a_second_session_on_one_usb_device_is_refused_or_works(model):
    target = targets.get("edgetpu")
    if not target.probe().can_run or len(target.devices()) != 1:
        pytest.skip("needs exactly one Edge TPU")
    made = compiled(target, model)
    with target.open(made) as first:
        image = np.zeros(first.inputs[0].shape, np.uint8)
        first.run(image)
        with pytest.raises(edgetpu.TargetError, match="Edge TPU"), target.open(made) as second:
            second.run(image)
