"""The check of "Start here": one multiplication, to learn how the workbook works."""

from __future__ import annotations

from edgelab.exercises.core import Mistake, exercise

PIXELS = 32 * 32
MACS_PER_PIXEL = 3 * 3 * 3 * 16


@exercise(
    "00.1",
    "Count the work of one layer",
    hints=(
        "One output number needs a 3x3 window over 3 input channels: 27 multiplications.",
        "There are 16 output channels at each of 32x32 positions.",
    ),
    read="the section “Predict, run, explain” of this chapter",
)
def check_macs(answer: int) -> None:
    """Multiply-accumulates of a 3x3 convolution, 3 to 16 channels, on 32x32 pixels."""
    if answer == PIXELS * 3 * 3 * 16:
        raise Mistake(
            f"{answer:,} counts one input channel", "Each window reads all three colours: multiply by 3."
        )
    if answer == PIXELS * 3 * 3 * 3:
        raise Mistake(f"{answer:,} counts one output channel", "There are 16 filters: multiply by 16.")
    if answer == MACS_PER_PIXEL:
        raise Mistake(f"{answer:,} is the work for one pixel", "There are 32 x 32 pixels.")
    if answer == 2 * PIXELS * MACS_PER_PIXEL:
        raise Mistake(
            f"{answer:,} counts multiplications and additions apart",
            "A multiply-accumulate is one of each, counted once.",
        )
    if answer != PIXELS * MACS_PER_PIXEL:
        raise Mistake(
            f"you found {answer:,}, which is {answer / (PIXELS * MACS_PER_PIXEL):.3g} times the work"
        )
