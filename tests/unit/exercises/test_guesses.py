"""Guesses before measuring."""

import json

import pytest

from edgelab import exercises
from edgelab.errors import InputError
from edgelab.exercises.guesses import with_unit


def test_a_guess_runs_headless_with_its_default(capsys):
    guess = exercises.predict("77.size", "How large?", default=50, low=0, high=100, unit="%")
    assert guess.value == 50 and guess.is_default
    guess.reveal(27.125)
    shown = capsys.readouterr().out
    assert "Measured: 27.1 %. The default guess was 50 %." in shown


def test_a_guess_made_is_recorded_and_comes_back(own_progress, capsys):
    guess = exercises.predict("77.size", "How large?", default=50, low=0, high=100, unit="%")
    guess.control.value = 30
    guess.reveal(27.0)
    assert "Measured: 27 %. You guessed 30 %." in capsys.readouterr().out
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
    assert "Measured: GPU. The default guess was CPU." in capsys.readouterr().out
    guess.control.value = "GPU"
    guess.reveal("GPU", "published")
    assert "Published: GPU. You guessed right." in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [{"default": 5}, {"default": 5, "low": 6, "high": 9}, {"default": "a", "options": ["b"]}],
)
def test_a_guess_without_a_sound_range_is_refused(wrong):
    with pytest.raises(InputError):
        exercises.predict("77.x", "?", **wrong)


def test_a_guess_is_compared_with_a_known_provenance_only():
    guess = exercises.predict("77.a", "How much?", default=50, low=0, high=100)
    with pytest.raises(InputError, match="guessed"):
        guess.reveal(27, "guessed")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1, "pixels", "1 pixel"), (1.0, "times", "1 times"), (12345.6, "images", "12,346 images"),
     (0.027449, "ms", "0.0274 ms"), (float("inf"), "dB", "inf dB"), (3, "", "3"), ("CPU", "", "CPU")],
)  # fmt: skip
def test_a_number_reads_as_a_person_says_it(value, unit, text):
    assert with_unit(value, unit) == text
