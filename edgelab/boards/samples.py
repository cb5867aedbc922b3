"""Do timings look like what a clock gave? What does not is never recorded as measured.

No operating system runs the same thing twice in the same number of nanoseconds, and no part of a measurement
takes longer than the whole. A careful forgery passes: found are mistakes, copies and figures made up by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgelab.texts import tr

LEAST_OPENINGS, LEAST_RUNS, MOST_RUNS = 3, 5, 100_000
FEW_TICKS = 20  # a run of fewer ticks of the clock is not timed by it
REGULAR = 1e-4  # all runs within so much of their median
ROUNDED_NS = 1000  # a multiple in all runs that no clock of today has
LEAST_SHARE = 0.5  # of the time in which runs were timed, that they must make up
LARGEST_NS = 10**15


def doubts(timing: Any, clock_resolution_ns: float) -> list[str]:
    """Why these are no measurements, a sentence each; empty when nothing speaks against them.

    Args:
        timing: as the runner writes it: "openings", each with "opening_ns", "warm_up_ns", "samples_ns" and
            "window_ns", and "elapsed_ns" of it all.
        clock_resolution_ns: of the clock that was read, as its system tells.
    """
    try:
        openings, elapsed = timing["openings"], timing["elapsed_ns"]
        parts = [
            (one["opening_ns"], one["warm_up_ns"], one["samples_ns"], one["window_ns"]) for one in openings
        ]
    except (KeyError, TypeError):
        return [tr("samples are missing")]
    if len(parts) < LEAST_OPENINGS or any(not isinstance(runs, list) for _, *two, _ in parts for runs in two):
        return [tr("samples are missing: {least} openings of the model are needed", least=LEAST_OPENINGS)]
    if any(not warm or not LEAST_RUNS <= len(samples) <= MOST_RUNS for _, warm, samples, _ in parts):
        return [tr("samples are missing: {least} runs of each opening are needed", least=LEAST_RUNS)]
    whole = [elapsed, *(number for one, _, _, window in parts for number in (one, window))]
    runs = [number for _, warm, samples, _ in parts for number in (*warm, *samples)]
    if any(type(number) is not int or not 0 < number < LARGEST_NS for number in (*whole, *runs)):
        return [tr("a time is no whole number of nanoseconds above zero")]
    found = []
    if any(sum(samples) > window for _, _, samples, window in parts):
        found.append(tr("the runs of an opening took longer than the time in which they were made"))
    elif np.median([sum(samples) / window for _, _, samples, window in parts]) < LEAST_SHARE:
        # A busy board may have taken the processor away during one opening, not during most of them.
        found.append(tr("the runs of most openings fill less than half of the time in which they were made"))
    if sum(opening + sum(warm) + window for opening, warm, _, window in parts) > elapsed:
        found.append(tr("all openings together took longer than the whole measurement"))
    return found + _regular([np.array(samples) for _, _, samples, _ in parts], clock_resolution_ns)


def _regular(openings: list[np.ndarray], resolution_ns: float) -> list[str]:
    """Signs that a person or a program wrote the numbers."""
    every = np.concatenate(openings)
    median, span, tick = float(np.median(every)), int(np.ptp(every)), int(np.gcd.reduce(every))
    if median < FEW_TICKS * resolution_ns:
        return [tr("a run takes fewer than {count} ticks of that board's clock", count=FEW_TICKS)]
    if span <= max(REGULAR * median, resolution_ns):
        return [tr("the runs are too regular: all take the same time")]
    found = []
    if len({samples.tobytes() for samples in openings}) < len(openings):
        found.append(tr("two openings have the same times, run by run"))
    if tick > max(ROUNDED_NS, 2 * resolution_ns):
        found.append(
            tr("all times are multiples of {tick} ns, which that board's clock does not count in", tick=tick)
        )
    if any(_repeats(samples, span, tick) for samples in openings):
        found.append(tr("the runs are too regular: they repeat a pattern"))
    return found


def _repeats(samples: np.ndarray, span: int, tick: int) -> bool:
    """Whether the times go up or down evenly, repeat a block, or are a few values again and again."""
    if len(samples) < LEAST_RUNS + 3:
        return len(set(np.diff(samples).tolist())) == 1
    steps = np.diff(samples)
    if (steps == steps[0]).all():
        return True
    if any(np.array_equal(samples[shift:], samples[:-shift]) for shift in range(1, len(samples) // 2 + 1)):
        return True
    few = 10 * len(set(samples.tolist())) < len(samples)
    return few and span > 1000 * tick
