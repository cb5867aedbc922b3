"""The child's side of the `micro` target: TensorFlow Lite Micro, in a process that it may end.

`python -m edgelab.targets.micro.worker` answers the questions of `engine`, one line of JSON each: open a
model with an arena of a given size, run it, tell what the allocator recorded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import quiet
from edgelab.machine.child import ANSWER_MARK

# Native code writes its complaints to stderr; what stands after the last such line belongs to this question.
QUESTION_MARK = "--- question"


def _spec(details: dict[str, Any]) -> dict[str, Any]:
    quantization = details["quantization_parameters"]
    scales, zero_points = quantization["scales"], quantization["zero_points"]
    return {
        "shape": [int(size) for size in details["shape"]],
        "dtype": np.dtype(details["dtype"]).name,
        "scale": float(scales[0]) if len(scales) else 0.0,
        "zero_point": int(zero_points[0]) if len(zero_points) else 0,
    }


class _Machine:
    """One model in its arena."""

    def __init__(self) -> None:
        self.interpreter = None
        self.input_count = self.output_count = 0

    def open(self, model: str, arena_bytes: int, input_count: int, output_count: int) -> dict[str, Any]:
        from tflite_micro import runtime

        self.interpreter = None  # frees the arena of the model before
        self.interpreter = runtime.Interpreter.from_bytes(Path(model).read_bytes(), arena_size=arena_bytes)
        self.input_count, self.output_count = input_count, output_count
        return {
            "inputs": [_spec(self.interpreter.get_input_details(i)) for i in range(input_count)],
            "outputs": [_spec(self.interpreter.get_output_details(i)) for i in range(output_count)],
        }

    def run(self, folder: str) -> dict[str, Any]:
        for index in range(self.input_count):
            self.interpreter.set_input(np.load(Path(folder) / f"input{index}.npy"), index)
        self.interpreter.invoke()
        for index in range(self.output_count):
            np.save(Path(folder) / f"output{index}.npy", self.interpreter.get_output(index))
        return {}

    def record(self) -> dict[str, Any]:
        with quiet.native_stderr() as written:
            self.interpreter.print_allocations()
        return {"text": written.text}


def main() -> None:
    """Answer until stdin ends."""
    machine = _Machine()
    for line in sys.stdin:
        request = json.loads(line)
        sys.stderr.write(f"{QUESTION_MARK}\n")
        sys.stderr.flush()
        try:
            answer = getattr(machine, request.pop("do"))(**request)
        except (RuntimeError, ValueError, TypeError, OSError, MemoryError, ImportError) as error:
            # Its argument errors quote the whole model: the first line is enough.
            answer = {"error": f"{type(error).__name__}: {str(error)[:200]}"}
        sys.stdout.write(f"{ANSWER_MARK}{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
