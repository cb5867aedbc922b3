"""What a loaded model costs in memory when several processes load the same file: shared pages, told by Linux.

PSS, the proportional set size, counts a page that n processes share as 1/n in each; so a sum over processes
counts each page once (`/proc/PID/smaps`, proc(5)).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgelab.errors import TargetError
from edgelab.machine.child import Worker
from edgelab.texts import tr

WAYS = ("path", "content")
ROLLUP = Path("/proc/self/smaps_rollup")
TIME_LIMIT_S = 60.0


def unavailable() -> str:
    """Why shared pages cannot be told here; empty where they can."""
    if ROLLUP.exists():
        return ""
    return tr(
        "Only Linux tells how processes share pages ({file}); this is {system}.",
        file=str(ROLLUP),
        system=sys.platform,
    )


def forget_file(path: Path) -> bool:
    """Ask the system to drop a file's pages from its memory, so that the next reader finds it cold.

    Args:
        path: of the file.

    Returns:
        Whether the system could be asked; it may keep pages that another program uses.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
    return True


@dataclass(frozen=True)
class LoadedMemory:
    """What several processes pay for one model, each having loaded and run it.

    Attributes:
        way: "path", where the runtime maps the file, or "content", where the program has read it.
        grown_bytes: by process, how much its PSS grew.
        mapped_bytes: by process, how much of the file is mapped and in memory (RSS).
        shared_bytes: by process, its part of those pages (PSS).
    """

    way: str
    grown_bytes: tuple[int, ...]
    mapped_bytes: tuple[int, ...]
    shared_bytes: tuple[int, ...]

    @property
    def total_bytes(self) -> int:
        """Of all processes."""
        return sum(self.grown_bytes)


def loaded_memory(path: Path, way: str, process_count: int) -> LoadedMemory:
    """Load a model in several processes at once, and see how much memory all of them take.

    Args:
        path: a `.tflite` file.
        way: one of `WAYS`.
        process_count: at least 1.

    Raises:
        TargetError: this system does not tell, or a process failed.
    """
    if why := unavailable():
        raise TargetError(tr("Shared memory cannot be measured here."), why=why, fix=tr("run it on Linux"))
    request = {"file": str(Path(path).resolve()), "way": way}
    command = [sys.executable, "-m", "edgelab.benchmark.memory_worker"]
    with contextlib.ExitStack() as stack:
        workers = []
        for number in range(process_count):
            worker = Worker(
                command, folder=Path.cwd(), name=f"memory worker {number}", environment=_own_package()
            )
            stack.callback(worker.close)
            workers.append(worker)
        before = _asked(workers, {"do": "measure", **request})
        _asked(workers, {"do": "load", **request})
        after = _asked(workers, {"do": "measure", **request})
    return LoadedMemory(
        way,
        tuple(late["pss"] - early["pss"] for early, late in zip(before, after, strict=True)),
        tuple(one["mapped"] for one in after),
        tuple(one["shared"] for one in after),
    )  # fmt: skip


def _own_package() -> dict[str, str]:
    """A child finds this package wherever it was started from."""
    root = str(Path(__file__).resolve().parents[2])
    return {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))}


def _asked(workers: Sequence[Worker], request: dict[str, str]) -> list[dict[str, int]]:
    return [worker.ask(request, TIME_LIMIT_S) for worker in workers]
