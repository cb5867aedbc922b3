"""Intervals against worked and published examples."""

import math

import numpy as np
import pytest

from edgelab import verification
from edgelab.verification import images_needed, paired_interval


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


def test_images_needed_is_where_the_interval_clears_the_threshold():
    count = images_needed(0.06, 1.0, 3.0)
    # By hand: 1.959964^2 * (0.06 - 0.01^2) / 0.02^2 = 575.26...
    assert count == 576
    lost, gained = 0.035, 0.025
    assert paired_interval(round(lost * 5000), round(gained * 5000), 5000)[1] < 3
    assert paired_interval(round(lost * 300), round(gained * 300), 300)[1] > 3
    assert images_needed(0.06, 3.0, 3.0) == math.inf


def test_proportion_interval_against_a_published_value():
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I."""
    assert verification.proportion_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert verification.proportion_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert verification.proportion_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
