"""TensorFlow Lite Micro: a model in the memory of a microcontroller, run on this computer.

The interpreter is the one that firmware links, with its portable kernels, so results are those of the chip.
Its time is not: nothing here is timed. All of it runs in a child process, since an arena that is too small
may end the process, as it would the firmware.

Results equal those of LiteRT's reference kernels bit for bit, but for two operators. FULLY_CONNECTED brings
the 32-bit sum back to 8 bits in two rounded steps here and in one there: where it lies next to the border
between two codes (about one value in 2,000, int8), its output differs by one step. The LSTM was seen to
differ by up to two steps. Tests show both.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import artifacts
from edgelab.runtime import Availability, Placement
from edgelab.targets.base import Compiled
from edgelab.targets.micro.arena import check_size, smallest_arena
from edgelab.targets.micro.session import MicroSession, availability, checked, runtime_version


class MicroTarget:
    """TensorFlow Lite Micro with its portable kernels.

    Args:
        arena_size_bytes: memory for everything but the model; None for plenty.
    """

    name = "micro"
    takes = "int8"
    suffix = ".tflite"

    def __init__(self, arena_size_bytes: int | None = None) -> None:
        if arena_size_bytes is not None:
            check_size(arena_size_bytes)
        self.arena_size_bytes = arena_size_bytes

    @property
    def settings(self) -> dict[str, Any]:
        """The arena, and the version."""
        return {"arena_size_bytes": self.arena_size_bytes, "tflite_micro": runtime_version()}

    def probe(self) -> Availability:
        """Whether the interpreter is installed; there are wheels for Linux on x86-64 alone."""
        return availability()

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Copy the model, after it has run: a microcontroller reads the `.tflite` file as it is.

        `log_rows` holds the allocator's record, the smallest arena first.

        Raises:
            ModelError: corrupt, of unknown size, or with operators that the runtime lacks.
            TargetError: the runtime is missing, or `arena_size_bytes` is too small.
            StorageError: `out` cannot be written.
        """
        started = time.perf_counter()
        found = checked(Path(model))
        if self.arena_size_bytes:
            self.open(model).close()  # does it fit?
        arena = smallest_arena(Path(model))
        content = Path(model).read_bytes()
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        rows = [
            {"part": "smallest arena", "bytes": arena.smallest_bytes, "count": 1},
            {"part": "head", "bytes": arena.head_bytes, "count": 1},
            {"part": "tail", "bytes": arena.tail_bytes, "count": 1},
            *({"part": part, "bytes": used, "count": count} for part, used, count in arena.parts),
        ]
        total = len(found.operators)
        duration_s = time.perf_counter() - started
        return Compiled(Path(out), self.name, tuple(rows), Placement(total, total), duration_s, len(content))

    def open(self, model: Path | Compiled) -> MicroSession:
        """Load a model into an arena, in a child process.

        Raises:
            ModelError: missing, corrupt, of unknown size, or with operators that the runtime lacks.
            TargetError: the runtime is missing, or the arena is too small.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        return MicroSession(path, self.arena_size_bytes)
