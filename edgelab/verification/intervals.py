"""Intervals of accuracies and of their differences, and how many images a difference needs."""

from __future__ import annotations

import math
from statistics import NormalDist

THRESHOLD_POINTS = 3.0
CONFIDENCE = 0.95


def paired_interval(
    lost: int, gained: int, count: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Confidence interval of the accuracy lost, both models having seen the same images.

    Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data", J. Educational and Behavioral Statistics 37(4): McNemar's standard error, with one
    imaginary image added to each kind of disagreement, so that none in few images is not taken for certainty.

    Args:
        lost: images that only the reference gets right.
        gained: images that only the candidate gets right.
        count: all images.
        confidence: 0 to 1.

    Returns:
        Lower and upper bound of the loss in percentage points, -100 to 100.
    """
    centre, error = adjusted(lost, gained, count)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return 100 * max(-1.0, centre - reach), 100 * min(1.0, centre + reach)


def adjusted(lost: int, gained: int, count: int) -> tuple[float, float]:
    """Bonett and Price's estimate of the loss and its standard error, as fractions."""
    only_reference, only_candidate = (lost + 1) / (count + 2), (gained + 1) / (count + 2)
    centre = only_reference - only_candidate
    return centre, math.sqrt((only_reference + only_candidate - centre**2) / (count + 2))


def images_needed(
    disagreement: float, loss_points: float, threshold_points: float = THRESHOLD_POINTS
) -> float:
    """Test images for which the interval of the loss would just clear the threshold.

    Solves z * sqrt((q - d^2) / n) = |threshold - d| for n.

    Args:
        disagreement: q, the fraction of images on which exactly one model is right, 0 to 1.
        loss_points: d, the loss expected.
        threshold_points: the loss allowed.

    Returns:
        A whole number, or infinity when the loss lies on the threshold.
    """
    loss, margin = loss_points / 100, abs(threshold_points - loss_points) / 100
    if margin == 0:
        return math.inf
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return math.ceil(z**2 * max(0.0, disagreement - loss**2) / margin**2)


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
