"""Print how many exercises are solved, chapter by chapter."""

from __future__ import annotations

import argparse

GROUP = "learn"


def run(options: argparse.Namespace) -> int:
    """Print a line per chapter."""
    from edgelab import exercises

    print(exercises.progress().by_chapter)
    return 0
