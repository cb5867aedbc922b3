"""Files that crash or hang are found out in a process of their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgelab import graph, targets
from edgelab.errors import ModelError
from edgelab.targets.cpu import trial
from edgelab.targets.cpu.session import trial_input


def mutate(content: bytes, seed: int) -> bytes:
    """One damaged copy: cut short, bytes replaced, a length made huge, bits flipped, or bytes removed."""
    rng = np.random.default_rng(seed)
    data, kind = bytearray(content), seed % 5
    # Anywhere, near the start, near the end: weights fill the middle, and damage there goes unnoticed.
    ranges = (0, len(data)), (0, min(len(data), 4096)), (max(0, len(data) - 8192), len(data))
    low, high = ranges[seed // 5 % 3]
    position = int(rng.integers(low, high))
    if kind == 0:
        return bytes(data[: rng.integers(0, len(data))])
    if kind == 1:
        for place in rng.integers(low, high, rng.integers(1, 9)):
            data[place] = rng.integers(256)
    elif kind == 2:
        data[position : position + 4] = rng.choice(
            [b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 4, b"\0\0\0\x40"]
        )
    elif kind == 3:
        for place in rng.integers(low, high, 2):
            data[place] ^= 1 << int(rng.integers(8))
    else:
        del data[position : position + int(rng.integers(1, 64))]
    return bytes(data)


def survive(source: Path, folder: Path, count: int) -> dict[str, int]:
    """Open and run damaged copies of a model in this very process; count how each ended."""
    content = source.read_bytes()
    target = targets.get("cpu", threads=1)
    ends = {"unreadable": 0, "refused": 0, "ran": 0}
    paths = []
    for seed in range(count):
        path = folder / f"{source.stem}-{seed}.tflite"
        path.write_bytes(mutate(content, seed))
        try:
            graph.read(path)
            paths.append(path)
        except ModelError:
            ends["unreadable"] += 1
            with pytest.raises(ModelError):
                target.open(path)
    target.check(paths)  # in few children, rather than one for each
    for path in paths:
        try:
            with target.open(path) as session:
                session.run(*(trial_input(spec) for spec in session.inputs))
            ends["ran"] += 1
        except ModelError as error:
            assert error.fix
            ends["refused"] += 1
    return ends


def test_damaged_copies_of_a_small_model(int8_path, tmp_path):
    ends = survive(int8_path, tmp_path, 200)
    assert sum(ends.values()) == 200 and ends["unreadable"] > 50 and ends["ran"] > 10


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["split_concat", "keras_lstm_mnist_ptq", "mobilenet_v1_0.25_128_quant"])
def test_damaged_copies_of_real_models(real_data, tmp_path, name):
    ends = survive(real_data / "edgetpu_pairs" / f"{name}.tflite", tmp_path, 100)
    assert sum(ends.values()) == 100 and ends["unreadable"] > 20 and ends["ran"] > 5


def test_a_crash_and_a_hang_are_told_from_what_runs(monkeypatch, int8_path, tmp_path):
    """A real child that dies at one file and hangs at another: the others still get their verdict."""
    crash, hang = tmp_path / "crash.tflite", tmp_path / "hang.tflite"
    for path in (crash, hang):
        path.write_bytes(b"")
    # The child runs the true module, in which reading a file of that name ends or stops the process.
    child = tmp_path / "child.py"
    child.write_text(
        "import os, pathlib, time\n"
        "from edgelab.targets.cpu import worker\n"
        "read = pathlib.Path.read_bytes\n"
        "def read_bytes(path):\n"
        "    if path.name == 'crash.tflite': os.abort()\n"
        "    if path.name == 'hang.tflite': time.sleep(60)\n"
        "    return read(path)\n"
        "pathlib.Path.read_bytes = read_bytes\n"
        "worker._child()\n"
    )
    popen = subprocess.Popen
    monkeypatch.setattr(
        trial.subprocess, "Popen", lambda command, **kwargs: popen([sys.executable, str(child)], **kwargs)
    )
    paths = [int8_path, crash, int8_path, hang, int8_path]
    verdicts = trial.try_models(paths, kernels="xnnpack", threads=1, batch_size=1, time_limit_s=15)
    assert [verdict.status for verdict in verdicts] == ["runs", "crashed", "runs", "hung", "runs"]


def test_verdict_is_remembered_but_not_for_other_kernels(monkeypatch, int8_path, tmp_path):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    targets.get("cpu").open(int8_path).close()
    assert len(list((tmp_path / "checked").glob("*.json"))) == 1

    def no_child(*args, **kwargs):
        raise AssertionError("a child was started")

    monkeypatch.setattr(trial.subprocess, "Popen", no_child)
    targets.get("cpu").open(int8_path).close()
    with pytest.raises(AssertionError, match="child"):
        targets.get("cpu", kernels="reference").open(int8_path)
