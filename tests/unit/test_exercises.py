import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from edgelab import display, exercises
from edgelab.__main__ import main
from edgelab.errors import InputError
from edgelab.exercises import Mistake, checking, guess_figure, number_line, progress, registry
from edgelab.machine import artifacts


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


def recorded():
    return json.loads((artifacts.artifacts_dir() / "progress.json").read_text())["exercises"]["77.1"]


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


def test_an_unknown_exercise_is_a_clear_error():
    with pytest.raises(InputError, match=r"chapter 77 has 77\.1"):
        exercises.check("77.9", 1)
    with pytest.raises(InputError, match="none"):
        exercises.check("66.1", 1)


def test_a_damaged_progress_file_starts_afresh(own_progress):
    (own_progress / "progress.json").write_text('{"exercises": [1')
    assert exercises.check("77.1", lambda x: 2 * x).passed
    assert recorded()["state"] == "solved"


@pytest.mark.skipif(os.name == "nt", reason="a folder without write permission is a POSIX matter")
def test_a_check_survives_a_progress_file_that_cannot_be_written(own_progress, monkeypatch):
    (own_progress / "file").write_text("")
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(own_progress / "file" / "below"))
    result = exercises.check("77.1", lambda x: x)
    assert "not saved" in result.note and result.hints == ("Add it to itself.",)


def record_many(folder, name):
    os.environ["EDGELAB_ARTIFACTS"] = folder
    for number in range(40):
        progress.record_try(f"{name}.{number}", "solved")
        progress.record_try("shared", "wrong")


def test_two_kernels_at_once_lose_nothing(own_progress):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=record_many, args=(str(own_progress), name)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    record = json.loads((own_progress / "progress.json").read_text())["exercises"]
    assert len(record) == 81 and record["shared"]["failed_tries"] == 80


def test_progress_counts_what_the_student_solved():
    exercises.check("77.1", lambda x: 2 * x)
    progress = exercises.progress()
    row = progress.frame.set_index("exercise").loc["77.1"]
    assert row["state"] == "solved" and progress.solved == 1
    assert str(progress).startswith("1 of ") and "✓ Solved" in progress._repr_html_()


def test_a_guess_runs_headless_with_its_default(capsys):
    guess = exercises.predict("77.size", "How large?", default=50, low=0, high=100, unit="%")
    assert guess.value == 50 and guess.is_default
    guess.reveal(27.125)
    shown = capsys.readouterr().out
    assert "Default guess: 50 % · Measured: 27.12 %" in shown and "22.88 points less than guessed" in shown


def test_a_guess_made_is_recorded_and_comes_back(own_progress, capsys):
    guess = exercises.predict("77.size", "How large?", default=50, low=0, high=100, unit="%")
    guess.control.value = 30
    guess.reveal(27.0)
    assert "Your guess: 30 % · Measured: 27 %" in capsys.readouterr().out
    record = json.loads((own_progress / "progress.json").read_text())["guesses"]["77.size"]
    assert record == {
        **{"guess": 30.0, "measured": 27.0, "provenance": "measured", "is_default": False},
        **{"question": "How large?", "unit": "%", "low": 0.0, "high": 100.0},
    }
    assert exercises.progress().guesses == 1
    again = exercises.predict("77.size", "How large?", default=50, low=0, high=100, unit="%")
    assert again.value == 30 and not again.is_default
    narrowed = exercises.predict("77.size", "How large?", default=5, low=0, high=10, unit="%")
    assert narrowed.value == 5


def test_a_choice_is_right_or_not(capsys):
    guess = exercises.predict("77.which", "Which wins?", default="CPU", options=["CPU", "GPU"])
    guess.reveal("GPU")
    assert "another answer" in capsys.readouterr().out
    guess.control.value = "GPU"
    guess.reveal("GPU", "published")
    assert "Published: GPU – right." in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [{"default": 5}, {"default": 5, "low": 6, "high": 9}, {"default": "a", "options": ["b"]}],
)
def test_a_guess_without_a_sound_range_is_refused(wrong):
    with pytest.raises(InputError):
        exercises.predict("77.x", "?", **wrong)


def test_importing_the_exercises_is_cheap():
    heavy = {"tensorflow", "pandas", "matplotlib"}
    code = f"import sys, edgelab.exercises; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def shown(show, *args):
    """The HTML and the plain text of the one output of a call."""
    InteractiveShell.instance()  # outside a shell, `display` prints the plain text
    with capture_output() as captured:
        show(*args)
    InteractiveShell.clear_instance()
    (output,) = captured.outputs
    return output.data["text/html"], output.data["text/plain"]


def shown_guesses(chapter="77"):
    """The chapter's closing figure."""
    return shown(exercises.guesses, chapter)


def test_a_guess_is_compared_with_a_known_provenance_only():
    guess = exercises.predict("77.a", "How much?", default=50, low=0, high=100)
    with pytest.raises(InputError, match="guessed"):
        guess.reveal(27, "guessed")


def guess_and_reveal(key, default, measured, own=None, **choices):
    guess = exercises.predict(key, f"What of {key}?", default=default, **choices)
    if own is not None:
        guess.control.value = own
    guess.reveal(measured)


def test_a_chapter_without_guesses_says_so():
    assert shown_guesses()[1] == guess_figure.NONE_MADE


def test_the_closing_figure_tells_every_guess_and_whose_it_is(capsys):
    guess_and_reveal("77.a", 50, np.float32(27), own=30, low=0, high=100, unit="$")
    guess_and_reveal("77.b", 2.0, 9.5, low=0.0, high=5.0, unit="times")
    guess_and_reveal("77.c", "CPU", "GPU", options=["CPU", "GPU"])
    guess_and_reveal("77.d", "CPU", "GPU", own="GPU", options=["CPU", "GPU"])
    guess_and_reveal("78.a", 1, 2, low=0, high=5)
    content, alt = shown_guesses()
    assert "What of 77.a? your guess 30 $, measured 27 $" in alt
    assert "What of 77.b? default guess 2 times, measured 9.5 times" in alt
    assert "✗ default guess CPU, measured GPU" in alt and "✓ your guess is right: GPU" in alt
    assert "78.a" not in alt and "2 of 4 guesses are your own." in content and "<img alt=" in content


def test_a_default_is_kept_apart_from_an_own_guess(capsys):
    choices = {"default": 50, "low": 0, "high": 100}
    exercises.predict("77.size", "How large?", **choices).reveal(27)
    assert exercises.progress().guesses == 0
    again = exercises.predict("77.size", "How large?", **choices)
    assert again.is_default
    again.control.value = 60
    again.control.value = 50  # moved back: the default's value, but chosen
    again.reveal(27)
    assert not exercises.predict("77.size", "How large?", **choices).is_default
    assert exercises.progress().guesses == 1


@pytest.mark.parametrize(
    ("guess", "measured", "expected"),
    [(30, 70, (0.3, 0.7)), (50, 200, (0.25, 1.0)), (0, -100, (0.5, 0.0))],
)
def test_a_measurement_outside_the_slider_stretches_the_axis(guess, measured, expected):
    row = {"low": 0, "high": 100, "guess": guess, "measured": measured}
    assert number_line.positions(row) == pytest.approx(expected)


def test_a_measurement_that_is_no_number_is_not_drawn(capsys):
    guess_and_reveal("77.a", 50, float("nan"), low=0, high=100)
    assert shown_guesses()[1] == guess_figure.NONE_MADE


def test_an_outcome_in_words_is_told_not_drawn(capsys):
    guess_and_reveal("77.a", 50, "never", low=0, high=100, unit="rows")
    assert "default guess 50 rows, measured never" in shown_guesses()[1]


def test_a_guess_is_drawn_beside_what_came_out():
    guess = exercises.predict("77.size", "How large?", default=50, low=0, high=100, unit="%")
    guess.control.value = 30
    drawing = shown(guess.reveal, 150.0)[0].partition("<svg")[2]
    span = number_line.WIDTH - 2 * number_line.MARGIN
    assert f'cx="{number_line.MARGIN + 0.2 * span:.1f}"' in drawing, "the line ends at the outcome, 150"
    assert f'd="M{number_line.MARGIN + span:.1f} ' in drawing and ">150</text>" in drawing


def test_progress_as_text_has_a_line_per_chapter(capsys):
    exercises.check("00.1", 32 * 32 * 27 * 16)
    guess_and_reveal("00.macs", 50, 442, own=60, low=0, high=1000)
    guess_and_reveal("04.size", 50, 27, low=0, high=100)
    assert main(["progress"]) == 0
    lines = capsys.readouterr().out.splitlines()[-1 - len(display.chapters()) :]
    assert lines[0].split() == ["00", "Start", "here", "1", "solved", "0", "open", "1", "guesses"]
    quantize = next(line for line in lines if line.startswith("04"))
    assert "0 solved" in quantize and "0 guesses" in quantize
    assert lines[-1].startswith("1 of ") and lines[-1].endswith(", 1 guess checked")
