"""The checks of chapter 1: a kernel, tiled loads, a MAC array's utilisation, arithmetic intensity, a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.processor_models import simt
from edgelab.texts import tr

PIXELS, SPARE, BLOCKS, THREADS = 100, 28, 4, simt.WARP_SIZE
NEVER_WRITTEN = 77  # no pixel of the check's image inverts to it


def _launch(kernel: Any, blocks: int, threads: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run an image kernel on the first part of a larger buffer.

    Returns:
        (image, what was written for it, what was written behind it).
    """
    cuda, _ = simt.load()
    image = np.arange(PIXELS, dtype=np.uint8)
    buffer = cuda.to_device(np.full(PIXELS + SPARE, NEVER_WRITTEN, np.uint8))
    padded = cuda.to_device(np.concatenate([image, np.zeros(SPARE, np.uint8)]))
    kernel[blocks, threads](padded[:PIXELS], buffer[:PIXELS])
    written = buffer.copy_to_host()
    return image, written[:PIXELS], written[PIXELS:]


@exercise(
    "01.1",
    tr("A kernel that guards its edge"),
    hints=(
        tr("cuda.grid(1) is this thread's number among all threads of the grid."),
        tr(
            "More threads are started than there are pixels: let a thread act only if its number "
            "is below image.size."
        ),
        tr("The whole body: i = cuda.grid(1), then, if i < image.size: out[i] = 255 - image[i]."),
    ),
    read=tr("the section “Inside a GPU” of this chapter"),
)
def check_kernel(answer: Callable[..., None]) -> None:
    """A kernel that inverts 100 pixels with 128 threads."""
    cuda, _ = simt.load()
    kernel = answer if hasattr(answer, "__getitem__") else cuda.jit(answer)
    outside = Mistake(
        tr("a thread beyond pixel {last} read or wrote outside the image", last=PIXELS - 1),
        tr(
            "{blocks} blocks of {threads} are {all_threads} threads for {pixels} pixels: the last ones "
            "must do nothing. On a real GPU this goes unnoticed and spoils somebody else's "
            "memory.",
            blocks=BLOCKS,
            threads=THREADS,
            all_threads=BLOCKS * THREADS,
            pixels=PIXELS,
        ),
    )
    try:
        image, written, behind = _launch(kernel, BLOCKS, THREADS)
    except IndexError:
        raise outside from None
    if (behind != NEVER_WRITTEN).any():
        raise outside
    done = written == 255 - image
    if done.all():
        _, alone, _ = _launch(kernel, 1, 1)
        if (alone != NEVER_WRITTEN).sum() > 1:
            raise Mistake(
                tr("one thread alone did the whole image"),
                tr("Drop the loop: each thread handles one pixel, and the grid does the looping."),
            )
        return
    untouched_pixels = int((written == NEVER_WRITTEN).sum())
    if untouched_pixels == PIXELS:
        raise Mistake(tr("no pixel was written"), tr("A kernel returns nothing: it must store into out."))
    if untouched_pixels == PIXELS - THREADS:
        raise Mistake(
            tr("only the first {threads} pixels were written", threads=THREADS),
            tr(
                "cuda.threadIdx.x starts again at 0 in every block; add cuda.blockIdx.x * "
                "cuda.blockDim.x, or use cuda.grid(1)."
            ),
        )
    first = int(np.argmin(done))
    raise Mistake(
        tr(
            "pixel {first} is {pixel}, its inverse is {inverse}, got {written}",
            first=first,
            pixel=image[first],
            inverse=255 - image[first],
            written=written[first],
        ),
        tr("White (255) becomes black (0): subtract the pixel from 255."),
    )


@exercise(
    "01.2",
    tr("Loads of a tiled matmul"),
    hints=(
        tr("Without tiles every one of the n * n threads loads n values of a and n of b."),
        tr("With tiles a loaded value is shared by a whole row or column of threads, `tile` of them."),
        tr("2 * n**3 // tile"),
    ),
    read=tr("the section “Shared memory” of this chapter"),
)
def check_loads(answer: Callable[[int, int], float]) -> None:
    """Global loads of an n x n product with square tiles."""
    for n, tile in ((32, 8), (32, 1), (96, 32)):
        expected, got = 2 * n**3 // tile, answer(n, tile)
        if got == expected:
            continue
        known = {
            2 * n**3: tr("That is the count without tiles: each value loaded now serves `tile` threads."),
            n**3 // tile: tr("There are two matrices to load from, not one."),
            2 * n**3 // tile**2: (
                tr(
                    "A value of a is shared along one direction of the tile only, so the saving is "
                    "`tile`, not `tile` squared."
                )
            ),
            2 * n**2: tr("That is loading each value once: it would need a tile as large as the matrix."),
        }
        raise Mistake(
            tr(
                "for n = {n} and tile = {tile} the kernel counts {expected}, got {got}",
                n=n,
                tile=tile,
                expected=expected,
                got=got,
            ),
            known.get(got, ""),
        )


@exercise(
    "01.3",
    tr("How full is the array?"),
    hints=(
        tr("Cut the depth x outputs weights into pieces of size x size: how many pieces are there?"),
        tr(
            "math.ceil(depth / size) * math.ceil(outputs / size) pieces, each of which occupies "
            "the whole array."
        ),
        tr("depth * outputs / (pieces * size * size)"),
    ),
    read=tr("the section “MAC arrays” of this chapter"),
)
def check_utilisation(answer: Callable[[int, int, int], float]) -> None:
    """Share of a size x size array that holds weights, averaged over the pieces of a layer."""
    for depth, outputs, size in ((64, 64, 64), (9, 1, 64), (65, 64, 64), (16, 96, 64), (100, 40, 16)):
        pieces = math.ceil(depth / size) * math.ceil(outputs / size)
        expected, got = depth * outputs / (pieces * size * size), float(answer(depth, outputs, size))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        hint = ""
        if math.isclose(got, min(1.0, depth * outputs / size**2), rel_tol=1e-6):
            hint = tr(
                "A layer larger than the array comes in pieces, and the last piece is rarely full: round up."
            )
        elif math.isclose(got, 100 * expected, rel_tol=1e-6):
            hint = tr("Give a fraction from 0 to 1, not a percentage.")
        elif got > 1:
            hint = tr("No more than all cells can be busy.")
        raise Mistake(
            tr(
                "{depth} x {outputs} weights fill {expected:.4g} of a {size} x {size} array, got {got:.4g}",
                depth=depth,
                outputs=outputs,
                expected=expected,
                size=size,
                got=got,
            ),
            hint,
        )


@exercise(
    "01.4",
    tr("Arithmetic intensity of a dense layer"),
    hints=(
        tr("Operations: batch * inputs * outputs multiply-adds, each of which counts as two."),
        tr("Bytes: the weights, the inputs and the outputs of all images, 4 bytes each."),
        tr("2 * batch * inputs * outputs / (4 * (inputs * outputs + batch * inputs + batch * outputs))"),
    ),
    read=tr("the section “Roofline” of this chapter"),
)
def check_intensity(answer: Callable[[int, int, int], float]) -> None:
    """Operations per byte of a float32 dense layer that reads everything once."""
    for batch, inputs, outputs in ((1, 1280, 1000), (64, 1280, 1000), (8, 16, 32)):
        macs = batch * inputs * outputs
        weights, images = inputs * outputs, batch * (inputs + outputs)
        expected, got = 2 * macs / (4 * (weights + images)), float(answer(batch, inputs, outputs))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        hints = {
            expected / 2: tr("A multiply-add is two operations: one product, one sum."),
            expected * 4: tr("A float32 number takes 4 bytes."),
            2 * macs / (4 * weights): tr("The images' inputs and outputs travel through memory too."),
            2 * macs / (4 * images): tr("The weights travel through memory too, and there are many of them."),
            1 / expected: tr("Operations per byte, not bytes per operation."),
        }
        hint = next((text for value, text in hints.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "batch {batch}, {inputs} inputs, {outputs} outputs: {expected:.4g} FLOP/byte, got {got:.4g}",
                batch=batch,
                inputs=inputs,
                outputs=outputs,
                expected=expected,
                got=got,
            ),
            hint,
        )


def _pairs() -> tuple[tuple[str, np.ndarray, np.ndarray, bool], ...]:
    """What happened, the CPU's results, the GPU's, and whether they agree."""
    scores = np.array([[-4.0, 3.0, 0.5, 2.0, -1.0, 2.5]])
    missing = scores.copy()
    missing[0, 3] = np.nan
    return (
        (tr("the GPU gives the CPU's results"), scores, scores.copy(), True),
        (tr("the GPU rounds in another order"), scores, scores * (1 + 1e-6), True),
        (tr("large results differ by a millionth"), scores * 1e4, scores * 1e4 * (1 + 1e-6), True),
        (tr("the GPU gives zeros only"), scores, np.zeros_like(scores), False),
        (tr("all scores are 20 % too small"), scores, scores * 0.8, False),
        (tr("tiny results are twice too large"), scores * 1e-5, scores * 2e-5, False),
        (tr("a shader's constant is missing"), scores, scores + np.tile([0.5, -0.5], 3), False),
        (tr("one result is not a number"), scores, missing, False),
    )


_RELATIVE = tr("0.1 % is relative: divide by the size of the CPU's results.")
_AGREEMENT_HINTS = {
    tr("the GPU rounds in another order"): tr(
        "Added in another order, floats differ in the last bits: allow 0.1 %."
    ),
    tr("large results differ by a millionth"): _RELATIVE,
    tr("all scores are 20 % too small"): tr(
        "The largest score stands in the same place, yet all are wrong: compare the values."
    ),
    tr("tiny results are twice too large"): _RELATIVE,
    tr("a shader's constant is missing"): tr("Errors of both signs cancel in a mean: square them first."),
    tr("one result is not a number"): tr(
        "Every comparison with NaN is false: ask whether the error is small, not whether it is large."
    ),
}


@exercise(
    "01.5",
    tr("When may a GPU be timed?"),
    hints=(
        tr("The root mean square of x: np.sqrt(np.mean(x ** 2))."),
        tr("Take it of the difference, and of the CPU's results; the first may be 0.001 times the second."),
        tr("np.sqrt(np.mean((found - expected) ** 2)) <= 1e-3 * np.sqrt(np.mean(expected ** 2))"),
    ),
    read=tr("the section “A network on a GPU” of this chapter"),
)
def check_agreement(answer: Callable[[np.ndarray, np.ndarray], bool]) -> None:
    """Whether a GPU's results agree with the CPU's."""
    for what, expected, found, agrees in _pairs():
        got = answer(expected.copy(), found.copy())
        if bool(got) != agrees:
            raise Mistake(
                # Note: {what} is a case, such as “one result is not a number”.
                tr("{what}: expected {agrees}, got {got}", what=what, agrees=agrees, got=got),
                _AGREEMENT_HINTS.get(what, ""),
            )
