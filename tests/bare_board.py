"""How a Python is started that has just some packages, as a board has."""

from __future__ import annotations

import os
import sys

QUICK = ("--seconds", "0.1", "--openings", "3", "--threads", "1")


def on_board(packages, *arguments):
    """The command, and the variables, of a Python that has only these packages."""
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP") if name in os.environ}
    environment = {**kept, "PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"}
    return [sys.executable, "-s", "-S", "-u", *arguments], environment
