"""A Keras model loaded in TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgelab.errors import ModelError
from edgelab.machine import quiet
from edgelab.machine.hardware import processor_name
from edgelab.runtime import ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.texts import tr


class KerasSession(ClosesAtEnd):
    """A Keras model in TensorFlow, on the GPU where there is one. Takes any number of images at once."""

    target = "keras"
    provenance = "measured"
    placement: Placement | None = None
    fault = ""

    def __init__(self, path: Path) -> None:
        tf = quiet.import_tensorflow()
        import keras

        try:
            model = keras.models.load_model(path, compile=False)
        # A damaged archive surfaces as almost any exception, by which part of it is damaged.
        except Exception as error:
            raise ModelError(
                tr("Cannot load {path}.", path=path.name),
                why=str(error).splitlines()[0] if str(error) else type(error).__name__,
                fix=tr("check the path; train or save the model again if the file is damaged"),
            ) from error
        self.inputs = tuple(_spec(tensor) for tensor in model.inputs)
        self.outputs = tuple(_spec(tensor) for tensor in model.outputs)
        gpus = tf.config.list_physical_devices("GPU")
        self.device = (
            tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else processor_name()
        )
        self.runtime_version = f"Keras {keras.__version__}, TensorFlow {tf.__version__}"
        # One signature for every batch size: otherwise each new size would be traced and compiled again.
        signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
        self._function = tf.function(
            lambda *tensors: model(tensors[0] if len(tensors) == 1 else list(tensors), training=False),
            input_signature=signature,
        )

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference on a batch of any size.

        Raises:
            InputError: wrong count, shape or type.
            ModelError: the session is closed.
        """
        if self._function is None:
            raise ModelError(
                tr("This session is closed."), fix=tr("open the model again: targets.get('keras').open(path)")
            )
        check_inputs(self.inputs, inputs)
        outputs = self._function(*inputs)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        return tuple(output.numpy() for output in outputs)

    def close(self) -> None:
        """Free the model. A second call does nothing."""
        self._function = None


def _spec(tensor) -> TensorSpec:
    shape = tuple(-1 if size is None else int(size) for size in tensor.shape)
    return TensorSpec(tensor.name, shape, np.dtype(tensor.dtype))
