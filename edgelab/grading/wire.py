"""What may travel between the checks and a student's code: plain values and arrays, as lines of JSON.

Both sides use it, but only the grader's side has to be trusted: whatever a student's process sends becomes a
value of exactly these types, never an object with behaviour of its own. No pickle.
"""

from __future__ import annotations

import base64
import builtins
import collections
import dataclasses
import importlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

LONGEST_MESSAGE_BYTES = 8_000_000
LONGEST_RANGE = 1_000_000
MOST_KEYS = 5_000  # of a dict or set: a student can choose numbers that collide
DEEPEST = 40
ARRAY_KINDS = "biufc"
SEQUENCES: dict[str, Callable] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": collections.deque,
}


class WireError(Exception):
    """A message that breaks the rules, or a value that cannot travel."""


class Opaque:
    """Stands for a value that cannot travel, such as an object of a class of the student's own."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"a {self.kind}, which cannot be graded"


def encode(value: Any, function: Callable[[Any], int], *, records: bool = False, depth: int = 0) -> Any:
    """A value as JSON can hold it.

    Args:
        value: anything; what cannot travel is sent as its type's name.
        function: gives the number under which the other side may call a function.
        records: send the fields of records of edgelab's own classes; only the checks do.
        depth: of nesting so far.

    Raises:
        WireError: it is nested too deeply.
    """
    if depth > DEEPEST:
        raise WireError("the answer is nested too deeply")

    def inner(part: Any) -> Any:
        return encode(part, function, records=records, depth=depth + 1)

    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if value is Ellipsis:
        return {"": "ellipsis"}
    if isinstance(value, np.generic | np.ndarray):
        return _encode_array(np.asarray(value), "scalar" if isinstance(value, np.generic) else "array")
    if hasattr(value, "copy_to_host"):  # an array in a GPU's memory
        return _encode_array(value.copy_to_host(), "device")
    if isinstance(value, int | float):  # of a subclass
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, complex):
        return {"": "complex", "parts": [value.real, value.imag]}
    if isinstance(value, bytes | bytearray):
        return {"": "bytes", "data": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, dict):
        return {"": "dict", "items": [[inner(key), inner(item)] for key, item in value.items()]}
    for name, kind in SEQUENCES.items():
        if isinstance(value, kind):
            return {"": name, "items": [inner(item) for item in value]}
    if isinstance(value, range):
        return {"": "range", "parts": [value.start, value.stop, value.step]}
    if records and dataclasses.is_dataclass(value) and type(value).__module__.startswith("edgelab."):
        fields = {field.name: inner(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {
            "": "record",
            "module": type(value).__module__,
            "name": type(value).__name__,
            "fields": fields,
        }
    if callable(value):
        return {"": "function", "number": function(value)}
    return {"": "opaque", "kind": type(value).__name__[:80]}


def _encode_array(array: np.ndarray, name: str) -> Any:
    if array.dtype.kind in "US" and array.ndim == 0:
        return str(array)
    if array.dtype.kind not in ARRAY_KINDS:
        return {"": "opaque", "kind": f"array of {array.dtype}"}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"": name, "dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def decode(message: Any, function: Callable[[int], Any], *, records: bool = False, depth: int = 0) -> Any:
    """The value that `encode` was given.

    Args:
        message: from the other side.
        function: gives a callable for the other side's number.
        records: take records of edgelab's own classes; only what comes from the checks may hold them.
        depth: of nesting so far.

    Raises:
        WireError: it breaks the rules.
    """
    if depth > DEEPEST:
        raise WireError("the answer is nested too deeply")

    def inner(part: Any) -> Any:
        return decode(part, function, records=records, depth=depth + 1)

    if message is None or isinstance(message, str | bool | int | float):
        return message
    try:
        kind = message[""]
        if kind == "ellipsis":
            return ...
        if kind in ("array", "scalar", "device"):
            return _decode_array(message, kind)
        if kind == "complex":
            real, imaginary = message["parts"]
            return complex(float(real), float(imaginary))
        if kind == "bytes":
            return base64.b64decode(message["data"], validate=True)
        if kind == "range":
            numbers = range(*(int(part) for part in message["parts"]))
            if len(numbers) > LONGEST_RANGE:  # a few bytes that a check might make a list of
                raise WireError("the range is too long")
            return numbers
        if kind == "opaque":
            return Opaque(str(message["kind"]))
        if kind == "function":
            return function(int(message["number"]))
        if kind == "record" and records:
            made = getattr(importlib.import_module(message["module"]), message["name"])
            return made(**{name: inner(value) for name, value in message["fields"].items()})
        items = message["items"]
        if kind in ("dict", "set", "frozenset") and len(items) > MOST_KEYS:
            raise WireError(f"a {kind} of {len(items)} items is too large")
        if kind == "dict":
            return {inner(key): inner(value) for key, value in items}
        return SEQUENCES[kind](inner(item) for item in items)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise WireError("not a value that can be graded") from error


def _decode_array(message: dict[str, Any], kind: str) -> Any:
    dtype = np.dtype(str(message["dtype"]))
    if dtype.kind not in ARRAY_KINDS or dtype.itemsize > 32 or dtype.subdtype:
        raise WireError(f"an array of {dtype} cannot be graded")
    shape = [int(side) for side in message["shape"]]
    data = base64.b64decode(message["data"], validate=True)
    array = np.frombuffer(data, dtype).reshape(shape).copy()
    if kind == "device":
        from edgelab.processor_models import simt

        return simt.load()[0].to_device(array)
    return array if kind == "array" else array[()]


def make_error(name: str, message: str) -> BaseException:
    """Python's own exception of that name; a RuntimeError that names any other."""
    found = getattr(builtins, name, None)
    if isinstance(found, type) and issubclass(found, BaseException):
        try:
            return found(message)
        except TypeError:  # it wants more than a message
            pass
    return RuntimeError(f"{name}: {message}")


def to_line(message: dict[str, Any]) -> bytes:
    """A message as one line.

    Raises:
        WireError: it is too long, or holds what JSON cannot.
    """
    try:
        line = json.dumps(message).encode() + b"\n"
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError("the answer cannot be graded") from error
    if len(line) > LONGEST_MESSAGE_BYTES:
        raise WireError(f"the answer takes {len(line) / 1e6:.0f} MB, which is too much")
    return line


def from_line(line: bytes) -> dict[str, Any]:
    """The message of a line.

    Raises:
        WireError: it is not one.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WireError("a message that cannot be read") from error
    if not isinstance(message, dict):
        raise WireError("a message that is no object")
    return message
