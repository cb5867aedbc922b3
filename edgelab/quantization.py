"""Turn a Keras model into a `.tflite` file, in one of five precisions.

The same model and the same calibration images give the same bytes, so a conversion is made once and kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import importlib.metadata
import io
import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from edgelab import graph
from edgelab.errors import EdgelabError, InputError, ModelError
from edgelab.machine import artifacts, quiet
from edgelab.runtime import TensorSpec
from edgelab.texts import tr, tr_alternatives

if TYPE_CHECKING:
    import keras

MODES = ("float32", "dynamic_range", "float16", "int8", "int16x8")
CALIBRATED_MODES = ("int8", "int16x8")
IO_DTYPES = {"int8": ("float32", "int8", "uint8")}  # every other mode takes and gives float32
SECONDS_BEFORE_BAR = 3.0


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

    def __str__(self) -> str:
        calibrated = f", calibrated on {self.calibration_count} images" if self.calibration_count else ""
        return (
            f"{self.path.name}: {self.mode}, {self.io_dtype} in and out, {self.size_bytes / 1e3:,.1f} kB, "
            f"{sum(self.operators.values())} operators, converted in {self.conversion_s:.1f} s{calibrated}"
        )

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
        model: a model with one image input, or the `.keras` file of one; float pixels 0 to 255.
        mode: "float32"; "float16" (weights of 16 bits); "dynamic_range" (weights of 8 bits, activations
            quantized as they come); "int8" (all of 8 bits); "int16x8" (weights 8, activations 16 bits).
        calibration: training images, uint8 `[N, H, W, 3]`; int8 and int16x8 take the ranges of their
            activations from them. The other modes do not look at them.
        io_dtype: "float32", and in int8 mode also "int8" or "uint8".
        name: the readable part of the file name.

    Returns:
        The file and what it holds.

    Raises:
        InputError: an unknown mode, or calibration images that are missing or do not fit.
        ModelError: the model cannot be loaded or converted.
        StorageError: the disk is full.
    """
    _check_mode(mode, io_dtype)
    images = _check_calibration(mode, calibration)
    parts = {
        "model": _model_digest(model),
        "mode": mode,
        "io_dtype": io_dtype,
        "calibration": None if images is None else hashlib.sha256(_with_shape(images)).hexdigest(),
        "tensorflow": _tensorflow_version(),
    }
    file_name = f"{name}-{mode}-{io_dtype}"
    record_path = artifacts.artifacts_dir() / "models" / f"{file_name}-{artifacts.content_key(**parts)}.json"
    if not record_path.exists():  # somebody tidied up: make both again
        record_path.with_suffix(".tflite").unlink(missing_ok=True)

    def build_file(path: Path) -> None:
        started = time.perf_counter()
        with _ticking_bar(f"converting {name} to {mode}"):
            data = _convert(model, mode, images, io_dtype)
        record = {"conversion_s": time.perf_counter() - started}
        with artifacts.atomic_path(record_path) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")
        path.write_bytes(data)

    path = artifacts.cached("models", file_name, ".tflite", parts, build_file)
    record = json.loads(record_path.read_text(encoding="utf-8"))
    found = graph.read(path)
    return Converted(
        path=path,
        mode=mode,
        io_dtype=io_dtype,
        size_bytes=found.size_bytes,
        conversion_s=record["conversion_s"],
        operators=found.operator_counts,
        inputs=tuple(tensor_spec(found.tensors[index]) for index in found.inputs),
        outputs=tuple(tensor_spec(found.tensors[index]) for index in found.outputs),
        calibration_count=0 if images is None else len(images),
    )


def tensor_spec(tensor: graph.Tensor) -> TensorSpec:
    """A tensor of a graph as a runtime's specification of it."""
    return TensorSpec(tensor.name, tensor.shape, np.dtype(tensor.dtype), tensor.scale, tensor.zero_point)


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
    if calibration is None or len(calibration) == 0:
        raise InputError(
            tr("{mode} needs calibration images.", mode=mode),
            why=tr("the ranges of the activations are only known from running the model on typical input"),
            fix=fix,
        )
    images = np.asarray(calibration)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise InputError(
            tr(
                "Calibration images: expected uint8 [N, H, W, 3], got {dtype} {shape}.",
                dtype=images.dtype,
                shape=list(images.shape),
            ),
            why=tr("the model scales raw pixels itself; images scaled before give it the wrong ranges"),
            fix=fix,
        )
    # Stretch only the darkest and brightest values, so that the input's range is 0 to 255 and its scale 1.
    return np.where(images == images.min(), 0, np.where(images == images.max(), 255, images)).astype(np.uint8)


def _with_shape(array: np.ndarray) -> bytes:
    return str((array.dtype, array.shape)).encode() + np.ascontiguousarray(array).tobytes()


def _model_digest(model: keras.Model | Path | str) -> str:
    """Hash of a model's structure and weights, or of its file."""
    digest = hashlib.sha256()
    if isinstance(model, (str, Path)):
        try:
            digest.update(Path(model).read_bytes())
        except OSError as error:
            raise ModelError(
                tr("{path} cannot be read.", path=Path(model).name),
                why=str(error),
                fix=tr("train the model first (chapter 3)"),
            ) from error
    else:
        digest.update(model.to_json().encode())
        for weight in model.get_weights():
            digest.update(_with_shape(weight))
    return digest.hexdigest()


def _tensorflow_version() -> str:
    """Version of the installed TensorFlow, found without the seconds that importing it takes."""
    for package in ("tensorflow", "tensorflow-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(package)
    raise ModelError(tr("TensorFlow is not installed."), fix=tr("run the set-up: make check"))


def _load(path: Path) -> keras.Model:
    quiet.import_tensorflow()
    import keras

    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ModelError(
            tr("{path} is not a Keras model that can be loaded.", path=path.name),
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=tr("save it with model.save('name.keras') from Keras 3, or train it again (chapter 3)"),
        ) from error


def _convert(model: keras.Model | Path | str, mode: str, images: np.ndarray | None, io_dtype: str) -> bytes:
    """The bytes of the `.tflite` file."""
    if isinstance(model, (str, Path)):
        model = _load(Path(model))
    if len(model.inputs) != 1:
        raise ModelError(
            tr("{model} has {count} inputs.", model=model.name, count=len(model.inputs)),
            why=tr("this conversion feeds one image at a time"),
            fix=tr("join the inputs, or use tf.lite.TFLiteConverter yourself, as chapter 4 shows"),
        )
    expected = tuple(model.inputs[0].shape[1:])
    if images is not None and images.shape[1:] != expected:
        raise InputError(
            tr(
                "Calibration images: expected [N, {expected}], got {shape}.",
                expected=", ".join(map(str, expected)),
                shape=list(images.shape),
            ),
            why=tr("{model} takes images of that size", model=model.name),
            fix=tr("take them from the dataset that the model was trained on"),
        )
    try:
        with silence():
            return _converter(model, mode, images, io_dtype).convert()
    except EdgelabError:
        raise
    except Exception as error:  # TensorFlow raises many kinds: ConverterError, ValueError, RuntimeError...
        raise ModelError(
            tr("{model} could not be converted to {mode}.", model=model.name, mode=mode),
            why=str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
            fix=tr("try float32 first; an operator that TFLite lacks must be replaced in the model"),
        ) from error


def _converter(model: keras.Model, mode: str, images: np.ndarray | None, io_dtype: str) -> Any:
    """TensorFlow's converter, set up for a mode. Chapter 4 shows these lines one by one."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_frozen(model)])
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in CALIBRATED_MODES:
        converter.representative_dataset = lambda: (
            [image[np.newaxis].astype(np.float32)] for image in images
        )
    if mode == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(io_dtype)
    if mode == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
    return converter


def _frozen(model: keras.Model) -> Any:
    """The model as one function of one image, its weights constants: what the converter works on.

    `TFLiteConverter.from_keras_model` gives the same operators and weights, but writes a SavedModel to disk
    first, which takes ten times as long. The batch is fixed at 1: a dynamic one adds shape arithmetic to the
    graph, which accelerators refuse.
    """
    import tensorflow as tf

    trainable = [tf.constant(variable.numpy()) for variable in model.trainable_variables]
    others = [tf.constant(variable.numpy()) for variable in model.non_trainable_variables]
    spec = tf.TensorSpec((1, *model.inputs[0].shape[1:]), model.inputs[0].dtype, name="input")

    @tf.function(input_signature=[spec], autograph=False)
    def infer(pixels):
        with tf.name_scope(model.name):
            return model.stateless_call(trainable, others, pixels, training=False)[0]

    return infer.get_concrete_function()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep TensorFlow's progress lines and warnings out of the lesson: none tells a student what to do."""
    from absl import logging as absl_logging

    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            quiet.native_stderr(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        absl_logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _ticking_bar(description: str) -> Iterator[None]:
    """A clock that appears once the work has taken three seconds: the converter reports no progress."""
    ended = threading.Event()
    # The converter's noise on stderr is caught, the clock is not.
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as stderr:

        def tick() -> None:
            if ended.wait(SECONDS_BEFORE_BAR):
                return
            with tqdm(desc=description, bar_format="{desc}: {elapsed}", file=stderr, leave=False) as bar:
                bar.start_t -= SECONDS_BEFORE_BAR
                while not ended.wait(0.5):
                    bar.refresh()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()
