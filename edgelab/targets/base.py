"""What every accelerator has in common: the `Target` and `Session` protocols, and the records they share."""

from __future__ import annotations

import html
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from tqdm.auto import tqdm

from edgelab.errors import InputError
from edgelab.texts import tr


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape, type and quantization of one input or output.

    Attributes:
        name: the tensor's name in the model.
        shape: its dimensions, the batch first; -1 where any size is taken.
        dtype: its numpy type.
        scale: real value of one quantization step; 0.0 when the tensor is not quantized.
        zero_point: the integer that stands for real 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float = 0.0
    zero_point: int = 0

    @property
    def is_quantized(self) -> bool:
        """Whether the integers stand for real numbers, `real = scale * (integer - zero_point)`."""
        return self.scale > 0 and np.issubdtype(self.dtype, np.integer)

    def quantize(self, real: np.ndarray) -> np.ndarray:
        """Real numbers as this tensor's type: divided by the scale, rounded half to even, then clipped.

        Clipping makes too large a value the largest one; a plain cast would let it wrap to the other end.
        (Jacob et al. 2018, "Quantization and Training of Neural Networks", equation 1.)

        Args:
            real: any shape, finite or infinite numbers.

        Returns:
            The same shape, `dtype`. A float tensor is only cast; an integer one without a scale counts as
            scale 1.

        Raises:
            InputError: a value is not a number.
        """
        if not np.issubdtype(self.dtype, np.integer):
            return np.asarray(real).astype(self.dtype)
        steps = np.rint(np.asarray(real, np.float64) / (self.scale or 1.0)) + self.zero_point
        if np.isnan(steps).any():
            raise InputError(
                tr("A value for {name} is not a number.", name=self.name),
                why=tr("{dtype} has no code for it", dtype=self.dtype),
                fix=tr("look for a division by zero in the preprocessing"),
            )
        limits = np.iinfo(self.dtype)
        low, high = float(limits.min), float(limits.max)
        if high > limits.max:  # 64-bit limits are not exact as float64: take the number just inside
            high = np.nextafter(high, 0)
        return np.clip(steps, low, high).astype(self.dtype)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """The real numbers that this tensor's values stand for, float32, computed in float64.

        Subtracting the zero point in the tensor's own 8 bits would overflow.
        """
        if not self.is_quantized:
            return np.asarray(values).astype(np.float32)
        return ((np.asarray(values).astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)

    def __str__(self) -> str:
        text = f"{self.name}: {self.dtype} {list(self.shape)}"
        return f"{text}, scale {self.scale:.6g}, zero point {self.zero_point}" if self.is_quantized else text


@dataclass(frozen=True)
class Availability:
    """What a target can do on this machine, and how to mend what it cannot.

    Attributes:
        can_compile: the toolchain that prepares a model is here.
        can_run: a device, or the vendor's simulator, is here.
        detail: what was found.
        why_it_matters: what one loses without it.
        fix: the command or page that mends it; empty when nothing is missing.
        is_simulated: running means in a simulator here, not on the device.
    """

    can_compile: bool
    can_run: bool
    detail: str
    why_it_matters: str = ""
    fix: str = ""
    is_simulated: bool = False

    def __str__(self) -> str:
        status = f"compile: {'yes' if self.can_compile else 'no'}, run: {'yes' if self.can_run else 'no'}"
        return f"{status} ({self.detail})" + (f"\nWhat to do: {self.fix}" if self.fix else "")


@dataclass(frozen=True)
class Placement:
    """How many operators run on the accelerator, and why the others do not.

    Attributes:
        accelerated: operators on the accelerator.
        total: operators in the model.
        reasons: (operator, reason) for each that stays on the CPU.
    """

    accelerated: int
    total: int
    reasons: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.accelerated} of {self.total} operators"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<li><code>{html.escape(operator)}</code>: {html.escape(reason)}</li>"
            for operator, reason in self.reasons
        )
        return f"<p>{self} on the accelerator</p>" + (f"<ul>{rows}</ul>" if rows else "")


@dataclass(frozen=True)
class Compiled:
    """A model prepared for one target.

    Attributes:
        path: the compiled file.
        target: the target's name.
        log_rows: the vendor's log, parsed: one dict per row.
        placement: operators on the accelerator, known before any latency is.
        duration_s: how long compiling took.
        size_bytes: size of the file.
        vendor_latency_ms: one inference on the device by the vendor's own tool, which simulates or counts
            cycles; None where it gives no figure. Never a measurement.
        vendor_note: what that figure is: the tool, the configuration, the clock.
    """

    path: Path
    target: str
    log_rows: tuple[dict[str, Any], ...]
    placement: Placement
    duration_s: float
    size_bytes: int
    vendor_latency_ms: float | None = None
    vendor_note: str = ""

    def __str__(self) -> str:
        return (
            f"{self.path.name} for {self.target}: {self.placement}, {self.size_bytes / 1e6:.2f} MB, "
            f"{self.duration_s:.1f} s"
        )


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


class Target(Protocol):
    """A place where models run.

    Attributes:
        name: short name, such as "cpu".
        takes: the conversion (`quantization.MODES`) that `compile` starts from: "int8" where the target takes
            a quantized model, "float32" where it quantizes by itself, with the calibration images.
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
            model: a `.tflite` file, converted as `takes` says.
            out: the file to write.
            calibration: uint8 images `[N, H, W, 3]` from the training set, where the target quantizes.
        """

    def open(self, model: Path | Compiled) -> Session:
        """Load a model."""


class ClosesAtEnd(AbstractContextManager):
    """What sessions inherit: a `with` block gives the session itself, and closes it in the end."""

    def __exit__(self, *error: object) -> None:
        self.close()


def check_inputs(specs: tuple[TensorSpec, ...], arrays: tuple[np.ndarray, ...]) -> None:
    """Compare arrays with what a session takes, before native code sees them.

    Raises:
        InputError: another count, shape or type than expected; says expected and got.
    """
    if len(arrays) != len(specs):
        expected = "; ".join(map(str, specs))
        raise InputError(
            tr("The model takes {count} input(s), got {got}.", count=len(specs), got=len(arrays)),
            why=tr("it expects {expected}", expected=expected),
            fix=tr("pass one array for each, in this order"),
        )
    for spec, array in zip(specs, arrays, strict=True):
        if not isinstance(array, np.ndarray):
            got, fix = type(array).__name__, tr("pass a numpy array")
        elif array.dtype != spec.dtype:
            got = f"{array.dtype} {list(array.shape)}"
            fix = tr(
                "use session.inputs[{index}].quantize(values), or cast to {dtype}",
                index=specs.index(spec),
                dtype=spec.dtype,
            )
        elif array.shape != spec.shape and not _fits(array.shape, spec.shape):
            got = f"{array.dtype} {list(array.shape)}"
            fix = tr("reshape or resize the array; one image needs a batch dimension, image[np.newaxis]")
        else:
            continue
        raise InputError(
            tr(
                "Input {spec}: expected {dtype} {shape}, got {got}.",
                spec=spec.name,
                dtype=spec.dtype,
                shape=list(spec.shape),
                got=got,
            ),
            fix=fix,
        )


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether the shapes are equal where `expected` is not -1."""
    return len(shape) == len(expected) and all(
        want in (-1, have) for want, have in zip(expected, shape, strict=True)
    )


def predict(session: Session, images: np.ndarray, *, progress: bool = False) -> np.ndarray:
    """Run many images through a session, whatever its input type and batch size.

    Pixels are quantized to the input's scale when it takes integers and handed over as they are when it takes
    floats; outputs are dequantized.

    Args:
        session: a model with one image input; its first output counts.
        images: uint8 `[N, H, W, 3]`, RGB 0 to 255.
        progress: show a progress bar.

    Returns:
        float32 `[N, classes]`.

    Raises:
        InputError: images of another shape or type than the model takes.
    """
    spec = session.inputs[0]
    images = np.asarray(images)
    expected = (-1, *spec.shape[1:])
    if images.dtype != np.uint8 or images.ndim != len(expected) or images.shape[1:] != spec.shape[1:]:
        raise InputError(
            tr(
                "Images: expected uint8 {expected}, got {dtype} {shape}.",
                expected=list(expected),
                dtype=images.dtype,
                shape=list(images.shape),
            ),
            why=tr("a model takes raw pixels, 0 to 255, of the size it was trained on"),
            fix=tr("load them with edgelab.datasets, and do not scale them: the model does"),
        )
    if len(images) == 0:
        return np.zeros((0, *session.outputs[0].shape[1:]), np.float32)
    # A pixel has 256 values: quantizing those once and looking them up is exact and fast.
    codes = spec.quantize(np.arange(256))
    batch = spec.shape[0] if spec.shape[0] > 0 else 256
    rows = []
    for start in tqdm(range(0, len(images), batch), disable=not progress, desc="inference", leave=False):
        part = codes[images[start : start + batch]]
        missing = batch - len(part) if spec.shape[0] > 0 else 0
        if missing:
            part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        rows.append(session.run(part)[0][: batch - missing])
    return session.outputs[0].dequantize(np.concatenate(rows))
