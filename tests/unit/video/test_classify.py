"""Frames classified: the crop, the region that moves, the model that must fit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from video_doubles import RUNS, Collecting, numbered_image

from edgelab import video
from edgelab.errors import InputError


def test_square_crop_holds_the_box_and_stays_inside():
    rng = np.random.default_rng(0)
    image = np.arange(240 * 320).reshape(240, 320, 1).repeat(3, 2)
    for _ in range(200):
        left, top = rng.uniform(-5, 300), rng.uniform(-5, 220)
        box = (left, top, left + rng.uniform(2, 90), top + rng.uniform(2, 90))
        crop = video.square_crop(image, box, margin=0.1)
        assert crop.shape[0] == crop.shape[1] >= 1
        assert np.shares_memory(crop, image)
    crop = video.square_crop(image, (100, 50, 140, 70))
    assert crop.shape == (40, 40, 3)
    assert crop[0, 0, 0] == 40 * 320 + 100
    assert video.square_crop(image, (0, 0, 320, 240)).shape == (240, 240, 3)
    assert video.square_crop(image).shape == (240, 240, 3)
    assert video.square_crop(image)[0, 0, 0] == 40


def test_resize_averages_when_shrinking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 200
    assert np.all(video.resize(stripes, (16, 16)) == 100)
    assert video.resize(stripes, (100, 80)).shape == (80, 100, 3)


@pytest.mark.parametrize("zoom", [1, 2.4])
def test_moving_region_finds_what_moves_and_ignores_noise(zoom):
    rng = np.random.default_rng(0)
    size = (round(320 * zoom), round(240 * zoom))
    background = cv2.GaussianBlur(rng.integers(0, 256, (size[1], size[0], 3), np.uint8), (0, 0), 5)
    region, overlaps, still = video.MovingRegion(), [], []
    for index in range(60):
        image = cv2.add(background, rng.integers(0, 4, background.shape, np.uint8))
        box = tuple(round(zoom * edge) for edge in (4 * (index - 30), 100, 4 * (index - 30) + 41, 141))
        if index >= 30:
            cv2.rectangle(image, box[:2], (box[2] - 1, box[3] - 1), (250, 20, 20), -1)
        found = region(video.Frame(index, image, 0.0, 0.0))
        if index < 30:
            still.append(found)
        else:
            overlaps.append(intersection_over_union(found, box))
    assert still[5:] == [None] * 25
    assert np.median(overlaps[5:]) > 0.7


def test_moving_region_ignores_a_cut():
    region = video.MovingRegion()
    rng = np.random.default_rng(1)
    scenes = [cv2.GaussianBlur(rng.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 5) for _ in range(2)]
    scenes[1] = 255 - scenes[1] // 3
    for index in range(30):
        region(video.Frame(index, scenes[0], 0.0, 0.0))
    assert region(video.Frame(30, scenes[1], 0.0, 0.0)) is None


def intersection_over_union(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both / (area - both)


def test_largest_box():
    from edgelab.datasets import Box

    frame = video.Frame(0, numbered_image(0), 0.0, 0.0, (Box(0, 0, 0, 5, 5), Box(1, 10, 10, 30, 20)))
    assert video.largest_box(frame) == (10, 10, 30, 20)
    assert video.largest_box(video.Frame(0, numbered_image(0), 0.0, 0.0)) is None


@pytest.fixture(scope="module")
def int8_session(small_model, shapes):
    from edgelab import quantization, targets

    converted = quantization.convert(
        small_model, "int8", shapes.calibration_images(100), io_dtype="uint8", name="video_test"
    )
    with targets.get("cpu").open(converted.path) as session:
        yield session


@pytest.mark.slow
def test_classifier_agrees_with_predict(int8_session, shapes):
    """Pictures of the model's own size pass through unchanged, so the answers must be the same."""
    from edgelab.runtime import predict

    classifier = video.Classifier(int8_session, shapes.class_names)
    images = shapes.test_images[:40]
    expected = predict(int8_session, images)
    for index, image in enumerate(images):
        prediction = classifier.infer(classifier.preprocess(video.Frame(index, image, 0.0, 0.0)))
        assert prediction.class_index == expected[index].argmax()
        assert prediction.confidence == pytest.approx(float(expected[index].max()))
        assert prediction.label == shapes.class_names[prediction.class_index]
        assert prediction.box is None


@RUNS
def test_classifier_on_scenes(run, int8_session, shapes):
    classifier = video.Classifier(int8_session, shapes.class_names, region=video.largest_box)
    predictions = []
    stats = run(
        video.open_source("scenes", frame_count=10),
        classifier.infer,
        Collecting(),
        preprocess=classifier.preprocess,
        on_result=lambda frame, prediction: predictions.append((frame, prediction)),
    )
    assert stats.frames == 10
    for frame, prediction in predictions:
        assert prediction.box == video.largest_box(frame)


def test_classifier_refuses_a_model_that_does_not_fit(int8_session):
    with pytest.raises(InputError, match="3 class names for 10 outputs"):
        video.Classifier(int8_session, ("a", "b", "c"))
