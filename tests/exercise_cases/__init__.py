"""Cases of every exercise, a module per chapter: `chapter_04.py` is that of chapter 4.

Each has `SOLUTIONS` (key to a right answer), `WRONG` (key, a mistake that students make, words of the help
that only this mistake gets) and, where there are several ways to be right, `ALSO_RIGHT` (key, answer).
`SURVIVORS` (key, changed line of the given solution, reason) are changes that a check need not notice.
The untouched answers are the stubs of the notebooks.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MODULES = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]

SOLUTIONS: dict[str, Any] = {key: answer for module in MODULES for key, answer in module.SOLUTIONS.items()}
ALSO_RIGHT = [case for module in MODULES for case in getattr(module, "ALSO_RIGHT", ())]
WRONG = [case for module in MODULES for case in module.WRONG]
SURVIVORS = [case for module in MODULES for case in getattr(module, "SURVIVORS", ())]


def _sources(tag: str) -> dict[str, str]:
    """Source of the cell of each exercise that has this tag, by the exercise's key."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        sources = [cell.source for cell in cells if tag in cell.metadata.get("tags", [])]
        found |= {f"{path.stem[:2]}.{number}": source for number, source in enumerate(sources, 1)}
    return found


STUBS = _sources("exercise")
GIVEN = _sources("solution")
