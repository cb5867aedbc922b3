"""Write the executed chapters as a site with search."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgelab.course import execution

GROUP = "teach"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the executed chapters are."""
    parser.add_argument("--build", type=Path, default=execution.BUILD_DIR, help="where the chapters are")


def run(options: argparse.Namespace) -> int:
    """Write it into `site` of the build folder."""
    from edgelab.course import website

    print(f"{website.write_site(options.build)} chapters. Open {options.build / 'site' / 'index.html'}")
    return 0
