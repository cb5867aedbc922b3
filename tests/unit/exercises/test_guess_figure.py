"""The closing figure of guesses."""

import numpy as np
from exercise_77 import guess_and_reveal, shown

from edgelab import exercises
from edgelab.exercises import guess_figure, number_line


def shown_guesses(chapter="77"):
    """The chapter's closing figure."""
    return shown(exercises.guesses, chapter)


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
