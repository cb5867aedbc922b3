"""What a model takes and gives: name, shape, type and quantization of a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits; -1 takes any size."""
        return len(shape) == len(self.shape) and all(
            want in (-1, have) for want, have in zip(self.shape, shape, strict=True)
        )

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
        elif not spec.takes(array.shape):
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
