"""Chapter 1: right answers, and the mistakes that students make, each with words of the hint it must get."""

import inspect
import math

import numpy as np

from edgelab.processor_models import simt

cuda, SIMULATED = simt.load()
TILE = 8


def invert(image, out):
    i = cuda.grid(1)
    if i < image.size:
        out[i] = 255 - image[i]


def multiply(a, b, c):
    row, col = cuda.grid(2)
    if row < c.shape[0] and col < c.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[row, k] * b[k, col]
        c[row, col] = total


def multiply_coalesced(a, b, c):
    col, row = cuda.grid(2)
    if row < c.shape[0] and col < c.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[row, k] * b[k, col]
        c[row, col] = total


def multiply_tiled(a, b, c):
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


def utilisation(depth, outputs, size):
    pieces = math.ceil(depth / size) * math.ceil(outputs / size)
    return depth * outputs / (pieces * size * size)


def intensity(batch, inputs, outputs, bytes_each):
    return 2 * batch * inputs * outputs / (bytes_each * (inputs * outputs + batch * (inputs + outputs)))


def agrees(expected, found):
    return np.sqrt(np.mean((found - expected) ** 2)) <= 1e-3 * np.sqrt(np.mean(expected**2))


SOLUTIONS = {
    "01.1": invert,
    "01.2": multiply,
    "01.3": multiply_coalesced,
    "01.4": multiply_tiled,
    "01.5": utilisation,
    "01.6": intensity,
    "01.7": agrees,
}


def in_steps_of_the_grid(image, out):
    for place in range(cuda.grid(1), image.size, cuda.gridsize(1)):
        out[place] = 255 - image[place]


def by_indices(image, out):
    place = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if place >= len(image):
        return
    out[place] = np.uint8(255) - image[place]


def exclusive_or(image, out):
    n = cuda.grid(1)
    if n < out.shape[0]:
        out[n] = image[n] ^ 255


def multiply_in_steps_of_the_grid(a, b, c):
    across, down = cuda.gridsize(2)
    first_column, first_row = cuda.grid(2)
    for i in range(first_row, len(c), down):
        for j in range(first_column, c.shape[1], across):
            dot = np.float32(0)
            for k in range(len(b)):
                dot += b[k, j] * a[i, k]
            c[i, j] = dot


def multiply_backwards(a, b, c):
    y = cuda.blockIdx.y * cuda.blockDim.y + cuda.threadIdx.y
    x = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if y >= a.shape[0] or x >= b.shape[1]:
        return
    total, k = 0, a.shape[1] - 1
    while k >= 0:
        total = total + a[y, k] * b[k, x]
        k -= 1
    c[y, x] = total


def multiply_by_rows(a, b, c):
    col, row = cuda.grid(2)
    if row < c.shape[0] and col < c.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[row][k] * b[k][col]
        c[row, col] = total


def tiled_in_one_array(a, b, c):
    tiles = cuda.shared.array((2, TILE, TILE), np.float32)
    i, j = cuda.threadIdx.y, cuda.threadIdx.x
    row, col = cuda.blockIdx.y * TILE + i, cuda.blockIdx.x * TILE + j
    total = np.float32(0)
    for step in range(math.ceil(a.shape[1] / TILE)):
        tiles[0, i, j] = tiles[1, i, j] = 0
        if row < a.shape[0] and step * TILE + j < a.shape[1]:
            tiles[0, i, j] = a[row, step * TILE + j]
        if step * TILE + i < b.shape[0] and col < b.shape[1]:
            tiles[1, i, j] = b[step * TILE + i, col]
        cuda.syncthreads()
        for k in range(TILE):
            total += tiles[0, i, k] * tiles[1, k, j]
        cuda.syncthreads()
    if row < c.shape[0] and col < c.shape[1]:
        c[row, col] = total


def tiled_with_a_short_last_tile(a, b, c):
    left = cuda.shared.array(shape=(8, 8), dtype=np.float32)
    right = cuda.shared.array(shape=(8, 8), dtype=np.float32)
    col, row = cuda.grid(2)
    x, y, total = cuda.threadIdx.x, cuda.threadIdx.y, 0.0
    for start in range(0, a.shape[1], 8):
        cuda.syncthreads()  # at the other end of the round: nobody still reads the tiles before
        if row < c.shape[0] and start + x < a.shape[1]:
            left[y, x] = a[row, start + x]
        if col < c.shape[1] and start + y < a.shape[1]:
            right[y, x] = b[start + y, col]
        cuda.syncthreads()
        for k in range(min(8, a.shape[1] - start)):
            total += left[y, k] * right[k, x]
    if row < c.shape[0] and col < c.shape[1]:
        c[row, col] = total


def tiled_that_loads_the_last_number_again(a, b, c):
    left = cuda.shared.array((TILE, TILE), np.float32)
    right = cuda.shared.array((TILE, TILE), np.float32)
    col, row = cuda.grid(2)
    x, y, total = cuda.threadIdx.x, cuda.threadIdx.y, 0.0
    for start in range(0, a.shape[1], TILE):
        left[y, x] = a[min(row, a.shape[0] - 1), min(start + x, a.shape[1] - 1)] * (start + x < a.shape[1])
        right[y, x] = b[min(start + y, b.shape[0] - 1), min(col, b.shape[1] - 1)]
        cuda.syncthreads()
        for k in range(TILE):
            total += left[y, k] * right[k, x]
        cuda.syncthreads()
    if row < c.shape[0] and col < c.shape[1]:
        c[row, col] = total


def utilisation_in_whole_numbers(depth, outputs, size):
    return depth * outputs / (-(-depth // size) * -(-outputs // size)) / size**2


def utilisation_by_counting(depth, outputs, size):
    held = [
        min(size, depth - down) * min(size, outputs - across)
        for down in range(0, depth, size)
        for across in range(0, outputs, size)
    ]
    return np.mean(held) / size**2


def utilisation_by_direction(depth, outputs, size):
    return np.float64(depth) / (np.ceil(depth / size) * size) * outputs / (np.ceil(outputs / size) * size)


def intensity_in_steps(batch, inputs, outputs, bytes_each):
    numbers = inputs * outputs
    for _ in range(batch):
        numbers += inputs + outputs
    return np.float32(batch * inputs * outputs * 2) / np.float32(numbers * bytes_each)


def intensity_of_arrays(batch, inputs, outputs, bytes_each):
    moved = np.array([inputs * outputs, batch * inputs, batch * outputs]) * bytes_each
    return 2 * np.prod([batch, inputs, outputs], dtype=np.int64) / moved.sum()


def intensity_per_image(batch, inputs, outputs, bytes_each):
    return 2 / bytes_each / (1 / batch + 1 / outputs + 1 / inputs)


def agrees_by_norms(expected, found):
    return bool(np.linalg.norm(found - expected) <= 0.001 * np.linalg.norm(expected))


def agrees_by_sums(expected, found):
    difference = squares = 0.0
    for wanted, got in zip(expected.flat, found.flat, strict=True):
        difference += (got - wanted) ** 2
        squares += wanted**2
    return difference <= 1e-6 * squares


def agrees_after_a_look_for_nan(expected, found):
    if np.isnan(found).any():
        return False
    error = ((expected - found) ** 2).mean() ** 0.5
    return not error > (expected**2).mean() ** 0.5 / 1000


ALSO_RIGHT = (
    ("01.1", cuda.jit(invert)),
    ("01.1", in_steps_of_the_grid),
    ("01.1", by_indices),
    ("01.1", exclusive_or),
    ("01.2", multiply_coalesced),
    ("01.2", cuda.jit(multiply)),
    ("01.2", multiply_in_steps_of_the_grid),
    ("01.2", multiply_backwards),
    ("01.3", cuda.jit(multiply_coalesced)),
    ("01.3", multiply_in_steps_of_the_grid),
    ("01.3", multiply_backwards),
    ("01.3", multiply_by_rows),
    ("01.4", cuda.jit(multiply_tiled)),
    ("01.4", tiled_in_one_array),
    ("01.4", tiled_with_a_short_last_tile),
    ("01.4", tiled_that_loads_the_last_number_again),
    ("01.5", utilisation_in_whole_numbers),
    ("01.5", utilisation_by_counting),
    ("01.5", utilisation_by_direction),
    ("01.6", intensity_in_steps),
    ("01.6", intensity_of_arrays),
    ("01.6", intensity_per_image),
    ("01.7", agrees_by_norms),
    ("01.7", agrees_by_sums),
    ("01.7", agrees_after_a_look_for_nan),
)


def unguarded(image, out):
    i = cuda.grid(1)
    out[i] = 255 - image[i]


def for_100_pixels_only(image, out):
    i = cuda.grid(1)
    if i < 100:
        out[i] = 255 - image[i]


def for_at_most_100_pixels(image, out):
    i = cuda.grid(1)
    if i < min(100, image.size):
        out[i] = 255 - image[i]


def first_block_only(image, out):
    i = cuda.threadIdx.x
    if i < image.size:
        out[i] = 255 - image[i]


def loops_over_all(image, out):
    for i in range(image.size):
        out[i] = 255 - image[i]


def first_thread_loops_over_all(image, out):
    if cuda.grid(1) == 0:
        for i in range(image.size):
            out[i] = 255 - image[i]


def copies(image, out):
    i = cuda.grid(1)
    if i < image.size:
        out[i] = image[i]


def writes_nothing(image, out):
    i = cuda.grid(1)
    if i < image.size:
        i = 255 - image[i]


def changed(kernel, *changes):
    """A kernel with changes to its source, each an old text and a new one: a student's slip."""
    names = {"cuda": cuda, "np": np, "TILE": TILE}
    source = inspect.getsource(kernel)
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    exec(compile(source, "<changed>", "exec"), names)
    return names[kernel.__name__]


ALL_ROWS = "    if row < c.shape[0] and col < c.shape[1]:\n"
SUM = "        c[row, col] = total"
NO_GUARD = (ALL_ROWS, "    if True:\n")
NO_STORE = (SUM, "        return total")
SUM_IN_C = (("total = 0.0", "c[row, col] = 0"), ("total +=", "c[row, col] +="), (SUM, ""))
LOADS_AGAIN = ("b[k, col]\n", "b[k, col] + 0 * a[row, 0]\n")
FIRST_BARRIER = ("        cuda.syncthreads()\n        for", "        for")
SECOND_BARRIER = ("        cuda.syncthreads()\n    if", "    if")
WHOLE_ROUNDS = ("range(0, a.shape[1], TILE)", "range(0, max(TILE, a.shape[1] // TILE * TILE), TILE)")
LEAVES_EARLY = ("    for start", "    if row >= c.shape[0]:\n        return\n    for start")
A_INSIDE = " if row < a.shape[0] and start + x < a.shape[1] else 0.0"


def multiply_into_transposed(a, b, c):
    row, col = cuda.grid(2)
    if row < c.shape[0] and col < c.shape[1]:
        total = 0.0
        for k in range(a.shape[1]):
            total += a[col % a.shape[0], k] * b[k, row % b.shape[1]]
        c[row, col] = total


WRONG = (
    ("01.1", unguarded, "must do nothing"),
    ("01.1", for_100_pixels_only, "must do nothing"),
    ("01.1", for_at_most_100_pixels, "Ask the image for its size"),
    ("01.1", first_block_only, "starts again at 0"),
    ("01.1", loops_over_all, "Drop the loop"),
    ("01.1", first_thread_loops_over_all, "Drop the loop"),
    ("01.1", copies, "subtract the pixel from 255"),
    ("01.1", writes_nothing, "must store into out"),
    ("01.2", changed(multiply, NO_GUARD), "went outside its arrays"),
    ("01.2", changed(multiply, NO_STORE), "got nan"),
    ("01.2", multiply_into_transposed, "rows and columns exchanged"),
    ("01.2", changed(multiply, *SUM_IN_C), "running sum in a variable"),
    ("01.2", changed(multiply, ("a.shape[1]", "8")), "got 181"),
    ("01.2", changed(multiply, LOADS_AGAIN), "and nothing else"),
    ("01.3", multiply, "let x be the column"),
    ("01.3", cuda.jit(multiply), "let x be the column"),
    ("01.3", changed(multiply_coalesced, NO_GUARD), "went outside its arrays"),
    ("01.3", changed(multiply_coalesced, *SUM_IN_C), "running sum in a variable"),
    ("01.3", changed(multiply_coalesced, LOADS_AGAIN), "and nothing else"),
    ("01.4", multiply_coalesced, "once per tile"),
    ("01.4", changed(multiply_tiled, FIRST_BARRIER), "Does every thread wait"),
    ("01.4", changed(multiply_tiled, SECOND_BARRIER), "a fast thread"),
    ("01.4", changed(multiply_tiled, ("else 0.0", "else left[y, x]")), "hangs over the edge"),
    ("01.4", changed(multiply_tiled, WHOLE_ROUNDS), "hangs over the edge"),
    ("01.4", changed(multiply_tiled, (A_INSIDE, "")), "went outside its arrays"),
    ("01.4", changed(multiply_tiled, LEAVES_EARLY), "only some threads of the block"),
    ("01.5", lambda d, o, s: min(1.0, d * o / s**2), "round up"),
    ("01.5", lambda d, o, s: 100 * utilisation(d, o, s), "not a percentage"),
    ("01.5", lambda d, o, s: d * o / s, "No more than all cells"),
    ("01.5", lambda d, o, s: 1.0, "0.002197"),
    ("01.5", lambda d, o, s: d / (math.ceil(d / s) * s), "0.002197"),
    ("01.6", lambda b, i, o, n: intensity(b, i, o, n) / 2, "two operations"),
    ("01.6", lambda b, i, o, n: intensity(b, i, o, 1), "Count bytes"),
    ("01.6", lambda b, i, o, n: intensity(b, i, o, 4), "does not always take 4"),
    ("01.6", lambda b, i, o, n: 2 * b * i * o / (n * i * o), "inputs and outputs travel"),
    ("01.6", lambda b, i, o, n: 2 * b * i * o / (n * b * (i + o)), "weights travel"),
    ("01.6", lambda b, i, o, n: 1 / intensity(b, i, o, n), "not bytes per operation"),
    ("01.6", lambda b, i, o, n: intensity(1, 1280, 1000, 4), "batch 64"),
    ("01.7", lambda e, f: np.array_equal(e, f), "another order"),
    ("01.7", lambda e, f: np.abs(f - e).max() < 1e-3, "relative"),
    ("01.7", lambda e, f: e.argmax() == f.argmax(), "compare the values"),
    ("01.7", lambda e, f: np.allclose(e, f, atol=1e-3), "relative"),
    ("01.7", lambda e, f: abs(np.mean(f - e)) <= 1e-3 * np.sqrt(np.mean(e**2)), "square them first"),
    ("01.7", lambda e, f: not np.sqrt(np.mean((f - e) ** 2)) > 1e-3 * np.sqrt(np.mean(e**2)), "with NaN"),
    ("01.7", lambda e, f: np.sqrt(np.mean((f - e) ** 2)) <= 0.15 * np.sqrt(np.mean(e**2)), "0.11 %"),
    ("01.7", lambda e, f: np.sqrt(np.mean((f - e) ** 2)) <= 1e-5 * np.sqrt(np.mean(e**2)), "0.09 %"),
    ("01.7", lambda e, f: np.sqrt(np.mean((f - e) ** 2)) < 1e-3 * np.sqrt(np.mean(e**2)), "at most"),
)

SURVIVORS = [
    (
        "01.4",
        "left[y, x] = a[row, start + x] if row < a.shape[0] and start + x < a.shape[1] else 1.0",
        "where one tile hangs over, the other does too, and its 0 makes the product 0",
    ),
    (
        "01.4",
        "right[y, x] = b[start + y, col] if col < b.shape[1] and start + y < b.shape[0] else 1.0",
        "where one tile hangs over, the other does too, and its 0 makes the product 0",
    ),
]
