"""A Keras model as one more runnable, so that float and converted models are compared by the same code."""

from __future__ import annotations

from pathlib import Path

from edgelab.machine import no_tensorflow
from edgelab.runtime import Availability
from edgelab.targets.keras.session import KerasSession
from edgelab.texts import tr


class KerasTarget:
    """TensorFlow on this machine: what the model was trained with."""

    name = "keras"

    def probe(self) -> Availability:
        """Whether TensorFlow is installed; importing it would take seconds."""
        if version := no_tensorflow.version():
            return Availability(
                can_compile=True, can_run=True, detail=tr("TensorFlow {version}", version=version)
            )
        return Availability(
            can_compile=False,
            can_run=False,
            detail=tr("TensorFlow is not installed"),
            why_it_matters=tr("training, conversion and the float reference need it"),
            fix=no_tensorflow.fix(),
        )

    def open(self, model: Path) -> KerasSession:
        """Load a `.keras` file.

        Raises:
            ModelError: missing, damaged, or not a Keras model.
        """
        return KerasSession(Path(model))
