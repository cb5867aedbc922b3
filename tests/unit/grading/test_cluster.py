"""The same grades from workers of a scheduler, also when workers or the scheduler die on the way."""

import json
import shutil

import dask_cluster
import pytest
from made_up_class import FALL, INTERVAL, RIGHT, notebook

from edgelab import __main__ as command_line
from edgelab.errors import InputError
from edgelab.grading import cluster, submissions
from edgelab.grading import grade as grading
from edgelab.grading.answers import Limits
from edgelab.grading.judges import missing_protection
from edgelab.machine import artifacts

Client = pytest.importorskip("distributed").Client
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_protection()), reason=f"cannot lock code in: {missing_protection()}"),
]
LIMITS = Limits(cpu_s=5, wall_s=40.0)
ANSWERS = {
    "ada": RIGHT[:2],
    "bo": [INTERVAL.replace("lost + 1", "lost")],
    "cy": ["import os\nos._exit(0)"],
    "dee": [None, None, None, FALL],
    "eve": [],
    "fay": [INTERVAL],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with dask_cluster.running(tmp_path_factory.mktemp("dask"), artifacts.PROJECT_ROOT, 2) as started:
        yield started


@pytest.fixture
def handed_in(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, answers in ANSWERS.items():
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook(answers)), encoding="utf-8")
    return folder


def told(grades):
    return grades.frame.drop(columns="seconds").to_dict("records")


def test_the_grades_are_those_of_one_machine_and_nothing_is_graded_twice(running, handed_in, tmp_path):
    here = grading.grade(handed_in, tmp_path / "here", jobs=2, limits=LIMITS)
    there = grading.grade(handed_in, tmp_path / "there", limits=LIMITS, scheduler=running.address)
    assert told(there) == told(here)
    assert {"solved", "wrong", "open", "failed"} == set(there.frame["state"])
    assert there.graded == len(ANSWERS)
    again = grading.grade(handed_in, tmp_path / "there", limits=LIMITS, scheduler=running.address)
    assert again.graded == 0
    assert told(again) == told(here)


def test_what_a_killed_worker_was_at_is_graded_by_another(running, handed_in, tmp_path):
    victim = running.add_worker(artifacts.PROJECT_ROOT)
    with Client(running.address, timeout=dask_cluster.START_S, set_as_default=False) as client:
        client.wait_for_workers(3, timeout=dask_cluster.START_S)
    done = []

    def kill_after_the_first(submission, total):
        done.append(submission.student)
        if len(done) == 1:
            victim.kill()

    grades = grading.grade(
        handed_in,
        tmp_path / "out",
        limits=LIMITS,
        scheduler=running.address,
        on_submission=kill_after_the_first,
    )
    assert sorted(done) == sorted(ANSWERS)
    assert "refused" not in set(grades.frame["state"])


def test_when_the_scheduler_dies_what_was_graded_is_kept(handed_in, tmp_path):
    done = []
    folder = tmp_path / "dask"
    folder.mkdir()
    with dask_cluster.running(folder, artifacts.PROJECT_ROOT, 1) as dying:

        def kill(submission, total):
            done.append(submission.student)
            dying.scheduler.kill()

        with pytest.raises(InputError, match="Nobody at tcp://") as error:
            grading.grade(
                handed_in,
                tmp_path / "out",
                jobs=1,
                limits=LIMITS,
                scheduler=dying.address,
                on_submission=kill,
            )
    assert "repeat" in error.value.fix
    assert not (tmp_path / "out" / "grades.csv").exists()
    grades = grading.grade(handed_in, tmp_path / "out", jobs=2, limits=LIMITS)
    assert grades.graded == len(ANSWERS) - len(done) < len(ANSWERS)


def test_a_worker_with_another_edition_of_the_course_grades_nothing(
    running, handed_in, tmp_path, monkeypatch
):
    edition = tmp_path / "course"
    changed = edition / "notebooks" / "08_verify.ipynb"
    changed.parent.mkdir(parents=True)
    shutil.copytree(artifacts.PROJECT_ROOT / "edgelab" / "exercises", edition / "edgelab" / "exercises")
    shutil.copytree(artifacts.PROJECT_ROOT / "edgelab" / "grading", edition / "edgelab" / "grading")
    changed.write_text("{}")
    chapters = submissions.chapters()
    monkeypatch.setattr(submissions, "chapters", lambda: chapters)
    monkeypatch.setattr(artifacts, "PROJECT_ROOT", edition)
    with pytest.raises(InputError, match="another edition"):
        grading.grade(handed_in, tmp_path / "out", limits=LIMITS, scheduler=running.address)


def test_an_address_without_a_scheduler_and_a_scheduler_without_workers(handed_in, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    with pytest.raises(InputError, match="No scheduler answers"):
        grading.grade(handed_in, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="No scheduler answers"):
        grading.grade(handed_in, tmp_path / "out", scheduler="nonsense")
    folder = tmp_path / "dask"
    folder.mkdir()
    monkeypatch.setattr(cluster, "CONNECT_S", 20)
    with (
        dask_cluster.running(folder, artifacts.PROJECT_ROOT, 0) as empty,
        pytest.raises(InputError, match="has no worker"),
    ):
        grading.grade(handed_in, tmp_path / "out", scheduler=empty.address)


def test_the_command_takes_an_address(running, handed_in, tmp_path, capsys):
    options = ["grade", str(handed_in), "--out", str(tmp_path / "out"), "--scheduler", running.address]
    assert command_line.main(options) == 0
    assert f"{len(ANSWERS)} graded now" in capsys.readouterr().out


def test_an_answer_of_a_judge_that_died_is_one_submissions_loss():
    one = object.__new__(cluster.Cluster)
    with pytest.raises(cluster.TargetError, match="took too long"):
        one._understood(json.dumps({cluster.LOST: "took too long"}))
