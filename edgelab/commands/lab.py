"""Open JupyterLab on the first notebook, with whatever options it takes."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from edgelab.course import pages, stamps
from edgelab.machine import artifacts

GROUP = "learn"
PASSES_OPTIONS_ON = True


def run(options: argparse.Namespace) -> int:
    """Start it; its exit code when it has ended."""
    # By default only the first notebook's folder is served, and links to docs/ would lead nowhere.
    served = ["notebooks/00_start_here.ipynb", f"--ServerApp.root_dir={artifacts.PROJECT_ROOT}"]
    command = [sys.executable, "-m", "jupyterlab", *served, *options.passed_on]
    env = {**os.environ, **settings(), **places()}
    return subprocess.run(command, cwd=artifacts.PROJECT_ROOT, env=env).returncode


def settings() -> dict[str, str]:
    """Environment of a JupyterLab that shows Markdown as a page and asks for no news; users' settings win."""
    paths = [str(pages.WEB_FOLDER / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


def places() -> dict[str, str]:
    """What the user's variables name, absolute, as for `run`: a kernel's own folder is `notebooks/`."""
    found = stamps.settings(os.environ.get("EDGELAB_PROFILE", ""), os.environ.get("EDGELAB_DATASET", ""))
    return {name: value for name, value in found.items() if value}
