"""numba's CUDA on any computer: the real device where one works, numba's simulator everywhere else.

The simulator runs the same kernels, thread by thread, in Python: blocks, shared memory, barriers and atomics
behave, so a kernel can be checked and its memory accesses counted. Its run times say nothing about a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
import sys
from types import ModuleType

from edgelab.errors import TargetError
from edgelab.texts import tr

WARP_SIZE = 32
# A driver alone is not enough: numba also needs a compiler library that fits it. So one kernel is tried.
TRIAL = """
import numpy as np
from numba import cuda

@cuda.jit
def one(out):
    out[cuda.grid(1)] = 1

out = np.zeros(32, np.int32)
one[1, 32](out)
assert out.all()
"""


def cuda_device_count() -> int:
    """How many CUDA devices the driver reports; 0 without a driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return 0
    except (OSError, AttributeError):
        return 0
    return count.value


@functools.cache
def real_device_works() -> bool:
    """Whether numba can compile and run a kernel on a device here, tried in a child process."""
    if cuda_device_count() == 0:
        return False
    try:
        trial = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return trial.returncode == 0


@functools.cache
def load() -> tuple[ModuleType, bool]:
    """numba's `cuda` module, and whether it is the simulator.

    Returns:
        (module, simulated): the module that kernels are written with, and True when no real device runs them.

    Raises:
        TargetError: `numba.cuda` was imported before, for a real device that is not here.
    """
    import numba

    # NUMBA_ENABLE_CUDASIM=1 in the environment asks for the simulator even where there is a device.
    simulated = bool(numba.config.ENABLE_CUDASIM) or not real_device_works()
    if "numba.cuda" not in sys.modules:
        numba.config.ENABLE_CUDASIM = simulated
    numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = False  # small grids are for learning, not for speed
    numba.config.CUDA_WARN_ON_IMPLICIT_COPY = False
    from numba import cuda

    if simulated and "simulator" not in cuda.jit.__module__:
        raise TargetError(
            tr("numba's CUDA simulator cannot be switched on any more."),
            why=tr("numba.cuda was imported earlier in this Python, and looks for a real device"),
            fix=tr("restart the kernel and let edgelab.processor_models.simt.load() import it"),
        )
    return cuda, simulated
