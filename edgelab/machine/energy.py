"""Energy counters of the machine: the processor's own, or a board's power sensor.

Where there is none, the answer is "not measured" with the reason, never 0: a zero would win every comparison.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


class RaplMeter:
    """Energy of the processor package, from the counter that Intel and AMD processors keep.

    The Linux kernel's powercap interface; the counter covers everything the package does, not only us.

    Args:
        domains: folders such as `/sys/class/powercap/intel-rapl:0`.
    """

    name = "RAPL, the whole processor package"

    def __init__(self, domains: list[Path]) -> None:
        self._domains = domains
        self._limits = [int((domain / "max_energy_range_uj").read_text()) for domain in domains]
        self._last = self._read()
        self._total_uj = 0

    def _read(self) -> list[int]:
        return [int((domain / "energy_uj").read_text()) for domain in self._domains]

    def sample(self) -> None:
        """Add what was used since the last call; the counter starts again at 0 when it is full."""
        now = self._read()
        for last, current, limit in zip(self._last, now, self._limits, strict=True):
            self._total_uj += current - last if current >= last else current + limit - last
        self._last = now

    def energy_mj(self) -> float:
        """Energy up to the last `sample`, in mJ."""
        return self._total_uj / 1e3


class PowerSensorMeter:
    """Energy of a board, by summing the readings of its power sensor (INA219, INA3221, Jetson) over time.

    Args:
        channels: functions that give the power of one channel in mW.
        clock: gives seconds.
    """

    name = "the board's power sensor"

    def __init__(
        self, channels: list[Callable[[], float]], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._channels, self._clock = channels, clock
        self._last_s, self._last_mw = clock(), self._read()
        self._total_mj = 0.0

    def _read(self) -> float:
        return sum(channel() for channel in self._channels)

    def sample(self) -> None:
        """Add the time since the last call, at the mean of the two readings (trapezoidal rule)."""
        now_s, now_mw = self._clock(), self._read()
        self._total_mj += (now_s - self._last_s) * (now_mw + self._last_mw) / 2
        self._last_s, self._last_mw = now_s, now_mw

    def energy_mj(self) -> float:
        """Energy up to the last `sample`, in mJ."""
        return self._total_mj


def _number(path: Path) -> float:
    return float(path.read_text())


def _sensor_channels(hwmon: Path) -> list[Callable[[], float]]:
    """Power readers in mW for one hwmon folder: its power inputs, else voltage times current."""
    powers = sorted(hwmon.glob("power*_input"))
    if powers:
        return [lambda path=path: _number(path) / 1e3 for path in powers]  # µW
    pairs = [(hwmon / path.name.replace("curr", "in"), path) for path in sorted(hwmon.glob("curr*_input"))]
    return [
        lambda volts=volts, amperes=amperes: _number(volts) * _number(amperes) / 1e3  # mV x mA = µW
        for volts, amperes in pairs
        if volts.exists()
    ]


def energy_meter(root: Path = Path("/sys")) -> tuple[RaplMeter | PowerSensorMeter | None, str]:
    """The energy counter of this machine, or the reason why there is none.

    Args:
        root: where the system's device files are.

    Returns:
        A meter that has started, and what it measures; or None, and "not measured: …".
    """
    packages = [
        folder
        for folder in sorted(root.glob("class/powercap/intel-rapl:*"))
        if folder.name.count(":") == 1 and (folder / "energy_uj").exists()
    ]
    sensors = [
        folder
        for folder in sorted(root.glob("class/hwmon/hwmon*"))
        if (folder / "name").exists() and (folder / "name").read_text().startswith("ina")
    ]
    channels = [channel for sensor in sensors for channel in _sensor_channels(sensor)]
    try:
        if packages:
            return RaplMeter(packages), RaplMeter.name
        if channels:
            return PowerSensorMeter(channels), PowerSensorMeter.name
    except PermissionError:
        return None, (
            "not measured: the RAPL counter is readable by the administrator only "
            "(sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj)"
        )
    except (OSError, ValueError) as error:
        return None, f"not measured: the energy counter cannot be read ({error})"
    return None, "not measured: this machine shows neither a RAPL counter nor a power sensor"
