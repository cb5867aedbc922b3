"""A release judged from outside: by its receiver, and by the gate."""

import json
import subprocess
import sys

import pytest

from edgelab import release
from edgelab.errors import ModelError
from edgelab.exercises.chapter_15 import problems
from edgelab.release import checking

pytestmark = pytest.mark.slow


def test_a_release_that_is_right_has_no_problems(sealed, good_files):
    facts = release.received(sealed(good_files))
    assert facts["version"] == "1.0.0" and len(facts["outputs"]["model.tflite"]) == 5
    assert problems(facts) == []


def test_the_receiver_needs_nothing_of_the_package(sealed, good_files, tmp_path):
    alone = tmp_path / "receiver.py"
    alone.write_bytes(checking.RECEIVER.read_bytes())
    command = [sys.executable, "-I", str(alone), str(sealed(good_files))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.stdout.splitlines()[-1].startswith("facts ")
    assert "edgelab" not in checking.RECEIVER.read_text(encoding="utf-8")


def test_a_damaged_model_is_not_loaded(tmp_path, good_files):
    cut = {**good_files, "model.tflite": good_files["model.tflite"][:1000]}
    facts = release.received(release.write(tmp_path / "r", cut))
    assert facts["outputs"] == {} and problems(facts) == [("damaged", "model.tflite")]


def test_another_file_and_a_missing_one_are_found(tmp_path, good_files):
    files = {name: content for name, content in good_files.items() if name != "vectors/04.png"}
    vectors = json.loads(files["vectors.json"])[:4]
    files |= {"vectors.json": json.dumps(vectors).encode(), "extra.txt": b""}
    facts = release.received(release.write(tmp_path / "r", files))
    assert problems(facts) == [
        ("damaged", "vectors.json"), ("missing", "vectors/04.png"), ("unlisted", "extra.txt")
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"scale": 1 / 255}, {"offset": -60.0}, {"channels": "BGR"}])
def test_another_preparation_of_pictures_is_found(sealed, good_files, change):
    metadata = json.loads(good_files["metadata.json"])
    metadata["input"].update(change)
    facts = release.received(sealed({**good_files, "metadata.json": json.dumps(metadata).encode()}))
    assert ("output", "model.tflite") in problems(facts)


def test_labels_in_another_order_are_found(sealed, good_files):
    turned = b"\n".join(good_files["labels.txt"].split(b"\n")[-2::-1]) + b"\n"
    facts = release.received(sealed({**good_files, "labels.txt": turned}))
    assert problems(facts) == [("label", "model.tflite")]


def test_a_release_that_cannot_be_read_says_why(sealed, good_files):
    with pytest.raises(ModelError, match="could not read") as caught:
        release.received(sealed({**good_files, "metadata.json": b"{"}))
    assert "JSONDecodeError" in str(caught.value)


def test_the_gate_says_which_requirement_is_not_met(good_files, shapes, tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(good_files["model.tflite"])
    pictures = release.picture_folders(
        tmp_path / "p", shapes.test_images[:20], shapes.test_labels[:20], shapes.class_names
    )
    size = len(good_files["model.tflite"])
    found = release.gate(model, f"size_bytes<={size},accuracy[cpu]>100%", pictures=pictures)
    assert not found.is_met
    assert [text.rsplit(", ", 1)[1] for text in found.requirements] == ["met", "not met"]
    assert release.gate(model, f"size_bytes<={size}", pictures=pictures).is_met
    with pytest.raises(ModelError, match="could not be judged"):
        release.gate(model, "beauty>3", pictures=pictures)
