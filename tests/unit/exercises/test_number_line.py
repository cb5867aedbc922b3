"""Where a guess and a measurement stand on one line."""

import pytest

from edgelab.exercises import number_line


@pytest.mark.parametrize(
    ("guess", "measured", "expected"),
    [(30, 70, (0.3, 0.7)), (50, 200, (0.25, 1.0)), (0, -100, (0.5, 0.0))],
)
def test_a_measurement_outside_the_slider_stretches_the_axis(guess, measured, expected):
    row = {"low": 0, "high": 100, "guess": guess, "measured": measured}
    assert number_line.positions(row) == pytest.approx(expected)
