"""Intervals against worked and published examples."""

import math

import numpy as np
import pytest

from edgelab import verification
from edgelab.verification import chance_of_verdict, images_needed, paired_interval


def test_paired_interval_against_a_worked_example():
    """Bentur et al. 2009 (airway responsiveness before and after a transplantation): 1 and 7 of 21 disagree.

    By hand: p12 = 2/23, p21 = 8/23, difference -6/23 = -0.26087, standard error
    sqrt((10/23 - 0.26087^2) / 23) = 0.126274, times 1.959964 = 0.247493.
    """
    low, high = paired_interval(1, 7, 21)
    assert (low, high) == (pytest.approx(-50.836, abs=1e-3), pytest.approx(-1.338, abs=1e-3))
    assert paired_interval(7, 1, 21) == (pytest.approx(-high), pytest.approx(-low))


def test_paired_interval_covers_the_truth():
    """Of intervals from simulated tests, about 95 % contain the true loss, here 4 % - 2 % = 2 points."""
    rng = np.random.default_rng(0)
    lost, gained, _ = rng.multinomial(500, [0.04, 0.02, 0.94], size=4000).T
    intervals = np.array([paired_interval(int(b), int(c), 500) for b, c in zip(lost, gained, strict=True)])
    covered = np.mean((intervals[:, 0] <= 2) & (intervals[:, 1] >= 2))
    # Four standard errors of a proportion of 0.95 in 4000 trials are 0.014.
    assert 0.936 < covered < 0.97


def test_agreement_of_few_images_is_no_certainty():
    low, high = paired_interval(0, 0, 20)
    assert low < -3 and high > 3, "a plain Wald interval would have no width"
    assert paired_interval(0, 0, 5000)[1] < 0.1
    assert paired_interval(1, 0, 1)[1] == 100


# Disagreement, true loss, loss allowed: many and few disagreements, both sides of the threshold, a gain.
SITUATIONS = [
    (0.06, 2, 3),
    (0.06, 0, 3),
    (0.06, 4, 3),
    (0.02, 0, 3),
    (0.05, -2, 3),
    (0.3, 2, 3),
    (0.03, 3, 2),
]


def simulated_chance(disagreement, loss_points, threshold_points, count):
    """How often 100,000 test sets drawn at random give a verdict."""
    lost, gained = ((disagreement + sign * loss_points / 100) / 2 for sign in (1, -1))
    rng = np.random.default_rng(0)
    lost, gained, _ = rng.multinomial(count, [lost, gained, 1 - disagreement], size=100_000).T
    low, high = paired_interval(lost, gained, count)
    return np.mean((high < threshold_points) | (low > threshold_points))


@pytest.mark.parametrize(("disagreement", "loss", "threshold"), SITUATIONS)
def test_images_needed_decide_with_the_wanted_probability(disagreement, loss, threshold):
    count = images_needed(disagreement, loss, threshold)
    assert 0.78 <= simulated_chance(disagreement, loss, threshold, count) <= 0.82
    count = images_needed(disagreement, loss, threshold, power=0.9)
    assert 0.88 <= simulated_chance(disagreement, loss, threshold, count) <= 0.92


def test_images_needed_against_the_formula_of_textbooks():
    """By hand: (1.959964 + 0.841621)^2 * (0.06 - 0.02^2) / 0.01^2 = 4677.9; imaginary images add a few."""
    assert images_needed(0.06, 2.0, 3.0) == pytest.approx(4678, rel=0.01)
    assert images_needed(0.06, 3.0, 3.0) == math.inf
    assert images_needed(0.06, 3.0 - 1e-9, 3.0) == math.inf


@pytest.mark.parametrize(("disagreement", "loss", "threshold"), SITUATIONS)
def test_chance_of_verdict_is_that_of_simulated_test_sets(disagreement, loss, threshold):
    for count in (100, 700):
        simulated = simulated_chance(disagreement, loss, threshold, count)
        # Four standard errors of a proportion near one half in 100,000 draws are 0.006.
        assert chance_of_verdict(disagreement, loss, count, threshold) == pytest.approx(simulated, abs=0.007)


def test_paired_interval_takes_arrays():
    low, high = paired_interval(np.array([1, 7]), np.array([7, 1]), 21)
    assert [(low[0], high[0]), (low[1], high[1])] == [paired_interval(1, 7, 21), paired_interval(7, 1, 21)]


def test_proportion_interval_against_a_published_value():
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I."""
    assert verification.proportion_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert verification.proportion_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert verification.proportion_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


@pytest.mark.parametrize(("count", "chance"), [(4, 0.656), (5, 0.919), (8, 0.995)])
def test_the_chance_of_a_verdict_counts_also_the_last_image(count, chance):
    """Nine of ten images lost: added up by hand over all counts."""
    assert verification.chance_of_verdict(0.9, 90, count) == pytest.approx(chance, abs=1e-3)
