"""The parent's side of the worker: Apple's coremltools in a process and a folder of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgelab.errors import ModelError, TargetError
from edgelab.machine import artifacts, child
from edgelab.runtime import ClosesAtEnd
from edgelab.texts import tr

CONVERT_LIMIT_S, START_LIMIT_S, RUN_LIMIT_S = 1800.0, 300.0, 60.0


class Engine(ClosesAtEnd):
    """coremltools in a process and a temporary folder of its own; both go when it is closed.

    Raises:
        TargetError: it cannot be started.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgelab-coreml-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        ours = str(Path(__file__).resolve().parents[3])
        try:
            self._worker = child.Worker(
                [sys.executable, "-m", "edgelab.targets.coreml.worker"],
                folder=self.folder,
                name="coremltools",
                environment={
                    # It runs in a folder of its own, from where this package may not be found.
                    "PYTHONPATH": os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH", "")))),
                    "CUDA_VISIBLE_DEVICES": "-1",
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                    "TMPDIR": str(self.folder),  # coremltools leaves packages there
                },
            )
        except TargetError:
            self._folder.cleanup()
            raise

    def ask(self, what: str, time_limit_s: float, **details: Any) -> dict[str, Any]:
        """Have one step done; a failure is raised as what it is.

        Raises:
            ModelError: coremltools refuses the model.
            StorageError: the disk is full.
            TargetError: anything else: it died, hung, is missing, or this is no Mac.
        """
        answer = self._worker.ask({"do": what, **details}, time_limit_s)
        if refusal := answer.get("error"):
            kind = ModelError if refusal["is_model"] else TargetError
            raise kind(refusal["what"], why=refusal["why"], fix=refusal["fix"])
        if "errno" in answer:
            raise artifacts.storage_error(OSError(answer["errno"], answer["strerror"]), self.folder / "model")
        if "missing" in answer:
            raise TargetError(tr("coremltools cannot be used."), why=answer["missing"], fix=tr("make coreml"))
        return answer

    def close(self) -> None:
        """End it and remove its folder. A second call does nothing."""
        self._worker.close()
        self._folder.cleanup()
