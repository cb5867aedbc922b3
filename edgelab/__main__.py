"""The command line: `python -m edgelab COMMAND`; the commands are in `edgelab/commands/`."""

from __future__ import annotations

import sys

from edgelab import commands
from edgelab.errors import EdgelabError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an error made on purpose is printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a console may lack the marks used in tables
    options = commands.parse(arguments)
    try:
        return options.command.run(options)
    except EdgelabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Everything finished so far is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
