"""Print what this machine has, and how to get what is missing."""

from __future__ import annotations

import argparse

from edgelab import environment

GROUP = "check"


def run(options: argparse.Namespace) -> int:
    """Print the report. What is missing is no failure."""
    print(environment.report())
    return 0
