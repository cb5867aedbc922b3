"""Conversion: what is asked for, what came out, and the cache between.

The same model and the same calibration images give the same bytes, so a conversion is made once and kept.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab import graph
from edgelab.errors import EdgelabError, InputError, ModelError, TargetError
from edgelab.machine import artifacts, child, no_tensorflow
from edgelab.machine.no_tensorflow import TensorFlowMissingError
from edgelab.quantization import tracing
from edgelab.runtime import TensorSpec
from edgelab.texts import tr, tr_alternatives

if TYPE_CHECKING:
    import keras

MODES = ("float32", "dynamic_range", "float16", "int8", "int16x8")
CALIBRATED_MODES = ("int8", "int16x8")
IO_DTYPES = {"int8": ("float32", "int8", "uint8")}  # every other mode takes and gives float32
CONVERSION_LIMIT_S = 3600.0
MOST_CALIBRATION_IMAGES = 10_000  # taken from a generator, which may have no end

# The converter's process, kept for the next conversion: it takes seconds to start.
_workers: list[child.Worker] = []
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, repr=False)
class Converted:
    """A model file and what its conversion did.

    Attributes:
        path: the `.tflite` file.
        mode: one of `MODES`.
        io_dtype: type of the model's input and output.
        size_bytes: of the file.
        conversion_s: wall-clock seconds of the conversion that made the file.
        operators: how many of each kind.
        inputs: name, shape, type and quantization of what the model takes.
        outputs: the same of what it gives.
        calibration_count: images that set the activation ranges; 0 where none are needed.
        float_operators: operators that compute in float in a model whose mode promises integers.
        kept: how the file was made, where it comes with the project; "" for one converted on this machine.
    """

    path: Path
    mode: str
    io_dtype: str
    size_bytes: int
    conversion_s: float
    operators: dict[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    calibration_count: int
    float_operators: tuple[str, ...] = ()
    kept: str = ""

    def __str__(self) -> str:
        calibrated = f", calibrated on {self.calibration_count} images" if self.calibration_count else ""
        left = f"; {self._left_in_float}" if self.float_operators else ""
        kept = f"; {self.kept}" if self.kept else ""
        return (
            f"{self.path.name}: {self.mode}, {_types(self.inputs)} in, {_types(self.outputs)} out, "
            f"{self.size_bytes / 1e3:,.1f} kB, {sum(self.operators.values())} operators, "
            f"converted in {self.conversion_s:.1f} s{calibrated}{left}{kept}"
        )

    @property
    def _left_in_float(self) -> str:
        return tr("computed in float: {operators}", operators=", ".join(self.float_operators))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = {
            "file": f"{self.path.name} ({self.size_bytes / 1e3:,.1f} kB)",
            "mode": self.mode,
            "input": "; ".join(map(str, self.inputs)),
            "output": "; ".join(map(str, self.outputs)),
            "operators": ", ".join(f"{name} {count}" for name, count in self.operators.items()),
            "calibration": f"{self.calibration_count} images" if self.calibration_count else "not needed",
            "conversion": f"{self.conversion_s:.1f} s",
        }
        if self.float_operators:
            rows["caution"] = self._left_in_float
        if self.kept:
            rows["provenance"] = self.kept
        left = 'style="text-align:left"'  # JupyterLab aligns to the right, where long texts are hard to read
        cells = "".join(
            f"<tr><th {left}>{key}</th><td {left}>{html.escape(text)}</td></tr>" for key, text in rows.items()
        )
        return f"<table>{cells}</table>"


def convert(
    model: keras.Model | Path | str,
    mode: str,
    calibration: np.ndarray | None = None,
    *,
    io_dtype: str = "float32",
    name: str = "model",
) -> Converted:
    """Convert once, then reuse: the file and its record, from the cache when nothing changed.

    The batch size is fixed at 1, as accelerators want it. With `io_dtype="uint8"` the model takes raw pixels:
    its input has scale 1 and zero point 0.

    Args:
        model: a model with one input, built or called once; or the `.keras` file or SavedModel folder of one.
            Pictures are float pixels 0 to 255.
        mode: "float32"; "float16" (weights of 16 bits); "dynamic_range" (weights of 8 bits, activations
            quantized as they come); "int8" (all of 8 bits, but for the operators that
            `Converted.float_operators` names); "int16x8" (weights 8, activations 16 bits).
        calibration: training images, uint8 `[N, H, W, 3]`, as an array, a list, a generator or a
            `tf.data.Dataset`; int8 and int16x8 take the ranges of their activations from them. A model of
            something else takes uint8 or float32 of its own shape. The other modes do not look at them.
        io_dtype: "float32", and in int8 mode also "int8" or "uint8".
        name: the readable part of the file name.

    Returns:
        The file and what it holds.

    Raises:
        InputError: an unknown mode, or calibration images that are missing or do not fit.
        ModelError: the model cannot be loaded or converted.
        TensorFlowMissingError: it is not installed.
        StorageError: the disk is full.
    """
    _check_mode(mode, io_dtype)
    images = _check_calibration(mode, calibration)
    source = _source(model)
    parts = {
        "model": source.digest,
        "mode": mode,
        "io_dtype": io_dtype,
        "calibration": None if images is None else hashlib.sha256(_with_shape(images)).hexdigest(),
        "tensorflow": _tensorflow_version(),
    }
    file_name = f"{_plain(name)}-{mode}-{io_dtype}"
    record_path = artifacts.artifacts_dir() / "models" / f"{file_name}-{artifacts.content_key(**parts)}.json"
    if not record_path.exists():  # somebody tidied up: make both again
        record_path.with_suffix(".tflite").unlink(missing_ok=True)

    def build_file(path: Path) -> None:
        with child.clock(f"converting {name} to {mode}"), tempfile.TemporaryDirectory() as folder:
            question = {"name": source.name, "mode": mode, "io_dtype": io_dtype, "calibration": None}
            question |= source.question(Path(folder)) | {"out": str(path)}
            if images is not None:
                question["calibration"] = str(Path(folder) / "calibration.npy")
                np.save(question["calibration"], images)
            record = _ask(question, source.name, mode)
        with artifacts.atomic_path(record_path) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")

    path = artifacts.cached("models", file_name, ".tflite", parts, build_file)
    record = json.loads(record_path.read_text(encoding="utf-8"))
    return described(path, mode, io_dtype, record["conversion_s"], 0 if images is None else len(images))


def described(
    path: Path, mode: str, io_dtype: str, conversion_s: float, calibration_count: int, kept: str = ""
) -> Converted:
    """A file that was converted before, with what it holds.

    Args:
        path: the `.tflite` file.
        mode, io_dtype, conversion_s, calibration_count, kept: as `Converted` has them.

    Raises:
        ModelError: it cannot be read.
    """
    found = graph.read(path)
    return Converted(
        path=path,
        mode=mode,
        io_dtype=io_dtype,
        size_bytes=found.size_bytes,
        conversion_s=conversion_s,
        operators=found.operator_counts,
        inputs=tuple(tensor_spec(found.tensors[index]) for index in found.inputs),
        outputs=tuple(tensor_spec(found.tensors[index]) for index in found.outputs),
        calibration_count=calibration_count,
        float_operators=_float_operators(found) if mode in CALIBRATED_MODES else (),
        kept=kept,
    )


def _types(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(sorted({str(spec.dtype) for spec in specs}))


def _float_operators(found: graph.Graph) -> tuple[str, ...]:
    """Kinds of operators that give floats, but for the conversions at the model's ends."""
    return tuple(
        sorted(
            {
                operator.name
                for operator in found.operators
                if operator.name not in ("QUANTIZE", "DEQUANTIZE")
                and any(found.tensors[index].dtype == "float32" for index in operator.outputs)
            }
        )
    )


def tensor_spec(tensor: graph.Tensor) -> TensorSpec:
    """A tensor of a graph as a runtime's specification of it; a type that numpy lacks counts as objects."""
    dtype = np.dtype(tensor.dtype if tensor.dtype in np.sctypeDict else object)
    return TensorSpec(tensor.name, tensor.shape, dtype, tensor.scale, tensor.zero_point)


def _check_mode(mode: str, io_dtype: str) -> None:
    if mode not in MODES:
        raise InputError(
            tr("There is no mode {mode!r}.", mode=mode), fix=tr("use one of {modes}", modes=", ".join(MODES))
        )
    allowed = IO_DTYPES.get(mode, ("float32",))
    if io_dtype not in allowed:
        raise InputError(
            tr("A {mode} model cannot have {io_dtype} input and output.", mode=mode, io_dtype=io_dtype),
            why=tr("it takes and gives {dtypes}", dtypes=tr_alternatives(allowed)),
            fix=tr(
                'use io_dtype="{allowed}", or mode "int8", which allows {io_dtypes}',
                allowed=allowed[0],
                io_dtypes=", ".join(IO_DTYPES["int8"]),
            ),
        )


def _check_calibration(mode: str, calibration: np.ndarray | None) -> np.ndarray | None:
    """The images that a mode needs, spread over the full pixel range; None when it needs none."""
    if mode not in CALIBRATED_MODES:
        return None
    fix = tr("pass dataset.calibration_images(200), drawn from the training images")
    if calibration is None or (hasattr(calibration, "__len__") and len(calibration) == 0):
        raise InputError(
            tr("{mode} needs calibration images.", mode=mode),
            why=tr("the ranges of the activations are only known from running the model on typical input"),
            fix=fix,
        )
    images = _as_array(calibration)
    is_picture = images.dtype == np.uint8 and images.ndim == 4
    is_other = images.ndim != 4 and images.ndim > 1 and images.dtype in (np.uint8, np.float32)
    if not (is_picture or (is_other and images.shape[-1] != 3)):
        raise InputError(
            tr(
                "Calibration images: expected uint8 [N, H, W, 3], got {dtype} {shape}.",
                dtype=images.dtype,
                shape=list(images.shape),
            ),
            why=tr("the model scales raw pixels itself; images scaled before give it the wrong ranges"),
            fix=fix,
        )
    if not is_picture:
        return images
    # Stretch only the darkest and brightest values, so that the input's range is 0 to 255 and its scale 1.
    return np.where(images == images.min(), 0, np.where(images == images.max(), 255, images)).astype(np.uint8)


def _as_array(calibration: Any) -> np.ndarray:
    """An array from an array, a list, a generator or a `tf.data.Dataset` of single pictures."""
    if hasattr(calibration, "as_numpy_iterator"):
        calibration = calibration.as_numpy_iterator()
    try:
        if not hasattr(calibration, "__len__"):
            calibration = list(itertools.islice(calibration, MOST_CALIBRATION_IMAGES))
        return np.asarray(calibration)
    except (TypeError, ValueError):  # no pictures at all; of several sizes; pairs of picture and label
        return np.empty(0, object)


def _with_shape(array: np.ndarray) -> bytes:
    return str((array.dtype, array.shape)).encode() + np.ascontiguousarray(array).tobytes()


@dataclass(frozen=True)
class _Source:
    """A model to convert: its name, the hash of its content, and how the converter's process gets it."""

    name: str
    digest: str
    question: Callable[[Path], dict[str, Any]]


def _source(model: keras.Model | Path | str) -> _Source:
    if isinstance(model, (str, Path)):
        return _stored_source(Path(model))
    if not hasattr(model, "stateless_call"):
        raise InputError(
            tr("{kind} is no model.", kind=type(model).__name__),
            fix=tr("pass a Keras model, or the path of a .keras file or a SavedModel folder"),
        )

    def question(folder: Path) -> dict[str, Any]:
        definition, inputs, outputs = _traced_quietly(model)
        (folder / "graph.pb").write_bytes(definition)
        return {"kind": "graph", "path": str(folder / "graph.pb"), "inputs": inputs, "outputs": outputs}

    digest = hashlib.sha256()
    try:
        digest.update(model.to_json().encode())
    except (NotImplementedError, TypeError, ValueError):  # subclassed: what it does, only tracing tells
        digest.update(_traced_quietly(model)[0])
    for layer in (model, *model._flatten_layers()):
        if not type(layer).__module__.startswith("keras."):
            digest.update(_code(type(layer).call))
    for weight in model.get_weights():
        digest.update(_with_shape(weight))
    return _Source(model.name, digest.hexdigest(), question)


def _code(function: Any) -> bytes:
    """What a layer of one's own does, as bytes: its structure does not tell when it is rewritten."""
    code = getattr(function, "__code__", None)
    if code is None:
        return b""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    plain = [one for one in code.co_consts if not isinstance(one, CodeType)]
    own = code.co_code + repr((plain, code.co_names)).encode()
    return own + b"".join(one.co_code + repr(one.co_names).encode() for one in inner)


def _traced_quietly(model: keras.Model) -> tuple[bytes, list[str], list[str]]:
    try:
        with tracing.silence():
            return tracing.stored_graph(tracing.frozen(tracing.traced(model)))
    except EdgelabError:
        raise
    except Exception as error:  # whatever a layer's own code raises
        raise ModelError(
            tr("{model} could not be traced.", model=model.name),
            why=tracing.first_line(error),
            fix=tr("call it with one image, model(images[:1]); the same error shows there, with its place"),
        ) from error


def _stored_source(path: Path) -> _Source:
    """A `.keras` or `.h5` file, or a SavedModel's folder."""
    digest = hashlib.sha256()
    try:
        for file in sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]:
            # A file's own hash has no name in it: it may be moved.
            digest.update(str(file.relative_to(path)).encode() if path.is_dir() else b"")
            digest.update(file.read_bytes())
    except OSError as error:
        raise ModelError(
            tr("{path} cannot be read.", path=path.name),
            why=str(error),
            fix=tr("check the path; the course trains its own model in chapter 3"),
        ) from error
    question = {"kind": "saved_model" if path.is_dir() else "keras", "path": str(path.resolve())}
    return _Source(path.name, digest.hexdigest(), lambda _: question)


def _plain(name: str) -> str:
    """A name that can be part of a file's name everywhere."""
    return re.sub(r"[^\w.+ -]+", "_", name)[:80]


def _tensorflow_version() -> str:
    """Version of the installed TensorFlow, found without the seconds that importing it takes."""
    if version := no_tensorflow.version():
        return version
    raise TensorFlowMissingError


def _ask(question: dict[str, Any], name: str, mode: str) -> dict[str, Any]:
    """The converter's answer, from a process that is started when there is none.

    Raises:
        EdgelabError: what the process raised.
        ModelError: the conversion ended the process.
    """
    with _one_at_a_time:
        try:
            answer = _answer(question)
        except TargetError as error:
            raise ModelError(
                tr("The converter broke off at {model} in mode {mode}.", model=name, mode=mode),
                why=error.what,
                fix=tr(
                    "layers that loop (GRU, LSTM, SimpleRNN) need unroll=True; else convert parts of the "
                    "model to find the layer that breaks it"
                ),
            ) from error
    if "error" in answer:
        kind = {"InputError": InputError}.get(answer["error"], ModelError)
        raise kind(answer["what"], why=answer["why"], fix=answer["fix"])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["strerror"])
    return answer


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    if not _workers or not _workers[-1].is_alive:
        _workers[:] = [_start_worker()]
    try:
        return _workers[-1].ask(question, CONVERSION_LIMIT_S)
    except TargetError:
        if _workers[-1].returncode != 0:
            raise
    # It had waited for long, and was ending while it was asked.
    _workers[:] = [_start_worker()]
    return _workers[-1].ask(question, CONVERSION_LIMIT_S)


def _start_worker() -> child.Worker:
    command = [sys.executable, "-m", "edgelab.quantization.worker"]
    # The converter computes on the processor; a GPU's memory stays free for the lesson.
    environment = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return child.Worker(
        command, folder=artifacts.PROJECT_ROOT, name=tr("The converter"), environment=environment
    )
