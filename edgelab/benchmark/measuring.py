"""Time one session: warm it up, time runs one by one until the interval is narrow, watch the machine."""

from __future__ import annotations

import contextlib
import gc
import html
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgelab.benchmark.statistics import (
    MIN_SAMPLES_IN_TIME,
    bootstrap_interval,
    is_narrow,
    never_too_narrow,
    repetition_interval,
)
from edgelab.errors import InputError, TargetError
from edgelab.machine.energy import PowerSensorMeter, RaplMeter, energy_meter
from edgelab.machine.state import MachineState, Watch, peak_memory_bytes
from edgelab.runtime import Placement, Session, TensorSpec
from edgelab.texts import tr

WARM_UP_WINDOW = 10  # runs whose median is compared with that of the runs before
WARM_UP_GAIN = 0.02  # a window that is less than 2 % faster than the best so far ends the warm-up
MAX_SAMPLES = 2000
CHUNK_MS = 20.0  # between two looks at the interval, the clock and the power sensor


@dataclass(frozen=True, repr=False)
class Measurement:
    """The timings of one session. Latencies are of one run, in ms; a run takes a whole batch.

    Attributes:
        median_ms, p05_ms, p95_ms, p99_ms, mean_ms, std_ms, min_ms, max_ms: of `samples_ms`.
        interval_ms: 95 % interval of the median, for this one opening of the model; after several openings,
            where the median of a repetition will be, 95 times in 100; on a noisy machine at least as wide as
            all openings were apart.
        samples_ms: float64 [N], in the order they were taken.
        openings_ms: the samples of each opening, where the model was opened several times; else empty.
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
    openings_ms: tuple[np.ndarray, ...] = ()

    @property
    def within_percent(self) -> float:
        """Spread of the runs inside one opening: half the middle 68 %, beside the median, in %."""
        spreads = []
        for samples in self.openings_ms or (self.samples_ms,):
            low, middle, high = np.percentile(samples, [16, 50, 84])
            spreads.append((high - low) / 2 / middle)
        return 100 * float(np.median(spreads))

    @property
    def between_percent(self) -> float | None:
        """Spread of the openings' medians, one standard deviation, in %; None where there was one opening."""
        if len(self.openings_ms) < 2:
            return None
        return 100 * float(np.std([np.log(np.median(samples)) for samples in self.openings_ms], ddof=1))

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
            "spread": self._spread,
            "energy": self.energy_note
            if self.energy_mj is None
            else f"{self.energy_mj:.2f} mJ per run, {self.power_w:.1f} W ({self.energy_note})",
            "machine": str(self.machine),
            "provenance": f"{self.provenance}, {self.target}, {self.runtime_version}",
        }

    @property
    def _spread(self) -> str:
        within = f"{self.within_percent:.1f} % within an opening"
        if self.between_percent is None:
            return f"{within}; between openings unknown, there was one"
        return f"{within}, {self.between_percent:.1f} % between {len(self.openings_ms)} openings"

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

    Raises:
        InputError: the model takes inputs of any size, so that its time depends on which.
    """
    for spec in session.inputs:
        if -1 in spec.shape[1:]:
            raise InputError(
                tr("The input {name} takes any size: {shape}.", name=spec.name, shape=list(spec.shape)),
                why=tr("the time depends on the size, and the model does not say one"),
                fix=tr("pass inputs of the size you mean"),
            )
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
def no_garbage_collection() -> Iterator[None]:
    """Keeps Python's collector from pausing a run in the middle, as `timeit` does."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def summarize(
    session: Session,
    inputs: tuple[np.ndarray, ...],
    samples: np.ndarray,
    warm_up_ms: np.ndarray,
    *,
    interval: tuple[float, float],
    energy_mj: float | None,
    energy_note: str,
    machine: MachineState,
    openings_ms: tuple[np.ndarray, ...] = (),
) -> Measurement:
    """The record of one session's samples: interval, warm-up, memory, energy and the state of the machine."""
    p05, median, p95, p99 = np.percentile(samples, [5, 50, 95, 99])
    if len(openings_ms) > 1:
        median, low, high = repetition_interval(np.array([np.median(part) for part in openings_ms]))
        low, high = never_too_narrow(median, low, high)
        # Who disturbs now may be gone at the repetition: then nothing less than what was seen is promised.
        interval = (min(low, interval[0]), max(high, interval[1])) if machine.noisy else (low, high)
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
        interval_ms=tuple(interval),
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
        openings_ms=openings_ms,
    )


# Sessions whose work is done by what the processor's own counter covers, and those it is not.
ON_THE_PROCESSOR = ("cpu", "keras", "onnxruntime", "openvino", "web/wasm")
ON_THE_BOARD = (*ON_THE_PROCESSOR, "tensorrt", "gpu", "rknn", "web/webgpu")


def meter_for(session: Session) -> tuple[RaplMeter | PowerSensorMeter | None, str]:
    """The counter that holds what this session's device uses, or why there is none.

    What a host's counter shows while a stick works is the host's energy: it is not booked on the stick. Nor
    on the browser in front of a student whose kernel runs somewhere else: such a session says `is_here`. A
    session on a board has an `energy_meter` of its own, which the board reads.
    """
    if hasattr(session, "energy_meter"):
        return session.energy_meter()
    meter, note = energy_meter()
    covered = ON_THE_BOARD if meter and meter.covers_board else ON_THE_PROCESSOR
    if meter is None or (session.target in covered and getattr(session, "is_here", True)):
        return meter, note
    return None, f"not measured: {note}, which does not hold what {session.device} uses"


def runs_in(session: Session, samples: int) -> int:
    """How many inferences that many samples are: where the clock is coarse, one is the mean of several."""
    return samples * getattr(session, "runs_per_sample", 1)


def check_session(session: Session) -> None:
    """Refuse to time a session whose results are wrong or simulated.

    Raises:
        TargetError: its time would say nothing about the device.
    """
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


def check_limits(min_samples: int, max_seconds: float) -> None:
    """Refuse a measurement that could not take a sample.

    Raises:
        InputError: fewer than one sample, or no time at all.
    """
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
    check_limits(min_samples, max_seconds)
    check_session(session)
    inputs = sample_inputs(session, seed) if inputs is None else inputs
    warm_up_ms = warm_up(session, inputs, max_seconds=max_seconds / 3, runs=warm_up_runs)
    meter, energy_note = meter_for(session)
    watch, samples = Watch(), []
    deadline = time.perf_counter() + max_seconds
    with no_garbage_collection():
        while not _enough(samples, min_samples, time.perf_counter() > deadline):
            samples += time_runs(session, inputs, _chunk(samples))
            if meter:
                meter.sample()
    timed = np.array(samples)
    return summarize(
        session,
        inputs,
        timed,
        warm_up_ms,
        interval=bootstrap_interval(timed, seed=seed),
        energy_mj=meter.energy_mj() / runs_in(session, len(samples)) if meter else None,
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
