"""The checks of chapter 1: kernels and their traffic, a full MAC array, arithmetic intensity, a GPU."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.processor_models import counted
from edgelab.texts import tr

WARP = 32
# Pixels and blocks of a warp each: what the statement names, a part of one block, whole blocks only.
IMAGES = ((100, 4), (37, 3), (64, 2), (150, 5))
NEVER_WRITTEN = 77


def _image(pixels: int) -> np.ndarray:
    """Random pixels, none of which inverts to `NEVER_WRITTEN`."""
    image = np.random.default_rng(pixels).integers(0, 255, pixels)
    return np.where(image == 255 - NEVER_WRITTEN, 0, image).astype(np.uint8)


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
    """A kernel that inverts images of several sizes, with more threads than pixels."""
    for pixels, blocks in IMAGES:
        _check_image(answer, pixels, blocks)


def _check_image(answer: Callable[..., None], pixels: int, blocks: int) -> None:
    image, written = _image(pixels), np.full(pixels, NEVER_WRITTEN, np.uint8)
    try:
        counts = counted.run(answer, blocks, WARP, image, written)
    except IndexError:
        raise Mistake(
            tr("a thread beyond pixel {last} read or wrote outside the image", last=pixels - 1),
            tr(
                "{blocks} blocks of {threads} are {all_threads} threads for {pixels} pixels: the last ones "
                "must do nothing, whatever the size. On a real GPU this goes unnoticed and spoils somebody "
                "else's memory.",
                blocks=blocks,
                threads=WARP,
                all_threads=blocks * WARP,
                pixels=pixels,
            ),
        ) from None
    done = written == 255 - image
    if done.all() and (counts.stores > pixels or counts.sectors >= pixels):
        raise Mistake(
            tr("one thread alone did the whole image"),
            tr("Drop the loop over all pixels: each thread handles its own, and the grid does the looping."),
        )
    if not done.all():
        raise _wrong_image(image, written, done)


def _wrong_image(image: np.ndarray, written: np.ndarray, done: np.ndarray) -> Mistake:
    never_written = int((written == NEVER_WRITTEN).sum())
    if never_written == image.size:
        return Mistake(tr("no pixel was written"), tr("A kernel returns nothing: it must store into out."))
    if never_written and (written[WARP:] == NEVER_WRITTEN).all():
        return Mistake(
            tr("only the first {threads} pixels were written", threads=WARP),
            tr(
                "cuda.threadIdx.x starts again at 0 in every block; add cuda.blockIdx.x * "
                "cuda.blockDim.x, or use cuda.grid(1)."
            ),
        )
    if never_written:
        return Mistake(
            tr(
                "{never_written} of {size} pixels were not written",
                never_written=never_written,
                size=image.size,
            ),
            tr("Ask the image for its size: it is not always the one of the statement."),
        )
    first = int(np.argmin(done))
    return Mistake(
        tr(
            "pixel {first} is {pixel}, its inverse is {inverse}, got {written}",
            first=first,
            pixel=image[first],
            inverse=255 - image[first],
            written=written[first],
        ),
        tr("White (255) becomes black (0): subtract the pixel from 255."),
    )


TILE = 8
WIDE = (WARP, 4)  # threads of a block, across and down: a warp is a row of it
# Rows of a, depth, columns of b: one tile, several, and sizes that neither blocks nor tiles divide.
PRODUCTS = ((8, 8, 8), (16, 16, 8), (19, 13, 21), (5, 3, 11))


def _product(
    answer: Callable[..., None],
    shape: tuple[int, int, int],
    threads: tuple[int, int],
    blocks: tuple[int, int],
    help_with: str,
) -> counted.Counts:
    """Run a matrix product on small whole numbers, which float32 adds without rounding.

    Raises:
        Mistake: the result is wrong, or a number of it is written more than once.
    """
    rows, depth, columns = shape
    rng = np.random.default_rng(rows)
    a, b = (rng.integers(1, 9, size).astype(np.float32) for size in ((rows, depth), (depth, columns)))
    c = np.full((rows, columns), np.nan, np.float32)
    try:
        counts = counted.run(answer, blocks, threads, a, b, c)
    except IndexError:
        raise Mistake(
            tr(
                "a {rows} x {depth} by {depth} x {columns} product went outside its arrays",
                rows=rows,
                depth=depth,
                columns=columns,
            ),
            tr("The grid is larger than c: only a thread whose row and column lie in c may load and store."),
        ) from None
    if not np.array_equal(c, a @ b):
        raise _wrong_product(shape, c, a @ b, help_with)
    if counts.stores > c.size:
        raise Mistake(
            tr("{stores} numbers were stored for {size} results", stores=counts.stores, size=c.size),
            tr("Keep the running sum in a variable, and store it into c once, after the loop."),
        )
    return counts


def _blocks_for(across: int, down: int, threads: tuple[int, int]) -> tuple[int, int]:
    return math.ceil(across / threads[0]), math.ceil(down / threads[1])


def _wrong_product(
    shape: tuple[int, int, int], c: np.ndarray, expected: np.ndarray, help_with: str
) -> Mistake:
    rows, depth, columns = shape
    row, column = (int(place) for place in np.argwhere(~(c == expected))[0])
    what_differs = tr(
        "{rows} x {depth} by {depth} x {columns}: c[{row}, {column}] is {expected:g}, got {found:g}",
        rows=rows,
        depth=depth,
        columns=columns,
        row=row,
        column=column,
        expected=expected[row, column],
        found=c[row, column],
    )
    if c.shape == expected.T.shape and np.array_equal(c, expected.T):
        return Mistake(what_differs, tr("That is the result with rows and columns exchanged."))
    return Mistake(what_differs, help_with)


def _wide_product(answer: Callable[..., None], shape: tuple[int, int, int]) -> counted.Counts:
    """With blocks enough for either order: x may be the row or the column."""
    longest = max(shape[0], shape[2])
    help_with = tr(
        "Multiply row `row` of a with column `col` of b over the whole depth, a.shape[1]; store the sum in c."
    )
    return _product(answer, shape, WIDE, _blocks_for(longest, longest, WIDE), help_with)


def _check_loads(counts: counted.Counts, shape: tuple[int, int, int]) -> None:
    rows, depth, columns = shape
    expected = 2 * rows * depth * columns
    if counts.loads != expected:
        raise Mistake(
            tr(
                "the result is right, with {loads} loads in place of {expected}",
                loads=counts.loads,
                expected=expected,
            ),
            tr("Each thread loads one number of a and one of b in each step of its loop, and nothing else."),
        )


@exercise(
    "01.2",
    tr("Step 1: one thread, one result"),
    hints=(
        tr("row, col = cuda.grid(2). A thread acts only if row < c.shape[0] and col < c.shape[1]."),
        tr("total = 0.0, then for k in range(a.shape[1]): total += a[row, k] * b[k, col]."),
        tr("After the loop: c[row, col] = total."),
    ),
    read=tr("the section “A matrix product in three steps” of this chapter"),
)
def check_product(answer: Callable[..., None]) -> None:
    """A matrix product of any sizes, each number loaded once for each use."""
    for shape in PRODUCTS:
        _check_loads(_wide_product(answer, shape), shape)


def fewest_sectors(rows: int, depth: int, columns: int) -> int:
    """Sectors that a product's loads need if the threads of a warp take neighbouring columns of one row."""
    itemsize, total = 4, 0
    for start in range(0, columns, WARP):
        end = min(start + WARP, columns)
        for k in range(depth):
            first, last = itemsize * (k * columns + start), itemsize * (k * columns + end) - 1
            of_a = 1  # the whole warp reads the same number
            total += of_a + last // counted.SECTOR_BYTES - first // counted.SECTOR_BYTES + 1
    return rows * total


@exercise(
    "01.3",
    tr("Step 2: neighbours load neighbours"),
    hints=(
        tr("Threads of a warp differ in x. Which of row and col must x be, so that they load neighbours?"),
        tr("The first number of cuda.grid(2) is x: col, row = cuda.grid(2). Nothing else changes."),
    ),
    read=tr("the section “A matrix product in three steps” of this chapter"),
)
def check_coalesced(answer: Callable[..., None]) -> None:
    """The same product, its loads in as few sectors as neighbouring columns need."""
    for shape in PRODUCTS:
        counts = _wide_product(answer, shape)
        _check_loads(counts, shape)
        fewest = fewest_sectors(*shape)
        if counts.sectors > fewest:
            raise Mistake(
                tr(
                    "the loads came in {sectors} sectors; {fewest} are enough",
                    sectors=counts.sectors,
                    fewest=fewest,
                ),
                tr("Neighbouring threads read numbers that are a whole row apart: let x be the column."),
            )


@exercise(
    "01.4",
    tr("Step 3: a tile in shared memory"),
    hints=(
        tr(
            "Every thread loads one number of each tile, or writes a zero where the tile hangs over the edge."
        ),
        tr("Two barriers in each round: one before the products, one after them."),
        tr(
            "In each round: left[y, x] = a[row, start + x] if row < a.shape[0] and start + x < a.shape[1] "
            "else 0.0; the same for right with b[start + y, col]; cuda.syncthreads(); total += left[y, k] * "
            "right[k, x] for all k; cuda.syncthreads()."
        ),
    ),
    read=tr("the section “A matrix product in three steps” of this chapter"),
)
def check_tiled(answer: Callable[..., None]) -> None:
    """The product with tiles: right for any sizes, and each number loaded once per tile that needs it."""
    help_with = (
        tr("Not even one tile is right. Does every thread wait until the others have written their numbers?"),
        tr("One tile is right, several are not: a fast thread must not overwrite what others still read."),
        tr("Whole tiles are right. Where a tile hangs over the edge, write zeros: they add nothing."),
        tr("Whole tiles are right. Where a tile hangs over the edge, write zeros: they add nothing."),
    )
    for shape, hint in zip(PRODUCTS, help_with, strict=True):
        blocks = _blocks_for(shape[2], shape[0], (TILE, TILE))
        counts = _product(answer, shape, (TILE, TILE), blocks, hint)
        _check_tiled_loads(counts, shape)


def _check_tiled_loads(counts: counted.Counts, shape: tuple[int, int, int]) -> None:
    """At most what whole tiles load: a kernel may load again at the edge what it then does not use."""
    rows, depth, columns = (math.ceil(side / TILE) for side in shape)
    most = 2 * rows * depth * columns * TILE**2
    if counts.loads > most:
        raise Mistake(
            tr("the result is right, with {loads} loads; tiles need {most}", loads=counts.loads, most=most),
            tr("Inside the loop over k read the tiles only: each number comes from a or b once per tile."),
        )


@exercise(
    "01.5",
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
    for depth, outputs, size in (
        (64, 64, 64),
        (9, 1, 64),
        (65, 64, 64),
        (16, 96, 64),
        (100, 40, 16),
        (7, 33, 8),
    ):
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
                "{depth} x {outputs} weights fill {expected:.8g} of a {size} x {size} array, got {got:.8g}",
                depth=depth,
                outputs=outputs,
                expected=expected,
                size=size,
                got=got,
            ),
            hint,
        )


@exercise(
    "01.6",
    tr("Arithmetic intensity of a dense layer"),
    hints=(
        tr("Operations: batch * inputs * outputs multiply-adds, each of which counts as two."),
        tr("Bytes: the weights, the inputs and the outputs of all images, `bytes_each` for each number."),
        tr("2 * batch * inputs * outputs / (bytes_each * (inputs * outputs + batch * (inputs + outputs)))"),
    ),
    read=tr("the section “Roofline” of this chapter"),
)
def check_intensity(answer: Callable[[int, int, int, int], float]) -> None:
    """Operations per byte of a dense layer that moves everything once."""
    for batch, inputs, outputs, bytes_each in (
        (1, 1280, 1000, 4),
        (64, 1280, 1000, 4),
        (8, 16, 32, 1),
        (49, 96, 24, 2),
    ):
        macs = batch * inputs * outputs
        weights, images = inputs * outputs, batch * (inputs + outputs)
        expected = 2 * macs / (bytes_each * (weights + images))
        got = float(answer(batch, inputs, outputs, bytes_each))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        hints = {
            expected / 2: tr("A multiply-add is two operations: one product, one sum."),
            expected * bytes_each: tr("Count bytes, not numbers: each takes `bytes_each`."),
            expected * bytes_each / 4: tr("A number does not always take 4 bytes: use `bytes_each`."),
            2 * macs / (bytes_each * weights): tr(
                "The images' inputs and outputs travel through memory too."
            ),
            2 * macs / (bytes_each * images): tr(
                "The weights travel through memory too, and there are many of them."
            ),
            1 / expected: tr("Operations per byte, not bytes per operation."),
        }
        hint = next((text for value, text in hints.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "batch {batch}, {inputs} inputs, {outputs} outputs, {bytes_each} bytes each: {expected:.8g} "
                "operations per byte, got {got:.8g}",
                batch=batch,
                inputs=inputs,
                outputs=outputs,
                bytes_each=bytes_each,
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
    many = np.random.default_rng(1).normal(size=(20, 10))
    size = np.sqrt(np.mean(many**2))
    error = np.where(np.arange(10) % 2, size, -size) * 1e-3  # as large as is allowed
    return (
        (tr("the GPU gives the CPU's results"), scores, scores.copy(), True),
        (tr("the GPU rounds in another order"), scores, scores * (1 + 1e-6), True),
        (tr("large results differ by a millionth"), scores * 1e4, scores * 1e4 * (1 + 1e-6), True),
        (tr("the GPU gives zeros only"), scores, np.zeros_like(scores), False),
        (tr("both give zeros only"), np.zeros_like(scores), np.zeros_like(scores), True),
        (tr("all scores are 20 % too small"), scores, scores * 0.8, False),
        (tr("tiny results are twice too large"), scores * 1e-5, scores * 2e-5, False),
        (tr("a shader's constant is missing"), scores, scores + np.tile([0.5, -0.5], 3), False),
        (tr("the error is 0.09 %"), many, many + 0.9 * error, True),
        (tr("the error is 0.11 %"), many, many + 1.1 * error, False),
        (tr("the error is 0.09 % of small results"), many * 1e-4, (many + 0.9 * error) * 1e-4, True),
        (tr("one result is not a number"), scores, missing, False),
    )


_RELATIVE = tr("0.1 % is relative: compare the error with the size of the CPU's results.")
_ALLOWED = tr("Not more and not less than 0.1 %, 0.001, of the root mean square is allowed.")
_AGREEMENT_HINTS = {
    tr("the GPU rounds in another order"): tr(
        "Added in another order, floats differ in the last bits: allow 0.1 %."
    ),
    tr("large results differ by a millionth"): _RELATIVE,
    tr("all scores are 20 % too small"): tr(
        "The largest score is in the same place, yet all are wrong: compare the values."
    ),
    tr("tiny results are twice too large"): _RELATIVE,
    tr("a shader's constant is missing"): tr("Errors of both signs cancel in a mean: square them first."),
    tr("both give zeros only"): tr("Equal results always agree: the error may be *at most* 0.1 %."),
    tr("the error is 0.09 %"): _ALLOWED,
    tr("the error is 0.11 %"): _ALLOWED,
    tr("one result is not a number"): tr(
        "Every comparison with NaN is false: ask whether the error is small, not whether it is large."
    ),
}


@exercise(
    "01.7",
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
