"""Print which accelerator compiles here, runs here, and what the others need."""

from __future__ import annotations

import argparse

from edgelab.targets import matrix

GROUP = "check"


def run(options: argparse.Namespace) -> int:
    """Print the matrix. What is missing is no failure."""
    print(matrix.matrix())
    return 0
