"""Put the results of a class into one table and plot."""  # noqa: N999 - the command's name

from __future__ import annotations

import argparse
from pathlib import Path

from edgelab.course import execution

GROUP = "teach"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose results, and where the table goes."""
    parser.add_argument("folder", type=Path, help="results.jsonl files, named after their students")
    parser.add_argument("--out", type=Path, default=execution.BUILD_DIR / "board", help="where it goes")


def run(options: argparse.Namespace) -> int:
    """Write it, and print what it holds."""
    from edgelab.course import class_board

    print(class_board.write(options.folder, options.out))
    return 0
