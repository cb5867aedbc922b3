"""Take out of the notebooks what running them has put in: `make strip`, or with names of files.

Left are sources, ids, tags and slide types, and the printed text of cells tagged `keep_output`. Parts that go
deeper are folded again.
A chapter that was opened, run and saved in JupyterLab is then what it was, byte for byte.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbstripout import strip_output

from edgelab.course import core_path

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = ("jupyter", "slideshow", "tags")


def stripped(path: Path) -> str:
    """The text that the notebook's file should have."""
    notebook = nbformat.read(path, as_version=4)
    notebook = strip_output(
        notebook, keep_output=False, keep_count=False, keep_id=True, drop_empty_cells=True
    )
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        known = {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(known)
        if core_path.is_deeper(cell) and core_path.heading(cell):
            cell.metadata[core_path.COLLAPSED] = True
        if "keep_output" in known.get("tags", []):
            cell.execution_count = 1  # tells nbval that it was run
    return nbformat.writes(notebook) + "\n"


def main(paths: list[Path]) -> None:
    """Write what has changed."""
    for path in paths:
        text = stripped(path)
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"stripped {path.name}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")))
