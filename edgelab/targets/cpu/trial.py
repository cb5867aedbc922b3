"""Try a model file in a child process, so that one that crashes native code cannot end the student's kernel.

The parent calls `try_models`; the child (`worker`) reads the request from stdin, loads and runs each file
once, and prints a verdict per file. When it dies or hangs, the file it was at is to blame, and another child
goes on with the rest.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TIME_LIMIT_S = 60.0
VERDICT_MARK = "verdict "  # native code may print to stdout too; only lines that begin like this count


@dataclass(frozen=True)
class Verdict:
    """What a child process found out about a model file.

    Attributes:
        status: "runs", "refused" (the runtime said why), "crashed" or "hung".
        detail: the runtime's message, the exit code or the time limit.
    """

    status: str
    detail: str = ""


def try_models(
    paths: list[Path], *, kernels: str, threads: int, batch_size: int, time_limit_s: float = TIME_LIMIT_S
) -> list[Verdict]:
    """Load and run each file once, somewhere it can do no harm.

    Args:
        paths: `.tflite` files, of any content.
        kernels, threads, batch_size: as for `CpuTarget`.
        time_limit_s: for one file; the child's start counts with the first.

    Returns:
        One verdict per file, in order.
    """
    verdicts: list[Verdict] = []
    while len(verdicts) < len(paths):
        request = {
            "kernels": kernels,
            "threads": threads,
            "batch_size": batch_size,
            "paths": [str(path) for path in paths[len(verdicts) :]],
        }
        verdicts += _one_child(request, time_limit_s)
    return verdicts


def _one_child(request: dict, time_limit_s: float) -> Iterator[Verdict]:
    """Verdicts until all files are done or one ends the child; that one's verdict comes last."""
    # stderr is dropped: a child that crashes may dump pages of native stack there.
    process = subprocess.Popen(
        [sys.executable, "-m", "edgelab.targets.cpu.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def read_lines() -> None:
        for line in process.stdout:
            if line.startswith(VERDICT_MARK):
                lines.put(line[len(VERDICT_MARK) :])
        lines.put(None)

    threading.Thread(target=read_lines, daemon=True).start()
    try:
        with contextlib.suppress(OSError):  # it died at once: its exit code tells
            process.stdin.write(json.dumps(request))
            process.stdin.close()
        for _ in request["paths"]:
            line = lines.get(timeout=time_limit_s)
            if line is None:
                yield Verdict("crashed", f"exit code {process.wait()}")
                return
            yield Verdict(**json.loads(line))
    except queue.Empty:
        yield Verdict("hung", f"no answer within {time_limit_s:g} s")
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()
