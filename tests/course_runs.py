"""Run the course in a process of its own, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_course(artifacts: Path, build: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Execute the course, or some of it, as a user does; an exercise that does not pass is an error."""
    command = [sys.executable, "-m", "edgelab", "run", "--build", str(build), *arguments]
    env = {**os.environ, "EDGELAB_ARTIFACTS": str(artifacts), "EDGELAB_STRICT": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", env=env
    )


def models_in(folder: Path) -> set[str]:
    """Names of all model files in a folder and those below it."""
    return {path.name for path in folder.rglob("*") if path.suffix in {".keras", ".tflite"}}
