"""How far outputs are from their reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgelab.errors import InputError
from edgelab.texts import tr


@dataclass(frozen=True)
class OutputError:
    """How far apart two arrays of outputs are.

    Attributes:
        max_abs: the largest difference of two values.
        mean_abs: the mean difference.
        cosine: of the angle between the arrays as vectors; 1 is the same direction. NaN if one is all zero.
        snr_db: signal-to-noise ratio, 10 log10(sum of squares / sum of squared differences); 6 dB more is
            half the error. Infinite when they are equal.
    """

    max_abs: float
    mean_abs: float
    cosine: float
    snr_db: float

    def __str__(self) -> str:
        return (
            f"SNR {self.snr_db:.1f} dB, cosine {self.cosine:.5f}, "
            f"difference at most {self.max_abs:.4f}, on average {self.mean_abs:.5f}"
        )


def output_error(reference: np.ndarray, candidate: np.ndarray) -> OutputError:
    """Compare outputs with a reference.

    Args:
        reference: real numbers, any shape.
        candidate: the same shape.

    Raises:
        InputError: another shape, or nothing to compare.
    """
    reference, candidate = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    if reference.shape != candidate.shape or not reference.size:
        raise InputError(
            tr(
                "Outputs of shapes {reference} and {candidate} cannot be compared.",
                reference=list(reference.shape),
                candidate=list(candidate.shape),
            ),
            fix=tr("run both models on the same images, at least one"),
        )
    difference = np.abs(reference - candidate)
    signal, noise = float(np.sum(reference**2)), float(np.sum(difference**2))
    norms = math.sqrt(signal * float(np.sum(candidate**2)))
    return OutputError(
        max_abs=float(difference.max()),
        mean_abs=float(difference.mean()),
        cosine=float(np.sum(reference * candidate)) / norms if norms else math.nan,
        snr_db=snr_db(signal, noise),
    )


def snr_db(signal: float, noise: float) -> float:
    """Signal-to-noise ratio in decibels, from sums of squares."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
