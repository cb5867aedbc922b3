"""A Dask scheduler and workers on this machine, as processes of their own that a test may kill."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

START_S = 90
DASK = Path(sys.executable).with_name("dask")


class LocalCluster:
    """What runs; `address` is the scheduler's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.workers: list[subprocess.Popen] = []
        note = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                     "--scheduler-file", str(note))  # fmt: skip
        self.address = _waited_for(note)

    def _start(self, *arguments: str) -> subprocess.Popen:
        with (self._folder / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen([DASK, *arguments], cwd=self._folder, stdout=log, stderr=log)

    def add_worker(self, course: Path) -> subprocess.Popen:
        """One worker with one thread and no nanny, started in the course's folder."""
        with (self._folder / "worker.log").open("ab") as log:
            command = [DASK, "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                       "--local-directory", str(self._folder)]  # fmt: skip
            self.workers.append(subprocess.Popen(command, cwd=course, stdout=log, stderr=log))
        return self.workers[-1]

    def close(self) -> None:
        """Kill all, with what they have started."""
        for process in (*self.workers, self.scheduler):
            with contextlib.suppress(psutil.NoSuchProcess):
                for one in (
                    *psutil.Process(process.pid).children(recursive=True),
                    psutil.Process(process.pid),
                ):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
            process.wait()


def _waited_for(note: Path) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError):
            return json.loads(note.read_text(encoding="utf-8"))["address"]
        time.sleep(0.1)
    raise TimeoutError(f"the scheduler did not start within {START_S} s")


@contextlib.contextmanager
def running(folder: Path, course: Path, workers: int) -> Iterator[LocalCluster]:
    """A cluster with some workers, all of them known to the scheduler."""
    from distributed import Client

    cluster = LocalCluster(folder)
    try:
        for _ in range(workers):
            cluster.add_worker(course)
        if workers:
            with Client(cluster.address, timeout=START_S, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=START_S)
        yield cluster
    finally:
        cluster.close()
