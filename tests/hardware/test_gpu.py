"""LiteRT's GPU path on a real GPU: results, never speed. Skipped where only software or nothing answers."""

import numpy as np
import pytest

from edgelab import graph, targets
from edgelab.machine.gpu_adapter import find
from edgelab.runtime import predict
from edgelab.targets.gpu.target import TOLERANCES
from edgelab.targets.gpu.trial import difference


@pytest.fixture(scope="module")
def adapter():
    found = find(software=False)
    if not found.name:
        pytest.skip(f"no GPU: {found.reason}; {found.fix}")
    if found.is_software:
        pytest.skip(f"only {found}")
    return found


@pytest.fixture(scope="module")
def path(adapter, request, tmp_path_factory):
    """The trained network; not trained where the tests skip."""
    import keras
    import tensorflow as tf

    trained = request.getfixturevalue("small_model")
    pixels = keras.Input((32, 32, 3), batch_size=1)
    path = tmp_path_factory.mktemp("model") / "float32.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, trained(pixels))).convert())
    return path


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_results_equal_the_cpus(adapter, path, patterns, precision):
    target = targets.get("gpu", precision=precision, software=False)
    with target.open(path) as session, targets.get("cpu").open(path) as reference:
        assert session.fault == "" and "software" not in session.device
        assert str(session.placement) == "{0} of {0} operators".format(len(graph.read(path).operators))
        found, expected = predict(session, patterns.test_images), predict(reference, patterns.test_images)
    assert difference(expected, found) < TOLERANCES[precision]
    assert (found.argmax(1) == expected.argmax(1)).mean() > (0.99 if precision == "float32" else 0.95)


def test_the_same_input_gives_the_same_result(adapter, path, patterns):
    image = patterns.test_images[:1].astype(np.float32)
    with targets.get("gpu", software=False).open(path) as session:
        first = session.run(image)[0]
        for _ in range(20):
            session.enqueue(image)
            np.testing.assert_array_equal(session.read()[0], first)
