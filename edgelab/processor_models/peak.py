"""The most that a processor's core can compute: its clock times the width of its arithmetic.

The clock is measured while it works, by a chain of steps that each need the one before (xorshift, Marsaglia
2003): three shifts and three exclusive-ors, six cycles a round, since each takes one. The width
follows from the vector instructions that the system lists; how many units a core has is an assumption, and
`Peak.assumed` tells it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import psutil

from edgelab.machine import hardware
from edgelab.processor_models.roofline import usable_threads

CYCLES_A_ROUND = 6
ROUNDS = 100_000  # a fifth of a millisecond: short enough to fall between what other programs do
# Instruction set, multiply-adds a cycle in float32 and int8, what is assumed. The first there is counts.
WIDTHS = (
    ("AVX-512 VNNI", 32, 128, "two units of 512 bits"),
    ("AVX-512", 32, 64, "two units of 512 bits, int8 as pairs"),
    ("AVX-VNNI", 16, 64, "two units of 256 bits"),
    ("AVX2", 16, 32, "two units of 256 bits, int8 as pairs"),
    ("int8 matrix multiply", 8, 64, "two units of 128 bits"),
    ("NEON dot product", 8, 32, "two units of 128 bits"),
    ("NEON", 8, 16, "two units of 128 bits, int8 as pairs"),
)
UNKNOWN = ("", 4, 8, "one unit of 128 bits, since the system lists no vector instructions")


@dataclass(frozen=True)
class Peak:
    """What one core can do at most.

    Attributes:
        clock_ghz: measured while it computes.
        float_macs_per_cycle, int8_macs_per_cycle: multiply-adds in a cycle.
        instructions: the vector instructions that they follow from.
        assumed: what had to be assumed.
        free_cores: processors that other programs left free just before, of `cores`.
        cores: processors that this process may use.
    """

    clock_ghz: float
    float_macs_per_cycle: int
    int8_macs_per_cycle: int
    instructions: str
    assumed: str
    free_cores: float
    cores: int

    def gops(self, dtype: str) -> float:
        """10⁹ operations per second of one core; a multiply-add counts as two.

        Args:
            dtype: "float32" or "int8".
        """
        width = self.int8_macs_per_cycle if dtype == "int8" else self.float_macs_per_cycle
        return 2 * self.clock_ghz * width

    def share(self, macs: int, seconds: float, dtype: str) -> float:
        """The part of the peak that so many multiply-adds in so many seconds on one core are."""
        return 2 * macs / seconds / 1e9 / self.gops(dtype)

    def __str__(self) -> str:
        return (
            f"{self.clock_ghz:.2f} GHz (measured) x {self.float_macs_per_cycle} multiply-adds = "
            f"{self.gops('float32'):.0f} GFLOP/s float32; x {self.int8_macs_per_cycle} = "
            f"{self.gops('int8'):.0f} GOP/s int8; {self.instructions or 'no vector instructions'}: "
            f"{self.assumed}; {self.free_cores:.1f} of {self.cores} cores were free"
        )


def measured_clock_ghz(repeats: int = 500) -> float:
    """The clock of a core at work, the best of some tries: other programs can only lower it."""
    import numpy as np

    chain, start = _chain(), np.uint64(88172645463325252)
    chain(1, start)
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        chain(ROUNDS, start)
        best = min(best, time.perf_counter() - begun)
    return CYCLES_A_ROUND * ROUNDS / best / 1e9


@cache
def _chain():
    import numpy as np
    from numba import njit

    left, right, last = np.uint64(13), np.uint64(7), np.uint64(17)

    @njit
    def chain(rounds, state):
        for _ in range(rounds):
            state ^= state << left
            state ^= state >> right
            state ^= state << last
        return state

    return chain


def measure_peak(seconds: float = 0.5) -> Peak:
    """Clock times width of one core of this computer.

    Args:
        seconds: for how long to look at what other programs do.
    """
    busy_percent = psutil.cpu_percent(interval=seconds)
    cores = usable_threads()
    there = hardware.instruction_sets()
    name, floats, codes, assumed = next((row for row in WIDTHS if row[0] in there), UNKNOWN)
    return Peak(
        clock_ghz=measured_clock_ghz(),
        float_macs_per_cycle=floats,
        int8_macs_per_cycle=codes,
        instructions=name,
        assumed=assumed,
        free_cores=cores * (1 - busy_percent / 100),
        cores=cores,
    )
