"""Write slides of the executed chapters."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgelab.course import execution

GROUP = "teach"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the executed chapters are."""
    parser.add_argument("--build", type=Path, default=execution.BUILD_DIR, help="where the chapters are")
    parser.add_argument("--deeper", action="store_true", help="with what lies beside the core path, too")


def run(options: argparse.Namespace) -> int:
    """Write them into `slides` of the build folder, and print how many each chapter has."""
    from edgelab.course import slides

    for title, count in slides.write_all(options.build, deeper=options.deeper).items():
        print(f"{title:30} {count:3} slides")
    print(f"Open {options.build / 'slides' / 'index.html'}")
    return 0
