"""Operators in NumPy, beside TensorFlow's, and whole programs beside Keras."""

import coreml_models
import numpy as np
import pytest

from edgelab.errors import TargetError
from edgelab.runtime import TensorSpec
from edgelab.targets.coreml import interpreter, package
from edgelab.targets.coreml.package import Operation, Program

RNG = np.random.default_rng(3)
X = RNG.normal(size=(1, 6, 9, 7)).astype(np.float32)  # channels first, odd sizes


def computed(kind, x=X, dtype=np.float32, **parameters):
    """One operator; parameters are arrays, numbers or texts, and lists of arrays."""
    constants, inputs = {"x": x}, {"x": ("x",)}
    for name, value in parameters.items():
        parts = value if isinstance(value, list) else [value]
        constants |= {f"{name}{index}": np.asarray(one) for index, one in enumerate(parts)}
        inputs[name] = tuple(f"{name}{index}" for index in range(len(parts)))
    spec = TensorSpec("out", (), np.dtype(dtype))
    program = Program(8, (), (spec,), (Operation(kind, "out", inputs, (spec,)),), constants, {})
    interpreter.check(program)
    return interpreter.run(program)[0]


def last(x):
    return x.transpose(0, 2, 3, 1)


def first(x):
    return np.asarray(x).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("groups", "strides"), [(1, (1, 1)), (1, (2, 2)), (1, (3, 2)), (2, (1, 1)), (2, (2, 2)), (6, (2, 2))]
)
def test_convolution(padding, groups, strides):
    import keras
    import tensorflow as tf

    weight = RNG.normal(size=(12, 6 // groups, 3, 2)).astype(np.float32)
    bias = RNG.normal(size=12).astype(np.float32)
    found = computed("conv", weight=weight, bias=bias, strides=strides, pad_type=padding, groups=groups)
    layer = keras.layers.Conv2D(12, (3, 2), strides=strides, padding=padding, groups=groups)
    layer.build((1, 9, 7, 6))
    layer.set_weights([weight.transpose(2, 3, 1, 0), bias])
    np.testing.assert_allclose(found, first(layer(tf.constant(last(X)))), atol=1e-4)


def test_gaps_in_the_kernel_and_padding_of_ones_own():
    import tensorflow as tf

    weight = RNG.normal(size=(4, 6, 3, 3)).astype(np.float32)
    options = {"weight": weight, "dilations": (2, 2), "pad_type": "custom", "pad": np.array([1, 0, 2, 3])}
    padded = np.pad(last(X), [(0, 0), (1, 0), (2, 3), (0, 0)])
    own = tf.nn.conv2d(padded, weight.transpose(2, 3, 1, 0), 1, "VALID", dilations=2)
    np.testing.assert_allclose(computed("conv", **options), first(own), atol=1e-4)


def test_odd_padding_comes_last_or_first():
    assert interpreter.paddings("same", (5,), (2,), (1,), None) == [(0, 1)]
    assert interpreter.paddings("same_lower", (5,), (2,), (1,), None) == [(1, 0)]


@pytest.mark.parametrize("kind", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_pools(kind, padding):
    import tensorflow as tf

    own = (tf.nn.max_pool2d if kind == "max_pool" else tf.nn.avg_pool2d)(last(X), (3, 2), 2, padding.upper())
    found = computed(
        kind, kernel_sizes=(3, 2), strides=(2, 2), pad_type=padding, exclude_padding_from_average=np.True_
    )
    np.testing.assert_allclose(found, first(own), atol=1e-5)


def test_zeros_outside_count_where_the_program_says_so():
    ones = np.ones((1, 1, 2, 2), np.float32)
    options = {"kernel_sizes": (2, 2), "strides": (1, 1), "pad_type": "custom", "pad": np.array([1, 0, 1, 0])}
    assert computed("avg_pool", ones, **options)[0, 0].tolist() == [[0.25, 0.5], [0.5, 1.0]]


def _softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


PLAIN = {
    "add": (lambda: computed("add", y=X), lambda: 2 * X),
    "cast": (lambda: computed("cast", dtype=np.float16, dtype_="fp16"), lambda: X.astype(np.float16)),
    "clip": (lambda: computed("clip", alpha=-0.5, beta=0.25), lambda: np.clip(X, -0.5, 0.25)),
    "concat": (lambda: computed("concat", values=[X, X], axis=1), lambda: np.concatenate([X, X], 1)),
    "linear": (
        lambda: computed("linear", X[0, 0], weight=X[0, 1], bias=X[0, 2, :, 0]),
        lambda: X[0, 0] @ X[0, 1].T + X[0, 2, :, 0],
    ),
    "matmul": (
        lambda: computed("matmul", X[0], y=X[0], transpose_y=np.True_),
        lambda: np.einsum("cij,ckj->cik", X[0], X[0]),
    ),
    "mul": (lambda: computed("mul", y=np.float16(0.5)), lambda: X / 2),
    "reduce_mean": (
        lambda: computed("reduce_mean", axes=(2, 3), keep_dims=True),
        lambda: X.mean((2, 3), keepdims=True),
    ),
    "relu": (lambda: computed("relu"), lambda: np.where(X > 0, X, 0)),
    "relu6": (lambda: computed("relu6", 9 * X), lambda: np.minimum(np.maximum(9 * X, 0), 6)),
    "reshape": (lambda: computed("reshape", shape=(6, -1)), lambda: X.reshape(6, 63)),
    "sigmoid": (lambda: computed("sigmoid"), lambda: np.exp(X) / (1 + np.exp(X))),
    "softmax": (lambda: computed("softmax", axis=1), lambda: _softmax(X)),
    "sub": (lambda: computed("sub", y=np.float32(1)), lambda: X - 1),
    "transpose": (lambda: computed("transpose", perm=(0, 2, 3, 1)), lambda: last(X)),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_operators(kind):
    ours, own = (side() for side in PLAIN[kind])
    assert ours.shape == own.shape
    np.testing.assert_allclose(ours, own, atol=1e-5)


def test_every_operator_is_tried_here():
    assert set(interpreter.OPERATORS) == {*PLAIN, "conv", "max_pool", "avg_pool"}


def test_results_are_rounded_to_the_type_that_the_program_states():
    found = computed("mul", np.float32([1.0, 300.0]), dtype=np.float16, y=np.float32([1 / 3, 300]))
    assert found.dtype == np.float16 and found[0] == np.float16(1 / 3)
    assert np.isinf(found[1]), "what 16 bits cannot hold is infinite on a device as well"


def test_an_unknown_operator_is_refused_by_name():
    spec = TensorSpec("out", (1,), np.dtype(np.float32))
    operations = tuple(Operation(kind, kind, {}, (spec,)) for kind in ("lstm", "einsum", "relu"))
    with pytest.raises(TargetError, match="einsum, lstm") as error:
        interpreter.check(Program(8, (), (spec,), operations, {}, {}))
    assert "relu" in error.value.why and "Mac" in error.value.fix
    with pytest.raises(TargetError, match="ceil_mode"):
        computed("max_pool", kernel_sizes=(2, 2), ceil_mode=np.True_)


@pytest.mark.parametrize("precision", coreml_models.KEPT)
def test_a_whole_program_answers_as_keras_did(kept, answers, precision):
    images, keras = answers
    program = package.read(kept[precision])
    found = np.concatenate(
        [interpreter.run(program, one[np.newaxis].astype(np.float32))[0] for one in images]
    )
    differences = np.abs(found.astype(np.float32) - keras).max()
    largest = {"float16": 2e-3, "int8 weights": 0.02, "6-bit palette": 0.05}[precision]
    assert 0 < differences < largest
    assert np.abs(found.sum(1) - 1).max() < 5e-3
