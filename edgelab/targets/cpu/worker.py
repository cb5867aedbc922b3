"""The trial of model files in a process that they may end: `python -m edgelab.targets.cpu.worker`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil

from edgelab.errors import ModelError
from edgelab.machine.child import no_core_dumps
from edgelab.targets.cpu.session import CpuSession
from edgelab.targets.cpu.trial import VERDICT_MARK


def _limit_resources() -> None:
    """No core dumps, and no more memory than is free: a corrupt file may ask for terabytes."""
    no_core_dumps()
    try:
        import resource
    except ImportError:  # Windows refuses such an allocation itself
        return
    if sys.platform == "linux":  # elsewhere the limit is ignored, or counts reserved address space
        limit = psutil.Process().memory_info().vms + psutil.virtual_memory().available
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _child() -> None:
    _limit_resources()
    request = json.load(sys.stdin)
    for path in request.pop("paths"):
        try:
            with CpuSession(Path(path).read_bytes(), **request) as session:
                session.run(*session.trial_inputs)
            verdict = {"status": "runs"}
        except (ModelError, MemoryError, OSError) as error:
            verdict = {"status": "refused", "detail": getattr(error, "why", "") or str(error)}
        sys.stdout.write(VERDICT_MARK + json.dumps(verdict) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _child()
