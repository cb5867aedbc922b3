"""How often a latency that is measured again agrees with itself: the same file, fifty times, three ways.

    python benchmarks/agreement.py [MODEL.tflite] [--times 50]

Two ways to measure are repeated in turns: `benchmark.measure`, one opening of the model with the bootstrap's
interval of its runs, and `benchmark.measure_openings`, ten openings with their spread. A measurement agrees
with the one before it, of the same way, when its latency is inside that one's interval. 95 % is what an
interval promises; the command fails when the openings keep less than 90 %.

Then the file is compared with itself by `benchmark.compare`, two sessions in turns: how far apart they are,
and how often a difference is shown, which is never right.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from statistics import median

from edgelab import benchmark, pipeline
from edgelab.targets.cpu.target import CpuTarget

LIMIT = 0.90


def agreement(measured: list[benchmark.Measurement]) -> float:
    """Share of measurements whose latency is inside the interval of the one before."""
    inside = [
        before.interval_ms[0] <= after.median_ms <= before.interval_ms[1]
        for before, after in pairwise(measured)
    ]
    return sum(inside) / len(inside)


def on_a_quiet_machine(measured: list[benchmark.Measurement]) -> str:
    """How many neighbouring measurements had no other program beside them, and the agreement of those."""
    pairs = [pair for pair in pairwise(measured) if not any(one.machine.noisy for one in pair)]
    share = f"{sum(agreement(list(pair)) for pair in pairs) / len(pairs):.0%}" if pairs else "none"
    return f"of the {len(pairs)} on a quiet machine {share}"


def with_itself(target: CpuTarget, path: Path, seed: int) -> benchmark.SpeedUp:
    """The speed-up of a file over itself, by two sessions in turns."""
    with target.open(path) as one, target.open(path) as other:
        ranking = benchmark.compare({"one": one, "other": other}, max_seconds=0.7, seed=seed)
    return ranking.speed_ups["other"]


def main() -> int:
    """Measure, print both shares, and say by the exit code whether openings keep their promise."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("model", nargs="?", type=Path)
    options.add_argument("--times", type=int, default=50)
    given = options.parse_args()
    path = given.model or pipeline.open("fast", "", 0).converted("int8").path
    target = CpuTarget(threads=1)
    once, openings = [], []
    for _ in range(given.times + 1):
        with target.open(path) as session:
            once.append(benchmark.measure(session, max_seconds=1.0))
        openings.append(benchmark.measure_openings(lambda: target.open(path), max_seconds=1.0))
    for name, measured in (("one opening", once), ("ten openings", openings)):
        widths = [(one.interval_ms[1] - one.interval_ms[0]) / one.median_ms for one in measured]
        medians = [one.median_ms for one in measured]
        print(
            f"{name:13} {agreement(measured):4.0%} of {given.times} repetitions are in the interval before; "
            f"{min(medians):.3f} to {max(medians):.3f} ms, intervals {median(widths):.0%} wide (median); "
            f"{on_a_quiet_machine(measured)}"
        )
    twins = [with_itself(target, path, seed) for seed in range(given.times)]
    apart = [max(found.ratio, 1 / found.ratio) - 1 for found in twins]
    shown = sum(found.shows_difference for found in twins)
    print(
        f"in turns       two sessions are {median(apart):.1%} apart (median), at most {max(apart):.1%}; "
        f"a difference is shown in {shown} of {given.times}"
    )
    is_kept = agreement(openings) >= LIMIT and shown <= (1 - LIMIT) * given.times
    return 0 if is_kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
