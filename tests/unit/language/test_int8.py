import numpy as np
import pytest

from edgelab import graph
from edgelab.errors import ModelError
from edgelab.graph.layers import Layers, network
from edgelab.language import int8


@pytest.fixture(autouse=True)
def own_artifacts(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))


@pytest.mark.slow
def test_a_dense_network_becomes_int8(tmp_path):
    path = tmp_path / "dense.tflite"
    path.write_bytes(network(Layers("dense", 1, 16, count=2)))
    made = int8.quantized(path, np.random.default_rng(0).normal(size=(20, 16)).astype(np.float32))
    found = graph.read(made)
    assert {found.tensors[index].dtype for index in (*found.inputs, *found.outputs)} == {"int8"}


@pytest.mark.slow
def test_a_file_that_is_no_model_says_so_and_leaves_nothing(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"no model at all")
    with pytest.raises(ModelError, match="cannot be made int8"):
        int8.quantized(path, np.zeros((2, 4), np.float32))
    assert [path for path in tmp_path.rglob("*-int8-*") if path.suffix != ".lock"] == []
