"""A guess and what came out, drawn on the range that could be guessed."""

from __future__ import annotations

import math
from typing import Any

WIDTH, HEIGHT, MARGIN = 360, 40, 30  # pixels
MIDDLE = 14  # height of the line


def fits(row: dict[str, Any]) -> bool:
    """Whether both are numbers that a line can hold."""
    return all(not isinstance(row[name], str) and math.isfinite(row[name]) for name in ("guess", "measured"))


def positions(row: dict[str, Any]) -> tuple[float, float]:
    """Guess and outcome from 0 to 1 on the slider's range, stretched where the outcome left it.

    Args:
        row: of a number guessed: low, high, guess, measured, all finite.
    """
    low, high = _ends(row)
    length = high - low or 1.0
    return (row["guess"] - low) / length, (row["measured"] - low) / length


def _ends(row: dict[str, Any]) -> tuple[float, float]:
    values = row["guess"], row["measured"]
    return min(row["low"], *values), max(row["high"], *values)


def svg(row: dict[str, Any]) -> str:
    """The row as a small picture, in the colour of the text around it: readable in light and in dark.

    It is hidden from screen readers, since the text beside it says the same.

    Args:
        row: of a number guessed, as for `positions`, with is_default.
    """
    guess, measured = (MARGIN + (WIDTH - 2 * MARGIN) * position for position in positions(row))
    line = f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{MIDDLE}" y2="{MIDDLE}" stroke-opacity="0.5"/>'
    # The shapes of the figure at the chapter's end. The hollow one is larger: both show where they meet.
    hollow = (
        f'<rect x="{guess - 7:.1f}" y="{MIDDLE - 7}" width="14" height="14" fill="none" stroke-width="2"/>'
        if row["is_default"]
        else f'<circle cx="{guess:.1f}" cy="{MIDDLE}" r="8" fill="none" stroke-width="2"/>'
    )
    filled = f'<path d="M{measured:.1f} {MIDDLE - 5}l5 5l-5 5l-5 -5z" fill="currentColor"/>'
    look = 'text-anchor="middle" stroke="none" fill="currentColor" font-size="11"'
    ends = "".join(
        f'<text x="{x}" y="{HEIGHT - 3}" {look}>{value:,.4g}</text>'
        for x, value in zip((MARGIN, WIDTH - MARGIN), _ends(row), strict=True)
    )
    return (
        f'<svg aria-hidden="true" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'style="display:block;max-width:100%" stroke="currentColor">'
        f"{line}{hollow}{filled}{ends}</svg>"
    )
