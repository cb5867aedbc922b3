"""The parent's side of the worker: NVIDIA's native code in a process that may die."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgelab.errors import ModelError, TargetError
from edgelab.machine import child

START_LIMIT_S, BUILD_LIMIT_S, RUN_LIMIT_S = 120.0, 1800.0, 60.0


class Engine:
    """The child process, and what it said about this machine's GPU."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgelab-tensorrt-")
        self.folder = Path(self._folder.name)
        command = [sys.executable, "-m", "edgelab.targets.tensorrt.worker"]
        try:
            self._worker = child.Worker(
                command,
                folder=self.folder,
                name="TensorRT",
                # It runs in a folder of its own, from where this package may not be found.
                environment={"PYTHONPATH": _python_path()},
            )
        except TargetError:
            self._folder.cleanup()
            raise
        try:
            self.machine = self.ask({"do": "start"}, START_LIMIT_S)
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any], time_limit_s: float) -> dict[str, Any]:
        """The child's answer; a refusal becomes an error.

        Raises:
            ModelError: TensorRT refuses the model.
            TargetError: anything else.
        """
        answer = self._worker.ask(request, time_limit_s)
        if refusal := answer.get("error"):
            kind = ModelError if refusal.get("is_model") else TargetError
            raise kind(refusal["what"], why=refusal["why"], fix=refusal["fix"])
        return answer

    def close(self) -> None:
        """End the worker and delete its folder."""
        self._worker.close()
        self._folder.cleanup()


def _python_path() -> str:
    ours = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH", ""))))
