"""The registry of targets."""

import subprocess
import sys

import pytest

from edgelab import targets
from edgelab.errors import InputError, TargetError


def test_registry():
    assert {"cpu", "keras"} <= set(targets.names())
    assert all(targets.get(name).probe().can_run for name in ("cpu", "keras"))
    with pytest.raises(TargetError, match="cpu"):
        targets.get("abacus")
    for wrong in ({"kernels": "fast"}, {"threads": 0}, {"batch_size": 0}):
        with pytest.raises(InputError):
            targets.get("cpu", **wrong)


def test_importing_targets_leaves_tensorflow_out():
    modules = "edgelab.targets.cpu.target, edgelab.targets.keras.target"
    code = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
