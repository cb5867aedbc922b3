"""Runs a compiled model on an Edge TPU in a process of its own: `python -m edgelab.targets.edgetpu.worker`.

Google's library ends the process when the device is unplugged, or taken by another program, in the middle of
an inference. That must not be the student's kernel. Questions and answers are lines of JSON
(`edgelab.machine.child.Worker`); tensors lie in files that both processes map into memory.
"""

from __future__ import annotations

import ctypes
import json
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine.child import ANSWER_MARK

LIBRARIES = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}


class EdgeTpuDevice(ctypes.Structure):
    """`edgetpu_device` of libedgetpu's C header: 0 is a PCIe device, 1 a USB one."""

    _fields_ = (("kind", ctypes.c_int), ("path", ctypes.c_char_p))


class Failure(Exception):  # noqa: N818 - an answer, not a fault of this program
    """What goes back in place of an answer.

    Attributes:
        kind: "missing", "wrong", "refused", "model" or "run".
        detail: the library's words.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def library_names(chosen: str = "") -> tuple[str, ...]:
    """The names to try, this system's own first."""
    if chosen:
        return (chosen,)
    own = LIBRARIES.get(platform.system(), "")
    return tuple(dict.fromkeys(filter(None, (own, *LIBRARIES.values()))))


def first_library(chosen: str = "") -> str:
    """The first of the names that loads.

    Raises:
        Failure: none does; the reason is that of this system's own name.
    """
    reasons = []
    for name in library_names(chosen):
        try:
            ctypes.CDLL(name)
        except OSError as error:
            reasons.append(str(error))
        else:
            return name
    raise Failure("missing", reasons[0])


def devices(request: dict[str, Any]) -> dict[str, Any]:
    """The devices that the library sees, such as "usb:0", each with its path."""
    library = ctypes.CDLL(first_library(request["library"]))
    try:
        library.edgetpu_list_devices.restype = ctypes.POINTER(EdgeTpuDevice)
        count = ctypes.c_size_t()
        found = library.edgetpu_list_devices(ctypes.byref(count))
    except AttributeError as error:
        raise Failure("wrong", str(error)) from error
    names, seen = [], {"pci": 0, "usb": 0}
    for index in range(count.value):
        kind = "usb" if found[index].kind == 1 else "pci"
        names.append(
            {"name": f"{kind}:{seen[kind]}", "path": (found[index].path or b"").decode(errors="replace")}
        )
        seen[kind] += 1
    return {"devices": names}


def library_version(name: str) -> str:
    """What the library says of itself; its name where it says nothing."""
    try:
        library = ctypes.CDLL(name)
        library.edgetpu_version.restype = ctypes.c_char_p
        return (library.edgetpu_version() or b"").decode(errors="replace")
    except (AttributeError, OSError):
        return Path(name).name


def delegate(name: str, options: dict[str, str]) -> Any:
    """Google's library as a delegate of LiteRT.

    Raises:
        Failure: it is missing, another one, or finds no device that it may open.
    """
    from ai_edge_litert.interpreter import load_delegate

    try:
        return load_delegate(name, options or None)
    except AttributeError as error:
        raise Failure("wrong", str(error)) from error
    except OSError as error:
        raise Failure("missing", str(error)) from error
    except ValueError as error:
        raise Failure("refused", str(error)) from error


def _litert(model: str, library: str, device: str) -> tuple[Any, str]:
    from ai_edge_litert.interpreter import Interpreter

    name = first_library(library)
    loaded = delegate(name, {"device": device} if device else {})
    version = f"LiteRT {metadata.version('ai-edge-litert')}, {library_version(name)}"
    return Interpreter(model_path=model, experimental_delegates=[loaded], num_threads=1), version


def _pycoral(model: str, library: str, device: str) -> tuple[Any, str]:
    try:
        from pycoral.utils import edgetpu
    except ImportError as error:
        raise Failure("pycoral", str(error)) from error
    try:
        return edgetpu.make_interpreter(
            model, device=device or None
        ), f"PyCoral, {edgetpu.get_runtime_version()}"
    except ValueError as error:
        raise Failure("refused", str(error)) from error


RUNTIMES = {"litert": _litert, "pycoral": _pycoral}


class Model:
    """A loaded model, with its tensors mapped into files.

    Args:
        request: paths, library, device and runtime, as `edgetpu.EdgeTpuSession` sends them.

    Raises:
        Failure: it cannot be loaded.
    """

    def __init__(self, request: dict[str, Any]) -> None:
        open_model = RUNTIMES[request["runtime"]]
        try:
            self.interpreter, self.version = open_model(
                request["model"], request["library"], request["device"]
            )
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise Failure("model", str(error)) from error
        self.inputs = self._mapped(self.interpreter.get_input_details(), "input")
        self.outputs = self._mapped(self.interpreter.get_output_details(), "output")

    def _mapped(self, details: list[dict], stem: str) -> list[tuple[dict, np.memmap]]:
        return [
            (entry, mapped(Path(f"{stem}{place}.bin"), tuple(entry["shape"]), np.dtype(entry["dtype"])))
            for place, entry in enumerate(details)
        ]

    def about(self) -> dict[str, Any]:
        """The specifications of the inputs and outputs, and what runs them."""
        return {
            "inputs": [_spec(entry) for entry, _ in self.inputs],
            "outputs": [_spec(entry) for entry, _ in self.outputs],
            "version": self.version,
        }

    def run(self) -> dict[str, Any]:
        """One inference, from the input files to the output files."""
        try:
            for entry, values in self.inputs:
                self.interpreter.set_tensor(entry["index"], values)
            self.interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise Failure("run", str(error)) from error
        for entry, values in self.outputs:
            values[...] = self.interpreter.get_tensor(entry["index"])
        return {}


def mapped(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """A tensor in a file, which is made when it is not there."""
    size_bytes = max(int(np.prod(shape)) * dtype.itemsize, 1)  # a file of no bytes cannot be mapped
    if not path.exists():
        path.write_bytes(bytes(size_bytes))
    return np.memmap(path, dtype, mode="r+", shape=shape)


def _spec(entry: dict) -> dict[str, Any]:
    scale, zero_point = entry["quantization"]
    return {
        "name": entry["name"],
        "shape": [int(size) for size in entry["shape"]],
        "dtype": np.dtype(entry["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def main() -> None:
    """Answer questions until there are no more."""
    model = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "devices":
                answer = devices(request)
            elif request["do"] == "open":
                model = Model(request)
                answer = model.about()
            else:
                answer = model.run()
        except Failure as failure:
            answer = {"failure": failure.kind, "detail": failure.detail}
        sys.stdout.write(f"\n{ANSWER_MARK}{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
