import tempfile
from pathlib import Path

import numpy as np
import postgres
import pytest

from edgelab.scaling import crew, network, search


@pytest.fixture(scope="module")
def task(shapes):
    pictures, labels = network.some_pictures(shapes, 160)
    pictures = pictures[:, ::2, ::2]
    return search.Task(pictures[:128], labels[:128], pictures[128:], labels[128:], 2, shapes.class_count)


def test_a_training_begins_anew_each_time(task):
    trainer = search.Trainer(task)
    first = list(trainer.accuracies(search.DEFAULTS))
    weights = trainer.model.get_weights()
    other = list(trainer.accuracies({**search.DEFAULTS, "rate": 0.5, "batch_size": 16}))
    assert len(other) == len(first) == task.epochs
    assert list(trainer.accuracies(search.DEFAULTS)) == first
    np.testing.assert_allclose(network.flat(trainer.model.get_weights()), network.flat(weights), atol=1e-5)


def test_right_says_which_pictures_are_right(task):
    trainer = search.Trainer(task)
    expected = trainer.model(task.held_pictures.astype(np.float32)).numpy().argmax(axis=1)
    np.testing.assert_array_equal(
        trainer.right(task.held_pictures, task.held_labels), expected == task.held_labels
    )


@pytest.mark.slow
def test_the_first_trial_has_the_settings_as_they_were(tmp_path):
    study = search.open_study(tmp_path / "study.db")
    assert search.suggested(study.ask()) == search.DEFAULTS
    assert len(search.open_study(tmp_path / "study.db").trials) == 1, "opened again, it enqueues nothing"


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, tmp_path, tmp_path_factory):
    """A file, and the address of a real server."""
    if request.param == "sqlite":
        yield str(tmp_path / "study.db")
        return
    if postgres.binaries() is None:
        pytest.skip("no PostgreSQL server here; Debian: sudo apt install postgresql")
    in_reach_of_its_user = tempfile.TemporaryDirectory(prefix="edgelab-")
    with in_reach_of_its_user as folder, postgres.running(Path(folder)) as address:
        yield address


@pytest.mark.slow
def test_a_study_goes_on_after_its_processes_were_killed(task, storage):
    search.open_study(storage)
    with crew.Crew() as team:
        team.start(search.take_part, storage, 5, task, 1)
        for message in team.messages(240):
            if message.facts.get("began", 0) >= 1:
                break
    assert len(search.finished(search.open_study(storage))) < 5
    with crew.Crew() as team:
        for seed in (2, 3):
            team.start(search.take_part, storage, 5, task, seed)
        assert not [m.facts for m in team.messages(240) if "error" in m.facts]
    study = search.open_study(storage)
    assert len(search.finished(study)) >= 5
    assert len({trial.user_attrs.get("process") for trial in study.trials} - {None}) >= 2
    params = [tuple(trial.params.values()) for trial in study.trials if trial.params]
    assert len(params) == len(set(params)), "two processes tried the same"
