"""The program of a Core ML package, computed in NumPy: a check of its numbers on a machine that is no Mac.

Core ML itself runs on Apple's systems alone. A program is a list of plain operators, though, and the few
that image classifiers are made of take a few lines each. Each computes in float32 and is rounded to the type
that the program states for its output, float16 in most packages. A Mac may sum in another order, and its
processor, GPU and Neural Engine differ among each other: compare with a tolerance, and never time this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgelab.errors import TargetError
from edgelab.targets.coreml.package import Operation, Program
from edgelab.texts import tr


class Arguments:
    """The inputs of one operator by parameter; numbers come as float32, integers and texts as they are."""

    def __init__(self, operation: Operation, values: dict[str, np.ndarray]) -> None:
        self._operation, self._values = operation, values

    def __call__(self, parameter: str, default: Any = None) -> Any:
        """One input; the default where the operator leaves it out."""
        names = self._operation.inputs.get(parameter)
        if names is None:
            return default
        value = self._values[names[0]]
        return value.astype(np.float32, copy=False) if value.dtype.kind == "f" else value

    def all(self, parameter: str) -> list[np.ndarray]:
        """An input that is a list."""
        return [self._values[name].astype(np.float32) for name in self._operation.inputs[parameter]]


def paddings(
    kind: str, sizes: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...], custom: np.ndarray
) -> list[tuple[int, int]]:
    """Zeros before and after each spatial axis.

    Args:
        kind: "valid", "custom", "same" (an odd one comes after) or "same_lower" (before), as MIL names them.
        sizes: of the input's spatial axes.
        kernel: sizes that the kernel spans, with its gaps.
        strides: along the same axes.
        custom: before and after each axis, in a row, for "custom".
    """
    if kind == "valid":
        return [(0, 0)] * len(sizes)
    if kind == "custom":
        return [(int(before), int(after)) for before, after in np.reshape(custom, (-1, 2))]
    found = []
    for size, span, stride in zip(sizes, kernel, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + span - size, 0)
        less, more = total // 2, total - total // 2
        found.append((less, more) if kind == "same" else (more, less))
    return found


def _windows(
    args: Arguments, x: np.ndarray, kernel: tuple[int, ...], fill: float, dilations: tuple[int, ...] = (1, 1)
) -> list[tuple[int, int, np.ndarray]]:
    """For each place in the kernel its row, its column, and what it sees, `[N, C, out height, out width]`."""
    strides = tuple(int(one) for one in args("strides", (1, 1)))
    span = tuple((size - 1) * gap + 1 for size, gap in zip(kernel, dilations, strict=True))
    pads = paddings(str(args("pad_type", "valid")), x.shape[2:], span, strides, args("pad"))
    x = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=fill)
    outs = [
        (size - reach) // stride + 1 for size, reach, stride in zip(x.shape[2:], span, strides, strict=True)
    ]
    found = []
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            places = tuple(
                slice(start * gap, start * gap + (out - 1) * stride + 1, stride)
                for start, gap, out, stride in zip((row, column), dilations, outs, strides, strict=True)
            )
            found.append((row, column, x[(..., *places)]))
    return found


def conv(args: Arguments) -> np.ndarray:
    """`[N, C, H, W]` with weights `[out, C / groups, height, width]`."""
    x, weight, groups = args("x"), args("weight"), int(args("groups", 1))
    dilations = tuple(int(one) for one in args("dilations", (1, 1)))
    total: Any = 0.0
    for row, column, seen in _windows(args, x, weight.shape[2:], 0.0, dilations):
        at = weight[:, :, row, column]
        if at.shape[1] == 1:  # depthwise: each channel by itself
            total = total + np.repeat(seen, len(at) // groups, axis=1) * at[:, 0, None, None]
            continue
        parts = seen.reshape(len(x), groups, at.shape[1], -1)
        product = at.reshape(groups, -1, at.shape[1]) @ parts
        total = total + product.reshape(len(x), len(at), *seen.shape[2:])
    bias = args("bias")
    return total if bias is None else total + bias[:, None, None]


def max_pool(args: Arguments) -> np.ndarray:
    """The largest value under each window; what lies outside counts as less than all."""
    kernel = tuple(int(one) for one in args("kernel_sizes"))
    return np.max([seen for *_, seen in _windows(args, args("x"), kernel, -np.inf)], axis=0)


def avg_pool(args: Arguments) -> np.ndarray:
    """The mean under each window; zeros outside count where the program says so."""
    x, kernel = args("x"), tuple(int(one) for one in args("kernel_sizes"))
    total = np.sum([seen for *_, seen in _windows(args, x, kernel, 0.0)], axis=0)
    if not args("exclude_padding_from_average", False):
        return total / np.prod(kernel)
    return total / np.sum([seen for *_, seen in _windows(args, np.ones_like(x), kernel, 0.0)], axis=0)


def linear(args: Arguments) -> np.ndarray:
    """`x` times the transposed weights `[out, in]`, plus a bias."""
    bias = args("bias")
    product = args("x") @ args("weight").T
    return product if bias is None else product + bias


def matmul(args: Arguments) -> np.ndarray:
    """The product of two matrices, either of them turned round."""
    x, y = args("x"), args("y")
    x = x.swapaxes(-1, -2) if args("transpose_x", False) else x
    return x @ (y.swapaxes(-1, -2) if args("transpose_y", False) else y)


def reduce_mean(args: Arguments) -> np.ndarray:
    """The mean along some axes; along all where none is named."""
    axes = args("axes")
    axes = None if axes is None else tuple(int(axis) for axis in axes)
    return args("x").mean(axis=axes, keepdims=bool(args("keep_dims", False)))


def softmax(args: Arguments) -> np.ndarray:
    """Probabilities along one axis, the last if none is named."""
    x, axis = args("x"), int(args("axis", -1))
    grown = np.exp(x - x.max(axis, keepdims=True))
    return grown / grown.sum(axis, keepdims=True)


OPERATORS: dict[str, Callable[[Arguments], np.ndarray]] = {
    "add": lambda args: args("x") + args("y"),
    "avg_pool": avg_pool,
    "cast": lambda args: args("x"),  # to the type of its output, as every result
    "clip": lambda args: np.clip(args("x"), args("alpha"), args("beta")),
    "concat": lambda args: np.concatenate(args.all("values"), int(args("axis"))),
    "conv": conv,
    "linear": linear,
    "matmul": matmul,
    "max_pool": max_pool,
    "mul": lambda args: args("x") * args("y"),
    "reduce_mean": reduce_mean,
    "relu": lambda args: np.maximum(args("x"), 0),
    "relu6": lambda args: np.clip(args("x"), 0, 6),
    "reshape": lambda args: args("x").reshape([int(size) for size in args("shape")]),
    "sigmoid": lambda args: 1 / (1 + np.exp(-args("x"))),
    "softmax": softmax,
    "sub": lambda args: args("x") - args("y"),
    "transpose": lambda args: args("x").transpose([int(axis) for axis in args("perm")]),
}


def check(program: Program) -> None:
    """Refuse a program that holds an operator which is not computed here.

    Raises:
        TargetError: it does; names them, and says what to do.
    """
    unknown = sorted({operation.kind for operation in program.operations} - OPERATORS.keys())
    if any(operation.kind in ("max_pool", "avg_pool") and _rounds_up(program, operation)
           for operation in program.operations):  # fmt: skip
        unknown.append("ceil_mode")
    if unknown:
        raise TargetError(
            tr("This program holds operators that are not computed here: {names}.", names=", ".join(unknown)),
            why=tr("without a Mac only these are: {names}", names=", ".join(sorted(OPERATORS))),
            fix=tr("open the package on a Mac, where Core ML runs it; or build the network of these"),
        )


def _rounds_up(program: Program, operation: Operation) -> bool:
    names = operation.inputs.get("ceil_mode")
    return names is not None and bool(program.constants[names[0]])


def run(program: Program, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
    """One inference.

    Args:
        program: one that `check` has passed.
        *inputs: an array for each of its inputs.
    """
    values = dict(program.constants)
    values |= {spec.name: array for spec, array in zip(program.inputs, inputs, strict=True)}
    with np.errstate(over="ignore"):  # what float16 cannot hold becomes infinite, as it would on a device
        for operation in program.operations:
            [spec] = operation.outputs
            result = OPERATORS[operation.kind](Arguments(operation, values))
            values[spec.name] = np.asarray(result).astype(spec.dtype)
    return tuple(values[spec.name] for spec in program.outputs)
