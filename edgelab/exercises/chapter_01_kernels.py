"""The matrix products of chapter 1 as the course writes them, for as long as a student's own are not right.

Importing this loads numba. It is among the exercises since it holds solutions: students get it folded up.
"""

from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np

from edgelab.processor_models import simt

cuda, _ = simt.load()
TILE = 8


def by_rows(a, b, c):
    """One thread per result; the threads of a warp take the rows of one column."""
    row, col = cuda.grid(2)
    if row < c.shape[0] and col < c.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[row, k] * b[k, col]
        c[row, col] = total


def coalesced(a, b, c):
    """One thread per result; the threads of a warp take neighbouring columns of one row."""
    col, row = cuda.grid(2)
    if row < c.shape[0] and col < c.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[row, k] * b[k, col]
        c[row, col] = total


def tiled(a, b, c):
    """The block loads tiles of `TILE` x `TILE` numbers together, and each thread uses them `TILE` times."""
    left = cuda.shared.array((TILE, TILE), np.float32)
    right = cuda.shared.array((TILE, TILE), np.float32)
    col, row = cuda.grid(2)
    x, y, total = cuda.threadIdx.x, cuda.threadIdx.y, 0.0
    for start in range(0, a.shape[1], TILE):
        left[y, x] = a[row, start + x] if row < a.shape[0] and start + x < a.shape[1] else 0.0
        right[y, x] = b[start + y, col] if col < b.shape[1] and start + y < b.shape[0] else 0.0
        cuda.syncthreads()
        for k in range(TILE):
            total += left[y, k] * right[k, x]
        cuda.syncthreads()
    if row < c.shape[0] and col < c.shape[1]:
        c[row, col] = total


def with_tile(kernel: Callable[..., None], tile: int) -> Callable[..., None]:
    """The kernel with another value of its global `TILE`."""
    function = getattr(kernel, "py_func", kernel)
    names = {**function.__globals__, "TILE": tile}
    return types.FunctionType(function.__code__, names, function.__name__, None, function.__closure__)
