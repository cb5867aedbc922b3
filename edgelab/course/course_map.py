"""The map of the course: a line per path, a stop per chapter, and every row a link that opens its chapter.

The lines are SVG; the links are plain HTML above them, which a keyboard reaches, a screen reader reads, and
JupyterLab opens beside the map. Slides and pages lead to their own chapters (`pages.link_chapters`).
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from edgelab import display, exercises

ROW_PX, HEAD_PX, LINE_PX = 32, 44, 84  # height of a chapter and of the heads, distance between two lines
MARGIN_PX = 8
# A shape per path: lines and stops are told apart without colour. Each is drawn round (0, 0).
STOPS = (
    '<circle r="8"/>',
    '<rect x="-7" y="-7" width="14" height="14"/>',
    '<polygon points="0,-10 10,0 0,10 -10,0"/>',
)


def show() -> None:
    """Show the map, with the time of each chapter and what is solved in it."""
    chapters, paths = display.chapters(), display.paths()
    solved = {chapter.number: chapter for chapter in exercises.progress().chapters}
    labels = [_label(chapter, solved[chapter["number"]]) for chapter in chapters]
    lines_px = LINE_PX * len(paths)
    style = (
        f"display:block;height:{ROW_PX}px;line-height:{ROW_PX}px;padding-left:{lines_px + MARGIN_PX}px;"
        f"white-space:nowrap;color:{display.PALETTE[0]}"
    )
    stations = "".join(
        f'<li style="margin:0;padding:0;height:{ROW_PX}px">'
        f'<a href="{html.escape(chapter["notebook"])}" style="{style}">{html.escape(label)}</a></li>'
        for chapter, label in zip(chapters, labels, strict=True)
    )
    content = (
        '<nav aria-label="Map of the course" style="overflow-x:auto;background:#fff;font-size:15px">'
        f'<div style="position:relative;padding-top:{HEAD_PX}px">{_drawing(chapters, paths)}'
        f'<ol style="position:relative;list-style:none;margin:0;padding:0">{stations}</ol></div></nav>'
    )
    display.show_html(content, "\n".join([*labels, _alt(paths)]))


def _label(chapter: Mapping[str, str], progress: exercises.ChapterProgress) -> str:
    """Such as "04 Quantize · 74 s · ✓ 1 of 4 solved"."""
    duration = display.minutes_text(chapter["notebook"]).split(" to run")[0]
    mark = "✓" if progress.solved else "○"
    solved = f"{mark} {progress.solved} of {progress.exercises} solved"
    return f"{chapter['number']} {chapter['title']} · {duration} · {solved}"


def _alt(paths: list[dict[str, Any]]) -> str:
    return "; ".join(f"{path['name']}: chapters {', '.join(path['chapters'])}" for path in paths) + "."


def _drawing(chapters: list[dict[str, str]], paths: list[dict[str, Any]]) -> str:
    """The lines with their names and stops, as SVG."""
    rows = {chapter["number"]: HEAD_PX + ROW_PX * (row + 0.5) for row, chapter in enumerate(chapters)}
    lines = "".join(
        _line(path, [rows[number] for number in path["chapters"]], LINE_PX * (column + 0.5), colour, stop)
        for column, (path, colour, stop) in enumerate(zip(paths, display.PALETTE, STOPS, strict=False))
    )
    return (
        f'<svg role="img" aria-label="{html.escape(_alt(paths))}" width="{LINE_PX * len(paths)}" '
        f'height="{HEAD_PX + ROW_PX * len(chapters)}" style="position:absolute;left:0;top:0">{lines}</svg>'
    )


def _line(path: Mapping[str, Any], stops_px: list[float], across_px: float, colour: str, stop: str) -> str:
    words = "".join(
        f'<tspan x="{across_px}" dy="16">{html.escape(part)}</tspan>' for part in wrap(path["name"], 12)
    )
    # The text's colour is for the map's own white ground, whatever the theme.
    name = f'<text text-anchor="middle" font-size="13" fill="#1A1A1A">{words}</text>'
    marks = "".join(f'<g transform="translate({across_px} {height})">{stop}</g>' for height in stops_px)
    return (
        f'{name}<g stroke="{colour}" stroke-width="4" fill="#FFFFFF"><line x1="{across_px}" x2="{across_px}" '
        f'y1="{stops_px[0]}" y2="{stops_px[-1]}"/>{marks}</g>'
    )
