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
DIED = "DeadKernel"
SWEPT_AWAY = {"status": "aborted"}
Moment = Callable[[int], bool]  # whether it has come, asked with the index of the running cell


@dataclass(frozen=True)
class Run:
    """How a Run All ended.

    Attributes:
        cell: index of the last cell that ran.
        error: name and text of the error that ended it; empty when all cells ran.
    """

    cell: int
    error: str


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

    def run_all(
        self, when: Moment = lambda cell: False, how: str = "interrupt", *, longest_s: float = 1800
    ) -> Run:
        """Run the cells from the top until `when` says so.

        Args:
            when: asked again and again while a cell runs.
            how: "interrupt" is the stop button; "kill" is kill -9, "close" is what JupyterLab does when it is
                closed, and after both there is a new kernel. So there is after one that ends by itself.
            longest_s: after that it is an error.

        Raises:
            TimeoutError: it neither ended nor could be stopped.
        """
        started, stopped, after = time.monotonic(), False, ""
        for index, source in enumerate(self.sources):
            request = self.client.execute(source) if source else None
            while request:
                if time.monotonic() - started > longest_s:
                    raise TimeoutError(f"cell {index} does not end: {source[:80]}")
                if not stopped and when(index):
                    stopped = True
                    if how != "interrupt":
                        self._lose_it(kill=how == "kill")
                        return Run(index, INTERRUPTED)
                    self.manager.interrupt_kernel()
                    after = self.client.kernel_info()
                reply = self._reply_to(request, after)
                if reply is None and not self.manager.is_alive():
                    self._lose_it(kill=True)
                    return Run(index, INTERRUPTED if stopped else f"{DIED}: in {source[:80]}")
                if reply is None:
                    continue
                if reply["status"] == "aborted" and not stopped:  # still busy with an interrupt before
                    request = self.client.execute(source)
                    continue
                request = None
                error = error_in(reply)
                if error or stopped:  # an interrupt may come as the cell ends
                    return Run(index, error or INTERRUPTED)
        return Run(len(self.sources) - 1, "")

    def _reply_to(self, request: str, after: str) -> dict | None:
        """The kernel's answer to `request`, never given where a stop meets a cell that has not begun:
        the kernel then goes on with what was asked `after` it, or ends.
        """
        try:
            reply = self.client.get_shell_msg(timeout=0.05)
        except queue.Empty:
            return None
        answered = reply["parent_header"].get("msg_id")
        return {request: reply["content"], after: SWEPT_AWAY}.get(answered)

    def _lose_it(self, kill: bool) -> None:
        if kill and self.manager.is_alive():
            self.process.kill()
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=kill)
        self._start()

    def close(self) -> None:
        """End it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.log.close()


def error_in(reply: dict) -> str:
    """What a reply to a cell tells of its end: empty when all is well.

    A cell that an interrupt has swept away before it began is "aborted", and has no name for it.
    """
    if reply["status"] == "ok":
        return ""
    return f"{reply.get('ename', INTERRUPTED)}: {reply.get('evalue', reply['status'])}"


def in_cell(cell: int, delay_s: float) -> Moment:
    """So many seconds after that cell has begun, or in a later one when it has ended before."""
    begun: list[float] = []

    def is_over(running: int) -> bool:
        if running >= cell:
            begun or begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] >= delay_s

    return is_over
