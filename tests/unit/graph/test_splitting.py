"""Two files that together compute what one does."""

from __future__ import annotations

import numpy as np
import pytest

from edgelab import graph, quantization, targets
from edgelab.errors import InputError, ModelError
from edgelab.graph import splitting


@pytest.fixture(scope="module")
def files(small_model, patterns):
    pictures = patterns.train_images[:50]
    return {
        mode: quantization.convert(
            small_model, mode, None if mode == "float32" else pictures, io_dtype=ends, name="to be split"
        ).path
        for mode, ends in (("float32", "float32"), ("int8", "uint8"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_both_parts_in_a_row_give_the_same_bits(files, mode, patterns, tmp_path):
    model = files[mode].read_bytes()
    cpu, found = targets.get("cpu", threads=1), graph.read(model)
    points = splitting.cut_points(found)
    assert points
    with cpu.open(files[mode]) as session:
        taken = patterns.test_images[:5].astype(session.inputs[0].dtype)
        expected = [session.run(picture[np.newaxis])[0] for picture in taken]
    for point in points:
        for name, content in zip("ab", splitting.split(model, point), strict=True):
            (tmp_path / f"{name}.tflite").write_bytes(content)
        with cpu.open(tmp_path / "a.tflite") as first, cpu.open(tmp_path / "b.tflite") as second:
            got = [second.run(first.run(picture[np.newaxis])[0])[0] for picture in taken]
        np.testing.assert_array_equal(got, expected)
        parts = [graph.read(tmp_path / f"{name}.tflite") for name in "ab"]
        assert sum(len(part.operators) for part in parts) == len(found.operators)
        assert sum(part.parameter_count for part in parts) <= 1.05 * found.parameter_count


def test_a_branch_has_no_cut(tmp_path):
    import keras

    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="before")(inputs)
    aside = keras.layers.Conv2D(4, 3, padding="same")(x)
    outputs = keras.layers.Flatten()(keras.layers.Add()([x, aside]))
    path = quantization.convert(keras.Model(inputs, outputs), "float32", name="branch").path
    found = graph.read(path)
    names = [operator.name for operator in found.operators]
    points = splitting.cut_points(found)
    assert [names[point] for point in points] == ["CONV_2D", "ADD"]
    with pytest.raises(InputError, match="cannot be split") as raised:
        splitting.split(path.read_bytes(), names.index("ADD") - 1)
    assert str(points[0]) in raised.value.fix


def test_what_is_no_model_is_refused():
    with pytest.raises(ModelError):
        splitting.split(b"nonsense", 0)
