"""A model as one function of one item, its weights constants: what TensorFlow's converter works on."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.errors import ModelError
from edgelab.machine import no_tensorflow, quiet
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep TensorFlow's progress lines and warnings out of the lesson: none tells a student what to do."""
    with (
        _silent_absl(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        quiet.native_stderr(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _silent_absl() -> Iterator[None]:
    """The same for what TensorFlow says through absl, which comes with it and is missing where it is."""
    if not no_tensorflow.is_here():
        yield
        return
    from absl import logging as absl_logging

    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        yield
    finally:
        absl_logging.set_verbosity(verbosity)


def first_line(error: Exception) -> str:
    """What an error says, shortly; its type where it says nothing."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def input_spec(model: keras.Model) -> Any:
    """Shape (without the batch) and type of a model's one input, as a TensorSpec of one item.

    Raises:
        ModelError: the model was never built, or has several inputs.
    """
    import tensorflow as tf

    try:
        inputs = model.inputs
    except AttributeError:  # subclassed, or a Sequential that has seen no data
        inputs = None
    if inputs is None:
        shape = (model.get_build_config() or {}).get("input_shape")
        if not shape or not all(size is None or isinstance(size, int) for size in shape):
            raise ModelError(
                tr("{model} has no input yet.", model=model.name),
                why=tr("a model that was never called does not know the size of what it takes"),
                fix=tr("call it once with a batch, model(images[:1]), or begin it with keras.Input"),
            )
        return tf.TensorSpec((1, *shape[1:]), "float32")
    if len(inputs) != 1:
        raise ModelError(
            tr("{model} has {count} inputs.", model=model.name, count=len(inputs)),
            why=tr("this conversion feeds one image at a time"),
            fix=tr("join the inputs, or use tf.lite.TFLiteConverter yourself, as chapter 4 shows"),
        )
    return tf.TensorSpec((1, *inputs[0].shape[1:]), inputs[0].dtype)


def traced(model: keras.Model) -> Any:
    """The model as a concrete function of one item.

    `TFLiteConverter.from_keras_model` gives the same operators and weights, but writes a SavedModel to disk
    first, which takes ten times as long. The batch is fixed at 1: a dynamic one adds shape arithmetic to the
    graph, which accelerators refuse.

    Raises:
        ModelError: as for `input_spec`, or the model cannot be traced.
    """
    import tensorflow as tf

    spec = input_spec(model)
    trainable = [tf.constant(variable.numpy()) for variable in model.trainable_variables]
    others = [tf.constant(variable.numpy()) for variable in model.non_trainable_variables]
    # A layer of one's own need not know the difference between training and use.
    mode = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
    scope = re.sub(r"[^A-Za-z0-9_.]", "_", model.name).lstrip("_") or "model"

    @tf.function(input_signature=[tf.TensorSpec(spec.shape, spec.dtype, name="input")], autograph=False)
    def infer(pixels):
        with tf.name_scope(scope):
            return model.stateless_call(trainable, others, pixels, **mode)[0]

    return infer.get_concrete_function()


def frozen(function: Any) -> Any:
    """A concrete function whose weights are constants in its graph."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(function, lower_control_flow=False)


def stored_graph(function: Any) -> tuple[bytes, list[str], list[str]]:
    """A frozen function as a GraphDef, and the names of its input and output tensors."""
    ends = ([tensor.name for tensor in tensors] for tensors in (function.inputs, function.outputs))
    return function.graph.as_graph_def().SerializeToString(), *ends


def load_graph(path: Path, inputs: list[str], outputs: list[str]) -> Any:
    """What `stored_graph` gave, as a concrete function again."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    ends = ([imported.graph.as_graph_element(name) for name in names] for names in (inputs, outputs))
    return imported.prune(*ends)


def load_keras(path: Path) -> Any:
    """A Keras file as a concrete function of one item.

    Raises:
        ModelError: it cannot be loaded.
    """
    import keras

    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            tr("{path} is not a Keras model that can be loaded.", path=path.name),
            why=first_line(error),
            fix=tr(
                "save the whole model with model.save('name.keras') from Keras 3; layers of your own and "
                "Lambda layers load only where they are defined: pass the model itself instead of its file"
            ),
        ) from error
    return frozen(traced(model))


def load_saved_model(folder: Path) -> Any:
    """A SavedModel's serving function, as a concrete function of one item.

    Raises:
        ModelError: it cannot be loaded, or takes other than one tensor.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(folder)
    except Exception as error:  # many kinds, of protobuf, TensorFlow and Python
        raise ModelError(
            tr("{path} is not a SavedModel that can be loaded.", path=folder.name),
            why=first_line(error),
            fix=tr("give the folder that holds saved_model.pb; model.export(folder) writes one"),
        ) from error
    signature = next(iter(loaded.signatures.values()), None)
    specs = signature.structured_input_signature[1] if signature else {}
    if len(specs) != 1:
        raise ModelError(
            tr("{model} has {count} inputs.", model=folder.name, count=len(specs)),
            why=tr("this conversion feeds one image at a time"),
            fix=tr("export a model with one input: model.export(folder)"),
        )
    [(name, spec)] = specs.items()

    @tf.function(input_signature=[tf.TensorSpec((1, *spec.shape[1:]), spec.dtype, name="input")])
    def infer(pixels):
        return signature(**{name: pixels})

    return frozen(infer.get_concrete_function())
