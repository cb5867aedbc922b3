"""TensorFlow's converter in a process of its own: `python -m edgelab.quantization.worker`.

Some models end the process that converts them. The parent asks a line of JSON at a time; see
`machine.child.Worker` for the protocol. Without a question for a while, it ends, and frees its memory.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from edgelab.errors import EdgelabError, InputError, ModelError
from edgelab.machine import quiet
from edgelab.machine.child import ANSWER_MARK, no_core_dumps
from edgelab.quantization import tracing
from edgelab.texts import tr

IDLE_S = 120.0


def convert(question: dict[str, Any]) -> dict[str, Any]:
    """Write the `.tflite` file that a question asks for.

    Args:
        question: "kind" ("graph", "keras" or "saved_model") and "path" of the model, for a graph its "inputs"
            and "outputs"; "name" for errors; "mode", "io_dtype"; "calibration", a `.npy` file or None; "out".

    Returns:
        "conversion_s".
    """
    path = Path(question["path"])
    if question["kind"] == "graph":
        function = tracing.load_graph(path, question["inputs"], question["outputs"])
    elif question["kind"] == "keras":
        function = tracing.load_keras(path)
    else:
        function = tracing.load_saved_model(path)
    images = None if question["calibration"] is None else np.load(question["calibration"])
    started = time.perf_counter()
    try:
        options = (question["mode"], images, question["io_dtype"], question["name"])
        data = _converter(function, *options).convert()
    except EdgelabError:
        raise
    except Exception as error:  # TensorFlow raises many kinds: ConverterError, ValueError, RuntimeError...
        raise ModelError(
            tr("{model} could not be converted to {mode}.", model=question["name"], mode=question["mode"]),
            why=tracing.first_line(error),
            fix=tr("try float32 first; an operator that TFLite lacks must be replaced in the model"),
        ) from error
    Path(question["out"]).write_bytes(data)
    return {"conversion_s": time.perf_counter() - started}


def _converter(function: Any, mode: str, images: np.ndarray | None, io_dtype: str, name: str) -> Any:
    """TensorFlow's converter, set up for a mode. Chapter 4 shows these lines one by one."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if images is not None:
        [spec] = function.inputs
        _check_size(images, tuple(spec.shape[1:]), name)
        dtype = spec.dtype.as_numpy_dtype
        converter.representative_dataset = lambda: ([image[np.newaxis].astype(dtype)] for image in images)
    if mode == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(io_dtype)
    if mode == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return converter


def _check_size(images: np.ndarray, expected: tuple[int | None, ...], name: str) -> None:
    got = images.shape[1:]
    if len(got) != len(expected) or any(
        want not in (None, have) for want, have in zip(expected, got, strict=True)
    ):
        raise InputError(
            tr(
                "Calibration images: expected [N, {expected}], got {shape}.",
                expected=", ".join("any" if size is None else str(size) for size in expected),
                shape=list(images.shape),
            ),
            why=tr("{model} takes images of that size", model=name),
            fix=tr("take them from the dataset that the model was trained on"),
        )


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    try:
        return convert(question)
    except EdgelabError as error:
        parts = {"what": error.what, "why": error.why, "fix": error.fix}
        return {"error": type(error).__name__, **parts}
    except OSError as error:
        return {"errno": error.errno, "strerror": error.strerror or str(error)}


def _read_questions(questions: queue.Queue[str | None]) -> None:
    for line in sys.stdin:
        questions.put(line)
    questions.put(None)


def main(answers: TextIO) -> None:
    """Answer until the questions end, or none has come for a while."""
    no_core_dumps()
    questions: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read_questions, args=(questions,), daemon=True).start()
    quiet.import_tensorflow()
    while True:
        try:
            line = questions.get(timeout=IDLE_S)
        except queue.Empty:
            return
        if line is None:
            return
        answers.write(ANSWER_MARK + json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    # What TensorFlow prints goes where errors go, so that only answers stand on the output.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    main(answers)
