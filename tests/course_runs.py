"""Run the course in a process of its own, as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def run_course(
    artifacts: Path, build: Path, *arguments: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Execute the course, or some of it, as a user does; an exercise that does not pass is an error."""
    command = [sys.executable, "-m", "edgelab", "run", "--build", str(build), *arguments]
    env = {**os.environ, "EDGELAB_ARTIFACTS": str(artifacts), "EDGELAB_STRICT": "1", **(settings or {})}
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", env=env
    )


def watching_figures(folder: Path) -> dict[str, str]:
    """Settings with which every kernel judges the figures that it shows, and notes findings in `folder`."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    code = f"__import__('figure_rules').watch({str(folder)!r})"
    (startup / "00_figures.py").write_text(code, encoding="utf-8")
    return {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(Path(__file__).parent)}


def models_in(folder: Path) -> set[str]:
    """Names of all model files in a folder and those below it."""
    return {path.name for path in folder.rglob("*") if path.suffix in {".keras", ".tflite"}}
