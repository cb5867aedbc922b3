"""Medians with intervals, what a repetition would give, and when two are a tie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NARROW = 0.02  # wanted width of the interval, relative to the median
MIN_SAMPLES_IN_TIME = 5  # taken even if the time is over
SAME = 0.01  # two speeds within 1 % are the same: where a model is in memory makes as much
# Two openings of one file, timed in turns, differ by less in 95 of 100 (`benchmarks/agreement.py`).
BETWEEN_OPENINGS = 0.035
MARGIN = 0.05  # two speeds that surely differ by less are a tie
# Two-sided 95 % quantiles of Student's t for 1, 2, 3, … degrees of freedom; beyond the last, the
# normal's and a small correction.
T_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip


def bootstrap_interval(
    samples: np.ndarray,
    statistic: Callable[..., np.ndarray] = np.median,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic by the moving-block bootstrap.

    Timings in a row resemble each other (a clock that slowed down stays slow for a while), so blocks of
    neighbours are drawn rather than single values; those would give too narrow an interval.
    Künsch 1989; block length n^(1/3), Hall, Horowitz and Jing 1995.

    Args:
        samples: shape [N, …] in the order they were taken, N at least 1.
        statistic: called with an array and `axis=1`.
        resamples: how often to draw.
        level: of confidence, 0 to 1.
        seed: of the draws.

    Returns:
        Lower and upper end, in the samples' unit.
    """
    samples = np.asarray(samples, np.float64)
    block = max(1, round(len(samples) ** (1 / 3)))
    blocks = -(-len(samples) // block)
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, len(samples) - block + 1, (resamples, blocks))
    indices = (starts[:, :, None] + np.arange(block)).reshape(resamples, -1)[:, : len(samples)]
    tail = (1 - level) / 2
    low, high = np.quantile(statistic(samples[indices], axis=1), [tail, 1 - tail])
    return float(low), float(high)


def is_narrow(samples: np.ndarray) -> bool:
    """Whether the median is known well enough to stop: its interval is at most `NARROW` of it wide."""
    low, high = bootstrap_interval(samples, resamples=200)
    return high - low <= NARROW * float(np.median(samples))


@dataclass(frozen=True)
class SpeedUp:
    """How many times as fast as the baseline, with its 95 % interval.

    Attributes:
        ratio: old time by new time: the median over rounds, or the geometric mean over openings.
        low, high: 95 % interval of the ratio.
    """

    ratio: float
    low: float
    high: float

    @property
    def shows_difference(self) -> bool:
        """Whether one is faster for certain, and by more than 1 %."""
        return self.low > 1 + SAME or self.high < 1 / (1 + SAME)

    @property
    def is_tie(self) -> bool:
        """Whether the two are equally fast for practical purposes: the whole interval is within 5 % of 1."""
        return self.low > 1 / (1 + MARGIN) and self.high < 1 + MARGIN and not self.shows_difference

    @property
    def difference(self) -> str:
        """ "faster", "slower", "tie", or that the runs show no difference, which is no tie."""
        if self.shows_difference:
            return "faster" if self.low > 1 else "slower"
        return "tie" if self.is_tie else "no difference shown"

    def __str__(self) -> str:
        text = f"{self.ratio:.2f}x [{self.low:.2f}, {self.high:.2f}]"
        return text if self.shows_difference else f"{text} ({self.difference})"


def ratio_interval(slow: np.ndarray, fast: np.ndarray, seed: int) -> SpeedUp:
    """Speed-up of `fast` over `slow` from their medians in the same rounds, [rounds] each.

    Whole rounds are drawn, so that a slow minute, which both shared, cancels.
    """
    logarithm = np.log(slow) - np.log(fast)
    low, high = bootstrap_interval(logarithm, seed=seed)
    return SpeedUp(float(np.exp(np.median(logarithm))), float(np.exp(low)), float(np.exp(high)))


def of_one_opening(found: SpeedUp) -> SpeedUp:
    """The speed-up of two sessions, with what another opening of either may change in its interval.

    Rounds in turns tell these two sessions apart, ever better; a claim about their files needs more.
    """
    reach = 1 + BETWEEN_OPENINGS
    return SpeedUp(found.ratio, found.low / reach, found.high * reach)


def t_quantile(count: int) -> float:
    """How many standard errors, estimated from `count` values, hold 95 %; at least two values.

    Raises:
        ValueError: of fewer, nothing is known of the spread.
    """
    if count < 2:
        raise ValueError(f"the spread of {count} value(s) is not known")
    return T_QUANTILES[count - 2] if count - 2 < len(T_QUANTILES) else 1.96 + 2.4 / (count - 1)


def repetition_interval(medians: np.ndarray) -> tuple[float, float, float]:
    """The mean of several openings' medians, and where a repetition will find it, 95 times in 100.

    Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time": what is repeated at the highest
    level, here the opening, carries the variation of all levels below. On logarithms, since delays multiply.
    The distance of two such means has twice the variance of one, hence the 2.

    Args:
        medians: one per opening, [N], N at least 2.

    Returns:
        The geometric mean, and the lower and upper end, in the medians' unit.
    """
    logarithms = np.log(medians)
    centre = float(np.mean(logarithms))
    reach = t_quantile(len(medians)) * float(np.std(logarithms, ddof=1)) * np.sqrt(2 / len(medians))
    return float(np.exp(centre)), float(np.exp(centre - reach)), float(np.exp(centre + reach))


def never_too_narrow(value: float, low: float, high: float) -> tuple[float, float]:
    """An interval of a repetition that promises nothing below `SAME`, 1 % to each side.

    Openings in a row share their process and their minute; a repetition has others. On an idle machine ten
    openings can agree to 0.1 %, and the next ten lie 0.3 % beside them.

    Args:
        value, low, high: as `repetition_interval` gives them, all positive.

    Returns:
        The lower and upper end.
    """
    return min(low, value / (1 + SAME)), max(high, value * (1 + SAME))


def opening_ratio(slow: np.ndarray, fast: np.ndarray) -> SpeedUp:
    """Speed-up of `fast` over `slow` from their medians in the same rounds of openings, [rounds] each."""
    logarithms = np.log(slow) - np.log(fast)
    centre, count = float(np.mean(logarithms)), len(logarithms)
    reach = t_quantile(count) * float(np.std(logarithms, ddof=1)) / np.sqrt(count)
    return SpeedUp(float(np.exp(centre)), float(np.exp(centre - reach)), float(np.exp(centre + reach)))


def interval_of_turns(turns: list[list[float]], seed: int) -> tuple[float, float]:
    """95 % interval of the median of all runs; whole turns are drawn, since the runs of one are alike."""

    def median_of_all(drawn: np.ndarray, axis: int) -> np.ndarray:
        return np.median(drawn.reshape(len(drawn), -1), axis=axis)

    return bootstrap_interval(np.array(turns), median_of_all, resamples=400, seed=seed)


def relative_medians(medians: dict[str, np.ndarray]) -> np.ndarray:
    """How slow each round was compared with the usual, [rounds]: the machine's own ups and downs."""
    return np.mean([values / np.median(values) for values in medians.values()], axis=0)
