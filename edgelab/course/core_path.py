"""The core path of a chapter: all that is not tagged `deeper`; nothing in it needs what is.

A part that goes deeper begins with a heading and ends before the next one of the same or a higher level.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nbformat

DEEPER = "deeper"
COLLAPSED = "jp-MarkdownHeadingCollapsed"  # how JupyterLab keeps a part folded
_HEADING = re.compile(r"(#+) (.+)")


def is_deeper(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell lies beside the core path."""
    return DEEPER in cell.metadata.get("tags", [])


def heading(cell: nbformat.NotebookNode) -> tuple[int, str] | None:
    """Level and text of the heading that a cell begins with; None without one."""
    found = _HEADING.match(cell.source) if cell.cell_type == "markdown" else None
    return (len(found[1]), found[2]) if found else None


def deeper_parts(cells: list[nbformat.NotebookNode]) -> list[tuple[int, int]]:
    """Where the parts that go deeper begin and end, the outermost of them.

    Args:
        cells: of a notebook.

    Returns:
        Index of each part's heading, and of the first cell after it.
    """
    parts: list[tuple[int, int]] = []
    for index, cell in enumerate(cells):
        found = heading(cell)
        if found and is_deeper(cell) and not (parts and index < parts[-1][1]):
            parts.append((index, _end_of_part(cells, index, found[0])))
    return parts


def _end_of_part(cells: list[nbformat.NotebookNode], start: int, level: int) -> int:
    for index in range(start + 1, len(cells)):
        found = heading(cells[index])
        if found and found[0] <= level:
            return index
    return len(cells)
