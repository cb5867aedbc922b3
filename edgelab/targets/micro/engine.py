"""The parent's side of the worker: the interpreter in a process that it may end."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import child
from edgelab.runtime import ClosesAtEnd
from edgelab.targets.micro.worker import QUESTION_MARK

TIME_LIMIT_S = 60.0
CHILD = (sys.executable, "-m", "edgelab.targets.micro.worker")


class Child(ClosesAtEnd):
    """A child that is started when it is needed, and again after it died."""

    def __init__(self, model: Path) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="micro-")
        self.model, self.worker = model, None

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Its answer.

        Raises:
            TargetError: it died, hangs or cannot be started.
            RefusedError: the interpreter said no, with its words.
        """
        if self.worker is None:
            self.worker = child.Worker(CHILD, folder=Path(self.folder.name), name="TensorFlow Lite Micro")
        try:
            answer = self.worker.ask({"do": do, **request}, TIME_LIMIT_S)
        except BaseException:
            self.worker = None
            raise
        if "error" in answer:
            words = last_words_of(self.worker.last_words())
            raise RefusedError(answer["error"], words)
        return answer

    def load(self, arena_bytes: int, counts: tuple[int, int]) -> dict[str, Any]:
        """Give the model an arena of that size; what the interpreter says of its inputs and outputs."""
        return self.ask(
            "open",
            model=str(self.model),
            arena_bytes=arena_bytes,
            input_count=counts[0],
            output_count=counts[1],
        )

    def run(self, inputs: tuple[np.ndarray, ...], output_count: int) -> tuple[np.ndarray, ...]:
        """One inference; the outputs come back as files."""
        folder = Path(self.folder.name)
        for index, array in enumerate(inputs):
            np.save(folder / f"input{index}.npy", array)
        self.ask("run", folder=str(folder))
        return tuple(np.load(folder / f"output{index}.npy") for index in range(output_count))

    def close(self) -> None:
        """End the child and delete its folder. A second call does nothing."""
        if self.worker is not None:
            self.worker.close()
            self.worker = None
        self.folder.cleanup()


class RefusedError(Exception):
    """The interpreter's no: what Python saw, and what the native code wrote."""

    def __init__(self, error: str, words: str) -> None:
        super().__init__(error)
        self.error, self.words = error, words


def last_words_of(stderr: str) -> str:
    """What the native code wrote on the last question, as one line."""
    lines = stderr.rsplit(QUESTION_MARK, 1)[-1].splitlines()
    return "; ".join(line.strip() for line in lines if line.strip())
