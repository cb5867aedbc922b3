"""Prints what people read, as JSON: kinds of texts, each a list. Run in the language of EDGELAB_LANGUAGE.

A program of its own, since the language is chosen once per process.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from exercise_cases import SOLUTIONS, WRONG
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from edgelab import (
    benchmark,
    datasets,
    display,
    environment,
    exercises,
    graph,
    pipeline,
    quantization,
    results,
    targets,
    verification,
    video,
)
from edgelab.data_sources import archives, scenes, shapes
from edgelab.errors import EdgelabError
from edgelab.exercises import registry

NOWHERE = Path("0") / "0.tflite"
# Rows whose every text is ours; those of others may quote a driver.
ROWS = (
    "CUDA",
    "Edge TPU compiler",
    "Vulkan",
    "RKNN board",
    "Browser",
    "Camera",
    "Real data",
    "Memory",
    "Disk",
    "Python",
)
TARGETS = (
    "cpu", "keras", "rknn", "qualcomm", "tensorrt", "openvino", "onnxruntime", "ethosu", "micro", "web",
    "coreml",
)  # fmt: skip
FAILING = (
    lambda: archives.safe_name(NOWHERE, "../0"),
    lambda: benchmark.measure(None, min_samples=0),
    lambda: datasets.load("0"),
    lambda: datasets.stratified(np.zeros(3, int), 9, 0),
    lambda: display.figure(None, alt=""),
    lambda: display.header("0"),
    lambda: registry.find("04.0"),
    lambda: registry.find("99.1"),
    lambda: exercises.predict("0", "0", default=0),
    lambda: exercises.predict("0", "0", default="0", options=["1"]),
    lambda: graph.read(b"0"),
    lambda: pipeline.open("0"),
    lambda: quantization.convert(NOWHERE, "0"),
    lambda: quantization.convert(NOWHERE, "float32", io_dtype="int8"),
    lambda: quantization.convert(NOWHERE, "int8"),
    lambda: results.published("0"),
    lambda: results.Result(metric="0", value=0.0, provenance="0"),
    lambda: next(iter(scenes.scenes(0))),
    lambda: shapes.generator(-1, "0"),
    lambda: targets.get("0"),
    lambda: targets.get("coreml", precision="0"),
    lambda: targets.get("cpu", threads=0),
    lambda: targets.get("cpu", kernels="0"),
    lambda: targets.get("edgetpu", runtime="0"),
    lambda: targets.get("ethosu", accelerator="0"),
    lambda: targets.get("gpu", precision="0"),
    lambda: targets.get("openvino", hint="0"),
    lambda: targets.get("qualcomm", platform="0"),
    lambda: targets.get("rknn", core=9),
    lambda: targets.get("tensorrt", precision="0"),
    lambda: verification.compare_outputs(np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(2, int), ("0",)),
    lambda: video.open_source("camera:0x"),
    lambda: video.open_source("0.mp4"),
    lambda: video.open_sink("0.0"),
)


def error_of(action) -> list[str]:
    """The parts of the error that an action ends with, and the whole."""
    try:
        action()
    except EdgelabError as error:
        return [error.what, error.why, error.fix, str(error)]
    raise AssertionError("no error")


def shown_by(action) -> list[str]:
    """HTML and plain text of what an action displays."""
    InteractiveShell.instance()
    with capture_output() as captured:
        action()
    InteractiveShell.clear_instance()
    return [output.data[kind] for output in captured.outputs for kind in ("text/html", "text/plain")]


def of_exercises() -> list[str]:
    """Every exercise's own texts, and what each known mistake reads."""
    found = [registry.find(key) for key in SOLUTIONS]
    own = [text for exercise in found for text in (exercise.title, *exercise.hints, exercise.read)]
    checked = [exercises.check(key, answer) for key, answer, _ in WRONG]
    checked += [exercises.check("00.1", ...), exercises.check("00.1", SOLUTIONS["00.1"])]
    exercises.untouched(...)
    checked += [exercises.check("00.1", SOLUTIONS["00.1"]), exercises.check("04.1", lambda low, high: 1 / 0)]
    return own + [text for result in checked for text in (str(result), result._repr_html_())]


def of_progress() -> list[str]:
    """The progress in both forms; a chapter's title is the course's."""
    progress = exercises.progress()
    text = progress.by_chapter
    for chapter in display.chapters():
        text = text.replace(chapter["title"], "")
    return [text, progress._repr_html_()]


def of_guesses() -> list[str]:
    """Guesses at numbers and options, own ones and defaults, and the figure at a chapter's end."""
    number, option = {"low": 0, "high": 9, "default": 1}, {"options": ["1", "2"], "default": "1"}
    cases = (("a", number, 2, None), ("b", number, 1, 3), ("c", number, 4, 4), ("d", option, "2", None))
    texts = shown_by(lambda: exercises.guesses("99"))
    for name, choices, measured, own in cases:
        guesses = []
        texts += shown_by(lambda: guesses.append(exercises.predict(f"99.{name}", "1?", **choices)))  # noqa: B023 - called at once
        [guess] = guesses
        if own:
            guess.control.value = own
        texts += shown_by(lambda: guess.reveal(measured, "simulated"))  # noqa: B023 - called at once
    return texts + shown_by(lambda: exercises.guesses("99"))


def of_environment() -> list[str]:
    """A part of the report, in both forms."""
    report = environment.report({name: environment.PROBES[name] for name in ROWS})
    return [str(report), report._repr_html_()]


def of_targets() -> list[str]:
    """What each target says about what is missing."""
    found = [targets.get(name).probe() for name in TARGETS]
    return [text for probe in found for text in (probe.why_it_matters, probe.fix)]


if __name__ == "__main__":
    kinds = {
        "errors": [text for action in FAILING for text in error_of(action)],
        "exercises": of_exercises(),
        "progress": of_progress(),
        "guesses": of_guesses(),
        "environment": of_environment(),
        "targets": of_targets(),
    }
    print(json.dumps(kinds))
