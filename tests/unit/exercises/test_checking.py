"""Checks: states, hints, answers that fail in every way."""

import os
import sys

import numpy as np
import pytest
from exercise_77 import recorded

from edgelab import exercises
from edgelab.exercises import Mistake


def test_a_right_answer_is_solved_and_recorded():
    result = exercises.check("77.1", lambda x: 2 * x)
    assert result.passed and result.state == "solved"
    assert str(result) == "✓ 77.1 Double it: Solved"
    assert recorded() == {"state": "solved", "failed_tries": 0}


def test_hints_come_one_by_one_then_where_to_read():
    results = [exercises.check("77.1", lambda x: x) for _ in range(4)]
    assert all(result.what_differs == "for 3 you got 3, but 6 was expected" for result in results)
    assert [result.hints for result in results] == [
        ("Add it to itself.",),
        ("Add it to itself.", "It is 2 * x."),
        ("Add it to itself.", "It is 2 * x.", "Read: Section 77.2"),
        ("Add it to itself.", "It is 2 * x.", "Read: Section 77.2"),
    ]


def test_a_mistake_with_its_own_hint_shows_it_first():
    results = [exercises.check("77.1", lambda x: x**2) for _ in range(2)]
    assert [result.hints for result in results] == [
        ("That is the square.",),
        ("That is the square.", "Add it to itself."),
    ]


def test_a_solved_exercise_stays_solved():
    exercises.check("77.1", lambda x: 2 * x)
    assert exercises.check("77.1", lambda x: x).state == "wrong"
    assert recorded()["state"] == "solved"


def test_later_cells_can_ask_whether_an_answer_passed():
    assert not exercises.passed("77.1")
    for answer, expected in ((..., False), (lambda x: 2 * x, True), (lambda x: x, False)):
        exercises.check("77.1", answer)
        assert exercises.passed("77.1") == expected


def just_dots(x): ...


def dots_below_a_docstring(x, y=2):
    """Say what it is."""
    ...


def with_pass(x):
    pass


def returns_zero(x):
    return 0


def calls_something(x):
    print(x)


@pytest.mark.parametrize(
    "answer", [..., None, just_dots, dots_below_a_docstring, with_pass, (..., ...), {"a": ..., "b": None}]
)
def test_untouched_answers_are_not_done_yet(answer):
    assert exercises.untouched(answer)
    result = exercises.check("77.1", answer)
    assert result.state == "open" and not result.passed and result.hints == ()


@pytest.mark.parametrize(
    "answer",
    [0, "", False, [], {}, np.zeros(3), returns_zero, calls_something, (1, ...), {"a": 1, "b": ...}, print],
)
def test_touched_answers(answer):
    assert not exercises.untouched(answer)


def test_the_solution_given_is_not_counted_as_the_students():
    answer = ...
    if exercises.untouched(answer):
        answer = lambda x: 2 * x  # noqa: E731 - as a student would
    assert exercises.check("77.1", answer).state == "shown"
    assert recorded()["state"] == "shown"
    assert exercises.check("77.1", lambda x: x + x).state == "solved"


def broken(x):
    values = []
    return values[x]


def endless(x):
    return endless(x)


def leaves(x):
    sys.exit(1)


@pytest.mark.parametrize(
    "answer, expected",
    [
        (broken, "return values[x]  –  IndexError"),
        (endless, "RecursionError"),
        (leaves, "sys.exit(1)  –  SystemExit: 1"),
        (lambda: 6, "TypeError"),
        (6, "(int) could not be checked: TypeError"),
        (lambda x: np.array([1, 2]), "ValueError"),
    ],
)
def test_any_exception_becomes_what_differs(answer, expected):
    result = exercises.check("77.1", answer)
    assert result.state == "wrong" and expected in result.what_differs


def only_prints(x):
    print(2 * x)


def sometimes_returns(x):
    if x < 0:
        return 2 * x


@pytest.mark.parametrize("answer, has_it", [(only_prints, True), (sometimes_returns, False), (broken, False)])
def test_a_function_without_return_is_told_so(answer, has_it):
    assert ("returns nothing" in exercises.check("77.1", answer).hints[0]) == has_it


def test_a_value_in_place_of_a_function_is_told_so():
    assert "A function is asked for" in exercises.check("77.1", 6).hints[0]


def test_an_interrupt_passes_through():
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercises.check("77.1", interrupted)


def test_strict_raises_for_wrong_and_for_open(monkeypatch):
    monkeypatch.setenv("EDGELAB_STRICT", "1")
    for answer in (lambda x: x, ...):
        with pytest.raises(exercises.NotSolvedError, match=r"77\.1"):
            exercises.check("77.1", answer)
    assert exercises.check("77.1", lambda x: 2 * x).passed


def test_html_says_the_state_in_words_and_escapes():
    @exercises.exercise("77.2", "Write <b>", hints=("Use <i>.",))
    def check_tag(answer):
        raise Mistake(f"got {answer}")

    page = exercises.check("77.2", "<script>")._repr_html_()
    assert "✗" in page and "Not yet right" in page
    assert "&lt;script&gt;" in page and "<script>" not in page and "<i>" not in page


@pytest.mark.skipif(os.name == "nt", reason="a folder without write permission is a POSIX matter")
def test_a_check_survives_a_progress_file_that_cannot_be_written(own_progress, monkeypatch):
    (own_progress / "file").write_text("")
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(own_progress / "file" / "below"))
    result = exercises.check("77.1", lambda x: x)
    assert "not saved" in result.note and result.hints == ("Add it to itself.",)
