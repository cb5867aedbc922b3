"""Every exercise: right answers pass, stubs are not done yet, each mistake gets the help that answers it."""

import inspect
import json
import math
import signal
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import exercise_cases
import kept
import mutation
import numpy as np
import pytest
from exercise_cases import ALSO_RIGHT, GIVEN, SOLUTIONS, STUBS, SURVIVORS, WRONG

from edgelab import exercises, models, training
from edgelab.course import dependencies
from edgelab.exercises import chapter_01, chapter_03, chapter_04, checking, registry
from edgelab.processor_models import simt

MOST_SURVIVORS = 0.05  # of the changes
LIMIT_S = 10  # of one check; a change may well end in an endless loop
KEYS = tuple(exercises.progress().frame["exercise"])


@cache
def behind(key):
    """What the checks of a chapter and their cases follow from: what passed with it is not tried again."""
    [notebook] = exercise_cases.NOTEBOOKS.glob(f"{key[:2]}_*.ipynb")
    cases = Path(exercise_cases.__file__).with_name(f"chapter_{key[:2]}.py")
    files = (*dependencies.files_behind(notebook), *dependencies.data_behind(notebook), notebook, cases)
    packages = json.dumps(dependencies.packages_behind(notebook), sort_keys=True)
    return packages, *(path.read_bytes() for path in (*files, Path(mutation.__file__), Path(__file__)))


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    monkeypatch.delenv("EDGELAB_STRICT", raising=False)
    monkeypatch.setattr(checking, "_solution_was_used", False)


def own_help(key, answer):
    """What a student with this answer reads, but for the hints that everybody gets."""
    result = exercises.check(key, answer)
    assert result.state == "wrong", str(result)
    return "\n".join(
        [result.what_differs, *(hint for hint in result.hints if hint not in registry.find(key).hints)]
    )


def test_every_exercise_has_all_its_cases():
    assert set(SOLUTIONS) == set(STUBS) == set(GIVEN) == set(KEYS)
    for key in KEYS:
        words = {said for case, _, said in WRONG if case == key}
        assert len(words) >= 2, f"{key}: give at least two mistakes, each with words of its own help"


@pytest.mark.parametrize("cases", exercise_cases.MODULES, ids=lambda cases: cases.__name__[-2:])
def test_cases_and_checks_use_what_their_chapter_uses(cases):
    """So that `behind` misses nothing of theirs."""
    number = cases.__name__[-2:]
    [notebook] = exercise_cases.NOTEBOOKS.glob(f"{number}_*.ipynb")
    owners = {inspect.getmodule(value) for value in vars(cases).values()} - {None}
    used = {owner.__name__ for owner in owners if owner.__name__.startswith("edgelab.")}
    for name in (f"edgelab.exercises.chapter_{number}", *used):
        assert set(dependencies.files_behind_module(name)) <= set(dependencies.files_behind(notebook)), name


@pytest.mark.parametrize(("key", "answer"), [*SOLUTIONS.items(), *ALSO_RIGHT])
def test_a_right_answer_is_solved(key, answer, request):
    def judge():
        result = exercises.check(key, answer)
        assert result.state == "solved", str(result)

    kept.passes(judge, request.node.name, *behind(key))


@pytest.mark.parametrize("key", KEYS)
def test_the_stub_is_not_done_yet(key):
    names = {}
    exec(STUBS[key], names)
    answers = [value for name, value in names.items() if not name.startswith("__")]
    assert "open" in {exercises.check(key, answer).state for answer in answers if exercises.untouched(answer)}
    assert exercises.check(key, ...).state == "open"


def answer_of(key, solution):
    """What the student's kernel holds after the stub and a solution cell."""
    imported = {"np": np, "math": math, "Counter": Counter, "deque": deque, "threading": threading}
    imported |= {"cuda": simt.load()[0], "TILE": chapter_01.TILE, "exercises": exercises}
    names = dict(imported)
    exec(STUBS[key], names)
    exec(solution, names)
    return [value for name, value in names.items() if name not in imported and not name.startswith("__")][-1]


@pytest.mark.parametrize("key", KEYS)
def test_the_solution_in_the_notebook_passes(key):
    assert exercises.check(key, answer_of(key, GIVEN[key])).state == "shown"


class TooLongError(BaseException):
    """The time of one check is over."""


@contextmanager
def time_limit():
    def ring(*_):
        raise TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def survives(key, source):
    try:
        with time_limit(), np.errstate(all="ignore"):
            return exercises.check(key, answer_of(key, source)).passed
    except (Exception, TooLongError):
        return False  # the cell itself fails, or never ends


needs_alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no alarm clock")


@pytest.mark.slow
@needs_alarm
@pytest.mark.parametrize("key", KEYS)
def test_a_check_notices_every_operator_and_every_constant(key, request):
    def judge():
        found = {mutant.line for mutant in mutation.mutants(GIVEN[key]) if survives(key, mutant.source)}
        assert found == {line for own, line, _ in SURVIVORS if own == key}

    kept.passes(judge, request.node.name, *behind(key))


def test_few_changes_need_not_be_noticed():
    changes = sum(1 for key in KEYS for _ in mutation.mutants(GIVEN[key]))
    assert changes > 5 * len(KEYS)
    assert len(SURVIVORS) <= MOST_SURVIVORS * changes
    assert all(reason for *_, reason in SURVIVORS)


@pytest.mark.parametrize(("key", "answer", "said"), WRONG)
def test_a_mistake_gets_its_help_and_not_that_of_another(key, answer, said, request):
    def judge():
        read = own_help(key, answer)
        assert {words for other, _, words in WRONG if other == key and words in read} == {said}, read

    kept.passes(judge, request.node.name, *behind(key))


@pytest.mark.parametrize("key", KEYS)
def test_answers_that_crash_or_are_of_another_kind_are_shown_not_raised(key):
    def crashes(*arguments):
        return 1 / 0

    for answer in (crashes, object(), 41.5):
        assert exercises.check(key, answer).state == "wrong"


def test_chapter_1_counts_the_fewest_sectors_as_a_kernel_does():
    for shape in chapter_01.PRODUCTS:
        counts = chapter_01._wide_product(SOLUTIONS["01.3"], shape)
        assert counts.sectors == chapter_01.fewest_sectors(*shape)


@pytest.mark.slow
def test_an_answer_that_runs_for_ever_is_ended():
    counted = deque([0], maxlen=1)

    def endless(get, work, put, close):
        while True:
            counted.append(counted[-1] + 1)

    before = set(threading.enumerate())
    assert exercises.check("10.6", endless).state == "wrong"
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    reached = counted[-1]
    time.sleep(0.05)
    assert counted[-1] == reached > 0


@pytest.mark.slow
def test_chapter_3_agrees_with_the_code_of_the_course():
    for strides in (models.FITTED_STRIDES, models.STOCK_STRIDES):
        built = models.mobilenet_v2(strides=strides)
        side = chapter_03.final_map(32, strides)
        assert models.final_map_size(built) == (side, side)
    schedule = training.warm_up_then_cosine(0.4, 500)
    for step in (0, 10, 100, 101, 350, 500):
        assert np.isclose(float(schedule(step)), chapter_03.warm_up_cosine(step, 500, 0.4), atol=1e-6)


def test_chapter_4_can_tell_training_from_test_images():
    data = chapter_04.toy_dataset()
    assert data.train_images.min() >= 100 > data.test_images.max()


def test_chapter_4_takes_a_channel_of_zeros():
    codes, scales = chapter_04.quantize_per_channel(np.zeros((2, 3, 3, 1)))
    assert not codes.any() and np.isfinite(scales).all() and (scales > 0).all()
