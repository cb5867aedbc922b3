"""Chapter 1: right answers, and the mistakes that students make, each with words of the hint it must get."""

import math

import numpy as np

from edgelab.processor_models import simt

cuda, SIMULATED = simt.load()


def invert(image, out):
    i = cuda.grid(1)
    if i < image.size:
        out[i] = 255 - image[i]


def loads(n, tile):
    return 2 * n**3 // tile


def utilisation(depth, outputs, size):
    pieces = math.ceil(depth / size) * math.ceil(outputs / size)
    return depth * outputs / (pieces * size * size)


def intensity(batch, inputs, outputs):
    return 2 * batch * inputs * outputs / (4 * (inputs * outputs + batch * inputs + batch * outputs))


def agrees(expected, found):
    return np.sqrt(np.mean((found - expected) ** 2)) <= 1e-3 * np.sqrt(np.mean(expected**2))


SOLUTIONS = {"01.1": invert, "01.2": loads, "01.3": utilisation, "01.4": intensity, "01.5": agrees}


def unguarded(image, out):
    i = cuda.grid(1)
    out[i] = 255 - image[i]


def first_block_only(image, out):
    i = cuda.threadIdx.x
    if i < image.size:
        out[i] = 255 - image[i]


def loops_over_all(image, out):
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


ALSO_RIGHT = (("01.1", cuda.jit(invert)),)

WRONG = (
    ("01.1", unguarded, "must do nothing"),
    ("01.1", first_block_only, "starts again at 0"),
    ("01.1", loops_over_all, "Drop the loop"),
    ("01.1", copies, "subtract the pixel from 255"),
    ("01.1", writes_nothing, "must store into out"),
    ("01.2", lambda n, tile: 2 * n**3, "without tiles"),
    ("01.2", lambda n, tile: n**3 // tile, "two matrices"),
    ("01.2", lambda n, tile: 2 * n**3 // tile**2, "not `tile` squared"),
    ("01.2", lambda n, tile: 2 * n**2, "as large as the matrix"),
    ("01.3", lambda d, o, s: min(1.0, d * o / s**2), "round up"),
    ("01.3", lambda d, o, s: 100 * utilisation(d, o, s), "not a percentage"),
    ("01.3", lambda d, o, s: d * o / s, "No more than all cells"),
    ("01.4", lambda b, i, o: intensity(b, i, o) / 2, "two operations"),
    ("01.4", lambda b, i, o: intensity(b, i, o) * 4, "4 bytes"),
    ("01.4", lambda b, i, o: 2 * b * i * o / (4 * i * o), "inputs and outputs travel"),
    ("01.4", lambda b, i, o: 2 * b * i * o / (4 * b * (i + o)), "weights travel"),
    ("01.4", lambda b, i, o: 1 / intensity(b, i, o), "not bytes per operation"),
    ("01.5", lambda e, f: np.array_equal(e, f), "another order"),
    ("01.5", lambda e, f: np.abs(f - e).max() < 1e-3, "relative"),
    ("01.5", lambda e, f: e.argmax() == f.argmax(), "compare the values"),
    ("01.5", lambda e, f: np.allclose(e, f, atol=1e-3), "relative"),
    ("01.5", lambda e, f: abs(np.mean(f - e)) <= 1e-3 * np.sqrt(np.mean(e**2)), "square them first"),
    ("01.5", lambda e, f: not np.sqrt(np.mean((f - e) ** 2)) > 1e-3 * np.sqrt(np.mean(e**2)), "with NaN"),
)
