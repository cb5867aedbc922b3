"""What the computer that this runs on is, how it is doing, and what energy it uses, told from within.

`boards.facts` asks a board from outside, by a shell; this goes there, beside `runner` and `server`.
"""

# It is copied into bundles and kits, where there is no edgelab: Python 3.9 and its standard library alone.

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

PERIOD_S = 0.02  # between two looks at the energy counter


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def _processor() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Hardware") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()


def board(name: str, emulated: str) -> dict:
    """What this board is, as far as its system tells.

    Args:
        name: as its owner calls it; "" takes the board's own name, or that of its processor.
        emulated: what is emulated here, if its owner says so.
    """
    kernel, here = _text("/proc/sys/kernel/arch"), platform.machine()
    if not emulated and kernel and family(kernel) != family(here):
        emulated = f"{here} on {kernel}"
    processor = _processor()
    return {
        "name": name or _text("/proc/device-tree/model") or processor or "unknown board",
        "machine": here,
        "system": platform.platform(),
        "processor": processor,
        "cores": os.cpu_count() or 1,
        "emulated": emulated,
    }


def family(machine: str) -> str:
    """The kind of processor; a program of 32 bits runs on one of 64 without emulation."""
    name = machine.lower()
    arm = name.startswith(("arm", "aarch"))
    return "arm" if arm else "x86" if name in ("x86_64", "amd64", "i686", "i386") else name


def state() -> dict:
    """Clock, governor, temperature and load now; None where the system does not tell."""
    zones = [_text(str(path)) for path in sorted(Path("/sys/class/thermal").glob("thermal_zone*/temp"))]
    degrees = [int(text) / 1000 for text in zones if text.lstrip("-").isdigit()]
    clock = _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return {
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "frequency_mhz": int(clock) / 1000 if clock.isdigit() else None,
        "hottest_celsius": max(degrees) if degrees else None,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def busy_s() -> float | None:
    """Seconds that all processors together have worked since the start, for this program or others."""
    fields = _text("/proc/stat").partition("\n")[0].split()[1:9]
    if len(fields) < 8 or not hasattr(os, "sysconf"):
        return None
    ticks = [int(field) for field in fields]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


class Counter:
    """The energy counter of this board, from now on; none where it has none that holds what runs use.

    Args:
        delegate: what runs the model, if not the processor.
    """

    def __init__(self, delegate: str) -> None:
        self.meter, self.note = None, "not measured: no counter here holds what the accelerator uses"
        if not delegate:
            try:
                import energy  # beside run.py
            except ImportError:
                from edgelab.machine import energy
            self.meter, self.note = energy.energy_meter()
        self._read_s = time.monotonic()

    def sample(self) -> None:
        """Read it, unless that was done just now: reading takes power, and time in which nothing runs."""
        if time.monotonic() - self._read_s >= PERIOD_S:
            self._read()

    def _read(self) -> None:
        self._read_s = time.monotonic()
        try:
            if self.meter:
                self.meter.sample()
        except (OSError, ValueError) as error:
            self.meter, self.note = None, f"not measured: the energy counter stopped ({error})"

    def energy_mj(self) -> float | None:
        """Since it began, in mJ; None where nothing was measured."""
        self._read()
        return self.meter.energy_mj() if self.meter else None
