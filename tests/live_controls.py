"""Sliders and menus of a chapter, counted in its code."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

CONTROL = re.compile(r"\b(?:display\.explore|exercises\.predict)\(")
NOTE = 'class="live-note"'  # of the message beside the picture that stands in for a control
NO_SLIDE = ("skip", "notes")


def controls_in(notebook: Path, *, on_slides: bool = False) -> int:
    """How many controls a notebook shows, or only those on its slides."""
    cells = nbformat.read(notebook, as_version=4).cells
    return sum(
        len(CONTROL.findall(cell.source))
        for cell in cells
        if cell.cell_type == "code"
        and not (on_slides and cell.metadata.get("slideshow", {}).get("slide_type") in NO_SLIDE)
    )
