"""A Core ML package, read anywhere: its program, its weights, its size. Nothing of Apple's is needed for it.

A `.mlpackage` is a folder. `model.mlmodel` in it is a protocol buffer that holds the program, in Apple's
intermediate language MIL; `weight.bin` beside it holds the weights. The messages below are those of
`mlmodel/format/MIL.proto` and `Model.proto` of coremltools 9.0 (BSD-3-Clause), as far as they are read here.
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.errors import ModelError
from edgelab.runtime import TensorSpec
from edgelab.texts import tr

SUFFIX = ".mlpackage"
MANIFEST = "Manifest.json"
# Message: its fields as number, name, type; a star for a repeated one. A map is repeated pairs of key, value.
MESSAGES = {
    "Model": ((1, "version", "int32"), (502, "program", "Program")),
    "Program": ((2, "functions", "*NamedFunction"),),
    "NamedFunction": ((1, "key", "string"), (2, "value", "Function")),
    "Function": ((1, "inputs", "*NamedType"), (2, "opset", "string"), (3, "blocks", "*NamedBlock")),
    "NamedBlock": ((1, "key", "string"), (2, "value", "Block")),
    "Block": ((2, "outputs", "*string"), (3, "operations", "*Operation")),
    "Operation": (
        (1, "type", "string"), (2, "inputs", "*NamedArgument"), (3, "outputs", "*NamedType"),
        (5, "attributes", "*NamedValue"),
    ),
    "NamedArgument": ((1, "key", "string"), (2, "value", "Argument")),
    "Argument": ((1, "bindings", "*Binding"),),
    "Binding": ((1, "name", "string"), (2, "value", "Value")),
    "NamedValue": ((1, "key", "string"), (2, "value", "Value")),
    "NamedType": ((1, "name", "string"), (2, "type", "ValueType")),
    "ValueType": ((1, "tensor", "TensorType"),),
    "TensorType": ((1, "dtype", "int32"), (3, "dimensions", "*Dimension")),
    "Dimension": ((1, "fixed", "FixedDimension"),),
    "FixedDimension": ((1, "size", "uint64"),),
    "Value": ((2, "type", "ValueType"), (3, "immediate", "Immediate"), (5, "stored", "Stored")),
    "Immediate": ((1, "tensor", "Tensor"),),
    "Stored": ((1, "file", "string"), (2, "offset", "uint64")),
    "Tensor": (
        (1, "floats", "Floats"), (2, "ints", "Ints"), (3, "bools", "Bools"), (4, "strings", "Strings"),
        (5, "longs", "Longs"), (6, "doubles", "Doubles"), (7, "bytes", "Bytes"),
    ),
    "Floats": ((1, "values", "*float"),), "Doubles": ((1, "values", "*double"),),
    "Ints": ((1, "values", "*int32"),), "Longs": ((1, "values", "*int64"),),
    "Bools": ((1, "values", "*bool"),), "Strings": ((1, "values", "*string"),),
    "Bytes": ((1, "values", "bytes"),),
}  # fmt: skip
# DataType of MIL.proto. Types of fewer than 8 bits occur from iOS 18 on, later than what the course makes.
DTYPES = {
    1: np.bool_, 2: np.str_, 10: np.float16, 11: np.float32, 12: np.float64, 21: np.int8, 22: np.int16,
    23: np.int32, 24: np.int64, 31: np.uint8, 32: np.uint16, 33: np.uint32, 34: np.uint64,
}  # fmt: skip
IN_BYTES = (np.float16, np.int8, np.uint8, np.uint32)  # kept as bytes where they stand in the program itself
# Of a stored weight: a mark, its type, its size in bytes, where it begins. (MILBlob, StorageFormat.hpp.)
STORED_HEADER, STORED_MARK = struct.Struct("<IIQQ"), 0xDEADBEEF


@dataclass(frozen=True)
class Operation:
    """One operator of a program.

    Attributes:
        kind: such as "conv".
        name: the first of its outputs.
        inputs: by parameter, names of what came before.
        outputs: what it gives.
    """

    kind: str
    name: str
    inputs: dict[str, tuple[str, ...]]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True)
class Program:
    """What a package computes.

    Attributes:
        version: of the specification; 8 is that of iOS 17.
        inputs, outputs: what it takes and gives.
        operations: in order; without constants.
        constants: by name, weights among them, as the operators use them.
        compressed: how many weights are kept in which compressed form, such as "constexpr_lut_to_dense".
    """

    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operations: tuple[Operation, ...]
    constants: dict[str, np.ndarray]
    compressed: dict[str, int]

    @property
    def operator_counts(self) -> dict[str, int]:
        """How many of each kind, the most frequent first."""
        return dict(Counter(operation.kind for operation in self.operations).most_common())


def size_bytes(package: Path) -> int:
    """Bytes of all files of a package."""
    return sum(path.stat().st_size for path in Path(package).rglob("*") if path.is_file())


def copy(package: Path, to: Path) -> None:
    """Write all files of a package into a new folder; a full disk is an OSError with its number."""
    for path in sorted(Path(package).rglob("*")):
        if path.is_file():
            place = to / path.relative_to(package)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def read(package: Path) -> Program:
    """The program of a package, its weights as the operators use them.

    Raises:
        ModelError: it is no package, damaged, or holds what is not a program of fixed, plain tensors.
    """
    package = Path(package)
    try:
        model_path = _model_path(package)
        model = _message("Model").FromString(model_path.read_bytes())
        if not model.HasField("program"):
            raise ValueError(tr("it holds an older kind of network, no program"))
        return _Reader(model_path.parent).program(model)
    except (OSError, ValueError, KeyError, TypeError, struct.error, _decode_error()) as error:
        raise ModelError(
            tr("{path} cannot be read as a Core ML package.", path=package.name),
            why=str(error) or type(error).__name__,
            fix=tr('make it again: targets.get("coreml").compile(model, out)'),
        ) from error


def _model_path(package: Path) -> Path:
    """The file with the program, by the package's list of contents."""
    manifest = json.loads((package / MANIFEST).read_text(encoding="utf-8"))
    entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
    path = (package / "Data" / entry["path"]).resolve()
    if not path.is_relative_to(package.resolve()):
        raise ValueError(tr("its list of contents names a file outside"))
    return path


class _Reader:
    """Reads one program; remembers weights by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, bytes] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._compressed: Counter[str] = Counter()

    def program(self, model: Any) -> Program:
        functions = {one.key: one.value for one in model.program.functions}
        main = functions["main"]
        block = next(one.value for one in main.blocks if one.key == main.opset)
        operations = [found for one in block.operations if (found := self._operation(one)) is not None]
        inputs = tuple(map(_spec, main.inputs))
        known = {spec.name: spec for one in operations for spec in one.outputs}
        known |= {spec.name: spec for spec in inputs}
        outputs = tuple(known[name] for name in block.outputs)
        return Program(
            model.version, inputs, outputs, tuple(operations), self._constants, dict(self._compressed)
        )

    def _operation(self, found: Any) -> Operation | None:
        """An operator that computes; None for a constant, which is remembered."""
        name = found.outputs[0].name
        attributes = {one.key: one.value for one in found.attributes}
        if found.type == "const":
            self._constants[name] = self._value(attributes["val"])
            return None
        if found.type.startswith("constexpr_"):
            self._compressed[found.type] += 1
            parts = {key: self._value(value) for key, value in attributes.items() if key != "name"}
            self._constants[name] = decompressed(found.type, parts)
            return None
        inputs = {one.key: self._names(name, one) for one in found.inputs}
        return Operation(found.type, name, inputs, tuple(map(_spec, found.outputs)))

    def _names(self, owner: str, argument: Any) -> tuple[str, ...]:
        """Names of an argument; a value that stands in its place gets one."""
        names = []
        for number, binding in enumerate(argument.value.bindings):
            name = binding.name
            if binding.HasField("value"):
                name = f"{owner}/{argument.key}/{number}"
                self._constants[name] = self._value(binding.value)
            names.append(name)
        return tuple(names)

    def _value(self, value: Any) -> np.ndarray:
        shape, dtype = _shape(value.type), _dtype(value.type)
        if value.HasField("stored"):
            return self._stored(value.stored, dtype).reshape(shape)
        tensor = value.immediate.tensor
        kind = next((name for _, name, _ in MESSAGES["Tensor"] if tensor.HasField(name)), None)
        if kind is None:
            raise ValueError(tr("a constant has no value"))
        values = getattr(tensor, kind).values
        found = np.frombuffer(values, dtype) if kind == "bytes" and dtype in IN_BYTES else np.array(values)
        return found.astype(dtype).reshape(shape)

    def _stored(self, stored: Any, dtype: type) -> np.ndarray:
        name = stored.file.rsplit("/", 1)[-1]
        if name not in self._files:
            self._files[name] = (self._folder / "weights" / name).read_bytes()
        content = self._files[name]
        mark, _, size, offset = STORED_HEADER.unpack_from(content, stored.offset)
        if mark != STORED_MARK or offset + size > len(content):
            raise ValueError(tr("its file of weights is damaged"))
        return np.frombuffer(content, dtype, size // np.dtype(dtype).itemsize, offset)


def decompressed(kind: str, parts: dict[str, np.ndarray]) -> np.ndarray:
    """A weight as the operators use it, from how it is kept.

    Args:
        kind: "constexpr_affine_dequantize" (integers, scale, zero point) or "constexpr_lut_to_dense"
            (numbers in a palette, packed bit by bit, the lowest first); of iOS 16 and 17.
        parts: its parameters by name.

    Raises:
        ValueError: another form.
    """
    if kind == "constexpr_affine_dequantize":
        data = parts["quantized_data"]
        shape = [1] * data.ndim
        shape[int(parts["axis"])] = -1
        scale, zero = (
            parts[name].astype(np.float32).reshape(shape if parts[name].ndim else ())
            for name in ("scale", "zero_point")
        )
        return (scale * (data.astype(np.float32) - zero)).astype(parts["scale"].dtype)
    if kind == "constexpr_lut_to_dense":
        palette, shape = parts["lut"], tuple(int(size) for size in parts["shape"])
        width, count = int(palette.size).bit_length() - 1, int(np.prod(shape))
        bits = np.unpackbits(parts["indices"], bitorder="little")[: width * count].reshape(count, width)
        return palette[bits @ (1 << np.arange(width))].reshape(shape)
    raise ValueError(tr("its weights are kept in a form that is not read here: {kind}", kind=kind))


def _shape(value_type: Any) -> tuple[int, ...]:
    return tuple(int(one.fixed.size) if one.HasField("fixed") else -1 for one in value_type.tensor.dimensions)


def _dtype(value_type: Any) -> type:
    number = value_type.tensor.dtype
    if number not in DTYPES:
        raise ValueError(tr("it holds tensors of a type that is not read here: {number}", number=number))
    return DTYPES[number]


def _spec(found: Any) -> TensorSpec:
    return TensorSpec(found.name, _shape(found.type), np.dtype(_dtype(found.type)))


def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError

    return DecodeError


@cache
def _message(name: str) -> Any:
    """The class of a message, in a pool of its own: the common one may hold those of coremltools."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="coreml.proto", package="coreml", syntax="proto3")
    plain = descriptor_pb2.FieldDescriptorProto
    for title, fields in MESSAGES.items():
        message = file.message_type.add(name=title)
        for number, field, kind in fields:
            added = message.field.add(name=field, number=number)
            added.label = plain.LABEL_REPEATED if kind.startswith("*") else plain.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in MESSAGES:
                added.type, added.type_name = plain.TYPE_MESSAGE, f".coreml.{kind}"
            else:
                added.type = getattr(plain, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"coreml.{name}"))
