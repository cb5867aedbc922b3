"""Progress of its own for each test, and exercise 77.1."""

import pytest

from edgelab import exercises
from edgelab.exercises import Mistake, checking, registry


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    monkeypatch.delenv("EDGELAB_STRICT", raising=False)
    monkeypatch.setattr(checking, "_solution_was_used", False)
    monkeypatch.setattr(checking, "_latest", {})

    @exercises.exercise("77.1", "Double it", hints=("Add it to itself.", "It is 2 * x."), read="Section 77.2")
    def check_double(answer):
        if answer(3) == 9:
            raise Mistake("for 3 you got 9, but 6 was expected", hint="That is the square.")
        if answer(3) != 6:
            raise Mistake(f"for 3 you got {answer(3)}, but 6 was expected")

    yield tmp_path
    for key in [key for key in registry.registered if key.startswith("77.")]:
        del registry.registered[key]
