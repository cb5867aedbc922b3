"""Broken deployments: every folder has one cause, and the tree leads to it."""

import json

import numpy as np
import pytest

from edgelab import diagnosis
from edgelab.diagnosis import making
from edgelab.errors import InputError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("cause", [*diagnosis.CAUSES, diagnosis.HEALTHY])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_folder_shows_its_cause_and_no_other(chain, tmp_path, cause, seed):
    case = diagnosis.read(diagnosis.write_one(chain, tmp_path / "case", cause, seed))
    holds = [asked.cause.name for asked in diagnosis.QUESTIONS if asked.holds(case)]
    assert holds == ([] if cause == diagnosis.HEALTHY else [cause])
    assert diagnosis.follow(case).cause == cause


@pytest.mark.parametrize("student", ["Ada", "Grace", "nobody"])
def test_the_ten_of_a_student_are_solved_by_the_tree(chain, tmp_path, student):
    folders = diagnosis.write_all(chain, student, tmp_path)
    found = {folder.name: diagnosis.follow(diagnosis.read(folder)) for folder in folders}
    answers = {name: (one.cause, one.evidence) for name, one in found.items()}
    score = diagnosis.judge(answers, list(answers), diagnosis.drawn(student))
    assert score.points == score.most == 20, score.rows


def test_students_get_other_causes_and_each_always_the_same():
    drawn = {name: diagnosis.drawn(name) for name in ("Ada", "Grace", "Alan", "")}
    assert len(set(drawn.values())) == len(drawn)
    stages = {cause.stage for cause in diagnosis.CAUSES.values()}
    for name, causes in drawn.items():
        assert causes == diagnosis.drawn(name)
        assert len(causes) == len(set(causes)) == making.COUNT
        assert {diagnosis.CAUSES[one].stage for one in causes} == stages


def test_every_cause_is_drawn_for_somebody():
    drawn = {cause for number in range(50) for cause in diagnosis.drawn(f"student {number}")}
    assert drawn == set(diagnosis.CAUSES)


def test_a_folder_does_not_name_its_cause(chain, tmp_path):
    for cause in ("bgr", "leak", "throttled"):
        folder = diagnosis.write_one(chain, tmp_path / "case", cause, 4)
        texts = [
            path.read_text(encoding="utf-8")
            for path in folder.iterdir()
            if path.suffix in (".log", ".json", ".txt", ".csv")
        ]
        assert not [text for text in texts if cause in text]
        assert str(tmp_path) not in "".join(texts)


def test_a_folder_is_replaced_as_a_whole(chain, tmp_path):
    folder = diagnosis.write_one(chain, tmp_path / "case", "labels", 5)
    (folder / "left.txt").write_text("from before")
    diagnosis.write_one(chain, folder, "no_device", 5)
    assert not (folder / "left.txt").exists() and not (folder / "fed.npy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


def test_the_promise_is_that_of_the_good_model(chain, tmp_path):
    folder = diagnosis.write_one(chain, tmp_path / "case", "scaling", 6)
    promise = json.loads((folder / "release.json").read_text())
    case = diagnosis.read(folder)
    assert promise["on_accelerator"][0] == promise["on_accelerator"][1]
    assert 0 <= promise["accuracy"] <= 1 and promise["latency_ms"] > 0
    assert case.digest == promise["sha256"]
    assert np.isclose(case.promised_accuracy, promise["accuracy"])


def test_an_unknown_cause_is_told(chain, tmp_path):
    with pytest.raises(InputError, match="no cause"):
        diagnosis.write_one(chain, tmp_path / "case", "moonlight")
