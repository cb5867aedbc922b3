"""The course's matrix products: right for any sizes, with the traffic that each is there to show."""

import math

import numpy as np
import pytest

from edgelab.exercises import chapter_01_kernels as products
from edgelab.processor_models import counted, simt

SHAPE = (19, 13, 21)  # neither blocks nor tiles divide it


def run(kernel, threads):
    rows, depth, columns = SHAPE
    rng = np.random.default_rng(0)
    a, b = rng.random((rows, depth), np.float32), rng.random((depth, columns), np.float32)
    c = np.full((rows, columns), np.nan, np.float32)
    longest = max(rows, columns)  # enough blocks whichever of the two x is
    across, down = (columns, rows) if kernel.__name__ == "tiled" else (longest, longest)
    blocks = (math.ceil(across / threads[0]), math.ceil(down / threads[1]))
    counts = counted.run(kernel, blocks, threads, a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=1e-5)
    return counts


def test_coalescing_spares_sectors_and_no_loads():
    by_rows, coalesced = (run(kernel, (32, 4)) for kernel in (products.by_rows, products.coalesced))
    assert by_rows.loads == coalesced.loads == 2 * math.prod(SHAPE)
    assert by_rows.sectors > 4 * coalesced.sectors


@pytest.mark.parametrize("tile", [2, 4, 8])
def test_a_tile_loads_each_number_once_for_all_its_threads(tile):
    rows, depth, columns = SHAPE
    counts = run(products.with_tile(products.tiled, tile), (tile, tile))
    expected = rows * depth * math.ceil(columns / tile) + depth * columns * math.ceil(rows / tile)
    assert counts.loads == expected


def test_another_tile_leaves_the_kernel_as_it_was():
    kernel = simt.load()[0].jit(products.tiled)
    assert products.with_tile(kernel, 4).__globals__["TILE"] == 4
    assert products.TILE == 8
