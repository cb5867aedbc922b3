"""At a chapter's end: its guesses beside what was measured."""

from __future__ import annotations

import html
import math
import textwrap
from typing import TYPE_CHECKING, Any

from edgelab import display
from edgelab.exercises import number_line
from edgelab.exercises.guesses import with_unit
from edgelab.exercises.progress_file import recorded_guesses
from edgelab.texts import tr, tr_plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NONE_MADE = tr(
    "No guess has been compared with a measurement yet: run the chapter's cells from its beginning."
)
# Shape tells the three apart, colour only helps: marker, filled, colour.
MARKS = {
    tr("your guess"): ("o", False, display.PALETTE[1]),
    tr("default guess"): ("s", False, "#6B6B6B"),
    tr("what came out"): ("D", True, display.PALETTE[0]),
}
LABEL_WIDTH = 46  # characters of a question's line


def guesses(chapter: str) -> None:
    """Show how good the guesses of a chapter were, each on an axis of its own.

    Args:
        chapter: its number, such as "04".
    """
    rows = [row for row in recorded_guesses(chapter) if _is_drawable(row)]
    if not rows:
        display.show_html(f"<p>{html.escape(NONE_MADE)}</p>", NONE_MADE)
        return
    own = sum(not row["is_default"] for row in rows)
    caption = tr_plural(
        "{own} of {count} guess is your own.", "{own} of {count} guesses are your own.", len(rows), own=own
    )
    if own < len(rows):
        caption += " " + tr("Move a slider before its measurement to make a default guess yours.")
    told = "; ".join(f"{row['question']} {_outcome(row)}" for row in rows)
    display.figure(_draw(rows), alt=tr("Guesses beside what came out. {told}.", told=told), caption=caption)


def _is_drawable(row: dict[str, Any]) -> bool:
    return all(isinstance(row[name], str) or math.isfinite(row[name]) for name in ("guess", "measured"))


def _whose(row: dict[str, Any]) -> str:
    return tr("default guess") if row["is_default"] else tr("your guess")


def _outcome(row: dict[str, Any]) -> str:
    """The row in words, such as "your guess 30 %, measured 27 %"."""
    guess, measured = (with_unit(row[name], row["unit"]) for name in ("guess", "measured"))
    if "options" in row and guess == measured:
        # Note: {whose} is “your guess” or “default guess”.
        return "✓ " + tr("{whose} is right: {guess}", whose=_whose(row), guess=guess)
    mark = "✗ " if "options" in row else ""
    provenance = row["provenance"]
    came = tr(provenance)
    return f"{mark}{_whose(row)} {guess}, {came} {measured}"


def _draw(rows: list[dict[str, Any]]) -> Figure:
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(5, 0.62 * len(rows) + 0.4))
    for height, row in enumerate(rows):
        wrapped = textwrap.wrap(row["question"], LABEL_WIDTH, max_lines=3, placeholder=" …")
        question = "\n".join(wrapped)
        text = {"va": "center", "parse_math": False, "fontsize": 9}
        axes.text(-0.04, height, question, ha="right", **text)
        if not number_line.fits(row):
            axes.text(0.0, height, _outcome(row), **text)
        else:
            axes.hlines(height, 0, 1, color="#8A8A8A", linewidth=1.5, linestyle="-", zorder=1)
            guess, measured = number_line.positions(row)
            _mark(axes, guess, height, _whose(row))
            _mark(axes, measured, height, tr("what came out"))
            axes.text(1.04, height, textwrap.fill(_outcome(row), LABEL_WIDTH), **text)
    handles = [_mark(axes, [], [], name) for name in MARKS]
    axes.legend(handles, MARKS, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=9)
    axes.set(xlim=(-0.03, 1.03), ylim=(len(rows) - 0.5, -0.5))
    axes.set_axis_off()
    return fig


def _mark(axes: Axes, across: Any, height: Any, name: str) -> Any:
    shape, filled, colour = MARKS[name]
    # The hollow mark is the larger one: both show where guess and measurement meet.
    style = {"marker": shape, "color": colour, "linestyle": "none", "markeredgewidth": 2}
    style |= {"markersize": 6} if filled else {"markersize": 11, "markerfacecolor": "none"}
    return axes.plot(across, height, **style)[0]
