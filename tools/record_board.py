"""Keep what the sections "On your board" of three chapters give on an emulated board, for whoever has none.

    python tools/record_board.py NAME

runs the sections' own cells, in the fast profile, on the board that was added under that name, and writes
their tables to `data/recorded/board.json`. A real board is refused: its numbers belong to who measured them.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "data" / "recorded" / "board.json"
CHAPTERS = {"09": "09_benchmark", "10": "10_video_demo", "13": "13_low_latency"}
ROWS = {"09": 2, "10": 1, "13": 3}  # of each table: a board that drops out meanwhile leaves fewer
BEGIN, END = "## On your board", "## Claim against measurement"


def section_cells(notebook: str) -> list[str]:
    """The code of a chapter's parameters and set-up, and of its section "On your board".

    Args:
        notebook: its name without the ending, such as "09_benchmark".
    """
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    begin, end = (
        next(place for place, text in enumerate(sources) if text.startswith(heading))
        for heading in (BEGIN, END)
    )
    set_up = next(place for place, text in enumerate(sources) if "display.header(" in text)
    chosen = [*range(set_up + 2), *range(begin, end)]  # chapter 5 names its file in the cell after
    return [sources[place] for place in chosen if cells[place]["cell_type"] == "code"]


def run_section(notebook: str, **parameters: Any) -> dict[str, Any]:
    """Run them with these parameters; the names that they leave."""
    names: dict[str, Any] = {}
    first, *others = section_cells(notebook)
    exec(first, names)
    names.update(parameters)
    for source in others:
        exec(source, names)
    return names


def main() -> int:
    """Record; 1 where the board is not emulated, or a section has no rows."""
    from edgelab.boards import registry, remote
    from edgelab.machine import artifacts

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", help="of an emulated board that was added")
    board = parser.parse_args().name
    asked = remote.check(registry.get(board))
    if not asked.facts.emulated or asked.kit is None:
        print(f"{board} is no emulated board, or lacks the kit.", file=sys.stderr)
        return 1
    os.environ["EDGELAB_PROFILE"], os.environ["EDGELAB_DATASET"] = "fast", ""
    chapters = {}
    for number, notebook in CHAPTERS.items():
        with contextlib.redirect_stdout(io.StringIO()):
            names = run_section(notebook, BOARD=board)
        chapters[number] = names["board_rows"]
        simulated = [row for row in chapters[number] if row["provenance"] == "simulated"]
        if board not in names["caption"] or len(simulated) != ROWS[number]:
            print(f"Chapter {number} did not run on {board} to its end.", file=sys.stderr)
            return 1
    versions = ", ".join(f"{name} {asked.kit[name]}" for name in ("ai-edge-litert", "numpy", "python"))
    chain = names["chain"]
    setting = (
        f"{asked.facts.device}, {asked.facts.release}, {versions}; {chain.model_name} on {chain.dataset.name}"
    )
    found = {"date": str(datetime.date.today()), "setting": setting, "chapters": chapters}
    with artifacts.atomic_path(OUT) as part:
        part.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
