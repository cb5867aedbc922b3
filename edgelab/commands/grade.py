"""Grade a folder of submitted notebooks."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from edgelab.course import execution

GROUP = "teach"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to grade, within which limits."""
    parser.add_argument("folder", type=Path, help="notebooks, or a folder per student, or a .zip")
    parser.add_argument(
        "--out", type=Path, default=execution.BUILD_DIR / "grades", help="where the table goes"
    )
    parser.add_argument(
        "--jobs", type=int, default=0, help="submissions at once; one per processor by default"
    )
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="a Dask scheduler whose workers grade, as tcp://host:8786",
    )
    parser.add_argument("--cpu-s", type=int, default=10, help="processor time of one exercise, in seconds")
    parser.add_argument("--wall-s", type=float, default=40.0, help="time of one exercise on the clock")
    parser.add_argument("--memory-mb", type=int, default=2048, help="memory of one exercise")
    parser.add_argument(
        "--trust-submissions", action="store_true", help="run them unprotected, where you have read them all"
    )


def run(options: argparse.Namespace) -> int:
    """Grade them, and print the table."""
    from edgelab.grading import grade
    from edgelab.grading.answers import Limits

    limits = Limits(options.cpu_s, options.wall_s, options.memory_mb << 20)
    with tqdm(unit="notebook", disable=None, leave=False) as bar:

        def count(_: object, total: int) -> None:
            bar.total = total
            bar.update()

        grades = grade.grade(
            options.folder,
            options.out,
            jobs=options.jobs,
            limits=limits,
            trusted=options.trust_submissions,
            scheduler=options.scheduler,
            on_submission=count,
        )
    print(grades)
    return 0
