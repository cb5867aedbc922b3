"""Write the students' edition, without solutions."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgelab.course import execution, release

GROUP = "teach"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it goes."""
    parser.add_argument("--out", type=Path, default=execution.BUILD_DIR / "student", help="where it goes")


def run(options: argparse.Namespace) -> int:
    """Write it, and print what it holds."""
    print(release.write(options.out))
    return 0
