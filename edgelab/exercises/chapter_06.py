"""The checks of chapter 6: what runs on the NPU, calibration images, the least time, more cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

# (operator, unit) of each row of a table, and what is to be found.
TABLES = (
    (
        (("InputOperator", "CPU"), ("ConvClip", "NPU"), ("ConvClip", "NPU"), ("Softmax", "CPU")),
        (2, 3),
    ),
    (
        (
            ("InputOperator", "CPU"),
            ("Conv", "NPU"),
            ("Sin", "CPU"),
            ("Conv", "NPU"),
            ("OutputOperator", "CPU"),
        ),
        (2, 3),
    ),
    ((("InputOperator", "CPU"), ("Conv", "NPU"), ("Add", "GPU"), ("OutputOperator", "CPU")), (1, 2)),
)


@exercise(
    "06.1",
    tr("N of M"),
    hints=(
        tr(
            "InputOperator and OutputOperator compute nothing: they only name where data comes "
            "in and goes out."
        ),
        tr(
            "Leave these two out first; then total is how many rows remain, and count those "
            "whose unit is 'NPU'."
        ),
        tr(
            "rows = [row for row in rows if row['operator'] not in ('InputOperator', "
            "'OutputOperator')]; return sum(row['unit'] == 'NPU' for row in rows), len(rows)"
        ),
    ),
    read=tr("the section “The vendor's own table” of this chapter"),
)
def check_placement(answer: Callable[[Sequence[dict[str, str]]], tuple[int, int]]) -> None:
    """Operators on the NPU, and operators in all, from the rows of the compiler's table."""
    for table, (on_npu, total) in TABLES:
        got = answer([{"operator": operator, "unit": unit} for operator, unit in table])
        if not isinstance(got, Sequence) or len(got) != 2:
            raise Mistake(tr("two numbers are asked for, got {got!r}", got=got), tr("return on_npu, total"))
        if tuple(got) == (on_npu, total):
            continue
        not_cpu = sum(unit != "CPU" for _, unit in table)
        known = {
            (on_npu, len(table)): tr("The rows that only name inputs and outputs count as operators here."),
            (total, on_npu): tr("The order is: on the NPU, then in all."),
            (not_cpu, total): tr("Not on the CPU is not the same as on the NPU: there is a GPU, too."),
        }
        names = ", ".join(
            tr("{operator} on {unit}", operator=operator, unit=unit) for operator, unit in table
        )
        raise Mistake(
            tr("of {names}: {expected}, got {got}", names=names, expected=(on_npu, total), got=tuple(got)),
            known.get(tuple(got), ""),
        )


@exercise(
    "06.2",
    tr("The least time"),
    hints=(
        tr(
            "While a layer computes, the next data can be on its way: the slower of the two "
            "decides, per layer."
        ),
        tr("max(ddr, npu) for each layer, added up, is a number of cycles; cycles / hertz is seconds."),
        tr("1000 * sum(max(ddr, npu) for ddr, npu in layers) / clock_hz"),
    ),
    read=tr("the section “Cycles are not milliseconds” of this chapter"),
)
def check_least_time(answer: Callable[[Sequence[tuple[int, int]], float], float]) -> None:
    """Milliseconds, from (DDR cycles, NPU cycles) per layer and the clock."""
    layers = [(831, 4096), (2644, 2304), (7000, 1000), (500, 500)]
    for clock_hz in (1e9, 0.6e9):
        pairs = [max(pair) for pair in layers]
        expected = 1000 * sum(pairs) / clock_hz
        got = float(answer(list(layers), clock_hz))
        if math.isclose(got, expected, rel_tol=1e-9):
            continue
        ddr, npu = (sum(pair[side] for pair in layers) for side in (0, 1))
        known = {
            1000 * (ddr + npu) / clock_hz: tr(
                "Moving and computing happen at the same time: the larger counts."
            ),
            1000 * max(ddr, npu) / clock_hz: tr(
                "The larger of the two sums: but each layer waits for its own."
            ),
            1000 * npu / clock_hz: tr("Some layers wait for memory longer than they compute."),
            expected / 1000: tr("That is seconds."),
            1000 * sum(pairs) / 1e9: tr("The clock is the second argument, not always 1 GHz."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-9)), "")
        raise Mistake(
            tr(
                "at {clock_ghz:g} GHz it is {expected:.6f} ms, got {got:.6f}",
                clock_ghz=clock_hz / 1e9,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "06.3",
    tr("Calibration images for an NCHW model"),
    hints=(
        tr("The axes change places: image, row, column, colour becomes image, colour, row, column."),
        tr(
            "images.transpose(0, 3, 1, 2) takes axis 3, the colour, to the second place. reshape "
            "moves no axis."
        ),
        tr("np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)"),
    ),
    read=tr("the section “Calibration” of this chapter"),
)
def check_layout(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    """uint8 `[N, H, W, 3]` to float32 `[N, 3, H, W]`, raw pixels."""
    images = np.random.default_rng(6).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    expected = images.transpose(0, 3, 1, 2).astype(np.float32)
    got = answer(images.copy())
    if not isinstance(got, np.ndarray) or got.dtype != np.float32:
        kind = got.dtype if isinstance(got, np.ndarray) else type(got).__name__
        raise Mistake(tr("float32 is asked for, got {kind}", kind=kind), tr("End with .astype(np.float32)."))
    if got.shape != expected.shape:
        swapped = got.shape == (2, 3, 5, 4)
        hint = (
            tr("Rows and columns have changed places, too: .T or a wrong order of axes.") if swapped else ""
        )
        raise Mistake(
            tr("expected the shape {expected}, got {got}", expected=expected.shape, got=got.shape), hint
        )
    if np.array_equal(got, expected):
        return
    if np.array_equal(got, images.reshape(expected.shape).astype(np.float32)):
        hint = tr("The shape is right and the pictures are scrambled: reshape moves no axis, transpose does.")
    elif np.allclose(got * 255, expected) or np.allclose(got * 127.5 + 127.5, expected, atol=1e-3):
        hint = tr("The model normalises by itself: give it raw pixels, 0 to 255.")
    elif np.array_equal(got, expected[:, ::-1]):
        hint = tr("Red and blue have changed places.")
    else:
        hint = ""
    raise Mistake(tr("the values are not those of the pictures in the new order of axes"), hint)


@exercise(
    "06.4",
    tr("More cores"),
    hints=(
        tr("One image uses one core, however many there are: what does that mean for the first answer?"),
        tr("The cores work in rounds; a round that is not full takes as long as a full one."),
        tr("return inference_ms, math.ceil(count / cores) * inference_ms"),
    ),
    read=tr("the section “One, two, three cores” of this chapter"),
)
def check_waiting(answer: Callable[[int, int, float], tuple[float, float]]) -> None:
    """Milliseconds until the first answer and until all, from the images, the cores and the time of one."""
    for count, cores, inference_ms in ((6, 1, 5.0), (6, 3, 5.0), (7, 3, 5.0), (2, 3, 4.0)):
        rounds = math.ceil(count / cores)
        expected = (inference_ms, rounds * inference_ms)
        got = answer(count, cores, inference_ms)
        if not isinstance(got, Sequence) or len(got) != 2:
            raise Mistake(
                tr("two numbers are asked for, got {got!r}", got=got), tr("return first_ms, all_ms")
            )
        got = tuple(float(number) for number in got)
        if np.allclose(got, expected):
            continue
        known = {
            (inference_ms / cores, expected[1]): tr(
                "More cores make no image faster: one image uses one core."
            ),
            (inference_ms, count * inference_ms / cores): tr(
                "No core takes a part of an image: the last round takes as long as a full one."
            ),
            (inference_ms, count * inference_ms): tr("That is one core: the cores work at the same time."),
            expected[::-1]: tr("The order is: the first answer, then all."),
        }
        hint = next((text for value, text in known.items() if np.allclose(got, value)), "")
        raise Mistake(
            tr(
                "{count} images, {cores} cores, {inference_ms:g} ms each: {expected}, got {got}",
                count=count,
                cores=cores,
                inference_ms=inference_ms,
                expected=expected,
                got=got,
            ),
            hint,
        )
