"""numba's CUDA, real or simulated: threads, barriers and atomics behave as the lesson says."""

import subprocess
import sys

import numpy as np

from edgelab.processor_models import simt

cuda, SIMULATED = simt.load()


def test_without_a_device_it_is_the_simulator():
    assert simt.real_device_works() is not SIMULATED
    assert SIMULATED or simt.cuda_device_count() > 0


def test_grid_numbers_every_thread_once():
    @cuda.jit
    def number(out):
        i = cuda.grid(1)
        out[i] = cuda.blockIdx.x * 1000 + cuda.threadIdx.x

    out = np.zeros(64, np.int32)
    number[4, 16](out)
    assert out.tolist() == [block * 1000 + thread for block in range(4) for thread in range(16)]


def test_barrier_makes_shared_memory_visible():
    @cuda.jit
    def reverse(values):
        shared = cuda.shared.array(32, np.int32)
        i = cuda.threadIdx.x
        shared[i] = values[i]
        cuda.syncthreads()
        values[i] = shared[31 - i]

    values = np.arange(32, dtype=np.int32)
    reverse[1, 32](values)
    assert values.tolist() == list(range(31, -1, -1))


def test_atomic_add_counts_every_thread():
    @cuda.jit
    def count(total):
        cuda.atomic.add(total, 0, 1)

    total = np.zeros(1, np.int32)
    count[8, 32](total)
    assert total[0] == 256


def test_too_late_to_simulate_is_a_clear_error():
    if not SIMULATED:
        return
    code = (
        "import numba.cuda\nfrom edgelab import errors\nfrom edgelab.processor_models import simt\n"
        "try:\n    simt.load()\nexcept errors.TargetError as error:\n    print(error.fix)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "restart the kernel" in child.stdout
