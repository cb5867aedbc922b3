"""Weights of a file quantized alone, where the optional package is installed."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgelab import graph
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.graph.layers import Layers, network
from edgelab.quantization import file_quantizer

installed = pytest.mark.skipif(file_quantizer.version() is None, reason=file_quantizer.how_to_install())


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A file of two fully connected layers in float32."""
    path = tmp_path_factory.mktemp("dense") / "dense.tflite"
    path.write_bytes(network(Layers("dense", 1, 64, count=2), 0))
    return path


def test_an_unknown_recipe_is_told(dense):
    with pytest.raises(InputError, match="weights int8"):
        file_quantizer.quantized(dense, "int3")


def test_without_the_package_the_fix_is_told(monkeypatch, dense):
    monkeypatch.setattr(file_quantizer, "PACKAGE", "a_package_that_nobody_has")
    assert file_quantizer.version() is None
    with pytest.raises(TargetError, match="not installed") as error:
        file_quantizer.quantized(dense, "weights int8")
    assert "pip install" in error.value.fix


def answer(path, pixels):
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@installed
@pytest.mark.parametrize("kind", file_quantizer.RECIPES)
def test_the_file_shrinks_and_answers_as_before_within_its_steps(dense, kind):
    made = file_quantizer.quantized(dense, kind)
    weights = graph.read(dense).size_bytes
    assert graph.read(made).size_bytes < (0.25 if "int4" in kind else 0.4) * weights
    pixels = np.random.default_rng(1).normal(size=(1, 64)).astype(np.float32)
    before, after = answer(dense, pixels), answer(made, pixels)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > (0.9 if "int4" in kind else 0.999)
    assert file_quantizer.quantized(dense, kind) == made


@installed
def test_a_file_that_is_no_model_is_told(tmp_path):
    path = tmp_path / "text.tflite"
    path.write_text("no model")
    with pytest.raises(ModelError, match="could not be quantized"):
        file_quantizer.quantized(path, "weights int8")
