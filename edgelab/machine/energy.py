"""Energy counters of the machine: the processor's own, or a board's power sensor.

Where there is none, the answer is "not measured" with the reason, never 0: a zero would win every comparison.
What one counter holds already is never added from another: the whole platform holds the processor packages,
and the input of a board holds its rails.
"""

# Boards get a copy, where there is no edgelab and Python may be 3.9: import nothing but its standard library.

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class RaplMeter:
    """Energy of the processor package, from the counter that Intel and AMD processors keep.

    The Linux kernel's powercap interface; the counter covers everything the package does, not only us.

    Args:
        domains: folders such as `/sys/class/powercap/intel-rapl:0`.
    """

    name = "RAPL, the whole processor package"
    covers_board = False

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
        for last, current, limit in zip(self._last, now, self._limits):  # noqa: B905 - Python 3.9 has no strict=
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
        rail: what the board calls the channel; "" where it has no name.
    """

    covers_board = True

    def __init__(
        self,
        channels: list[Callable[[], float]],
        clock: Callable[[], float] = time.perf_counter,
        rail: str = "",
    ) -> None:
        self.name = f"the board's power sensor, rail {rail}" if rail else "the board's power sensor"
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


# What a board's whole input is called by Nvidia's device trees: its rails are fed by it.
BOARD_INPUTS = ("VDD_IN", "POM_5V_IN")


# A rail in a line of `tegrastats`: its name, now and mean in mW; older versions leave out the unit.
_RAIL = re.compile(r"(?<=\s)([A-Za-z]\w*) (\d+)(?:mW)?/(\d+)(?:mW)?(?=\s|$)")


def tegrastats_rails(line: str) -> dict[str, float]:
    """Power of each rail at this moment in mW, from one line that NVIDIA's `tegrastats` printed.

    Format: NVIDIA, Jetson Linux developer guide, "tegrastats utility". `RAM 534/3964MB` looks alike, but for
    its unit.

    Args:
        line: as printed, without its end of line.

    Returns:
        By the rail's name; empty where the line tells of none.
    """
    return {name: float(now) for name, now, _ in _RAIL.findall(line)}


def board_power_mw(rails: Mapping[str, float]) -> float | None:
    """Power of the whole board: the rail that feeds all others; None where none is known to.

    Args:
        rails: power by name, as `tegrastats_rails` gives them.
    """
    return next((rails[name] for name in BOARD_INPUTS if name in rails), None)


def _label(file: Path) -> str:
    """What the board calls a channel: of `curr1_input`, that is in `in1_label` or `curr1_label`."""
    number = "".join(filter(str.isdigit, file.name))
    for kind in ("in", "curr", "power"):
        label = file.with_name(f"{kind}{number}_label")
        if label.exists():
            return label.read_text().strip()
    return ""


def _sensor_channels(hwmon: Path) -> list[tuple[str, Callable[[], float]]]:
    """Label and reader in mW of each channel of a hwmon folder: power inputs, else voltage times current."""
    powers = sorted(hwmon.glob("power*_input"))
    if powers:
        return [(_label(path), lambda path=path: _number(path) / 1e3) for path in powers]  # µW
    pairs = [(hwmon / path.name.replace("curr", "in"), path) for path in sorted(hwmon.glob("curr*_input"))]
    return [
        # mV x mA = µW
        (_label(path), lambda volts=volts, path=path: _number(volts) * _number(path) / 1e3)
        for volts, path in pairs
        if volts.exists()
    ]


def _board_channel(
    channels: list[tuple[str, Callable[[], float]]],
) -> tuple[str, Callable[[], float]] | None:
    """The one channel that holds everything; none where several are there and none is known to be it."""
    if len(channels) == 1:
        return channels[0]
    return next((channel for channel in channels if channel[0] in BOARD_INPUTS), None)


def _packages(root: Path) -> list[Path]:
    """RAPL zones of processor packages; `psys` holds them and everything else, and is never added to them."""
    zones = [
        folder
        for folder in sorted(root.glob("class/powercap/intel-rapl:*"))
        if folder.name.count(":") == 1 and (folder / "energy_uj").exists()
    ]
    return [zone for zone in zones if not (zone / "name").exists() or _text(zone / "name") != "psys"]


def _text(path: Path) -> str:
    return path.read_text().strip()


def energy_meter(root: Path = Path("/sys")) -> tuple[RaplMeter | PowerSensorMeter | None, str]:
    """The energy counter of this machine, or the reason why there is none.

    Args:
        root: where the system's device files are.

    Returns:
        A meter that has started, and what it measures; or None, and "not measured: …".
    """
    sensors = [
        folder
        for folder in sorted(root.glob("class/hwmon/hwmon*"))
        if (folder / "name").exists() and _text(folder / "name").startswith("ina")
    ]
    channels = [channel for sensor in sensors for channel in _sensor_channels(sensor)]
    try:
        if packages := _packages(root):
            return RaplMeter(packages), RaplMeter.name
        if board := _board_channel(channels):
            rail, read = board
            meter = PowerSensorMeter([read], rail=rail)
            return meter, meter.name
    except PermissionError:
        return None, (
            "not measured: the RAPL counter is readable by the administrator only "
            "(sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj)"
        )
    except (OSError, ValueError) as error:
        return None, f"not measured: the energy counter cannot be read ({error})"
    if channels:
        labels = ", ".join(label or "without a name" for label, _ in channels)
        return None, f"not measured: none of the board's channels is known to hold all others ({labels})"
    return None, "not measured: this machine shows neither a RAPL counter nor a power sensor"
