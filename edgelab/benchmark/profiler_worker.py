"""LiteRT's profiler, called through its C library; run as a child process by `edgelab.benchmark.profiler`.

LiteRT's Python classes do not offer the profiler, but its C library does (`litert/c/litert_profiler.h`), and
that library is part of the Python package. Should another version lay out its records differently, this child
dies and the lesson gets a clear error. Only ctypes is imported, so that it starts at once.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import sys
from pathlib import Path

from edgelab.texts import tr

KERNELS = ("xnnpack", "builtin")
LIBRARIES = {"linux": "libLiteRt.so", "darwin": "libLiteRt.dylib", "win32": "libLiteRt.dll"}
# Event types of tflite/core/api/profiler.h: an operator run by LiteRT, and one run by a delegate.
OPERATOR, DELEGATED_OPERATOR, WHOLE_RUN = 1 << 1, 1 << 3, 1


class _Memory(ctypes.Structure):
    _fields_ = (("footprint", ctypes.c_int64), ("total", ctypes.c_size_t), ("in_use", ctypes.c_size_t))


class _Event(ctypes.Structure):
    """`ProfiledEventData` of `litert/c/litert_profiler_event.h`, as LiteRT 2.3 lays it out."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory_before", _Memory),
        ("memory_after", _Memory),
        ("metadata", ctypes.c_uint64 * 2),
        ("source", ctypes.c_int),
    )


class _Model:
    """A model compiled by LiteRT's C library with its profiler on. Lives and dies with the child process."""

    def __init__(self, path: str, kernels: str, threads: int) -> None:
        folder = Path(importlib.util.find_spec("ai_edge_litert").origin).parent
        self._library = ctypes.CDLL(str(folder / LIBRARIES[sys.platform]))
        self._keep: list = []
        environment = self._make("LiteRtCreateEnvironment", 0, None)
        model = self._make("LiteRtCreateModelFromFile", environment, path.encode())
        options = self._make("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, 1)  # the CPU
        self._set(options, "runtime_options_string", "enable_profiling = true\n")
        self._set(options, "xnnpack", f'kernel_mode = "{kernels}"\nnum_threads = {threads}\n')
        self._compiled = self._make("LiteRtCreateCompiledModel", environment, model, options)
        self._profiler = self._make("LiteRtCompiledModelGetProfiler", self._compiled)
        signature = ctypes.c_void_p()
        self._call("LiteRtGetModelSignature", model, ctypes.c_size_t(0), ctypes.byref(signature))
        self._inputs = self._buffers(environment, signature, "Input")
        self._outputs = self._buffers(environment, signature, "Output")

    def _call(self, name: str, *arguments) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(tr("{name} returned status {status}", name=name, status=status))

    def _make(self, name: str, *arguments) -> ctypes.c_void_p:
        """Call a function whose last argument receives a new handle."""
        handle = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(handle))
        return handle

    def _set(self, options: ctypes.c_void_p, kind: str, text: str) -> None:
        payload = ctypes.create_string_buffer(text.encode())
        ignore = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self._keep += [payload, ignore]
        opaque = self._make("LiteRtCreateOpaqueOptions", kind.encode(), payload, ignore)
        self._call("LiteRtAddOpaqueOptions", options, opaque)

    def _buffers(self, environment: ctypes.c_void_p, signature: ctypes.c_void_p, side: str) -> ctypes.Array:
        """One buffer of zeros for each input or output."""
        count = ctypes.c_size_t()
        self._call(f"LiteRtGetNumSignature{side}s", signature, ctypes.byref(count))
        handles = []
        for index in map(ctypes.c_size_t, range(count.value)):
            tensor = self._make(f"LiteRtGetSignature{side}TensorByIndex", signature, index)
            tensor_type = ctypes.create_string_buffer(128)  # LiteRtRankedTensorType, 72 or 76 bytes
            self._call("LiteRtGetRankedTensorType", tensor, tensor_type)
            getter = f"LiteRtGetCompiledModel{side}BufferRequirements"
            requirements = self._make(getter, self._compiled, ctypes.c_size_t(0), index)
            creator = "LiteRtCreateManagedTensorBufferFromRequirements"
            buffer = self._make(creator, environment, tensor_type, requirements)
            self._zero(buffer)
            handles.append(buffer.value)
        return (ctypes.c_void_p * len(handles))(*handles)

    def _zero(self, buffer: ctypes.c_void_p) -> None:
        size, address = ctypes.c_size_t(), ctypes.c_void_p()
        self._call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(address), 1)
        ctypes.memset(address, 0, size.value)
        self._call("LiteRtUnlockTensorBuffer", buffer)

    def run(self) -> list[_Event]:
        """Run once; the profiler's events."""
        self._call("LiteRtResetProfiler", self._profiler)
        self._call("LiteRtStartProfiler", self._profiler)
        counts = [ctypes.c_size_t(len(buffers)) for buffers in (self._inputs, self._outputs)]
        self._call(
            "LiteRtRunCompiledModel",
            self._compiled,
            ctypes.c_size_t(0),
            counts[0],
            self._inputs,
            counts[1],
            self._outputs,
        )
        self._call("LiteRtStopProfiler", self._profiler)
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self._profiler, ctypes.byref(count))
        events = (_Event * (2 * count.value))()  # room to spare, should the record have grown
        self._call("LiteRtGetProfilerEvents", self._profiler, count, events)
        return list(events[: count.value])


def _profile(path: str, kernels: str, threads: int, runs: int) -> dict[str, list]:
    """Names, times and run times of `runs` runs. Runs in the child process.

    Raises:
        RuntimeError: a call failed, or the events make no sense.
    """
    model = _Model(path, kernels, threads)
    for _ in range(1 + runs // 10):
        model.run()
    names: list[str] = []
    times_us, run_us = [], []
    for _ in range(runs):
        events = model.run()
        operators = [event for event in events if event.type in (OPERATOR, DELEGATED_OPERATOR)]
        whole = [event for event in events if event.type == WHOLE_RUN and event.tag == b"Invoke"]
        names = names or [event.tag.decode() for event in operators]
        if not whole or not names or [event.tag.decode() for event in operators] != names:
            raise RuntimeError(tr("the profiler's records are not laid out as expected"))
        times_us.append([event.elapsed_us for event in operators])
        run_us.append(whole[0].elapsed_us)
    return {"names": names, "times_us": times_us, "run_us": run_us}


def main() -> None:
    """Profile the model named on the command line and print the record as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("kernels", choices=KERNELS)
    parser.add_argument("threads", type=int)
    parser.add_argument("runs", type=int)
    arguments = parser.parse_args()
    record = _profile(arguments.path, arguments.kernels, arguments.threads, arguments.runs)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
