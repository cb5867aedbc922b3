"""Latency, throughput, memory and energy, with statistics that one can trust.

How a number comes about: run until it no longer gets faster (warm-up), then time single runs until the 95 %
interval of their median is narrow, and report the interval with it. Candidates that are to be compared are
run in turns, in random order, so that whatever slows the machine for a while slows them all.
"""

from __future__ import annotations

import contextlib
import gc
import html
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from edgelab.machine.energy import energy_meter
from edgelab.errors import InputError, TargetError
from edgelab.machine.state import MachineState, Watch, peak_memory_bytes
from edgelab.benchmark.profiler import OperatorProfile, kinds_table, operator_profile
from edgelab.runtime import Placement, Session, TensorSpec
from edgelab.texts import tr

__all__ = [
    "Measurement",
    "OperatorProfile",
    "Ranking",
    "SpeedUp",
    "bootstrap_interval",
    "compare",
    "kinds_table",
    "measure",
    "operator_profile",
    "sample_inputs",
    "time_runs",
    "warm_up",
]

WARM_UP_WINDOW = 10  # runs whose median is compared with that of the runs before
WARM_UP_GAIN = 0.02  # a window that is less than 2 % faster than the best so far ends the warm-up
NARROW = 0.02  # wanted width of the interval, relative to the median
MIN_SAMPLES_IN_TIME = 5  # taken even if the time is over
MAX_SAMPLES = 2000
CHUNK_MS = 20.0  # between two looks at the interval, the clock and the power sensor
MIN_ROUNDS = 15
SAME = 0.01  # two speeds within 1 % are the same: where a model lies in memory makes as much


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


@dataclass(frozen=True, repr=False)
class Measurement:
    """The timings of one session. Latencies are of one run, in ms; a run takes a whole batch.

    Attributes:
        median_ms, p05_ms, p95_ms, p99_ms, mean_ms, std_ms, min_ms, max_ms: of `samples_ms`.
        interval_ms: 95 % interval of the median.
        samples_ms: float64 [N], in the order they were taken.
        warm_up_ms: float64 [M], the runs before, which do not count.
        batch_size: images per run.
        throughput_per_s: images per second over all timed runs: `batch_size / mean`.
        peak_memory_bytes: see `peak_memory_bytes`.
        energy_mj: per run; None when it was not measured.
        energy_note: what was measured, or "not measured: why".
        machine: what the machine was doing.
        target, device, runtime_version, provenance, placement: as the session gives them.
    """

    median_ms: float
    p05_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    std_ms: float
    min_ms: float
    max_ms: float
    interval_ms: tuple[float, float]
    samples_ms: np.ndarray
    warm_up_ms: np.ndarray
    batch_size: int
    throughput_per_s: float
    peak_memory_bytes: int
    energy_mj: float | None
    energy_note: str
    machine: MachineState
    target: str
    device: str
    runtime_version: str
    provenance: str
    placement: Placement | None

    @property
    def warm_up_runs(self) -> int:
        """How many runs were thrown away."""
        return len(self.warm_up_ms)

    @property
    def power_w(self) -> float | None:
        """Mean power while it ran, in W; None when no energy was measured."""
        return None if self.energy_mj is None else self.energy_mj / self.mean_ms

    def rows(self) -> dict[str, str]:
        """What a student wants to know first, as text."""
        low, high = self.interval_ms
        return {
            "median": f"{self.median_ms:.3f} ms, 95 % interval [{low:.3f}, {high:.3f}]",
            "5 %, 95 %, 99 %": f"{self.p05_ms:.3f}, {self.p95_ms:.3f}, {self.p99_ms:.3f} ms",
            "mean ± std": f"{self.mean_ms:.3f} ± {self.std_ms:.3f} ms",
            "min, max": f"{self.min_ms:.3f}, {self.max_ms:.3f} ms",
            "throughput": f"{self.throughput_per_s:.0f} images/s at batch {self.batch_size}",
            "runs": f"{len(self.samples_ms)} after {self.warm_up_runs} of warm-up",
            "energy": self.energy_note
            if self.energy_mj is None
            else f"{self.energy_mj:.2f} mJ per run, {self.power_w:.1f} W ({self.energy_note})",
            "machine": str(self.machine),
            "provenance": f"{self.provenance}, {self.target}, {self.runtime_version}",
        }

    def __str__(self) -> str:
        return "\n".join(f"{name}: {text}" for name, text in self.rows().items())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(
            f'<tr><th scope="row" style="text-align:left">{name}</th>'
            f'<td style="text-align:left">{html.escape(text).replace(chr(10), "<br>")}</td></tr>'
            for name, text in self.rows().items()
        )
        return f"<table>{cells}</table>"


def _sample_input(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
    shape = tuple(max(size, 1) for size in spec.shape)
    if spec.dtype in (np.int32, np.int64):
        return np.zeros(shape, spec.dtype)  # may be indices into a table
    pixels = rng.integers(0, 256, shape, np.uint8)
    return pixels.view(np.int8) if spec.dtype == np.int8 else pixels.astype(spec.dtype)


def sample_inputs(session: Session, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Noise of the right shapes and types: random pixels 0 to 255, zeros where integers may be indices.

    A convolutional network takes the same time for any picture, so noise is good enough to time it.
    """
    rng = np.random.default_rng(seed)
    return tuple(_sample_input(spec, rng) for spec in session.inputs)


def time_runs(session: Session, inputs: tuple[np.ndarray, ...], count: int) -> list[float]:
    """Time `count` runs one by one, in ms. Everything between the two clock readings is the session's.

    A session that lives in a child process may have a `time_runs` of its own, which reads the clock there:
    handing arrays to another process is no part of an inference.
    """
    if hasattr(session, "time_runs"):
        return session.time_runs(inputs, count)
    run, clock = session.run, time.perf_counter_ns
    times = [0] * count
    for index in range(count):
        started = clock()
        run(*inputs)
        times[index] = clock() - started
    return [elapsed / 1e6 for elapsed in times]


def warm_up(
    session: Session, inputs: tuple[np.ndarray, ...], *, max_seconds: float, runs: int | None = None
) -> np.ndarray:
    """Run until it gets no faster: the last ten runs' median is within 2 % of the best ten before them.

    The first runs pay for memory that is touched first, caches that are cold and clocks that are low.

    Args:
        session: what to run.
        inputs: for `session.run`.
        max_seconds: stop then, steady or not; one run is always made.
        runs: exactly this many instead; 0 is allowed, to see what a cold start costs.

    Returns:
        float64 [M], the time of each run in ms.
    """
    if runs is not None:
        return np.array(time_runs(session, inputs, runs))
    deadline = time.perf_counter() + max_seconds
    times = time_runs(session, inputs, 1)
    best = np.inf
    while time.perf_counter() < deadline:
        window = []
        while len(window) < WARM_UP_WINDOW and (not window or time.perf_counter() < deadline):
            window += time_runs(session, inputs, 1)
        times += window
        median = float(np.median(window))
        if median > (1 - WARM_UP_GAIN) * best:
            break
        best = min(best, median)
    return np.array(times)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keeps Python's collector from pausing a run in the middle, as `timeit` does."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _measurement(
    session: Session,
    inputs: tuple[np.ndarray, ...],
    samples: np.ndarray,
    warm_up_ms: np.ndarray,
    *,
    interval: tuple[float, float],
    energy_mj: float | None,
    energy_note: str,
    machine: MachineState,
) -> Measurement:
    p05, median, p95, p99 = np.percentile(samples, [5, 50, 95, 99])
    batch_size = int(inputs[0].shape[0]) if inputs and inputs[0].ndim else 1
    return Measurement(
        median_ms=float(median),
        p05_ms=float(p05),
        p95_ms=float(p95),
        p99_ms=float(p99),
        mean_ms=float(samples.mean()),
        std_ms=float(samples.std(ddof=1)) if len(samples) > 1 else 0.0,
        min_ms=float(samples.min()),
        max_ms=float(samples.max()),
        interval_ms=interval,
        samples_ms=samples,
        warm_up_ms=warm_up_ms,
        batch_size=batch_size,
        throughput_per_s=batch_size * 1e3 / float(samples.mean()),
        peak_memory_bytes=peak_memory_bytes(),
        energy_mj=energy_mj,
        energy_note=energy_note,
        machine=machine,
        target=session.target,
        device=session.device,
        runtime_version=session.runtime_version,
        provenance=session.provenance,
        placement=session.placement,
    )


def _check_session(session: Session) -> None:
    if session.fault:
        raise TargetError(
            tr(
                "No latency is reported for {target} on {device}: its results are wrong.",
                target=session.target,
                device=session.device,
            ),
            why=session.fault,
            fix=tr("find the operator where the results part (chapter 8), and keep it off this target"),
        )
    if session.provenance != "measured":
        raise TargetError(
            tr("{target} runs in a simulator here, which cannot be timed.", target=session.target),
            why=tr("how long a simulation takes says nothing about the device"),
            fix=tr("use the vendor's own figure, Compiled.vendor_latency_ms, or edgelab.estimate"),
        )


def _check(min_samples: int, max_seconds: float) -> None:
    if min_samples < 1 or not max_seconds > 0:
        raise InputError(
            tr(
                "min_samples is {min_samples} and max_seconds {max_seconds}.",
                min_samples=min_samples,
                max_seconds=max_seconds,
            ),
            why=tr("a measurement needs at least one run and some time"),
            fix=tr("leave both out for 100 runs within 3 seconds"),
        )


def measure(
    session: Session,
    inputs: tuple[np.ndarray, ...] | None = None,
    *,
    min_samples: int = 100,
    max_seconds: float = 3.0,
    warm_up_runs: int | None = None,
    seed: int = 0,
) -> Measurement:
    """Time a session: warm up, then run until the median is known to 2 % or the time is over.

    What is timed is `session.run` from Python: handing over the input, inference, and copying the output
    back, which is what an application pays.

    Args:
        session: what to time.
        inputs: one array per model input; None makes `sample_inputs`.
        min_samples: timed runs, at least; fewer only when the time is over before.
        max_seconds: for the timed runs; warm-up may take a third of it again.
        warm_up_runs: exactly this many, in place of running until steady.
        seed: of the inputs and the interval.

    Returns:
        Latencies with their interval, throughput, memory, energy, and the state of the machine.

    Raises:
        InputError: inputs that the session refuses, no samples or no time.
        TargetError: the session gives wrong results, or is a simulation: its time would mean nothing.
    """
    _check(min_samples, max_seconds)
    _check_session(session)
    inputs = sample_inputs(session, seed) if inputs is None else inputs
    warm_up_ms = warm_up(session, inputs, max_seconds=max_seconds / 3, runs=warm_up_runs)
    meter, energy_note = energy_meter()
    watch, samples = Watch(), []
    deadline = time.perf_counter() + max_seconds
    with _no_garbage_collection():
        while not _enough(samples, min_samples, time.perf_counter() > deadline):
            samples += time_runs(session, inputs, _chunk(samples))
            if meter:
                meter.sample()
    timed = np.array(samples)
    return _measurement(
        session,
        inputs,
        timed,
        warm_up_ms,
        interval=bootstrap_interval(timed, seed=seed),
        energy_mj=meter.energy_mj() / len(samples) if meter else None,
        energy_note=energy_note,
        machine=watch.state(timed),
    )


def _chunk(samples: list[float]) -> int:
    """Runs that take about `CHUNK_MS`, more as the samples grow, so that looking at them stays cheap."""
    if not samples:
        return 1
    runs = int(CHUNK_MS / max(float(np.median(samples[-20:])), 1e-6))
    return int(np.clip(max(runs, len(samples) // 4), 1, MAX_SAMPLES))


def _enough(samples: list[float], min_samples: int, time_is_over: bool) -> bool:
    if time_is_over and len(samples) >= min(min_samples, MIN_SAMPLES_IN_TIME):
        return True
    if len(samples) < min_samples:
        return False
    return len(samples) >= MAX_SAMPLES or is_narrow(np.array(samples))


@dataclass(frozen=True)
class SpeedUp:
    """How many times as fast as the baseline, with its 95 % interval.

    Attributes:
        ratio: old time by new time, median over the rounds.
        low, high: 95 % interval of the ratio.
    """

    ratio: float
    low: float
    high: float

    @property
    def is_tie(self) -> bool:
        """Whether the two cannot be told apart: a ratio within 1 % of 1 is possible."""
        return self.low <= 1 + SAME and self.high >= 1 / (1 + SAME)

    def __str__(self) -> str:
        text = f"{self.ratio:.2f}x [{self.low:.2f}, {self.high:.2f}]"
        return f"{text} (tie)" if self.is_tie else text


@dataclass(frozen=True, repr=False)
class Ranking:
    """Candidates measured in turns, fastest first.

    Attributes:
        names: by rank, within a rank by median.
        measurements: by name.
        baseline: the name that speed-ups refer to.
        speed_ups: by name, against the baseline.
        ranks: by name: 1 + the number of candidates that are certainly faster. Ties share a rank.
        ties: by name, the candidates it cannot be told apart from.
        rounds: how often every candidate had its turn.
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
                    "tie with": ", ".join(self.ties[name]) or "–",
                }
            )
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        return f"{self.frame().to_string(index=False)}\n{self.rounds} rounds. {self.machine}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.frame().to_html(index=False, border=0, float_format=lambda value: f"{value:.4g}")
        return f"{table}<p>{self.rounds} rounds in random order.</p>{self.machine._repr_html_()}"


def _ratio_interval(slow: np.ndarray, fast: np.ndarray, seed: int) -> SpeedUp:
    """Speed-up of `fast` over `slow` from their medians in the same rounds, [rounds] each.

    Whole rounds are drawn, so that a slow minute, which both shared, cancels.
    """
    logarithm = np.log(slow) - np.log(fast)
    low, high = bootstrap_interval(logarithm, seed=seed)
    return SpeedUp(float(np.exp(np.median(logarithm))), float(np.exp(low)), float(np.exp(high)))


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
    """Time several sessions in turns and rank them, with intervals; those that overlap are called a tie.

    Each round runs every candidate for about 20 ms, in a new random order. The first run of each turn is not
    counted: it finds the caches filled by another candidate.

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
    _check(min_samples, max_seconds)
    for session in sessions.values():
        _check_session(session)
    names = list(sessions)
    baseline = names[0] if baseline is None and names else baseline
    if baseline not in names:
        raise InputError(
            tr("There is no candidate {baseline!r} to compare with.", baseline=baseline),
            why=tr("the candidates are {names}", names=", ".join(names) or tr("none")),
            fix=tr("pass at least one session, and one of their names as baseline"),
        )
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
    machine = watch.state(_relative(medians))
    measurements = {
        name: _measurement(
            sessions[name],
            arrays[name],
            samples[name],
            warm[name],
            interval=_interval_of_turns(timed[name], seed),
            energy_mj=None,
            energy_note=energy_note,
            machine=machine,
        )
        for name in names
    }
    ratio = {(a, b): _ratio_interval(medians[a], medians[b], seed) for a in names for b in names if a != b}
    ranks = {a: 1 + sum(ratio[a, b].low > 1 + SAME for b in names if b != a) for a in names}
    return Ranking(
        names=tuple(sorted(names, key=lambda name: (ranks[name], measurements[name].median_ms))),
        measurements=measurements,
        baseline=baseline,
        speed_ups={name: ratio[baseline, name] for name in names if name != baseline},
        ranks=ranks,
        ties={a: tuple(b for b in names if b != a and ratio[a, b].is_tie) for a in names},
        rounds=len(timed[baseline]),
    )


def _interval_of_turns(turns: list[list[float]], seed: int) -> tuple[float, float]:
    """95 % interval of the median of all runs; whole turns are drawn, since the runs of one are alike."""

    def median_of_all(drawn: np.ndarray, axis: int) -> np.ndarray:
        return np.median(drawn.reshape(len(drawn), -1), axis=axis)

    return bootstrap_interval(np.array(turns), median_of_all, resamples=400, seed=seed)


def _relative(medians: dict[str, np.ndarray]) -> np.ndarray:
    """How slow each round was compared with the usual, [rounds]: the machine's own ups and downs."""
    return np.mean([values / np.median(values) for values in medians.values()], axis=0)


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
    with _no_garbage_collection(), bar:
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
