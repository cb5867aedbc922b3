"""The steps of the integer layer are those of LiteRT's reference kernel: every code is equal."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgelab import graph, quantization
from edgelab.exercises import chapter_04_layer as layer
from edgelab.machine import quiet

PICTURES = np.random.default_rng(5).integers(0, 256, (12, 9, 7, 3)).astype(np.uint8)


def small_network():
    """Convolutions of two sizes, with and without ReLU6 fused into them."""
    tf = quiet.import_tensorflow()
    tf.keras.utils.set_random_seed(3)
    layers = tf.keras.layers
    steps = [
        tf.keras.Input((9, 7, 3)),
        layers.Rescaling(1 / 127.5, offset=-1.0),
        layers.Conv2D(6, 3, padding="same", bias_initializer="random_normal"),
        layers.ReLU(6.0),
        layers.Conv2D(4, 1, bias_initializer="random_normal"),
        layers.Conv2D(5, (3, 2)),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ]
    return tf.keras.Sequential(steps)


def by_steps(found, operator, codes):
    """One convolution by the steps that students write."""
    entering, kernel, bias = (found.tensors[index] for index in operator.inputs)
    leaving = found.tensors[operator.outputs[0]]
    if operator.options["padding"] == "SAME":
        before = [(side - 1) // 2 for side in kernel.shape[1:3]]
        ring = [(low, side - 1 - low) for low, side in zip(before, kernel.shape[1:3], strict=True)]
        codes = np.pad(codes, (*ring, (0, 0)), constant_values=entering.zero_point)
    factors = entering.scale * np.array(kernel.scales) / leaving.scale
    multipliers, shifts = np.array([layer.fixed_point(float(factor)) for factor in factors], np.int64).T
    sums = layer.accumulate(codes, entering.zero_point, kernel.values(), bias.values())
    return layer.requantize(sums, multipliers, shifts, leaving.zero_point)


@pytest.mark.slow
def test_every_code_is_that_of_the_reference_kernel():
    content = quantization.convert(small_network(), "int8", PICTURES, io_dtype="uint8").path.read_bytes()
    found = graph.read(content)
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    convolutions = [operator for operator in found.operators if operator.name == "CONV_2D"]
    assert len(convolutions) == 3
    for picture in PICTURES:
        interpreter.set_tensor(found.inputs[0], picture[np.newaxis])
        interpreter.invoke()
        for operator in convolutions:
            codes = interpreter.get_tensor(operator.inputs[0])[0]
            expected = interpreter.get_tensor(operator.outputs[0])[0]
            assert np.array_equal(by_steps(found, operator, codes), expected), operator
