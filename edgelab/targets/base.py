"""What every accelerator has in common: the `Target` and `Session` protocols, and the records they share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgelab.runtime.placement import Availability, Placement
from edgelab.runtime.session import Session


@dataclass(frozen=True)
class Compiled:
    """A model prepared for one target.

    Attributes:
        path: the compiled file.
        target: the target's name.
        log_rows: the vendor's log, parsed: one dict per row.
        placement: operators on the accelerator, known before any latency is; None where the device alone
            decides that.
        duration_s: how long compiling took.
        size_bytes: size of the file.
        vendor_latency_ms: one inference on the device by the vendor's own tool, which simulates or counts
            cycles; None where it gives no figure. Never a measurement.
        vendor_note: what that figure is: the tool, the configuration, the clock.
    """

    path: Path
    target: str
    log_rows: tuple[dict[str, Any], ...]
    placement: Placement | None
    duration_s: float
    size_bytes: int
    vendor_latency_ms: float | None = None
    vendor_note: str = ""

    def __str__(self) -> str:
        return (
            f"{self.path.name} for {self.target}: {self.placement or 'placed on the device'}, "
            f"{self.size_bytes / 1e6:.2f} MB, {self.duration_s:.1f} s"
        )


class Target(Protocol):
    """A place where models run.

    Attributes:
        name: short name, such as "cpu".
        takes: the conversion (`quantization.MODES`) that `compile` starts from: "int8" where the target takes
            a quantized model, "float32" where it quantizes by itself, with the calibration images. "keras"
            where it takes the file of the trained model itself.
        suffix: ending of the compiled file, such as ".rknn".
        settings: what besides the model decides the compiled file: options, and versions of the tools.
    """

    name: str
    takes: str
    suffix: str

    @property
    def settings(self) -> dict[str, Any]:
        """See the class."""

    def probe(self) -> Availability:
        """What can be done here: a report, never an error."""

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Prepare `model` for this target, in `out`.

        Args:
            model: a `.tflite` file, converted as `takes` says; for "keras" the `.keras` file.
            out: the file to write.
            calibration: uint8 images `[N, H, W, 3]` from the training set, where the target quantizes.
        """

    def open(self, model: Path | Compiled) -> Session:
        """Load a model."""
