"""Guesses before measuring."""

import json

import pytest

from edgelab import exercises
from edgelab.errors import InputError


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


def test_a_guess_is_compared_with_a_known_provenance_only():
    guess = exercises.predict("77.a", "How much?", default=50, low=0, high=100)
    with pytest.raises(InputError, match="guessed"):
        guess.reveal(27, "guessed")
