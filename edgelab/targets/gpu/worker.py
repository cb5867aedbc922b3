"""The trial of a model on the GPU, in a process that may die (`python -m edgelab.targets.gpu.worker`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.errors import TargetError
from edgelab.machine.child import no_core_dumps
from edgelab.machine.gpu_adapter import Adapter
from edgelab.targets.cpu.session import CpuSession
from edgelab.targets.gpu.session import GpuSession
from edgelab.targets.gpu.trial import VERDICT_MARK, difference, sample_inputs


def _child(request: dict[str, Any]) -> dict[str, Any]:
    """Run the samples on the CPU and on the GPU; the log goes to stderr, for the parent to read."""
    content = Path(request.pop("path")).read_bytes()
    adapter = Adapter(**request.pop("adapter"))
    with CpuSession(content, kernels="xnnpack", threads=2, batch_size=1) as reference:
        samples = list(sample_inputs(reference.inputs))
        expected = [reference.run(*arrays) for arrays in samples]
        specs = reference.outputs
    try:
        with GpuSession(content, adapter, **request) as session:
            found = [session.run(*arrays) for arrays in samples]
    except (RuntimeError, ValueError, KeyError, TargetError) as error:
        return {"status": "refused", "detail": str(error).strip().splitlines()[-1].lstrip("└ ")}
    errors = [
        difference(
            np.stack([spec.dequantize(row[number]) for row in expected]),
            np.stack([spec.dequantize(row[number]) for row in found]),
        )
        for number, spec in enumerate(specs)
    ]
    return {"status": "runs", "error": max(errors, default=0.0)}


if __name__ == "__main__":
    no_core_dumps()
    print(VERDICT_MARK + json.dumps(_child(json.loads(sys.argv[1]))), flush=True)
