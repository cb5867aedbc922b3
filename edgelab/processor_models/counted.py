"""A GPU kernel run on counted arrays: how many numbers its threads load, and in how many sectors they arrive.

The threads of a block take turns in the order of their numbers, each until it ends or waits at a barrier. So
a barrier that is missing shows in the result, every time. It needs no GPU, and counts the same everywhere.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import queue
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from edgelab.machine import threads as machine_threads
from edgelab.processor_models import simt
from edgelab.texts import tr

SECTOR_BYTES = 32  # what global memory delivers at once
WAKE_UP_S = 0.1  # waiting in slices lets an interrupt through on every platform


@dataclass(frozen=True)
class Counts:
    """What a kernel asked of global memory.

    Attributes:
        loads: numbers read, by all threads together.
        stores: numbers written.
        sectors: pieces of 32 bytes that carried the loads: the threads of a warp that read at the same
            instruction share them.
    """

    loads: int
    stores: int
    sectors: int


class Dim3(NamedTuple):
    """A place in a block or grid, or its size."""

    x: int
    y: int
    z: int


def run(kernel: Callable[..., None], blocks: Any, threads: Any, *arguments: Any) -> Counts:
    """Run a kernel, and count its traffic with global memory.

    Args:
        kernel: as numba takes it, with `@cuda.jit` or without; of `cuda` it may use `grid`, `gridsize`,
            the indices and sizes, `shared.array` and `syncthreads`.
        blocks: blocks of the grid, a number or (x, y).
        threads: threads of a block, a number or (x, y).
        arguments: of the kernel; arrays are counted, and changed in place.

    Raises:
        IndexError: a thread reads or writes outside an array.
        RuntimeError: only some threads of a block reach a barrier.
    """
    if hasattr(kernel, "counted"):  # a student's, which the grader runs in a process of its own
        return Counts(*kernel.counted(blocks, threads, *arguments))
    function = getattr(kernel, "py_func", kernel)
    grid_size, block_size = _size(blocks), _size(threads)
    launch = _Launch(grid_size, block_size)
    counted = [
        _GlobalArray(argument, launch, name, _addresses(argument))
        if isinstance(argument, np.ndarray)
        else argument
        for name, argument in enumerate(arguments)
    ]
    with _standing_in(function, launch.cuda):
        for block in _places(grid_size):
            launch.run_block(function, counted, block)
    return Counts(launch.loads, launch.stores, sum(map(len, launch.sectors.values())))


def _size(shape: Any) -> Dim3:
    sides = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    return Dim3(*(int(side) for side in sides), *[1] * (3 - len(sides)))


def _addresses(values: np.ndarray) -> np.ndarray:
    """Bytes from the array's start, as in a GPU's memory: row after row, begun at a whole sector."""
    return np.arange(values.size).reshape(values.shape) * values.itemsize


def _places(size: Dim3) -> Iterator[Dim3]:
    """All places of a grid or block, x fastest, as threads are numbered."""
    for z, y, x in itertools.product(range(size.z), range(size.y), range(size.x)):
        yield Dim3(x, y, z)


@contextlib.contextmanager
def _standing_in(function: Callable, stand_in: Any) -> Iterator[None]:
    """Let the names that mean numba's `cuda` mean another module while the kernel runs."""
    cuda, names = simt.load()[0], function.__globals__
    replaced = {name: value for name, value in names.items() if value is cuda}
    names.update(dict.fromkeys(replaced, stand_in))
    try:
        yield
    finally:
        names.update(replaced)


class _Stopped(BaseException):
    """Ends the threads of a block of which another one has failed."""


class _Thread(threading.Thread):
    """One GPU thread: it runs only while it holds the turn.

    Turns are handed on by `SimpleQueue`, whose C code no interrupt leaves with a lock held.
    """

    def __init__(self, launch: _Launch, place: Dim3, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.place, self._times = place, Counter()
        self.waiting, self.failure, self.stopped = False, None, None
        self.has_turn = False
        self._launch, self._turn = launch, queue.SimpleQueue()
        number = place.x + launch.block_size.x * (place.y + launch.block_size.y * place.z)
        self.warp = number // simt.WARP_SIZE

    def run(self) -> None:
        self._turn.get()
        try:
            if self.stopped is None:
                self.work()
        except BaseException as error:
            self.failure = error
        self.waiting = False
        self._launch.turn_over.put(None)

    def times_at(self, place: Any) -> int:
        """How often this thread was at a place of the program before."""
        self._times[place] += 1
        return self._times[place] - 1

    def take_turn(self) -> None:
        self._launch.current, self.has_turn = self, True
        self._turn.put(None)
        while self.has_turn:
            with contextlib.suppress(queue.Empty):
                self._launch.turn_over.get(timeout=WAKE_UP_S)
                self.has_turn = False

    def end(self) -> None:
        """Whatever it does: it waits for a turn, or was interrupted in one that may never be over."""
        self.stopped = _Stopped()
        self._turn.put(None)
        if self.has_turn:
            machine_threads.end(self)

    def wait(self) -> None:
        """At a barrier: hand the turn on."""
        if not self.is_alive():  # it runs alone, since nothing in the kernel's own code waits
            raise RuntimeError(
                tr("call cuda.syncthreads in the kernel itself, not in a function that it calls")
            )
        self.waiting = True
        self._launch.turn_over.put(None)
        self._turn.get()
        self.waiting = False
        if self.stopped is not None:
            raise self.stopped


class _Launch:
    """The state of one launch: what is counted, and the `cuda` that its kernel sees."""

    def __init__(self, grid_size: Dim3, block_size: Dim3) -> None:
        self.grid_size, self.block_size, self.block = grid_size, block_size, Dim3(0, 0, 0)
        self.loads = self.stores = 0
        self.sectors: dict[Any, set[int]] = {}
        self.current: _Thread | None = None
        self.turn_over: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.cuda = _Cuda(self)

    def run_block(self, function: Callable, arguments: list[Any], block: Dim3) -> None:
        self.block = block
        self.cuda.begin_block()
        threads = [_Thread(self, place, lambda: function(*arguments)) for place in _places(self.block_size)]
        if "syncthreads" in function.__code__.co_names:
            try:
                self._run_in_turns(threads)
            except BaseException:  # the Stop button, too: nobody else will give them a turn
                for thread in threads:
                    thread.end()
                raise
            return
        for self.current in threads:  # nobody waits for another, so that no real threads are needed
            self.current.work()

    def _run_in_turns(self, threads: list[_Thread]) -> None:
        for thread in threads:
            thread.start()
        while threads:
            for thread in threads:
                thread.take_turn()
                if thread.failure is not None:
                    self._stop([other for other in threads if other.is_alive() and other is not thread])
                    raise thread.failure
            waiting = [thread for thread in threads if thread.waiting]
            if waiting and len(waiting) < len(threads):
                self._fail_at_barrier(waiting)
            threads = waiting

    def _stop(self, threads: list[_Thread]) -> None:
        for thread in threads:
            thread.stopped = _Stopped()
            thread.take_turn()

    def _fail_at_barrier(self, waiting: list[_Thread]) -> None:
        first, *others = waiting
        self._stop(others)
        first.stopped = RuntimeError(
            tr("only some threads of the block reach this barrier; on a GPU they may wait for ever")
        )
        first.take_turn()
        raise first.failure

    def record_load(self, array: int, address: int, line: int) -> None:
        """Threads of a warp load at the same instant if they are equally often at the same line."""
        self.loads += 1
        instant = (array, line, self.current.times_at((array, line)), self.block, self.current.warp)
        self.sectors.setdefault(instant, set()).add(address // SECTOR_BYTES)


class _GlobalArray:
    """An array in global memory, of which each access of a single number is counted."""

    def __init__(self, values: np.ndarray, launch: _Launch, name: int, addresses: np.ndarray) -> None:
        self._values, self._launch, self._name = values, launch, name
        self._addresses, self.shape, self.size = addresses, values.shape, values.size
        self.ndim, self.dtype = values.ndim, values.dtype

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> Any:
        value = self._values[index]
        if isinstance(value, np.ndarray):
            return _GlobalArray(value, self._launch, self._name, self._addresses[index])
        self._launch.record_load(self._name, int(self._addresses[index]), sys._getframe(1).f_lineno)
        return value

    def __setitem__(self, index: Any, value: Any) -> None:
        self._launch.stores += int(np.size(self._values[index]))
        self._values[index] = value


class _Cuda:
    """What a kernel may use of numba's `cuda`."""

    def __init__(self, launch: _Launch) -> None:
        self._launch = launch
        self.blockDim, self.gridDim = launch.block_size, launch.grid_size
        self.shared = SimpleNamespace(array=self._shared_array)
        self._arrays: dict[Any, np.ndarray] = {}

    def begin_block(self) -> None:
        self._arrays = {}

    @property
    def threadIdx(self) -> Dim3:  # noqa: N802 - CUDA's own name
        return self._launch.current.place

    @property
    def blockIdx(self) -> Dim3:  # noqa: N802 - CUDA's own name
        return self._launch.block

    def grid(self, dimensions: int) -> Any:
        """This thread's number in the whole grid, per dimension."""
        sizes = zip(self.threadIdx, self.blockIdx, self.blockDim, strict=True)
        numbers = tuple(thread + block * size for thread, block, size in sizes)[:dimensions]
        return numbers[0] if dimensions == 1 else numbers

    def gridsize(self, dimensions: int) -> Any:
        """Threads of the whole grid, per dimension."""
        sizes = tuple(math.prod(pair) for pair in zip(self.blockDim, self.gridDim, strict=True))[:dimensions]
        return sizes[0] if dimensions == 1 else sizes

    def syncthreads(self) -> None:
        """The barrier: nobody goes on before all threads of the block are here."""
        self._launch.current.wait()

    def _shared_array(self, shape: Any, dtype: Any) -> np.ndarray:
        """The block's array of this call; what nobody has written yet is not a number."""
        caller = sys._getframe(1)
        place = (caller.f_code, caller.f_lineno)
        place += (self._launch.current.times_at(place),)  # two arrays may be made in one line
        if place not in self._arrays:
            self._arrays[place] = np.full(shape, np.nan, _as_numpy(dtype))
        return self._arrays[place]


def _as_numpy(dtype: Any) -> np.dtype:
    from numba.core import types
    from numba.np import numpy_support

    return numpy_support.as_dtype(dtype) if isinstance(dtype, types.Type) else np.dtype(dtype)
