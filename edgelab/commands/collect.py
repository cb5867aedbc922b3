"""Judge what came back from boards, and record what was measured."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

GROUP = "measure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, and of which bundle."""
    parser.add_argument(
        "results", type=Path, nargs="+", help="results.json of run.py, or a chip's serial log"
    )
    parser.add_argument("--bundle", type=Path, help="the zip, where another computer made it")


def run(options: argparse.Namespace) -> int:
    """Judge each file; 0 when all of them are right and measured results recorded, 1 when one is not."""
    from edgelab.boards import collect, serial_log
    from edgelab.errors import DataError

    refused = 0
    for path in options.results:
        try:
            if serial_log.is_serial_log(path):
                found = serial_log.collect(path)
            else:
                found = collect.collect(path, sent=options.bundle)
        except DataError as error:
            print(error, file=sys.stderr)
            refused += 1
            continue
        print(found)
        refused += bool(found.fault)
    return 1 if refused else 0
