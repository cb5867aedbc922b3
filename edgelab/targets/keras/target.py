"""A Keras model as one more runnable, so that float and converted models are compared by the same code."""

from __future__ import annotations

import contextlib
from importlib import metadata
from pathlib import Path

from edgelab.runtime import Availability
from edgelab.targets.keras.session import KerasSession
from edgelab.texts import tr


class KerasTarget:
    """TensorFlow on this machine: what the model was trained with."""

    name = "keras"

    def probe(self) -> Availability:
        """Whether TensorFlow is installed; importing it would take seconds."""
        for package in ("tensorflow", "tensorflow-cpu"):
            with contextlib.suppress(metadata.PackageNotFoundError):
                return Availability(
                    can_compile=True,
                    can_run=True,
                    detail=tr("TensorFlow {version}", version=metadata.version(package)),
                )
        return Availability(
            can_compile=False,
            can_run=False,
            detail=tr("TensorFlow is not installed"),
            why_it_matters=tr("training, conversion and the float reference need it"),
            fix=tr("run the set-up again: make run"),
        )

    def open(self, model: Path) -> KerasSession:
        """Load a `.keras` file.

        Raises:
            ModelError: missing, damaged, or not a Keras model.
        """
        return KerasSession(Path(model))
