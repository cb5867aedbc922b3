import json

import numpy as np
import pytest
from running_app import settings

from edgelab import quantization, video
from edgelab.app import analysis
from edgelab.data_sources.shapes import SHAPE_CLASSES
from edgelab.detection import iou
from edgelab.errors import EdgelabError, InputError, ModelError, TargetError
from edgelab.runtime import TensorSpec


def frame(image=None, boxes=None):
    image = np.full((48, 64, 3), 90, np.uint8) if image is None else image
    return video.Frame(0, image, 0.0, 0.0, boxes)


def opened(tmp_path, **model):
    return analysis.open_analyser(settings(tmp_path, model=model))


class Session:
    """A classifier of two things, by how bright a picture is."""

    target, device, runtime_version, provenance, placement, fault = "cpu", "a test", "1", "measured", None, ""
    inputs = (TensorSpec("picture", (1, 32, 32, 3), np.dtype(np.uint8)),)
    outputs = (TensorSpec("scores", (1, 2), np.dtype(np.float32)),)
    is_closed = False

    def run(self, picture):
        assert picture.shape == (1, 32, 32, 3) and picture.dtype == np.uint8
        bright = float(picture.mean()) / 255
        return (np.array([[1 - bright, bright]], np.float32),)

    def close(self):
        self.is_closed = True


def test_drawn_scenes_know_their_boxes(tmp_path):
    with video.open_source("scenes", frame_count=1) as source:
        seen = next(source)
    analyser = opened(tmp_path, file="boxes")
    found = analyser.detect(seen)
    assert len(found) == len(seen.boxes) and analyser.names == tuple(SHAPE_CLASSES)
    assert found.boxes[0].tolist() == [
        getattr(seen.boxes[0], edge) for edge in ("left", "top", "right", "bottom")
    ]
    assert len(analyser.detect(frame())) == 0


@pytest.mark.parametrize("region", ["middle", "whole"])
def test_a_classifier_looks_where_it_is_told(region):
    session = Session()
    analyser = analysis.OneThing(session, ("dark", "bright"), 0.6, region, "")
    found = analyser.detect(frame(np.full((48, 64, 3), 250, np.uint8)))
    assert found.boxes.tolist() == [[0, 0, 64, 48]] and found.labels.tolist() == [1]
    assert len(analyser.detect(frame(np.full((48, 64, 3), 120, np.uint8)))) == 0, "neither is sure enough"
    sides = np.full((48, 64, 3), 0, np.uint8)
    sides[:, 8:56] = 255
    assert analyser.detect(frame(sides)).labels.tolist() == [1]
    analyser.close()
    assert session.is_closed


def test_nothing_moves_and_nothing_is_told():
    analyser = analysis.OneThing(Session(), ("dark", "bright"), 0.01, "moving", "")
    still = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    for _ in range(10):
        assert len(analyser.detect(frame(still))) == 0
    moved = still.copy()
    moved[10:30, 10:30] = 255
    [box] = analyser.detect(frame(moved)).boxes
    assert 5 <= box[0] <= 15 and 25 <= box[2] <= 35


@pytest.mark.slow
def test_the_users_own_classifier_runs_from_its_file(tmp_path, small_model):
    path = quantization.convert(small_model, "float32", name="small").path
    count = small_model.output_shape[-1]
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"thing {number}" for number in range(count)) + "\n\n")
    analyser = opened(tmp_path, file=str(path), labels=str(labels), region="middle", least_score=0.01)
    found = analyser.detect(frame())
    assert len(found) == 1 and analyser.names[found.labels[0]].startswith("thing")
    assert path.name in analyser.about
    analyser.close()
    assert opened(tmp_path, file=str(path), region="middle").names[0] == "class 0"
    labels.write_text("only one")
    with pytest.raises(InputError, match="1 class names"):
        opened(tmp_path, file=str(path), labels=str(labels))


def test_names_are_found_beside_the_model(tmp_path):
    model = tmp_path / "m.tflite"
    assert analysis.names_of(model, None) == ()
    (tmp_path / "m.json").write_text(json.dumps({"classes": ["a", "b"]}))
    assert analysis.names_of(model, None) == ("a", "b")
    (tmp_path / "m.txt").write_text("c\n\nd\n\n")
    assert analysis.names_of(model, None) == ("c", "", "d")
    assert analysis.names_of(tmp_path / "m-int8.tflite", None) == ("c", "", "d")
    (tmp_path / "m-int8.json").write_text('{"names": ["e"], "seed": 1}')
    assert analysis.names_of(tmp_path / "m-int8.tflite", None) == ("e",)
    (tmp_path / "other.json").write_text('{"seconds": 3}')
    assert analysis.names_of(tmp_path / "other.tflite", None) == ()
    for text in ('{"classes": 3}', "[", "{}"):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match="labels"):
            analysis.names_of(model, tmp_path / "bad.json")


def test_wrong_models_are_refused_with_what_to_do(tmp_path):
    wrong = tmp_path / "wrong.tflite"
    wrong.write_bytes(b"no model" * 100)
    with pytest.raises(EdgelabError):
        opened(tmp_path, file=str(wrong))
    with pytest.raises(ModelError, match="There is no model"):
        opened(tmp_path, file="none.tflite")
    with pytest.raises(TargetError, match="no target"):
        opened(tmp_path, file=str(wrong), target="abacus")


@pytest.mark.skipif(not analysis.DETECTOR_FOLDER.is_dir(), reason="the project's detector is not there")
def test_the_built_in_detector_finds_what_scenes_show(tmp_path):
    analyser = opened(tmp_path, file="")
    assert analyser.names == tuple(SHAPE_CLASSES) and "cpu" in analyser.about
    exact, right, seen = analysis.ExactBoxes(), 0, 0
    with video.open_source("scenes", frame_count=240, seed=5) as source:
        for one in list(source)[::30]:
            truth, found = exact.detect(one), analyser.detect(one)
            overlap = iou(truth.boxes, found.boxes) if len(found) else np.zeros((len(truth), 1))
            right += int((overlap.max(axis=1) > 0.5).sum())
            seen += len(truth)
    assert right > 0.6 * seen
    analyser.close()


def test_a_real_detector_of_coco_is_taken_as_it_is(tmp_path, real_data):
    [path] = (real_data / "models").glob("coco_ssd*.tflite")
    analyser = opened(tmp_path, file=str(path), least_score=0.5)
    with video.open_source(real_data / "media" / "one-by-one-person-detection.mp4") as source:
        found = [analyser.detect(one) for one, _ in zip(source, range(90), strict=False)][30::15]
    assert len(analyser.names) == 91 and any(len(one) for one in found)
    analyser.close()


class Stick:
    """An accelerator that can be pulled out."""

    names, about = ("a",), "stick"

    def __init__(self):
        self.is_pulled = False

    def detect(self, frame):
        if self.is_pulled:
            raise TargetError("the stick is gone")
        return "found"

    def close(self):
        if self.is_pulled:
            raise OSError("no device")


def test_a_model_that_failed_is_opened_again():
    sticks = []
    analyser = analysis.Reopening(lambda: sticks.append(Stick()) or sticks[-1])
    assert analyser.detect(frame()) == "found" and len(sticks) == 1
    sticks[0].is_pulled = True
    with pytest.raises(TargetError):
        analyser.detect(frame())
    assert analyser.detect(frame()) == "found" and len(sticks) == 2
    analyser.close()
