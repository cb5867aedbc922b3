"""A model that is loaded and ready to run, the same for every runtime."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

import numpy as np

from edgelab.runtime.placement import Placement
from edgelab.runtime.tensors import TensorSpec


class Session(Protocol):
    """A model that is loaded and ready to run; a context manager that frees it.

    Attributes:
        inputs: what `run` takes.
        outputs: what `run` gives.
        target: the target's name.
        device: the chip, in words.
        runtime_version: of the software that runs it.
        provenance: "measured", or "simulated" by the vendor's tool.
        placement: None where the target is the CPU itself.
        fault: why its results are wrong, where that was found out; no latency is reported then. Empty when
            nothing is known against it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    target: str
    device: str
    runtime_version: str
    provenance: str
    placement: Placement | None
    fault: str

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference, on arrays of exactly the shapes and types in `inputs`."""

    def close(self) -> None:
        """Free the model and the device."""

    def __enter__(self) -> Session: ...

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class ClosesAtEnd(AbstractContextManager):
    """What sessions inherit: a `with` block gives the session itself, and closes it in the end."""

    def __exit__(self, *error: object) -> None:
        self.close()
