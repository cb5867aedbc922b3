"""A device that warms up: temperature and clock, simulated; latencies that were measured follow the clock.

One thermal mass and one resistance to the air around it, the first-order model of thermal design: the
temperature nears `air + power * resistance` with the time constant `resistance * capacity` (Incropera,
"Fundamentals of heat and mass transfer", lumped capacitance).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cooling:
    """How a device sheds its heat.

    Attributes:
        air_c: temperature of the air, °C.
        resistance_k_per_w: how much warmer than the air a watt makes it.
        time_constant_s: of the warming.
        power_w: at the full clock; it follows the clock.
        limit_c: above it the clock falls by a step, 5 K below it rises again.
        clock_mhz: the full clock.
    """

    air_c: float = 25.0
    resistance_k_per_w: float = 8.0
    time_constant_s: float = 30.0
    power_w: float = 4.0
    limit_c: float = 80.0
    clock_mhz: int = 1800


STEP_MHZ, LOWEST_MHZ, HYSTERESIS_K = 200, 600, 5.0


def simulate(cooling: Cooling, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Temperature (°C) and clock (MHz) at each of the times, from a device as cold as the air.

    Args:
        cooling: of the device.
        times_s: rising, from 0.
    """
    temperature, clock = cooling.air_c, cooling.clock_mhz
    temperatures, clocks = np.empty(len(times_s)), np.empty(len(times_s), int)
    for number, step_s in enumerate(np.diff(times_s, prepend=0.0)):
        power = cooling.power_w * clock / cooling.clock_mhz
        end = cooling.air_c + power * cooling.resistance_k_per_w
        temperature = end + (temperature - end) * np.exp(-step_s / cooling.time_constant_s)
        if temperature > cooling.limit_c:
            clock = max(LOWEST_MHZ, clock - STEP_MHZ)
        elif temperature < cooling.limit_c - HYSTERESIS_K:
            clock = min(cooling.clock_mhz, clock + STEP_MHZ)
        temperatures[number], clocks[number] = temperature, clock
    return temperatures, clocks
