"""Broken deployments written: each by doing the wrong thing, running it here, and keeping what it leaves."""

from __future__ import annotations

import csv
import ctypes
import hashlib
import importlib.metadata
import json
import re
import shutil
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgelab import quantization, targets
from edgelab.datasets import stratified
from edgelab.diagnosis import breaking, islands
from edgelab.diagnosis.causes import CAUSES, HEALTHY
from edgelab.diagnosis.evidence import placed, raw_outputs
from edgelab.diagnosis.throttling import Cooling, simulate
from edgelab.errors import InputError
from edgelab.machine import artifacts, no_tensorflow, quiet
from edgelab.pipeline import Pipeline
from edgelab.texts import tr

COUNT = 10
PICTURES, ENLARGED = 80, 2
LINES, SECONDS_APART = 60, 5.0
NEWER_VERSION = 99
TAKES_A_CONVERSION = "calibration"
BLOCKED = Cooling(resistance_k_per_w=20.0)


def drawn(student: str) -> tuple[str, ...]:
    """The causes of a student's ten deployments, in order: each stage of the chain at least once, none twice.

    Args:
        student: any text, such as a name; the same gives the same. Without TensorFlow one cause is left out.
    """
    rng = np.random.default_rng(seed_of(student))
    can_convert = no_tensorflow.is_here()
    possible = [cause for cause in CAUSES.values() if can_convert or cause.name != TAKES_A_CONVERSION]
    by_stage: dict[str, list[str]] = {}
    for cause in possible:
        by_stage.setdefault(cause.stage, []).append(cause.name)
    first = [str(rng.choice(names)) for names in by_stage.values()]
    rest = [cause.name for cause in possible if cause.name not in first]
    return tuple(map(str, rng.permutation([*first, *rng.choice(rest, COUNT - len(first), replace=False)])))


def seed_of(student: str) -> int:
    """A number for a text, the same on every computer."""
    return zlib.crc32(student.encode())


def write_all(
    chain: Pipeline, student: str, root: Path | None = None, *, progress: bool = False
) -> list[Path]:
    """A student's ten deployments, in folders of their own.

    Args:
        chain: whose model and pictures are deployed.
        student: decides which causes are drawn, and their details.
        root: where the folders go; `diagnosis/` below the artifacts by default. What is there is replaced.
        progress: show a progress bar.
    """
    from tqdm.auto import tqdm

    seed = seed_of(student)
    root = root or artifacts.artifacts_dir() / "diagnosis" / f"{seed:08x}"
    bar = tqdm(drawn(student), disable=not progress, desc="deployments", leave=False)
    return [
        write_one(chain, root / f"deployment-{number:02}", cause, seed + number)
        for number, cause in enumerate(bar, 1)
    ]


@dataclass(frozen=True)
class _Plan:
    """What goes into one folder before it is run."""

    model: bytes
    released: bytes
    calibration: np.ndarray
    pictures: np.ndarray
    truth: np.ndarray


def write_one(chain: Pipeline, folder: Path, cause: str, seed: int = 0) -> Path:
    """One deployment, whole or not at all.

    Args:
        chain: whose model and pictures are deployed.
        folder: is replaced.
        cause: a name of `CAUSES`, or `HEALTHY`.
        seed: of its details.

    Raises:
        InputError: an unknown cause.
    """
    if cause not in (*CAUSES, HEALTHY):
        raise InputError(
            tr("There is no cause {cause!r}.", cause=cause),
            why=tr("the causes are {causes}", causes=", ".join(CAUSES)),
            fix=tr("choose one of them"),
        )
    rng = np.random.default_rng(seed)
    made = folder.with_name(folder.name + ".new")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    plan = _planned(chain, cause, rng)
    frames = plan.pictures.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2)
    classes = list(chain.dataset.class_names)
    _write_pictures(made / "pictures", frames, plan.truth, classes)
    (made / "model.tflite").write_bytes(plan.model)
    labels = breaking.labels(cause, classes, rng)
    (made / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    np.savez_compressed(made / "calibration.npz", pictures=plan.calibration)
    _write_release(made / "release.json", chain, plan, classes)
    _run(made, cause, breaking.fed(cause, frames, plan.pictures.shape[1], rng), labels)
    shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)
    return folder


def _planned(chain: Pipeline, cause: str, rng: np.random.Generator) -> _Plan:
    data = chain.dataset
    calibration = data.calibration_images(chain.settings.calibration_count, chain.seed)
    model = chain.converted("int8").path.read_bytes()
    released = model
    if cause == TAKES_A_CONVERSION:
        rng_of_noise = np.random.default_rng(0)  # the same for everybody: to convert takes long
        calibration = rng_of_noise.integers(0, 256, calibration.shape).astype(np.uint8)
        source = chain.float_model()[0]
        name = "wrongly_calibrated"
        released = model = quantization.convert(
            source, "int8", calibration, io_dtype="uint8", name=name
        ).path.read_bytes()
    elif cause == "stale_model":
        model = breaking.older(model, rng)
    elif cause == "old_runtime":
        released = model = islands.with_version(model, NEWER_VERSION)
    elif cause == "float_islands":
        count = _addition_count(model)
        places = rng.choice(count, min(count, int(rng.integers(1, 4))), replace=False)
        released = model = islands.with_float_additions(model, [int(place) for place in places])
    pictures, truth = _tested(chain, cause, calibration, rng)
    return _Plan(model, released, calibration, pictures, truth)


def _addition_count(model: bytes) -> int:
    from edgelab import graph

    return graph.read(model).operator_counts.get("ADD", 0)


def _tested(
    chain: Pipeline, cause: str, calibration: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of the test, in a random order: new ones, or some that the model was made with."""
    data = chain.dataset
    if cause == "leak":
        chosen = stratified(data.train_labels, len(calibration), chain.seed)
        chosen = rng.permutation(chosen)[:PICTURES]
        return data.train_images[chosen], data.train_labels[chosen]
    count = min(PICTURES, len(data.test_labels))
    chosen = rng.permutation(stratified(data.test_labels, count, int(rng.integers(2**31))))
    return data.test_images[chosen], data.test_labels[chosen]


def _write_pictures(folder: Path, frames: np.ndarray, truth: np.ndarray, classes: list[str]) -> None:
    for number, (frame, label) in enumerate(zip(frames, truth, strict=True)):
        own = folder / f"{label:03}-{re.sub(r'[^A-Za-z0-9]+', '_', classes[label])}"
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame).save(own / f"{number:04}.png")


def _write_release(path: Path, chain: Pipeline, plan: _Plan, classes: list[str]) -> None:
    """What was promised: by the good model on this computer, on pictures of the folder."""
    with targets.get("cpu", threads=1).open(chain.converted("int8").path) as session:
        outputs, times_ms = _timed(session, plan.pictures)
    good = chain.converted("int8").path.read_bytes()
    promise = {
        "sha256": hashlib.sha256(plan.released).hexdigest(),
        "size": plan.pictures.shape[1],
        "input": "uint8, RGB, 0 to 255, [height, width, channel], each pixel the mean of those it stands for",
        "classes": classes,
        "accuracy": float(np.mean(outputs.argmax(axis=1) == plan.truth)),
        "latency_ms": float(times_ms.min()),
        "on_accelerator": placed(good),
        "provenance": "accuracy, latency: measured on a CPU; placement: by the Edge TPU's rules",
    }
    path.write_text(json.dumps(promise, indent=1) + "\n", encoding="utf-8")


def _timed(session, fed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outputs, float32 `[N, classes]`, and the time of each in ms."""
    raw_outputs(session, fed[:3])
    rows, times_ms = [], []
    for one in fed:
        started = time.perf_counter()
        rows.append(raw_outputs(session, one[np.newaxis])[0])
        times_ms.append(1e3 * (time.perf_counter() - started))
    return np.array(rows), np.array(times_ms)


def _run(folder: Path, cause: str, fed: np.ndarray, labels: list[str]) -> None:
    """The device's part: load, run, write down."""
    version = importlib.metadata.version("ai-edge-litert")
    size_kb = (folder / "model.tflite").stat().st_size / 1e3
    log = [
        f"runtime ai-edge-litert {version}, model.tflite {size_kb:.0f} kB",
        "temperature and clock: simulated; latency: measured, stretched by the clock",
    ]
    error = _start_error(folder, cause)
    if error:
        log += ["ERROR the app could not start", error]
    else:
        kernels = "reference" if cause == "fallback" else "xnnpack"
        with targets.get("cpu", threads=1, kernels=kernels).open(folder / "model.tflite") as session:
            outputs, times_ms = _timed(session, fed)
        outputs = breaking.read_outputs(cause, outputs)
        np.save(folder / "fed.npy", fed)
        np.save(folder / "outputs.npy", outputs)
        _write_answers(folder / "answers.csv", outputs, labels)
        log += _lines(times_ms[:LINES], BLOCKED if cause == "throttled" else Cooling())
    (folder / "device.log").write_text("\n".join(log) + "\n", encoding="utf-8")


def _start_error(folder: Path, cause: str) -> str:
    """What the runtime says where it does not start, in its own words; empty where it does."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        if cause == "no_device":
            ctypes.CDLL(str(folder / "libedgetpu.so.1"))  # as load_delegate does
        elif cause == "old_runtime":
            with quiet.native_stderr():
                Interpreter(model_content=(folder / "model.tflite").read_bytes()).allocate_tensors()
    except (OSError, RuntimeError, ValueError) as error:
        return str(error).replace(str(folder), "/app").strip()
    return ""


def _lines(times_ms: np.ndarray, cooling: Cooling) -> list[str]:
    times_s = SECONDS_APART * np.arange(len(times_ms))
    temperatures, clocks = simulate(cooling, times_s)
    stretched = times_ms * cooling.clock_mhz / clocks
    rows = zip(times_s, stretched, clocks, temperatures, strict=True)
    return ["time_s latency_ms clock_mhz temperature_c"] + [
        f"{second:.1f} {latency:.4f} {clock} {degrees:.1f}" for second, latency, clock, degrees in rows
    ]


def _write_answers(path: Path, outputs: np.ndarray, labels: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("picture", "label", "confidence"))
        for number, row in enumerate(outputs):
            writer.writerow((f"{number:04}", labels[row.argmax()], f"{row.max():.4f}"))
