"""Sessions made to be timed."""

from __future__ import annotations

import numpy as np

from edgelab.runtime import TensorSpec


class MatmulSession:
    """A session that really works: `work` products of two 32x32 matrices per run."""

    target, device, runtime_version, provenance, placement = "numpy", "CPU", "numpy", "measured", None
    fault = ""
    outputs = (TensorSpec("product", (32, 32), np.dtype(np.float32)),)

    def __init__(self, work: int = 1, batch: int = 1) -> None:
        self.work, self.runs = work, 0
        self.inputs = (TensorSpec("matrix", (batch, 32, 32), np.dtype(np.float32)),)

    def run(self, matrix):
        self.runs += 1
        for _ in range(self.work):
            product = matrix @ matrix
        return (product,)
