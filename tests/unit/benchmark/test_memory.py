"""What several processes pay for one file: its pages are counted once where it is mapped."""

import sys

import pytest

from edgelab import benchmark
from edgelab.benchmark import memory
from edgelab.errors import TargetError
from edgelab.graph.layers import Layers, network

needs_linux = pytest.mark.skipif(bool(memory.unavailable()), reason="only Linux tells shared pages")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("memory") / "dense.tflite"
    file.write_bytes(network(Layers("dense", 1, 512, count=4)))
    return file


@needs_linux
def test_two_processes_share_a_mapped_file(path):
    found = benchmark.loaded_memory(path, "path", 2)
    size = path.stat().st_size
    assert found.way == "path" and len(found.grown_bytes) == 2
    for mapped, shared in zip(found.mapped_bytes, found.shared_bytes, strict=True):
        assert size <= mapped <= size + 8192
        assert shared == pytest.approx(mapped / 2, rel=0.02)
    assert found.total_bytes == sum(found.grown_bytes) > 0


@needs_linux
def test_a_content_is_mapped_by_nobody(path):
    found = benchmark.loaded_memory(path, "content", 1)
    assert found.mapped_bytes == found.shared_bytes == (0,)
    assert found.grown_bytes[0] >= path.stat().st_size


@needs_linux
def test_a_file_that_is_none_ends_in_a_message(tmp_path):
    with pytest.raises(TargetError, match="memory worker"):
        benchmark.loaded_memory(tmp_path / "absent.tflite", "path", 1)


def test_elsewhere_it_says_that_linux_is_needed(path, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "ROLLUP", tmp_path / "absent")
    assert "Linux" in memory.unavailable() and sys.platform in memory.unavailable()
    with pytest.raises(TargetError, match="Shared memory cannot be measured"):
        benchmark.loaded_memory(path, "path", 1)


def test_a_file_that_is_forgotten_keeps_its_content(path):
    before = path.read_bytes()
    assert benchmark.forget_file(path) in (True, False)
    assert path.read_bytes() == before
