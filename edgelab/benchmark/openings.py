"""Models opened again and again, in turns: what a latency is worth that somebody else shall find, too.

The runs of one opening are alike: its weights and buffers stay where they are in memory. Another opening has
other places, and another latency. So the spread between openings is part of the result (Kalibera and Jones
2013, "Rigorous benchmarking in reasonable time"), and without it an interval is too narrow to be found again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from tqdm.auto import tqdm

from edgelab.benchmark.comparing import Ranking, check_baseline, ranked
from edgelab.benchmark.measuring import (
    CHUNK_MS,
    WARM_UP_WINDOW,
    Measurement,
    check_limits,
    check_session,
    meter_for,
    no_garbage_collection,
    runs_in,
    sample_inputs,
    summarize,
    time_runs,
    warm_up,
)
from edgelab.benchmark.statistics import opening_ratio, relative_medians
from edgelab.errors import InputError
from edgelab.machine.state import MAX_OTHER_CORES, MachineState, Watch
from edgelab.runtime import Session
from edgelab.texts import tr

OPENINGS = 10
MOST_SECONDS = 3.0  # of timed runs, per candidate
MOST_RUNS = 200  # of one opening
MOST_TRIES = 2  # rounds tried for each that counts, while other programs disturb


class _Candidate:
    """What the openings of one candidate have given so far."""

    def __init__(self, open_session: Callable[[], Session], seed: int) -> None:
        self.open_session, self.seed = open_session, seed
        self.openings_ms: list[np.ndarray] = []
        self.warm_up_ms: list[np.ndarray] = []
        self.energies_mj: list[float] = []  # of a run, in each opening
        self.energy_note, self.meter_is_there = "", True
        self.last: tuple[Session, tuple[np.ndarray, ...]]
        self.range_ms: tuple[float, float]

    def open_and_time(self, seconds: float) -> None:
        """One opening: warm up, then time runs for so long; at least five."""
        with self.open_session() as session:
            check_session(session)
            inputs = sample_inputs(session, self.seed)
            self.warm_up_ms.append(warm_up(session, inputs, max_seconds=seconds))
            meter, self.energy_note = meter_for(session)
            samples, deadline = [], time.perf_counter() + seconds
            chunk = int(np.clip(CHUNK_MS / np.median(self.warm_up_ms[-1][-WARM_UP_WINDOW:]), 1, 20))
            with no_garbage_collection():
                while len(samples) < 5 or (time.perf_counter() < deadline and len(samples) < MOST_RUNS):
                    samples += time_runs(session, inputs, chunk)
                    if meter:
                        meter.sample()
            self.meter_is_there = meter is not None
            self.energies_mj.append(meter.energy_mj() / runs_in(session, len(samples)) if meter else 0.0)
            self.openings_ms.append(np.array(samples))
            self.last = session, inputs

    def keep(self, rounds: np.ndarray) -> None:
        """Forget all rounds but these, and note how far apart all were."""
        self.range_ms = float(self.medians_ms.min()), float(self.medians_ms.max())
        self.openings_ms = [self.openings_ms[index] for index in rounds]
        self.energies_mj = [self.energies_mj[index] for index in rounds]
        self.warm_up_ms = [self.warm_up_ms[index] for index in rounds]

    def _energy_mj(self) -> float:
        """Of a run, the mean of all: an opening weighs as much as the samples that it gave."""
        counts = [len(samples) for samples in self.openings_ms]
        return float(np.average(self.energies_mj, weights=counts))

    @property
    def medians_ms(self) -> np.ndarray:
        return np.array([np.median(samples) for samples in self.openings_ms])

    def measurement(self, machine: MachineState) -> Measurement:
        samples = np.concatenate(self.openings_ms)
        session, inputs = self.last
        return summarize(
            session,
            inputs,
            samples,
            np.concatenate(self.warm_up_ms),
            interval=self.range_ms,
            energy_mj=self._energy_mj() if self.meter_is_there else None,
            energy_note=self.energy_note,
            machine=machine,
            openings_ms=tuple(self.openings_ms),
        )


def compare_openings(
    openers: Mapping[str, Callable[[], Session]],
    *,
    baseline: str | None = None,
    openings: int = OPENINGS,
    max_seconds: float = MOST_SECONDS,
    seed: int = 0,
    progress: bool = False,
) -> Ranking:
    """Open, warm up, time and close each candidate again and again, in turns, and rank them.

    The order is random in each round. A round in which other programs kept more than a quarter of a core
    busy is repeated, as often as there are openings at most; when that does not help, the quietest rounds
    count, and the machine is called noisy.

    Args:
        openers: functions that open a session, by name: `lambda: targets.get("cpu").open(path)`.
        baseline: whose speed the others are compared with; None takes the first.
        openings: of each candidate, at least two.
        max_seconds: of timed runs per candidate, over all openings that count; warm-up may take as
            long again, and rounds that are repeated come on top.
        seed: of inputs and order.
        progress: show a progress bar.

    Returns:
        The ranking; a measurement's interval tells where a repetition will be found.

    Raises:
        InputError: no candidates, an unknown baseline, fewer than two openings or no time.
        TargetError: a session gives wrong results, or is a simulation.
    """
    check_limits(1, max_seconds)
    if openings < 2:
        raise InputError(
            tr("{count} openings were asked for.", count=openings),
            why=tr("the spread between openings takes at least two"),
            fix=tr("leave openings out for {count}", count=OPENINGS),
        )
    names = list(openers)
    baseline = check_baseline(names, baseline)
    candidates = {name: _Candidate(openers[name], seed) for name in names}
    watch = Watch()
    others = _take_rounds(candidates, openings, max_seconds / openings, seed, progress)
    quietest = np.sort(np.argsort(others, kind="stable")[:openings])
    for candidate in candidates.values():
        candidate.keep(quietest)
    medians = {name: candidates[name].medians_ms for name in names}
    machine = watch.state(relative_medians(medians), other_cores=float(np.mean(others[quietest])))
    measurements = {name: candidates[name].measurement(machine) for name in names}
    ratio = {(a, b): opening_ratio(medians[a], medians[b]) for a in names for b in names if a != b}
    return ranked(measurements, ratio, baseline, rounds=openings)


def _take_rounds(
    candidates: dict[str, _Candidate], openings: int, seconds: float, seed: int, progress: bool
) -> np.ndarray:
    """Open every candidate once a round until enough rounds were quiet.

    Returns how many cores other programs kept busy in each round. By that rounds are chosen, never by how
    long the runs took.
    """
    rng, names, others, quiet = np.random.default_rng(seed), list(candidates), [], 0
    with tqdm(total=openings, unit="round", desc="opening", leave=False, disable=not progress) as bar:
        while len(others) < MOST_TRIES * openings and quiet < openings:
            watch = Watch()
            for index in rng.permutation(len(names)):
                candidates[names[index]].open_and_time(seconds)
            others.append(watch.other_cores())
            quiet += others[-1] <= MAX_OTHER_CORES
            bar.update(quiet - bar.n)
    return np.array(others)


def measure_openings(open_session: Callable[[], Session], **limits: int | float) -> Measurement:
    """One model, opened several times: a latency that a repetition finds again within its interval.

    Args:
        open_session: opens it: `lambda: targets.get("cpu").open(path)`.
        **limits: openings, max_seconds and seed, as for `compare_openings`.

    Raises:
        InputError, TargetError: as for `compare_openings`.
    """
    return compare_openings({"": open_session}, **limits).measurements[""]
