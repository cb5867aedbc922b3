"""The command line of the application, for `python -m edgelab app` and `python -m edgelab.app`.

The second loads nothing of the course's other commands, and starts in a fraction of the time: for boards.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration, and the few settings that are often tried."""
    parser.add_argument("settings", type=Path, nargs="?", help="a copy of data/app/app.toml")
    parser.add_argument("--source", help='in place of [source] address, such as "camera:0" or a file')
    parser.add_argument("--model", help='in place of [model] file; "boxes" for none, on drawn scenes')
    parser.add_argument("--target", help="in place of [model] target, such as edgetpu")
    parser.add_argument("--port", type=int, help="in place of [server] port; 0 for any")
    parser.add_argument("--data", help="in place of data_folder")
    parser.add_argument("--example", action="store_true", help="print the configuration, every key explained")


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted; gives 0.

    Raises:
        EdgelabError: it cannot start.
    """
    from edgelab.app import settings

    if options.example:
        print(settings.EXAMPLE.read_text(encoding="utf-8"), end="")
        return 0
    chosen = settings.load(options.settings) if options.settings else settings.Settings()
    chosen = settings.changed(
        chosen,
        address=options.source,
        file=options.model,
        target=options.target,
        port=options.port,
        data_folder=options.data,
    )
    from edgelab.app import application

    return application.run(chosen, lambda text: print(text, flush=True))
