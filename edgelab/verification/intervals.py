"""Intervals of accuracies and of their differences, and how many images a verdict needs."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

THRESHOLD_POINTS = 3.0
MARGIN_POINTS = 1.0  # two models whose accuracies surely differ by less are called equal
CONFIDENCE = 0.95
POWER = 0.8
MOST_IMAGES = 10**12  # what needs more is decided by no test set
FEW_DISAGREEMENTS = 150  # up to here single images make the chance of a verdict jump


def paired_interval(
    lost: int | np.ndarray, gained: int | np.ndarray, count: int, confidence: float = CONFIDENCE
) -> tuple[float, float] | tuple[np.ndarray, np.ndarray]:
    """Confidence interval of the accuracy lost, both models having seen the same images.

    Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data", J. Educational and Behavioral Statistics 37(4): Wald's interval of a paired difference,
    with one imaginary image added to each kind of disagreement, so that none in few images is not taken for
    certainty.

    Args:
        lost: images that only the reference gets right; an array of such counts gives arrays of bounds.
        gained: images that only the candidate gets right.
        count: all images.
        confidence: 0 to 1.

    Returns:
        Lower and upper bound of the loss in percentage points, -100 to 100.
    """
    centre, error = adjusted(lost, gained, count)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    low, high = 100 * np.maximum(-1.0, centre - reach), 100 * np.minimum(1.0, centre + reach)
    return (low, high) if np.ndim(low) else (float(low), float(high))


def adjusted(lost: int | np.ndarray, gained: int | np.ndarray, count: int) -> tuple[float, float]:
    """Bonett and Price's estimate of the loss and its standard error, as fractions."""
    only_reference, only_candidate = (lost + 1) / (count + 2), (gained + 1) / (count + 2)
    centre = only_reference - only_candidate
    return centre, np.sqrt((only_reference + only_candidate - centre**2) / (count + 2))


def chance_of_verdict(
    disagreement: float, loss_points: float, count: int, threshold_points: float = THRESHOLD_POINTS
) -> float:
    """How likely a test set of so many images gives a verdict: an interval clear of the threshold, 0 to 1.

    Summed over all likely counts of lost and gained images, whose distribution is trinomial.

    Args:
        disagreement: the fraction of images on which exactly one model is right, 0 to 1.
        loss_points: the true loss.
        count: images in the test set.
        threshold_points: the loss allowed.
    """
    shares = [max(0.0, disagreement + sign * loss_points / 100) / 2 for sign in (1, -1)]
    lost, gained = (
        np.arange(
            max(0, int(mean - 7 * math.sqrt(mean) - 7)), min(count, int(mean + 7 * math.sqrt(mean) + 8)) + 1
        )
        for mean in (count * share for share in shares)
    )
    lost, gained = lost[:, np.newaxis], gained[np.newaxis, :]
    low, high = paired_interval(lost, gained, count)
    decided = ((high < threshold_points) | (low > threshold_points)) & (lost + gained <= count)
    rest = np.maximum(count - lost - gained, 0)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    logarithm = log_factorial[count] - log_factorial[lost] - log_factorial[gained] - log_factorial[rest]
    for number, share in ((lost, shares[0]), (gained, shares[1]), (rest, 1 - sum(shares))):
        logarithm = logarithm + number * math.log(max(share, 1e-300))
    return float(np.sum(np.exp(logarithm)[decided]))


def images_needed(
    disagreement: float,
    loss_points: float,
    threshold_points: float = THRESHOLD_POINTS,
    power: float = POWER,
) -> float:
    """Images that a fresh test set needs to give a verdict with the wanted probability.

    The interval must clear the threshold not for the expected counts alone, which happens in half of all
    test sets, but also for counts less lucky by as many standard deviations as the power asks for. Where few
    images disagree, every single one moves the chance; it is then summed up, and the number nearest taken.

    Args:
        disagreement: q, the fraction of images on which exactly one model is right, 0 to 1.
        loss_points: d, the loss expected.
        threshold_points: the loss allowed.
        power: the wanted probability that the verdict is "pass" or "fail", above 0 and below 1.

    Returns:
        A whole number, or infinity when the loss is at the threshold.
    """
    if loss_points == threshold_points:
        return math.inf
    enough, too_few = 2, 1
    while not _clears(disagreement, loss_points, enough, threshold_points, power):
        enough, too_few = 2 * enough, enough
        if enough > MOST_IMAGES:
            return math.inf
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if _clears(disagreement, loss_points, middle, threshold_points, power):
            enough = middle
        else:
            too_few = middle
    if enough * disagreement > FEW_DISAGREEMENTS:
        return enough
    nearby = np.unique(np.linspace(0.7 * enough, 1.5 * enough, 200).astype(int))
    chances = [chance_of_verdict(disagreement, loss_points, int(n), threshold_points) for n in nearby]
    return int(nearby[np.argmin(np.abs(np.array(chances) - power))])


def _clears(
    disagreement: float, loss_points: float, count: int, threshold_points: float, power: float
) -> bool:
    """Whether the interval, moved towards the threshold by the quantile of `power`, is still clear of it."""
    loss = loss_points / 100
    shares = [max(0.0, disagreement + sign * loss) / 2 for sign in (1, -1)]
    low, high = paired_interval(count * shares[0], count * shares[1], count)
    deviation = math.sqrt(max(0.0, disagreement - loss**2) * count) / (count + 2)
    unlucky = 100 * NormalDist().inv_cdf(power) * deviation
    return high + unlucky < threshold_points or low - unlucky > threshold_points


def proportion_interval(right: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Confidence interval of one accuracy, 0 to 1 (Wilson 1927, the score interval).

    Args:
        right: images classified correctly.
        count: all images.
        confidence: 0 to 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - reach, centre + reach
