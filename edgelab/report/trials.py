"""Every target asked the same: how much of it do you take, does it fit, how fast, and is it right?"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from edgelab import benchmark, estimate, results, targets
from edgelab.errors import EdgelabError, ModelError
from edgelab.report.subject import Pictures, Subject
from edgelab.runtime import Session, TensorSpec
from edgelab.targets import onnx_model, placements
from edgelab.targets.base import Target
from edgelab.texts import tr
from edgelab.verification import divergence, output_error
from edgelab.verification.intervals import proportion_interval

SECONDS_EACH = 1.0  # of timing, per target
ITEMS_COMPARED = 16
LIKELY_WRONG_SNR_DB = 10.0  # below it, outputs have little in common
# What opens a file that is quantized already, and what it makes of the file for that.
OPEN_QUANTIZED = {"openvino": lambda path: path, "onnxruntime": onnx_model.from_model}
# What starts from an ONNX file; the others take a `.tflite` file alone.
TAKES_ONNX = ("onnxruntime", "openvino", "tensorrt", "rknn")
# The CPU comes first: the others are compared with it.
ASKED = ("cpu", *(name for name in targets.names() if name not in ("cpu", "keras")))


@dataclass(frozen=True)
class Trial:
    """What one target makes of the model.

    Attributes:
        target: its name.
        mode: the conversion it was given, "int8" or "float32", or its own; "" where there is none it takes.
        placement: "N of M operators", or why nobody can tell.
        accelerated: 0 to 1; None where unknown.
        reasons: (operator, why it is left to the CPU).
        device: what it ran on.
        provenance: "measured" or "simulated" for what ran; "" where nothing did.
        snr_db: outputs against the reference, the higher the nearer; None where nothing ran.
        agreement: share of items with the same largest output; None likewise.
        accuracy, accuracy_low, accuracy_high: where labels are known; 0 to 1, 95 % interval.
        latency_ms, low_ms, high_ms: median with its 95 % interval; measured.
        divergence: the operator where a wrong result starts.
        note: what is missing and how to get it, or what went wrong.
    """

    target: str
    mode: str = ""
    placement: str = ""
    accelerated: float | None = None
    reasons: tuple[tuple[str, str], ...] = ()
    device: str = ""
    provenance: str = ""
    snr_db: float | None = None
    agreement: float | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    latency_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    divergence: str = ""
    note: str = ""


@dataclass(frozen=True)
class Estimated:
    """A latency on a device that is not here.

    Attributes:
        device: a name in `estimate.DEVICES`.
        chip: in words.
        latency_ms, low_ms, high_ms: None where it cannot be estimated.
        is_extrapolated: whether it lies outside the figures that the estimate is fitted on.
        note: what to know of it, or why there is none.
    """

    device: str
    chip: str
    latency_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    is_extrapolated: bool = False
    note: str = ""


@dataclass(frozen=True)
class Memory:
    """Whether the model fits on a board.

    Attributes:
        board: its name.
        need_bytes, have_bytes: of the memory that decides.
        verdict: "fits", "streams" (weights come over the cable in every inference) or "does not fit".
        note: which memory, and the source of its size.
    """

    board: str
    need_bytes: int
    have_bytes: int
    verdict: str
    note: str


def quantized_input(spec: TensorSpec, items: np.ndarray) -> np.ndarray:
    """Items as an input tensor takes them: raw pixels for 8 bits, floats as they are."""
    if spec.dtype == np.uint8 and items.dtype == np.uint8:
        return items
    if spec.dtype == np.int8 and items.dtype == np.uint8:
        return (items.astype(np.int16) - 128).astype(np.int8)
    return spec.quantize(items.astype(np.float32))


def inputs_for(session: Session, item: np.ndarray) -> list[np.ndarray]:
    """One item as the first input, as often as the batch is large, and zeros for the other inputs."""
    spec, others = session.inputs[0], session.inputs[1:]
    values = np.repeat(
        quantized_input(spec, item[np.newaxis]), max(1, spec.shape[0]) if spec.shape else 1, axis=0
    )
    values = values if spec.shape else np.asarray(values.ravel()[0])
    return [values, *(np.zeros([max(1, size) for size in other.shape], other.dtype) for other in others)]


def outputs_of(session: Session, items: np.ndarray) -> np.ndarray:
    """The first output for each item, as real numbers, `[N, values]`.

    Raises:
        ModelError: it gives more values for one item than for another.
        EdgelabError: it cannot run.
    """
    if not session.inputs:
        return session.outputs[0].dequantize(session.run()[0]).reshape(1, -1)
    rows = []
    for item in items:
        output = session.run(*inputs_for(session, item))[0]
        rows.append(session.outputs[0].dequantize(output).ravel() if output.dtype != object else np.zeros(1))
    if len({row.size for row in rows}) > 1:
        raise ModelError(
            tr("The size of its output depends on the input."),
            why=tr("its outputs have no common size that could be compared"),
            fix=tr("look at the operators with a size that depends on values: chapter 12"),
        )
    return np.stack(rows)


def trials(
    subject: Subject, pictures: Pictures, *, only: Collection[str] = (), progress: bool = False
) -> tuple[Trial, ...]:
    """Ask all targets, or some of them.

    Args:
        subject, pictures: from `open_subject`.
        only: names of the targets to ask; the CPU is always among them. None means all.
        progress: show a progress bar.

    Returns:
        One trial per target, the CPU first; what cannot be told or done is a note.
    """
    found: list[Trial] = []
    sessions: dict[int, Session] = {}
    # A model that is quantized here is compared with what it computes in float, others with the CPU.
    is_own_copy = len(subject.files) > 1 or (subject.kind == "onnx" and "float32" in subject.files)
    reference = _float_outputs(subject, pictures) if is_own_copy else None
    with ExitStack() as stack:
        asked = [name for name in ASKED if not only or name in only or name == "cpu"]
        for name in tqdm(asked, desc=tr("asking targets"), disable=not progress, leave=False):
            trial, session = _placed_and_opened(name, subject, pictures)
            if session is not None:
                stack.enter_context(session)
                trial, reference, is_right = _judged(trial, session, subject, pictures, reference)
                if is_right and session.provenance == "measured" and not session.fault:
                    sessions[len(found)] = session
            found.append(trial)
        for index, measured in _timed(sessions, pictures).items():
            low, high = measured.interval_ms
            found[index] = replace(found[index], latency_ms=measured.median_ms, low_ms=low, high_ms=high)
    return tuple(found)


def _float_outputs(subject: Subject, pictures: Pictures) -> np.ndarray | None:
    try:
        runtime = targets.get("onnxruntime" if subject.kind == "onnx" else "cpu")
        with runtime.open(subject.files["float32"]) as session:
            return outputs_of(session, _items(pictures))
    except EdgelabError:
        return None


def _items(pictures: Pictures) -> np.ndarray:
    """All pictures where they are labelled, else a few."""
    return pictures.values if pictures.labels is not None else pictures.values[:ITEMS_COMPARED]


def _placed_and_opened(name: str, subject: Subject, pictures: Pictures) -> tuple[Trial, Session | None]:
    if name == "coreml":
        return _made_from_keras(targets.get(name), subject)
    if subject.kind == "onnx" and name not in TAKES_ONNX:
        return Trial(
            name, note=tr("it takes a .tflite file: give the model that this was exported from")
        ), None
    target = targets.get(name, **placements.OPTIONS.get(name, {}))
    takes_both = name in ("cpu", "gpu", "web") and target.takes not in subject.files
    mode = next(iter(subject.files)) if takes_both else target.takes
    trial = Trial(name, mode)
    if mode not in subject.files and name in OPEN_QUANTIZED:
        return _opened_as_it_is(replace(trial, mode="int8"), target, subject)
    if mode not in subject.files:
        if mode == "float32":
            note = tr("it takes a float model, which it quantizes itself: give that, as Keras or ONNX")
        else:
            note = tr("it takes an int8 model: give the Keras model")
        return replace(trial, mode="", note=note), None
    calibration = pictures.values if target.takes == "float32" else None
    try:
        if name == "cpu":
            return replace(trial, accelerated=None), target.open(subject.files[mode])
        answer = placements.ask(name, {**subject.files, target.takes: subject.files[mode]}, calibration)
        trial = replace(
            trial,
            placement=str(answer),
            accelerated=answer.share,
            reasons=answer.placement.reasons if answer.placement else (),
            note=answer.note,
        )
        available = target.probe()
        if not available.can_run:
            return replace(trial, note=available.fix or trial.note or available.detail), None
        if answer.placement is None:
            return trial, None
        made = placements.compiled(target, subject.files[mode], calibration=calibration)
        return trial, target.open(made)
    except EdgelabError as error:
        return replace(trial, note=error.why or error.what), None


def _made_from_keras(target: Target, subject: Subject) -> tuple[Trial, Session | None]:
    """A target that converts the Keras model itself, and tells on the device alone where operators run."""
    trial = Trial(target.name, placement=tr("decided on the device"))
    if subject.keras is None:
        note = tr("its converter takes a Keras model: give that as a .keras file")
        return replace(trial, note=note), None
    available = target.probe()
    if not available.can_compile:
        return replace(trial, note=available.fix), None
    try:
        session = target.open(placements.compiled(target, subject.keras))
    except EdgelabError as error:
        return replace(trial, note=error.why or error.what), None
    return replace(trial, mode=target.precision), session


def _opened_as_it_is(trial: Trial, target: Target, subject: Subject) -> tuple[Trial, Session | None]:
    """A quantized file in a runtime that usually quantizes by itself."""
    available = target.probe()
    if not available.can_run:
        return replace(trial, note=available.fix or available.detail), None
    try:
        session = target.open(OPEN_QUANTIZED[trial.target](subject.files["int8"]))
    except EdgelabError as error:
        return replace(trial, note=error.why or error.what), None
    return replace(trial, note=tr("with the scales of the file")), session


def _judged(
    trial: Trial, session: Session, subject: Subject, pictures: Pictures, reference: np.ndarray | None
) -> tuple[Trial, np.ndarray | None, bool]:
    """The trial with the comparison, the reference, and whether the result is right."""
    labels = pictures.labels
    try:
        outputs = outputs_of(session, _items(pictures))
    except EdgelabError as error:
        return replace(trial, note=error.why or error.what), reference, False
    note = session.fault or trial.note
    trial = replace(trial, device=session.device, provenance=session.provenance, note=note)
    if labels is not None and outputs.shape[1] > labels.max():
        right = int((outputs.argmax(1) == labels).sum())
        low, high = proportion_interval(right, len(labels))
        trial = replace(trial, accuracy=right / len(labels), accuracy_low=low, accuracy_high=high)
    if reference is None:
        return trial, outputs, True
    if outputs.shape != reference.shape:
        return replace(trial, note=tr("its outputs have another shape than the CPU's")), reference, False
    error = output_error(reference, outputs)
    agreement = float((outputs.argmax(1) == reference.argmax(1)).mean())
    trial = replace(trial, snr_db=error.snr_db, agreement=agreement)
    is_right = error.snr_db >= LIKELY_WRONG_SNR_DB
    if not is_right and not pictures.is_noise:
        trial = replace(trial, divergence=_start_of(trial, subject, pictures))
    return trial, reference, is_right


def _start_of(trial: Trial, subject: Subject, pictures: Pictures) -> str:
    """The operator where a wrong result starts, in words."""
    if trial.mode not in subject.files:
        return tr("unknown: {why}", why=tr("the Keras model that it starts from is not cut"))
    target = targets.get(trial.target, **placements.OPTIONS.get(trial.target, {}))
    calibration = pictures.values if target.takes == "float32" else None

    def open_on_target(path: Path) -> Session:
        made = target.compile(path, path.with_suffix(f".out{target.suffix}"), calibration=calibration)
        return target.open(made)

    try:
        start = divergence.first_wrong(subject.files[trial.mode], open_on_target, pictures.values[:4])
    except EdgelabError as error:
        return tr("unknown: {why}", why=error.what)
    return str(start) if start else tr("no single operator, the errors of many add up")


def _timed(sessions: dict[int, Session], pictures: Pictures) -> dict[int, Any]:
    """Measurements of the sessions, taken in turns."""
    if not sessions:
        return {}
    inputs = {}
    for index, session in sessions.items():
        if any(-1 in spec.shape[1:] for spec in session.inputs):
            return {}  # of which size, nobody has said
        inputs[str(index)] = benchmark.sample_inputs(session)
    ranking = benchmark.compare(
        {str(index): session for index, session in sessions.items()}, inputs, max_seconds=SECONDS_EACH
    )
    return {int(name): measured for name, measured in ranking.measurements.items()}


def estimates(subject: Subject) -> tuple[Estimated, ...]:
    """The latency on every device that has been fitted."""
    rows = []
    for device in estimate.DEVICES.values():
        row = Estimated(device.name, device.chip)
        if "int8" not in subject.files:
            rows.append(replace(row, note=tr("only an int8 model can be estimated")))
            continue
        try:
            found = estimate.latency(subject.files["int8"], device.name)
        except EdgelabError as error:
            rows.append(replace(row, note=f"{error.what} {error.why}"))
            continue
        numbers = {"latency_ms": found.latency_ms, "low_ms": found.low_ms, "high_ms": found.high_ms}
        rows.append(replace(row, **numbers, is_extrapolated=found.is_extrapolated, note=found.note))
    return tuple(rows)


def memory(subject: Subject) -> tuple[Memory, ...]:
    """Whether the model fits: flash and RAM of microcontrollers, on-chip memory of the Edge TPU."""
    found = subject.graph
    rows = []
    device = estimate.DEVICES["edgetpu"]
    verdict = "fits" if found.weight_bytes <= device.on_chip_bytes else "streams"
    note = tr("weights in the chip's memory; more are sent over the cable each time")
    rows.append(Memory(device.chip, found.weight_bytes, device.on_chip_bytes, verdict, note))
    sizes: dict[str, dict[str, results.Result]] = {}
    for record in results.published("microcontrollers"):
        if record.metric in ("ram", "flash"):
            sizes.setdefault(record.device, {})[record.metric] = record
    for board, has in sizes.items():
        needs = {"ram": found.peak_activation_bytes, "flash": found.size_bytes}
        tight = max(has, key=lambda part: needs[part] / has[part].value)
        verdict = "fits" if all(needs[part] <= has[part].value for part in has) else "does not fit"
        label = {"ram": tr("RAM, activations alone"), "flash": tr("flash, the file alone")}[tight]
        note = f"{label}; {has[tight].source}"
        rows.append(Memory(board, needs[tight], int(has[tight].value), verdict, note))
    return tuple(rows)
