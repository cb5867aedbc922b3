"""What the target says of itself and of a compiled model."""

import subprocess
import sys

import pytest
from micro_models import installed

from edgelab import benchmark, graph, targets
from edgelab.errors import TargetError


@installed
def test_its_time_is_not_a_microcontrollers(int8_path):
    with (
        targets.get("micro").open(int8_path) as session,
        pytest.raises(TargetError, match="cannot be timed"),
    ):
        benchmark.measure(session)


@installed
def test_compile_copies_the_model_and_tells_its_memory(int8_path, tmp_path):
    compiled = targets.get("micro").compile(int8_path, tmp_path / "out.tflite")
    assert compiled.path.read_bytes() == int8_path.read_bytes()
    rows = {row["part"]: row["bytes"] for row in compiled.log_rows}
    assert rows["smallest arena"] >= rows["head"] + rows["tail"] > 0
    assert (
        str(compiled.placement)
        == f"{len(graph.read(int8_path).operators)} of {compiled.placement.total} operators"
    )
    with pytest.raises(TargetError):
        targets.get("micro", arena_size_bytes=512).compile(int8_path, tmp_path / "small.tflite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tflite"]


def test_without_the_package_the_probe_tells(int8_path):
    code = (
        "import sys; from edgelab import targets; from importlib import metadata\n"
        "def gone(name, real=metadata.version):\n"
        "    if name == 'tflite-micro': raise metadata.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "metadata.version = gone\n"
        "target = targets.get('micro'); print(target.probe())\n"
        f"try: target.open({str(int8_path)!r})\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print('tflite_micro' in sys.modules, 'tensorflow' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "compile: no, run: no" in found and "TargetError TensorFlow Lite Micro is not here." in found
    assert "pip install" in found or "Linux on x86-64" in found
    assert found.strip().endswith("False False")
