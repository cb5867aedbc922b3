"""The model in question: any file, as the conversions that targets take, with inputs to try it on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from edgelab import graph, quantization
from edgelab.data_sources import archives, class_folders
from edgelab.data_sources.decoding import decode
from edgelab.errors import DataError, InputError, ModelError
from edgelab.machine import artifacts
from edgelab.runtime import TensorSpec
from edgelab.targets import foreign_onnx
from edgelab.texts import tr

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
MOST_PICTURES = 200
NOISE_ITEMS = 8
SEED = 0


@dataclass(frozen=True, repr=False)
class Pictures:
    """What the model is tried on.

    Attributes:
        values: uint8 `[N, H, W, C]`, or noise of the model's own shape.
        labels: int64 `[N]`, the class of each as the model counts them; None where they are not known.
        source: where they come from, in words.
        is_noise: whether they are no pictures.
    """

    values: np.ndarray
    labels: np.ndarray | None
    source: str
    is_noise: bool


@dataclass(frozen=True, repr=False)
class Subject:
    """A model to report on.

    Attributes:
        name: the file's.
        kind: "tflite", "keras", "saved_model", "onnx".
        files: `.tflite` files by mode, "float32" and "int8", as far as there are; an ONNX model's as `.onnx`.
        main: the file that the report describes: the given one, or the int8 conversion.
        graph: of `main`.
        notes: what was done to get there.
        keras: the `.keras` or `.h5` file itself, where it is one.
    """

    name: str
    kind: str
    files: dict[str, Path]
    main: Path
    graph: graph.Graph = field(repr=False)
    notes: tuple[str, ...] = ()
    keras: Path | None = None

    @property
    def is_quantized(self) -> bool:
        """Whether `main` computes in integers, at least in part."""
        return is_quantized(self.graph)


def is_quantized(found: graph.Graph) -> bool:
    """Whether activations of a graph are quantized integers."""
    return any(
        found.tensors[index].is_quantized and not found.tensors[index].is_constant
        for operator in found.operators
        for index in operator.outputs
    )


def open_subject(
    model: Path,
    images: Path | None = None,
    labels: Path | None = None,
    *,
    input_shape: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> tuple[Subject, Pictures]:
    """What targets can take of a model, and what to try it on.

    Args:
        model: a `.tflite`, `.onnx`, `.keras` or `.h5` file, or the folder of a SavedModel.
        images: folder or archive of pictures; None for noise.
        labels: text file with one class per line, in the order of the model's outputs; the pictures' class
            folders are then their labels.
        input_shape: of an ONNX model, as for `foreign_onnx.prepared`.
        mean, std: of an ONNX or a float `.tflite` model that expects (pixel - mean) / std.

    Raises:
        ModelError: it cannot be read or converted.
        DataError, InputError: pictures or labels that cannot be used.
    """
    model = Path(model)
    if not model.exists():
        raise ModelError(tr("There is no {path}.", path=model), fix=tr("check the path"))
    is_keras = model.is_dir() or model.suffix.lower() in KERAS_SUFFIXES
    if (is_keras and (mean, std) != (None, None)) or (input_shape and not foreign_onnx.is_onnx(model)):
        raise InputError(
            tr("{path} takes no such option.", path=model.name),
            why=tr("an input shape is put into an ONNX model, mean and std into that or a .tflite model"),
            fix=tr("leave it out; in Keras put a Normalization or Rescaling layer first"),
        )
    if is_keras:
        return _from_keras(model, images, labels)
    kind, notes, main = "tflite", (), model
    if foreign_onnx.is_onnx(model):
        main = foreign_onnx.prepared(model, input_shape=input_shape, mean=mean, std=std)
        kind, notes = "onnx", _changes(model, main)
    elif (mean, std) != (None, None):
        main = _scaled(model, mean or (0.0,), std or (1.0,))
        notes = (tr("(pixel - mean) / std was put in front of it."),)
    found = graph.read(main)
    mode = "int8" if is_quantized(found) else "float32"
    subject = Subject(model.name, kind, {mode: main}, main, found, notes)
    spec = quantization.tensor_spec(found.tensors[found.inputs[0]]) if found.inputs else None
    return subject, _pictures(spec, images, labels)


def _scaled(model: Path, mean: Sequence[float], std: Sequence[float]) -> Path:
    """A `.tflite` file that takes raw pixels where the given one wants them scaled."""
    content = model.read_bytes()

    def build(out: Path) -> None:
        out.write_bytes(graph.with_scaled_input(content, mean, std))

    parts = {
        "content": hashlib.sha256(content).hexdigest(),
        "mean": list(mean),
        "std": list(std),
    }
    return artifacts.cached("scaled", model.stem, ".tflite", parts, build)


def _changes(model: Path, prepared: Path) -> tuple[str, ...]:
    """What was done to an ONNX file so that targets take it, in words."""
    before, after = graph.read(model), graph.read(prepared)
    ends = [
        [(tensor.dtype, [-1 if axis in tensor.open_axes else size for axis, size in enumerate(tensor.shape)])
         for tensor in (one.tensors[index] for index in one.inputs)]
        for one in (before, after)
    ]  # fmt: skip
    if ends[0] == ends[1]:
        return ()
    words = ["; ".join(f"{dtype} {shape}" for dtype, shape in end) for end in ends]
    return (tr("It takes {before}; here it is given {after}, raw pixels.", before=words[0], after=words[1]),)


def _from_keras(model: Path, images: Path | None, labels: Path | None) -> tuple[Subject, Pictures]:
    as_float = quantization.convert(model, "float32", name=model.stem)
    pictures = _pictures(as_float.inputs[0], images, labels)
    notes = [tr("Converted to .tflite by TensorFlow's converter.")]
    files = {"float32": as_float.path}
    try:
        made = quantization.convert(model, "int8", pictures.values, io_dtype="uint8", name=model.stem)
        files["int8"] = made.path
        notes.append(
            tr("Its int8 copy was calibrated on noise: placement and speed hold, accuracy does not.")
            if pictures.is_noise
            else tr("Its int8 copy was calibrated on {count} of the pictures.", count=made.calibration_count)
        )
    except (ModelError, InputError) as error:
        notes.append(tr("It could not be quantized: {why}", why=error.why or error.what))
    main = files.get("int8", as_float.path)
    kind = "saved_model" if model.is_dir() else "keras"
    keras = None if model.is_dir() else model
    return Subject(model.name, kind, files, main, graph.read(main), tuple(notes), keras), pictures


def _pictures(spec: TensorSpec | None, images: Path | None, labels: Path | None) -> Pictures:
    """The user's pictures in the model's size, or noise."""
    if spec is None:
        return Pictures(np.zeros((1, 1), np.uint8), None, tr("nothing: the model has no input"), True)
    shape = tuple(max(1, size) for size in spec.shape[1:])
    if images is None:
        rng = np.random.default_rng(SEED)
        if len(shape) == 3:
            return Pictures(rng.integers(0, 256, (NOISE_ITEMS, *shape), np.uint8), None, tr("noise"), True)
        return Pictures(rng.uniform(-1, 1, (NOISE_ITEMS, *shape)).astype(np.float32), None, tr("noise"), True)
    if len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise InputError(
            tr("The model takes {shape}, which is no picture.", shape=list(spec.shape)),
            fix=tr("leave the pictures out: the model is then tried on noise"),
        )
    return _read_pictures(shape, Path(images), labels)


def _read_pictures(shape: tuple[int, int, int], images: Path, labels: Path | None) -> Pictures:
    if not images.exists():
        raise DataError(tr("There is no {path}.", path=images), fix=tr("check the path"))
    decoded, names = [], []
    for name, data in archives.files(images):
        if isinstance(data, str):
            continue
        try:
            decoded.append(_fitted(decode(data, max(shape[:2])), shape))
        except ValueError:
            continue
        names.append(name)
    if not decoded:
        raise DataError(
            tr("{path} holds no pictures.", path=images.name), fix=tr("give a folder of JPEG or PNG files")
        )
    chosen = np.random.default_rng(SEED).permutation(len(decoded))[:MOST_PICTURES]
    truth = _labels(names, labels) if labels else None
    if truth is not None:
        chosen = np.array([index for index in chosen if truth[index] >= 0], int)
        if not len(chosen):
            raise DataError(
                tr(
                    "No class folder in {path} is named as a line of {labels}.",
                    path=images.name,
                    labels=labels.name,
                ),
                fix=tr("name the folders as the labels: <label>/*.jpg"),
            )
    return Pictures(
        np.stack([decoded[index] for index in chosen]),
        None if truth is None else truth[chosen],
        tr("{count} pictures of {path}", count=len(chosen), path=images.name),
        False,
    )


def _fitted(picture: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    height, width, channels = shape
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    resized = Image.fromarray(picture).convert(mode)
    if resized.size != (width, height):
        resized = resized.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized).reshape(shape)


def _labels(names: list, labels: Path) -> np.ndarray:
    """The line of each picture's class, -1 where none is it."""
    try:
        lines = labels.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(
            tr("{path} cannot be read.", path=labels),
            why=error.strerror or str(error),
            fix=tr("check the path"),
        ) from error
    # "3 tench, Tinca tinca" and "tench" both name class 3, counted or not.
    numbers = {}
    for index, line in enumerate(lines):
        text = line.strip().casefold()
        number, _, rest = text.partition(" ")
        names_of_it = [text, rest] if number.rstrip(":").isdigit() else [text]
        for word in (part for one in names_of_it for part in (one, *one.split(","))):
            numbers.setdefault(word.strip(), index)
    classes = [one.class_name.casefold() for one in class_folders.place(names)]
    return np.array([numbers.get(one, -1) for one in classes], np.int64)
