import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgelab import graph
from edgelab.errors import InputError
from edgelab.exercises import chapter_18
from edgelab.language import fused, int8
from edgelab.targets.edgetpu import target as edgetpu

WORDS, WIDTH, UNITS, LENGTH = 30, 6, 5, 7


def some_weights(seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((WORDS, WIDTH), (WIDTH, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,), (UNITS, 1), (1,))
    return [rng.normal(0, 0.6, shape).astype(np.float32) for shape in shapes]


def by_numpy(weights, numbers):
    table, kernel, recurrent, bias, last, last_bias = (one.astype(np.float64) for one in weights)

    def step(x, h, c):
        return chapter_18.lstm_step(x, h, c, kernel, recurrent, bias)

    return chapter_18.sigmoid(chapter_18.read_sentence(step, table[numbers], UNITS) @ last + last_bias)


def loaded(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    return interpreter


def answer(interpreter, values):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()


@pytest.fixture
def sentences():
    return np.random.default_rng(1).integers(0, WORDS, (20, LENGTH)).astype(np.int32)


@pytest.mark.parametrize("embedding", [True, False])
def test_it_computes_what_the_lesson_computes(sentences, embedding):
    weights = some_weights()
    interpreter = loaded(fused.fused_lstm(weights, LENGTH, embedding=embedding))
    for numbers in sentences:
        interpreter.reset_all_variables()
        values = numbers[np.newaxis] if embedding else weights[0][numbers][np.newaxis]
        np.testing.assert_allclose(answer(interpreter, values), by_numpy(weights, numbers), atol=1e-6)


def test_its_state_stays_until_it_is_reset(sentences):
    interpreter = loaded(fused.fused_lstm(some_weights(), LENGTH))
    first, second = (answer(interpreter, sentences[:1]) for _ in range(2))
    interpreter.reset_all_variables()
    assert first != second
    np.testing.assert_array_equal(answer(interpreter, sentences[:1]), first)


def test_the_file_holds_one_lstm():
    counts = graph.read(fused.fused_lstm(some_weights(), LENGTH)).operator_counts
    assert counts == dict.fromkeys(sorted(fused.OPERATORS), 1)


def test_weights_of_another_network_are_refused():
    weights = some_weights()
    weights[2] = weights[2][:-1]
    with pytest.raises(InputError, match="no weights of an embedding"):
        fused.fused_lstm(weights, LENGTH)


@pytest.mark.slow
def test_in_int8_it_says_nearly_the_same_and_runs_on_the_edge_tpu_without_its_table(
    sentences, tmp_path, monkeypatch
):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    weights, found = some_weights(), {}
    for embedding, samples in ((True, sentences), (False, weights[0][sentences])):
        path = tmp_path / f"lstm-{embedding}.tflite"
        path.write_bytes(fused.fused_lstm(weights, LENGTH, embedding=embedding))
        found[embedding] = int8.quantized(path, samples)
        assert int8.quantized(path, samples) == found[embedding]
    interpreter = loaded(found[True].read_bytes())
    scale, zero = interpreter.get_output_details()[0]["quantization"]
    for numbers in sentences:
        interpreter.reset_all_variables()
        told = (answer(interpreter, numbers[np.newaxis]).astype(float) - zero) * scale
        np.testing.assert_allclose(told, by_numpy(weights, numbers), atol=0.06)
    inside, outside = (edgetpu.placement(found[embedding]).summary for embedding in (True, False))
    assert (inside.accelerated, inside.total, outside.accelerated, outside.total) == (0, 5, 4, 4)
