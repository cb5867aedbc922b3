"""The check of "Start here": one multiplication, to learn how the workbook works."""

from __future__ import annotations

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

PIXELS = 32 * 32
MACS_PER_PIXEL = 3 * 3 * 3 * 16


@exercise(
    "00.1",
    tr("Count the work of one layer"),
    hints=(
        tr("One output number needs a 3x3 window over 3 input channels: 27 multiplications."),
        tr("There are 16 output channels at each of 32x32 positions."),
    ),
    read=tr("the section “Predict, run, explain” of this chapter"),
)
def check_macs(answer: int) -> None:
    """Multiply-accumulates of a 3x3 convolution, 3 to 16 channels, on 32x32 pixels."""
    if answer == PIXELS * 3 * 3 * 16:
        raise Mistake(
            tr("{answer:,} counts one input channel", answer=answer),
            tr("Each window reads all three colours: multiply by 3."),
        )
    if answer == PIXELS * 3 * 3 * 3:
        raise Mistake(
            tr("{answer:,} counts one output channel", answer=answer),
            tr("There are 16 filters: multiply by 16."),
        )
    if answer == MACS_PER_PIXEL:
        raise Mistake(
            tr("{answer:,} is the work for one pixel", answer=answer), tr("There are 32 x 32 pixels.")
        )
    if answer == 2 * PIXELS * MACS_PER_PIXEL:
        raise Mistake(
            tr("{answer:,} counts multiplications and additions apart", answer=answer),
            tr("A multiply-accumulate is one of each, counted once."),
        )
    if answer != PIXELS * MACS_PER_PIXEL:
        raise Mistake(
            tr(
                "you found {answer:,}, which is {ratio:.3g} times the work",
                answer=answer,
                ratio=answer / (PIXELS * MACS_PER_PIXEL),
            )
        )
