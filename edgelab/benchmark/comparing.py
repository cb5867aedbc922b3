"""Several sessions timed in turns, and which is faster."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from edgelab.benchmark.measuring import (
    CHUNK_MS,
    MAX_SAMPLES,
    WARM_UP_WINDOW,
    Measurement,
    check_limits,
    check_session,
    no_garbage_collection,
    sample_inputs,
    summarize,
    time_runs,
    warm_up,
)
from edgelab.benchmark.statistics import (
    MIN_SAMPLES_IN_TIME,
    SAME,
    SpeedUp,
    interval_of_turns,
    is_narrow,
    of_one_opening,
    ratio_interval,
    relative_medians,
)
from edgelab.errors import InputError
from edgelab.machine.energy import energy_meter
from edgelab.machine.state import MachineState, Watch
from edgelab.runtime import Session
from edgelab.texts import tr

MIN_ROUNDS = 15


@dataclass(frozen=True, repr=False)
class Ranking:
    """Candidates measured in turns, fastest first.

    Attributes:
        names: by rank, within a rank by median.
        measurements: by name.
        baseline: the name that speed-ups refer to.
        speed_ups: by name, against the baseline.
        ranks: by name: 1 + the number of candidates that are certainly faster; others share a rank.
        ties: by name, the candidates it cannot be told apart from.
        rounds: how often every candidate had its turn, or was opened.
    """

    names: tuple[str, ...]
    measurements: dict[str, Measurement]
    baseline: str
    speed_ups: dict[str, SpeedUp]
    ranks: dict[str, int]
    ties: dict[str, tuple[str, ...]]
    rounds: int

    @property
    def machine(self) -> MachineState:
        """The state of the machine during the whole comparison."""
        return self.measurements[self.names[0]].machine

    def frame(self) -> pd.DataFrame:
        """One row per candidate, fastest first."""
        rows = []
        for name in self.names:
            measurement = self.measurements[name]
            low, high = measurement.interval_ms
            rows.append(
                {
                    "rank": self.ranks[name],
                    "candidate": name,
                    "median ms": measurement.median_ms,
                    "95 % interval": f"[{low:.3f}, {high:.3f}]",
                    "p95 ms": measurement.p95_ms,
                    "images/s": measurement.throughput_per_s,
                    f"speed-up over {self.baseline}": "1" if name == self.baseline else self.speed_ups[name],
                    "no difference shown to": ", ".join(self.ties[name]) or "–",
                }
            )
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        return f"{self.frame().to_string(index=False)}\n{self.rounds} rounds. {self.machine}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.frame().to_html(index=False, border=0, float_format=lambda value: f"{value:.4g}")
        return f"{table}<p>{self.rounds} rounds in random order.</p>{self.machine._repr_html_()}"


def check_baseline(names: list[str], baseline: str | None) -> str:
    """The name that speed-ups refer to: the first, unless one is given.

    Raises:
        InputError: it is none of the candidates, or there are none.
    """
    baseline = names[0] if baseline is None and names else baseline
    if baseline not in names:
        raise InputError(
            tr("There is no candidate {baseline!r} to compare with.", baseline=baseline),
            why=tr("the candidates are {names}", names=", ".join(names) or tr("none")),
            fix=tr("pass at least one session, and one of their names as baseline"),
        )
    return baseline


def compare(
    sessions: Mapping[str, Session],
    inputs: Mapping[str, tuple[np.ndarray, ...]] | None = None,
    *,
    baseline: str | None = None,
    min_samples: int = 100,
    max_seconds: float = 3.0,
    seed: int = 0,
    progress: bool = False,
) -> Ranking:
    """Time several sessions in turns and rank them, with intervals; and name those that show no difference.

    Each round runs every candidate for about 20 ms, in a new random order. The first run of each turn is not
    counted: it finds the caches filled by another candidate. Each is opened once: the intervals of speed-ups
    hold what another opening may change. `compare_openings` measures that, and finds smaller differences.

    Args:
        sessions: candidates by name, at least one, all open at the same time.
        inputs: arrays by name; missing names get `sample_inputs`.
        baseline: whose speed the others are compared with; None takes the first.
        min_samples: timed runs of each candidate, at least, while time remains.
        max_seconds: per candidate, warm-up not counted.
        seed: of inputs, order and intervals.
        progress: show a progress bar.

    Returns:
        The ranking, with a full `Measurement` of each.

    Raises:
        InputError: no sessions, an unknown baseline, no samples or no time.
        TargetError: a session gives wrong results, or is a simulation.
    """
    check_limits(min_samples, max_seconds)
    for session in sessions.values():
        check_session(session)
    names = list(sessions)
    baseline = check_baseline(names, baseline)
    arrays = {name: (inputs or {}).get(name) or sample_inputs(sessions[name], seed) for name in names}
    meter, energy_note = energy_meter()
    energy_note = energy_note if meter is None else "not measured: the candidates ran in turns"
    warm, chunks = {}, {}
    for name in names:
        warm[name] = warm_up(sessions[name], arrays[name], max_seconds=max_seconds / 3)
        chunks[name] = int(np.clip(CHUNK_MS / np.median(warm[name][-WARM_UP_WINDOW:]), 1, 50))
    rounds = _take_rounds(sessions, arrays, chunks, min_samples, max_seconds, seed, progress)
    watch, timed = rounds.watch, rounds.timed

    medians = {name: np.array([np.median(turn) for turn in timed[name]]) for name in names}
    samples = {name: np.concatenate(timed[name]) for name in names}
    machine = watch.state(relative_medians(medians))
    measurements = {
        name: summarize(
            sessions[name],
            arrays[name],
            samples[name],
            warm[name],
            interval=interval_of_turns(timed[name], seed),
            energy_mj=None,
            energy_note=energy_note,
            machine=machine,
        )
        for name in names
    }
    ratio = {
        (a, b): of_one_opening(ratio_interval(medians[a], medians[b], seed))
        for a in names
        for b in names
        if a != b
    }
    return ranked(measurements, ratio, baseline, rounds=len(timed[baseline]))


def ranked(
    measurements: Mapping[str, Measurement],
    ratio: Mapping[tuple[str, str], SpeedUp],
    baseline: str,
    rounds: int,
) -> Ranking:
    """Candidates by how many others are surely faster, then by their medians.

    Args:
        measurements: of each candidate.
        ratio: time of the first by that of the second, for each ordered pair.
        baseline: whose speed the others are compared with.
        rounds: in which all were timed.
    """
    names = list(measurements)
    ranks = {a: 1 + sum(ratio[a, b].low > 1 + SAME for b in names if b != a) for a in names}
    return Ranking(
        names=tuple(sorted(names, key=lambda name: (ranks[name], measurements[name].median_ms))),
        measurements=measurements,
        baseline=baseline,
        speed_ups={name: ratio[baseline, name] for name in names if name != baseline},
        ranks=ranks,
        ties={a: tuple(b for b in names if b != a and not ratio[a, b].shows_difference) for a in names},
        rounds=rounds,
    )


@dataclass(frozen=True)
class _Rounds:
    timed: dict[str, list[list[float]]]
    watch: Watch


def _take_rounds(sessions, arrays, chunks, min_samples, max_seconds, seed, progress) -> _Rounds:
    """Give every candidate its turn, in random order, until the medians are narrow or the time is over."""
    rng = np.random.default_rng(seed)
    names = list(sessions)
    timed: dict[str, list[list[float]]] = {name: [] for name in names}
    most_rounds = max(-(-MAX_SAMPLES // chunks[name]) for name in names)
    fewest = max(MIN_ROUNDS, *(-(-min_samples // chunks[name]) for name in names))
    budget_s = max_seconds * len(names)
    watch, started = Watch(), time.perf_counter()
    bar = tqdm(total=round(budget_s, 1), unit="s", desc="comparing", leave=False, disable=not progress)
    with no_garbage_collection(), bar:
        for count in range(1, most_rounds + 1):
            for index in rng.permutation(len(names)):
                name = names[index]
                timed[name].append(time_runs(sessions[name], arrays[name], 1 + chunks[name])[1:])
            elapsed_s = time.perf_counter() - started
            bar.update(round(min(elapsed_s, budget_s), 1) - bar.n)
            if elapsed_s > budget_s and count >= MIN_SAMPLES_IN_TIME:
                break
            if count >= fewest and count % 5 == 0:
                medians = [np.array([np.median(turn) for turn in timed[name]]) for name in names]
                if all(is_narrow(values) for values in medians):
                    break
    return _Rounds(timed, watch)
