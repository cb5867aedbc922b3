"""Serve a complete edge application: video, a model, zones, alarms, a live view in the browser."""

from __future__ import annotations

import argparse

from edgelab.app import command_line

GROUP = "measure"

add_arguments = command_line.add_arguments


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted; 0 when it was ended."""
    return command_line.run(options)
