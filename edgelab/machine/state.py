"""What the machine is, and whether it was calm enough to measure on."""

from __future__ import annotations

import contextlib
import html
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from edgelab.machine.hardware import available_cpus, processor_name

# A machine counts as noisy above these.
MAX_OTHER_CORES = 0.25
MAX_SCATTER = 0.10
MAX_DRIFT = 0.05


@dataclass(frozen=True)
class MachineState:
    """What the machine was and did while it measured.

    Attributes:
        cpu: the processor's name.
        logical_cores, physical_cores: as the system counts them; physical is None where it does not say.
        governor: the frequency policy, "performance" or "powersave"; None where the system does not say.
        frequency_mhz: current clock; None where the system does not say.
        load_average: runnable programs, mean of the last minute.
        other_cores: processor cores that other programs kept busy during the measurement.
        noisy: whether to measure again under better conditions.
        notes: why, one sentence each, and what could not be read.
    """

    cpu: str
    logical_cores: int
    physical_cores: int | None
    governor: str | None
    frequency_mhz: float | None
    load_average: float
    other_cores: float
    noisy: bool
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One word: noisy, or quiet."""
        return "noisy" if self.noisy else "quiet"

    def __str__(self) -> str:
        clock = f"{self.frequency_mhz:.0f} MHz" if self.frequency_mhz else "clock unknown"
        facts = f"{self.cpu}, {self.logical_cores} cores, {clock}, governor {self.governor or 'unknown'}"
        return "\n".join([f"{facts}: {self.verdict}", *self.notes])

    def _repr_html_(self) -> str:
        first, *notes = map(html.escape, str(self).splitlines())
        return f"<p>{first}</p><ul>{''.join(f'<li>{note}</li>' for note in notes)}</ul>"


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _frequency_mhz() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return float(frequency.current) if frequency and frequency.current else None


_OURS: set[int] = set()


def count_as_ours(pid: int) -> None:
    """Count a process, and all that it starts, as part of what is measured: a browser that runs the model.

    Other children count as others: they take cores from what is measured.
    """
    _OURS.add(pid)


def no_longer_ours(pid: int) -> None:
    """Forget a process of `count_as_ours`, as it has ended."""
    _OURS.discard(pid)


def _own_cpu_s() -> float:
    """CPU seconds of this process, and of those that count as ours."""
    processes = [psutil.Process()]
    for pid in _OURS:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            processes += [root, *root.children(recursive=True)]
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _busy_cpu_s() -> float:
    """CPU seconds that all programs have used on the processors that we may use, since the start."""
    processors = psutil.cpu_times(percpu=True)
    if hasattr(os, "sched_getaffinity"):
        ours = os.sched_getaffinity(0)
        processors = [times for index, times in enumerate(processors) if index in ours]
    # "user" contains "guest" already.
    waiting = ("idle", "iowait", "guest", "guest_nice")
    return sum(sum(times) - sum(getattr(times, name, 0) for name in waiting) for times in processors)


class Watch:
    """Notes the processor time used between `start` and `state`: ours, and that of all others."""

    def __init__(self) -> None:
        self.wall_s, self.own_s, self.busy_s = time.perf_counter(), _own_cpu_s(), _busy_cpu_s()

    def other_cores(self) -> float:
        """Processor cores that other programs have kept busy since the start."""
        wall_s = max(time.perf_counter() - self.wall_s, 1e-9)
        other_s = (_busy_cpu_s() - self.busy_s) - (_own_cpu_s() - self.own_s)
        return max(0.0, other_s / wall_s)

    def state(self, samples: np.ndarray, other_cores: float | None = None) -> MachineState:
        """The machine's facts, and a verdict on its calm.

        Args:
            samples: timings in ms, in the order they were taken.
            other_cores: what others kept busy while the samples were taken; None for all the time watched.
        """
        other_cores = self.other_cores() if other_cores is None else other_cores
        reasons = noise_reasons(samples, other_cores)
        facts = [] if _governor() else ["The system does not tell the frequency governor."]
        return MachineState(
            cpu=processor_name(),
            logical_cores=psutil.cpu_count() or 1,
            physical_cores=psutil.cpu_count(logical=False),
            governor=_governor(),
            frequency_mhz=_frequency_mhz(),
            load_average=psutil.getloadavg()[0],
            other_cores=other_cores,
            noisy=bool(reasons),
            notes=(*reasons, *facts),
        )


def noise_reasons(samples: np.ndarray, other_cores: float) -> list[str]:
    """One sentence for each sign that the machine was not calm; empty when there is none."""
    reasons = []
    if other_cores > MAX_OTHER_CORES:
        reasons.append(
            f"Other programs kept {other_cores:.1f} of {available_cpus()} cores busy: "
            "close them and measure again."
        )
    median = float(np.median(samples))
    scatter = float(np.median(np.abs(samples - median))) / median
    if scatter > MAX_SCATTER:
        reasons.append(
            f"Half of the runs differ by more than {scatter:.0%} from the median: something interferes."
        )
    first, second = np.array_split(samples, 2)
    if len(samples) >= 20:
        drift = float(np.median(second)) / float(np.median(first)) - 1
        if abs(drift) > MAX_DRIFT:
            direction = "slower" if drift > 0 else "faster"
            reasons.append(
                f"The second half was {abs(drift):.0%} {direction} than the first: "
                "the clock changed (heat, battery) or another program started or ended."
            )
    return reasons


def peak_memory_bytes() -> int:
    """The most memory this process ever held: Python, libraries, data and every model opened so far.

    Only the difference between two processes that do the same work tells what a model needs.
    """
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)  # Linux counts in KiB
