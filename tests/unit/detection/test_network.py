import dataclasses

import numpy as np
import pytest

from edgelab import targets
from edgelab.detection import Detector, decode, iou, mean_average_precision, network
from edgelab.errors import DataError, InputError


@pytest.fixture(scope="module")
def drawn():
    images, objects = zip(*network.pictures(24, 500), strict=True)
    return np.stack(images), objects


def test_perfect_maps_are_decoded_to_the_exact_boxes(drawn):
    targets = network.targets(drawn[1])
    shown = hit = 0
    for heat, box, objects in zip(targets.heat, targets.box, drawn[1], strict=True):
        logits = np.log(np.clip(heat, 1e-4, 1 - 1e-4) / (1 - np.clip(heat, 1e-4, 1 - 1e-4)))
        found = decode(logits, box, 0.95, iou_above=0.95)
        overlap = iou(objects[:, 1:], found.boxes * network.STRIDE)
        same = objects[:, :1].astype(int) == found.labels
        shown, hit = shown + len(objects), hit + int(((overlap > 0.99) & same).any(axis=1).sum())
    assert hit >= 0.95 * shown  # two centres in one cell cannot be told apart


def test_the_loss_of_perfect_boxes_is_zero_and_of_others_not(drawn):
    targets = network.targets(drawn[1])
    assert float(network.box_loss(targets.box, targets.box, targets.mask)) < 1e-4
    assert float(network.box_loss(targets.box + 1, targets.box, targets.mask)) > 0.1
    sure = 12 * (2 * (targets.heat > 0.999) - 1.0).astype(np.float32)
    assert float(network.heat_loss(sure, targets.heat)) < 0.01
    assert float(network.heat_loss(-sure, targets.heat)) > 5


@pytest.mark.slow
def test_a_few_steps_lower_the_loss(drawn):
    import keras

    keras.utils.set_random_seed(0)
    model = network.build()
    recipe = dataclasses.replace(network.Recipe(), steps=12, batch_size=8)
    losses = list(network.train(model, *drawn, recipe))
    assert len(losses) == 12 and np.mean(losses[-3:]) < losses[0]
    with pytest.raises(InputError, match="fewer than a batch"):
        next(network.train(model, drawn[0][:4], drawn[1][:4], recipe))


def test_weights_that_were_kept_come_back(tmp_path):
    model = network.build(("a", "b"))
    network.save_weights(model, tmp_path / network.WEIGHTS)
    (tmp_path / network.CARD).write_text('{"names": ["a", "b"]}')
    for before, after in zip(model.get_weights(), network.load(tmp_path).get_weights(), strict=True):
        np.testing.assert_allclose(before, after, rtol=1e-3, atol=1e-4)
    (tmp_path / network.CARD).write_text('{"names": ["a", "b", "c"]}')
    with pytest.raises(DataError, match="make_detector"):
        network.load(tmp_path)


def test_the_kept_file_is_as_good_as_its_card_says():
    images, objects = zip(*network.pictures(60, 90_000), strict=True)
    [file] = network.FOLDER.glob("*.tflite")
    with targets.get("cpu", threads=1).open(file) as session:
        detector = Detector(session, network.card()["names"], threshold=0.02)
        found = [detector.detect(image) for image in images]
    reached = mean_average_precision(found, objects, len(detector.names)).mean
    assert reached > network.card()["judged"]["int8"]["mAP@0.5"] - 0.08  # sixty of its four hundred pictures
    assert file.stat().st_size < 400_000


def test_the_kept_weights_are_those_of_the_network():
    assert network.load().count_params() == network.card()["parameters"]
