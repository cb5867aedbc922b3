"""A kernel in which a student presses Run All, and stops it or loses it at any moment."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from jupyter_client import KernelManager

INTERRUPTED = "KeyboardInterrupt"
Moment = Callable[[int], bool]  # whether it has come, asked with the index of the running cell


@dataclass(frozen=True)
class Run:
    """How a Run All ended.

    Attributes:
        cell: index of the last cell that ran.
        error: name and text of the error that ended it; empty when all cells ran.
        took_s: how long it ran.
        stop_s: from the interrupt to the end of the cell; 0 without an interrupt.
    """

    cell: int
    error: str
    took_s: float
    stop_s: float = 0.0


class StudentKernel:
    """A kernel beside a notebook, with artifacts of its own.

    Args:
        notebook: the `.ipynb` file.
        artifacts: its artifacts folder.
        log: where the kernel's own output goes.
    """

    def __init__(self, notebook: Path, artifacts: Path, log: Path) -> None:
        cells = nbformat.read(notebook, as_version=4).cells
        self.sources = [cell.source if cell.cell_type == "code" else "" for cell in cells]
        self.log = log.open("w", encoding="utf-8")
        self.options = {
            "env": {**os.environ, "EDGELAB_ARTIFACTS": str(artifacts)},
            "cwd": str(notebook.parent),
            "stdout": self.log,
            "stderr": self.log,
        }
        self._start()

    def _start(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(**self.options)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    @property
    def process(self) -> psutil.Process:
        """The kernel's own process."""
        return psutil.Process(self.manager.provisioner.process.pid)

    def run_all(self, when: Moment = lambda cell: False, *, longest_s: float = 900) -> Run:
        """Run the cells from the top; press the stop button once `when` says so.

        Raises:
            TimeoutError: it neither ended nor could be stopped.
        """
        started, stopped = time.monotonic(), 0.0
        for index, source in enumerate(self.sources):
            request = self.client.execute(source) if source else None
            while request:
                if time.monotonic() - started > longest_s:
                    raise TimeoutError(f"cell {index} does not end: {source[:80]}")
                if not stopped and when(index):
                    self.manager.interrupt_kernel()
                    stopped = time.monotonic()
                reply = self._reply_to(request)
                if reply is None:
                    continue
                request, now = None, time.monotonic()
                stop_s = now - stopped if stopped else 0.0
                # An interrupt may come as the cell ends.
                error = f"{reply['ename']}: {reply['evalue']}" if reply["status"] != "ok" else ""
                if error or stopped:
                    return Run(index, error or INTERRUPTED, now - started, stop_s)
        return Run(len(self.sources) - 1, "", time.monotonic() - started)

    def _reply_to(self, request: str) -> dict | None:
        try:
            reply = self.client.get_shell_msg(timeout=0.05)
        except queue.Empty:
            return None
        return reply["content"] if reply["parent_header"].get("msg_id") == request else None

    def run_all_and_lose_it(self, when: Moment, *, kill: bool = True) -> None:
        """Run the cells from the top until `when` says so; then end the kernel and start a new one.

        Args:
            when: asked again and again while a cell runs.
            kill: kill -9; False ends it as JupyterLab does when it is closed.
        """
        for index, source in enumerate(self.sources):
            request = self.client.execute(source) if source else None
            while request and self._reply_to(request) is None:
                if when(index):
                    return self._lose_it(kill)
        return self._lose_it(kill)

    def _lose_it(self, kill: bool) -> None:
        if kill:
            self.process.kill()
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=kill)
        self._start()

    def close(self) -> None:
        """End it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.log.close()


def in_cell(cell: int, delay_s: float) -> Moment:
    """So many seconds after that cell has begun, or in a later one when it has ended before."""
    begun: list[float] = []

    def is_over(running: int) -> bool:
        if running >= cell:
            begun or begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] >= delay_s

    return is_over
