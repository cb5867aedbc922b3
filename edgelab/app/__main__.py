"""`python -m edgelab.app`: the application alone, without the course's other commands."""

from __future__ import annotations

import argparse
import sys

from edgelab.app import command_line
from edgelab.errors import EdgelabError


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; 0 when it was ended, 1 when it could not start, which is told."""
    parser = argparse.ArgumentParser(prog="python -m edgelab.app", description="A complete edge application")
    command_line.add_arguments(parser)
    try:
        return command_line.run(parser.parse_args(arguments))
    except EdgelabError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
