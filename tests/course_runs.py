"""Run the course in a process of its own, as a user does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import claims
import figure_rules
import filelock
import kept

# Two at once, about equally long, the longest first.
HALVES = ("09,04,12,16,14,18,21,20,07,00", "06,11,03,13,17,19,10,01,15,08,05,02")


@dataclass(frozen=True)
class SecondRun:
    """The course, executed again from what the first pass left.

    Attributes:
        folder: `build` and `figures` lie below it.
        outputs: what each half printed, and what was wrong with it: (exit code, text).
        whole: the same of a run of all chapters after that, which has nothing left to execute.
        models_before: names of the model files before.
    """

    folder: Path
    outputs: tuple[tuple[int, str], ...]
    whole: tuple[int, str]
    models_before: frozenset[str]

    @property
    def build(self) -> Path:
        """The build folder with executed chapters and their pages."""
        return self.folder / "build"

    @property
    def figures(self) -> Path:
        """Where its kernels noted what is wrong with their figures and sentences."""
        return self.folder / "figures"


def run_course(
    artifacts: Path, build: Path, *arguments: str, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Execute the course, or some of it, as a user does; an exercise that does not pass is an error."""
    command = [sys.executable, "-m", "edgelab", "run", "--build", str(build), *arguments]
    env = {**os.environ, "EDGELAB_ARTIFACTS": str(artifacts), "EDGELAB_STRICT": "1", **(settings or {})}
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", env=env
    )


def watching(folder: Path) -> dict[str, str]:
    """Settings with which every kernel judges its figures and sentences, and notes findings in `folder`."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    code = "".join(f"__import__({judge!r}).watch({str(folder)!r})\n" for judge in ("figure_rules", "claims"))
    (startup / "00_watch.py").write_text(code, encoding="utf-8")
    return {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(Path(__file__).parent)}


def models_in(folder: Path) -> set[str]:
    """Names of all model files in a folder and those below it."""
    return {path.name for path in folder.rglob("*") if path.suffix in {".keras", ".tflite"}}


def run_again_once(artifacts: Path, shared: Path) -> SecondRun:
    """Run the course again, unless another process of this test run has done so.

    Args:
        artifacts: what the first pass has left.
        shared: a folder of this test run, in which it is noted. Chapters and figures go there, too, or to
            where those of an earlier test run are kept: what has not changed since is not executed again.
    """
    record = shared / "second run.json"
    folder = _kept_folder() or shared / "second run"
    with filelock.FileLock(shared / "second run.lock"):
        if not record.exists():
            record.write_text(json.dumps(_run_again(artifacts, folder)), encoding="utf-8")
        noted = json.loads(record.read_text(encoding="utf-8"))
    outputs = tuple((code, text) for code, text in noted["outputs"])
    return SecondRun(folder, outputs, tuple(noted["whole"]), frozenset(noted["models_before"]))


def _kept_folder() -> Path | None:
    """Named after the judges of its figures and its sentences."""
    folder = kept.folder()
    judges = b"".join(Path(judge.__file__).read_bytes() for judge in (figure_rules, claims))
    judge = hashlib.sha256(judges).hexdigest()[:8]
    return folder / f"second run {judge}" if folder else None


def _run_again(artifacts: Path, folder: Path) -> dict:
    before = sorted(models_in(artifacts))
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    settings = watching(folder / "figures")

    def run(*arguments: str) -> tuple[int, str]:
        done = run_course(artifacts, folder / "build", *arguments, settings=settings)
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(len(HALVES)) as pool:
        outputs = list(pool.map(lambda half: run("--only", half), HALVES))
    return {"outputs": outputs, "whole": run(), "models_before": before}
