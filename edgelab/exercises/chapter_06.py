"""The checks of chapter 6: what runs on the NPU, the layout of calibration images, the least time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edgelab.exercises.core import Mistake, exercise

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
    "N of M",
    hints=(
        "InputOperator and OutputOperator compute nothing: they only name where data comes in and goes out.",
        "Leave these two out first; then total is how many rows remain, and count those whose unit is 'NPU'.",
        "rows = [row for row in rows if row['operator'] not in ('InputOperator', 'OutputOperator')]; "
        "return sum(row['unit'] == 'NPU' for row in rows), len(rows)",
    ),
    read="the section “The vendor's own table” of this chapter",
)
def check_placement(answer: Callable[[Sequence[dict[str, str]]], tuple[int, int]]) -> None:
    """Operators on the NPU, and operators in all, from the rows of the compiler's table."""
    for table, (on_npu, total) in TABLES:
        got = answer([{"operator": operator, "unit": unit} for operator, unit in table])
        if not isinstance(got, Sequence) or len(got) != 2:
            raise Mistake(f"two numbers are asked for, got {got!r}", "return on_npu, total")
        if tuple(got) == (on_npu, total):
            continue
        not_cpu = sum(unit != "CPU" for _, unit in table)
        known = {
            (on_npu, len(table)): "The rows that only name inputs and outputs count as operators here.",
            (total, on_npu): "The order is: on the NPU, then in all.",
            (not_cpu, total): "Not on the CPU is not the same as on the NPU: there is a GPU, too.",
        }
        names = ", ".join(f"{operator} on {unit}" for operator, unit in table)
        raise Mistake(f"of {names}: {(on_npu, total)}, got {tuple(got)}", known.get(tuple(got), ""))


@exercise(
    "06.2",
    "The least time",
    hints=(
        "While a layer computes, the next data can be on its way: the slower of the two decides, per layer.",
        "max(ddr, npu) for each layer, added up, is a number of cycles; cycles / hertz is seconds.",
        "1000 * sum(max(ddr, npu) for ddr, npu in layers) / clock_hz",
    ),
    read="the section “Cycles are not milliseconds” of this chapter",
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
            1000 * (ddr + npu) / clock_hz: "Moving and computing happen at the same time: the larger counts.",
            1000 * max(ddr, npu) / clock_hz: "The larger of the two sums: but each layer waits for its own.",
            1000 * npu / clock_hz: "Some layers wait for memory longer than they compute.",
            expected / 1000: "That is seconds.",
            1000 * sum(pairs) / 1e9: "The clock is the second argument, not always 1 GHz.",
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-9)), "")
        raise Mistake(f"at {clock_hz / 1e9:g} GHz it is {expected:.6f} ms, got {got:.6f}", hint)


@exercise(
    "06.3",
    "Calibration images for an NCHW model",
    hints=(
        "The axes change places: image, row, column, colour becomes image, colour, row, column.",
        "images.transpose(0, 3, 1, 2) takes axis 3, the colour, to the second place. reshape moves no axis.",
        "np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32)",
    ),
    read="the section “Calibration” of this chapter",
)
def check_layout(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    """uint8 `[N, H, W, 3]` to float32 `[N, 3, H, W]`, raw pixels."""
    images = np.random.default_rng(6).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    expected = images.transpose(0, 3, 1, 2).astype(np.float32)
    got = answer(images.copy())
    if not isinstance(got, np.ndarray) or got.dtype != np.float32:
        kind = got.dtype if isinstance(got, np.ndarray) else type(got).__name__
        raise Mistake(f"float32 is asked for, got {kind}", "End with .astype(np.float32).")
    if got.shape != expected.shape:
        swapped = got.shape == (2, 3, 5, 4)
        hint = "Rows and columns have changed places, too: .T or a wrong order of axes." if swapped else ""
        raise Mistake(f"expected the shape {expected.shape}, got {got.shape}", hint)
    if np.array_equal(got, expected):
        return
    if np.array_equal(got, images.reshape(expected.shape).astype(np.float32)):
        hint = "The shape is right and the pictures are scrambled: reshape moves no axis, transpose does."
    elif np.allclose(got * 255, expected) or np.allclose(got * 127.5 + 127.5, expected, atol=1e-3):
        hint = "The model normalises by itself: give it raw pixels, 0 to 255."
    elif np.array_equal(got, expected[:, ::-1]):
        hint = "Red and blue have changed places."
    else:
        hint = ""
    raise Mistake("the values are not those of the pictures in the new order of axes", hint)
