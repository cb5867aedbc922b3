import contextlib
import io

import numpy as np
import pytest

from edgelab.detection import (
    Detections,
    Event,
    EventScore,
    average_precision,
    event_score,
    matched,
    mean_average_precision,
    precision_recall,
)

CLASSES = 4


def made_up(seed, pictures=30):
    """Detections near exact boxes, some missing, some invented, some with equal scores; and the truth."""
    rng, found, truth = np.random.default_rng(seed), [], []
    for _ in range(pictures):
        corner, side = rng.uniform(0, 100, (6, 2)), rng.uniform(15, 40, (6, 2))
        objects = np.column_stack([rng.integers(0, CLASSES, 6), corner, corner + side]).astype(np.float32)
        shaken = objects[:, 1:] + rng.normal(0, 4, (6, 4))
        also = objects[:3, 1:] + rng.normal(0, 9, (3, 4))
        boxes = np.concatenate([shaken, also])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)  # COCO ignores boxes of no area
        labels = np.concatenate([objects[:, 0], rng.integers(0, CLASSES, 3)])
        found.append(Detections(boxes, rng.random(9).round(1), labels))
        truth.append(objects[: rng.integers(3, 7)])
    return found, truth


def by_pycocotools(found, truth, iou_least):
    coco_module = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    def xywh(box):
        x0, y0, x1, y1 = map(float, box)
        return [x0, y0, x1 - x0, y1 - y0]

    coco = coco_module.COCO()
    rows = [(image, row) for image, objects in enumerate(truth) for row in objects]
    coco.dataset = {
        "images": [{"id": image} for image in range(len(truth))],
        "categories": [{"id": label} for label in range(CLASSES)],
        "annotations": [
            {
                "id": number + 1,
                "image_id": image,
                "category_id": int(row[0]),
                "bbox": xywh(row[1:]),
                "area": float((row[3] - row[1]) * (row[4] - row[2])),
                "iscrowd": 0,
            }
            for number, (image, row) in enumerate(rows)
        ],
    }
    answers = [
        {"image_id": image, "category_id": int(label), "bbox": xywh(box), "score": float(score)}
        for image, part in enumerate(found)
        for box, score, label in zip(part.boxes, part.scores, part.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(answers), "bbox")
        judge.params.iouThrs = np.array([iou_least])
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][0, :, :, 0, 2].mean(axis=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("iou_least", [0.5, 0.75])
def test_average_precision_is_that_of_coco(seed, iou_least):
    found, truth = made_up(seed)
    ours = mean_average_precision(found, truth, CLASSES, iou_least)
    np.testing.assert_allclose(ours.per_class, by_pycocotools(found, truth, iou_least), atol=1e-6)


def test_each_object_is_hit_once_and_the_better_box_chooses_first():
    truth = np.array([[0, 0, 10, 10]])
    found = np.array([[0, 0, 10, 9], [0, 0, 10, 10]])
    np.testing.assert_array_equal(matched(found, truth), [True, False])
    np.testing.assert_array_equal(matched(found, np.empty((0, 4))), [False, False])


def test_a_perfect_detector_has_one_and_a_blind_one_zero():
    assert average_precision(np.ones(5, bool), np.arange(5) / 5, 5) == pytest.approx(1)
    assert average_precision(np.zeros(0, bool), np.zeros(0), 5) == 0
    assert np.isnan(average_precision(np.zeros(0, bool), np.zeros(0), 0))


def test_precision_falls_and_recall_rises_with_every_box():
    precision, recall = precision_recall(np.array([False, True, True]), np.array([0.2, 0.9, 0.5]), 4)
    np.testing.assert_allclose(precision, [1, 1, 2 / 3])
    np.testing.assert_allclose(recall, [0.25, 0.5, 0.5])


def test_a_class_without_objects_does_not_count():
    truth = [np.array([[1, 0, 0, 10, 10]], np.float32)]
    score = mean_average_precision([Detections([[0, 0, 10, 10]], [0.9], [1])], truth, 3)
    assert np.isnan(score.per_class[[0, 2]]).all() and score.mean == pytest.approx(1)
    assert "mAP@0.5 1.000 over 1 objects" in str(score)


def event(kind="enter", time_s=1.0, point=(50, 50), direction=0):
    return Event(kind, "door", 0, 0, time_s, direction, point)


def test_an_event_is_hit_once_by_one_of_its_kind_near_in_time_and_place():
    happened = [event(), event("cross", 2.0, direction=1)]
    told = [event(time_s=1.4), event(time_s=1.2), event("cross", 2.1, direction=-1), event("dwell", 1.0)]
    score = event_score(told, happened, seconds=10)
    assert (score.hits, score.told, score.happened) == (1, 4, 2)
    assert score.precision == 0.25 and score.recall == 0.5 and score.false_per_hour == 3 * 360
    assert event_score([event(time_s=1.6)], happened, 10).hits == 0
    assert event_score([event(point=(90, 50))], happened, 10).hits == 0


def test_scores_of_streams_add_up():
    total = EventScore(1, 2, 3, 10.0) + EventScore(2, 2, 2, 10.0)
    assert total == EventScore(3, 4, 5, 20.0)
    assert np.isnan(EventScore(0, 0, 0, 1.0).precision) and np.isnan(EventScore(0, 0, 0, 1.0).recall)
