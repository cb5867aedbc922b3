"""The worker in the toolkit's own environment."""

from __future__ import annotations

import runpy
import subprocess

import numpy as np
import pytest

from edgelab import environment
from edgelab.targets.rknn import engine


def test_the_environment_imports_what_is_needed(toolkit):
    command = [environment.rknn_python(), "-I", engine.WORKER, "--check"]
    assert subprocess.run(command, timeout=60).returncode == 0


def test_the_stand_in_for_torch_refuses_to_compute():
    worker = runpy.run_path(str(engine.WORKER))
    torch = worker["_Placeholder"]("torch")
    assert isinstance(np.zeros(1), torch.Tensor) is False and torch.no_grad()(len) is len
    for call in (torch.zeros, torch.nn.Linear, torch.tensor):
        with pytest.raises(RuntimeError, match="torch is not installed"):
            call(3)
