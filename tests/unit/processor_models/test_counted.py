"""Kernels on counted arrays: results, loads and sectors worked out by hand, and broken barriers."""

import _thread
import signal
import threading
import time

import numpy as np
import pytest

from edgelab.processor_models import counted, simt

cuda, _ = simt.load()
WARP = simt.WARP_SIZE


def read_with_stride(values, stride, out):
    i = cuda.grid(1)
    out[i] = values[i * stride]


@pytest.mark.parametrize(("stride", "sectors"), [(1, 4), (2, 8), (8, 32), (16, 32)])
def test_sectors_of_one_warp_grow_with_the_stride(stride, sectors):
    out = np.zeros(WARP, np.float32)
    values = np.arange(WARP * stride, dtype=np.float32)
    counts = counted.run(read_with_stride, 1, WARP, values, stride, out)
    assert counts == counted.Counts(loads=WARP, stores=WARP, sectors=sectors)
    np.testing.assert_array_equal(out, values[::stride])


def test_a_second_warp_shares_no_sector_with_the_first():
    def read_first(values, out):
        out[cuda.grid(1)] = values[0]

    counts = counted.run(read_first, 1, 2 * WARP, np.ones(1, np.float32), np.zeros(2 * WARP, np.float32))
    assert counts.sectors == 2


def test_a_row_taken_first_counts_its_numbers_alone():
    def first_column(values, out):
        i = cuda.grid(1)
        out[i] = values[i][0]

    values, out = np.arange(32, dtype=np.float32).reshape(4, 8), np.zeros(4, np.float32)
    assert counted.run(first_column, 1, 4, values, out) == counted.Counts(loads=4, stores=4, sectors=4)
    assert out.tolist() == [0, 8, 16, 24]


def test_threads_that_take_the_same_row_share_its_sector():
    def first_row(values, out):
        i = cuda.grid(1)
        out[i] = values[0][i]

    values, out = np.ones((2, 8), np.float32), np.zeros(8, np.float32)
    assert counted.run(first_row, 1, 8, values, out).sectors == 1


def test_it_numbers_threads_as_numba_does():
    @cuda.jit
    def number(out):
        x, y = cuda.grid(2)
        width, _ = cuda.gridsize(2)
        out[y, x] = y * width + x + 1000 * cuda.blockIdx.y + 10000 * cuda.threadIdx.x

    alone, together = np.zeros((6, 8), np.int32), np.zeros((6, 8), np.int32)
    number[(2, 2), (4, 3)](alone)
    counted.run(number, (2, 2), (4, 3), together)
    np.testing.assert_array_equal(alone, together)
    assert cuda is simt.load()[0]


def reverse(values, barrier):
    shared = cuda.shared.array(WARP, np.float32)
    i = cuda.threadIdx.x
    shared[i] = values[i]
    if barrier > i:
        cuda.syncthreads()
    values[i] = shared[WARP - 1 - i]


def test_a_barrier_makes_shared_memory_visible_and_a_missing_one_shows():
    values = np.arange(WARP, dtype=np.float32)
    counted.run(reverse, 1, WARP, values, WARP)
    assert values.tolist() == list(range(WARP - 1, -1, -1))
    counted.run(reverse, 1, WARP, values, 0)
    assert np.isnan(values).any()


def test_a_barrier_that_some_threads_miss_is_an_error():
    with pytest.raises(RuntimeError, match="only some threads"):
        counted.run(reverse, 1, WARP, np.zeros(WARP, np.float32), WARP - 1)


@pytest.fixture
def _interrupts_arrive():
    """A shell that starts tests in the background has them ignore interrupts, and then Python does so too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts_arrive")
def test_stop_ends_the_threads_that_run_wait_or_have_not_begun():
    def never_ends(values):
        if cuda.threadIdx.x == 2:
            _thread.interrupt_main()
            while True:
                values[0] = 0
        cuda.syncthreads()

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        counted.run(never_ends, 1, 8, np.zeros(8, np.float32))
    deadline = time.monotonic() + 20
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_outside_an_array_is_an_error_with_and_without_a_barrier():
    def waits(values):
        cuda.syncthreads()
        values[cuda.grid(1)] = 1

    def runs(values):
        values[cuda.grid(1)] = 1

    for kernel in (waits, runs):
        with pytest.raises(IndexError):
            counted.run(kernel, 1, WARP, np.zeros(WARP - 1, np.float32))


def test_a_barrier_hidden_in_a_function_is_refused():
    def helper():
        cuda.syncthreads()

    def kernel(values):
        helper()

    with pytest.raises(RuntimeError, match="in the kernel itself"):
        counted.run(kernel, 1, 4, np.zeros(4, np.float32))


def test_each_block_has_its_own_shared_array_also_of_a_type_of_numba():
    from numba import float32

    def first_of_block(values):
        shared = cuda.shared.array(1, float32)
        if cuda.threadIdx.x == 0:
            shared[0] = cuda.blockIdx.x
        cuda.syncthreads()
        values[cuda.grid(1)] = shared[0]

    values = np.zeros(8, np.float32)
    counted.run(first_of_block, 2, 4, values)
    assert values.tolist() == [0] * 4 + [1] * 4
