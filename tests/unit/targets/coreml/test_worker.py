"""The worker by itself: what it answers where a step fails."""

import json
import subprocess
import sys

import pytest

from edgelab.errors import ModelError
from edgelab.machine.child import ANSWER_MARK
from edgelab.targets.coreml import worker


def test_errors_come_back_as_json(tmp_path):
    tools = worker.Tools()
    answer = worker.answer_to(
        tools, {"do": "convert", "model": str(tmp_path / "no.keras"), "out": "", "precision": ""}
    )
    assert answer["error"]["is_model"] and answer["error"]["fix"]
    tools.run = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):  # what nobody foresaw ends the process, and its words are told
        worker.answer_to(tools, {"do": "run"})
    tools.run = (tmp_path / "nowhere").read_bytes
    assert worker.answer_to(tools, {"do": "run"})["errno"] == 2


def test_without_coremltools_it_says_so(keras_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "coremltools", None)
    question = {"do": "convert", "model": str(keras_file), "out": "x.mlpackage", "precision": "float16"}
    assert "coremltools" in worker.answer_to(worker.Tools(), question)["missing"]


@pytest.mark.slow
def test_only_answers_stand_on_its_output():
    question = {"do": "load", "package": "nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "edgelab.targets.coreml.worker"],
        input=json.dumps(question) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    [line] = done.stdout.splitlines()
    assert {"missing", "error"} & set(json.loads(line.removeprefix(ANSWER_MARK)))


def test_a_layer_that_is_not_converted_is_a_model_error(tools, tmp_path):
    import keras
    import tensorflow as tf

    image = keras.Input((8, 8, 3), batch_size=1)
    model = keras.Model(
        image, keras.layers.Lambda(lambda x: tf.linalg.inv(x[..., 0]), output_shape=(8, 8))(image)
    )
    model.export(tmp_path / "saved", verbose=False)
    with pytest.raises(ModelError, match="cannot convert") as error:
        worker.Tools().convert(str(tmp_path / "saved"), str(tmp_path / "x.mlpackage"), "float16")
    assert "MatrixInverse" in error.value.why
