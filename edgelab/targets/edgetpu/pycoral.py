"""Google's PyCoral by its own names, over LiteRT: code of Coral's tutorials runs on today's Python.

Google's wheels stop at Python 3.9. Here are its public names with their arguments and results: `edgetpu` and
`dataset` (in PyCoral under `utils`), `common`, `classify`, `detect` and `segment` (under `adapters`).
`provide` makes `from pycoral.adapters import classify` work as it is written. Left out is what needs
PyCoral's compiled part: pipelines, on-device learning, DMA and GStreamer buffers.

Three things differ. A model that was not compiled for the Edge TPU runs on the CPU, without a device. What is
missing is told as a `TargetError`. And `get_objects` leaves out the places that the model only pads with.

As with PyCoral, everything runs in this process, which Google's library ends when the device is unplugged;
`targets.get("edgetpu")` does not.
"""

from __future__ import annotations

import ctypes
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from edgelab import graph
from edgelab.errors import InputError
from edgelab.targets.edgetpu import worker
from edgelab.targets.edgetpu.rules import is_compiled
from edgelab.targets.edgetpu.target import EdgeTpuTarget, explained, pycoral_state
from edgelab.texts import tr

NAME = "pycoral"
ALL = float("inf")


# pycoral.utils.edgetpu


def make_interpreter(
    model_path_or_content: str | bytes, device: str | None = None, delegate: Any = None
) -> Any:
    """An interpreter with the model loaded; `allocate_tensors()` comes next.

    Args:
        model_path_or_content: a `.tflite` file, or its content.
        device: None for any Edge TPU, else ":0" by number, "usb", "usb:1", "pci", "pci:0".
        delegate: one that `load_edgetpu_delegate` gave; `device` is then ignored.

    Raises:
        ModelError: the model cannot be read.
        TargetError: it was compiled for the Edge TPU, and the library or the device is missing.
    """
    from ai_edge_litert.interpreter import Interpreter

    given = model_path_or_content
    if delegate is None and is_compiled(graph.read(given if isinstance(given, bytes) else Path(given))):
        delegate = load_edgetpu_delegate({"device": device} if device else None)
    model = {"model_content": given} if isinstance(given, bytes) else {"model_path": str(given)}
    return Interpreter(**model, experimental_delegates=[delegate] if delegate else None)


def load_edgetpu_delegate(options: dict[str, str] | None = None) -> Any:
    """Google's library as a delegate.

    Args:
        options: `{"device": ":0"}` and the like, as `make_interpreter` takes it; None for any device.

    Raises:
        TargetError: the library or the device is missing.
    """
    try:
        return worker.delegate(worker.first_library(), options or {})
    except worker.Failure as failure:
        raise explained(failure.kind, failure.detail, "") from failure


def list_edge_tpus() -> list[dict[str, str]]:
    """The devices that the library sees, each with its "type" ("usb" or "pci") and its "path".

    Raises:
        TargetError: the library is missing.
    """
    return [
        {"type": device["name"].partition(":")[0], "path": device["path"]}
        for device in EdgeTpuTarget().devices()
    ]


def get_runtime_version() -> str:
    """What the library says of its own version.

    Raises:
        TargetError: it is missing.
    """
    try:
        return worker.library_version(worker.first_library())
    except worker.Failure as failure:
        raise explained(failure.kind, failure.detail, "") from failure


def run_inference(interpreter: Any, input_data: Any) -> None:
    """Fill the model's first input with raw bytes, and run it.

    Args:
        interpreter: with its tensors allocated.
        input_data: bytes, a flat `uint8` array, or a pointer and its size in bytes `(c_void_p, int)`. What is
            more than the input holds is left out.

    Raises:
        InputError: too few bytes, or data of another kind.
    """
    first = interpreter.get_input_details()[0]
    needed = math.prod(int(size) for size in first["shape"]) * np.dtype(first["dtype"]).itemsize
    raw = _raw(input_data)
    if len(raw) < needed:
        raise InputError(
            tr("The input has {given} bytes, and the model takes {needed}.", given=len(raw), needed=needed),
            fix=tr("bring the picture to the model's size first: common.input_size(interpreter)"),
        )
    values = np.frombuffer(raw, first["dtype"], count=needed // np.dtype(first["dtype"]).itemsize)
    interpreter.set_tensor(first["index"], values.reshape(first["shape"]))
    interpreter.invoke()


def _raw(data: Any) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, np.ndarray) and data.ndim == 1 and data.dtype.itemsize == 1:
        return data.tobytes()
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], ctypes.c_void_p):
        return ctypes.string_at(*data)
    raise InputError(
        tr("This kind of input is not taken: {kind}.", kind=type(data).__name__),
        fix=tr("give bytes, or a flat array of uint8: picture.ravel()"),
    )


# pycoral.utils.dataset


def read_label_file(file_path: str) -> dict[int, str]:
    """Labels by number: from lines "0 cat" or "0: cat", or else by the number of the line.

    Args:
        file_path: a text file in UTF-8.
    """
    labels = {}
    for number, line in enumerate(Path(file_path).read_text(encoding="utf-8").splitlines()):
        numbered = re.fullmatch(r"(\d+)[:\s]+(.+)", line.strip())
        labels[int(numbered[1]) if numbered else number] = (numbered[2] if numbered else line).strip()
    return labels


# pycoral.adapters.common


def input_details(interpreter: Any, key: str) -> Any:
    """What the model says of its first input: "shape", "dtype", "quantization", "index", "name"."""
    return interpreter.get_input_details()[0][key]


def input_size(interpreter: Any) -> tuple[int, int]:
    """Width and height of the picture that the model takes."""
    _, height, width, _ = (int(size) for size in input_details(interpreter, "shape"))
    return width, height


def input_tensor(interpreter: Any) -> np.ndarray:
    """The model's own memory for its picture `[height, width, channels]`: written to, not copied."""
    return interpreter.tensor(input_details(interpreter, "index"))()[0]


def output_tensor(interpreter: Any, i: int) -> np.ndarray:
    """The model's own memory of its output number `i`, as integers where it is quantized."""
    return interpreter.tensor(interpreter.get_output_details()[i]["index"])()


def set_input(interpreter: Any, data: Any) -> None:
    """Copy a picture of the model's size into its input, value by value: nothing is quantized here."""
    input_tensor(interpreter)[:, :] = data


def set_resized_input(
    interpreter: Any, size: tuple[int, int], resize: Callable[[tuple[int, int]], Any]
) -> tuple[Any, tuple[float, float]]:
    """Fit a picture into the model's input at the top left, keeping its shape; the rest becomes zero.

    Args:
        interpreter: with its tensors allocated.
        size: width and height of the picture.
        resize: gives the picture in the width and height that it is called with.

    Returns:
        What `resize` gave, and the factors for x and y by which it was scaled: `get_objects` takes them.
    """
    width, height = input_size(interpreter)
    scale = min(width / size[0], height / size[1])
    new_width, new_height = int(size[0] * scale), int(size[1] * scale)
    resized = resize((new_width, new_height))
    tensor = input_tensor(interpreter)
    tensor.fill(0)
    tensor[:new_height, :new_width] = np.reshape(resized, (new_height, new_width, tensor.shape[2]))
    return resized, (scale, scale)


# pycoral.adapters.classify


class Class(NamedTuple):
    """A class, and how sure the model is of it."""

    id: int
    score: float


def num_classes(interpreter: Any) -> int:
    """How many classes the model tells apart."""
    return math.prod(int(size) for size in interpreter.get_output_details()[0]["shape"])


def get_scores(interpreter: Any) -> np.ndarray:
    """The scores of all classes `[classes]`, brought back from integers where the output is quantized."""
    first = interpreter.get_output_details()[0]
    values = output_tensor(interpreter, 0).flatten()
    if not np.issubdtype(first["dtype"], np.integer):
        return values
    scale, zero_point = first["quantization"]
    return scale * (values.astype(np.int64) - zero_point)


def get_classes_from_scores(
    scores: np.ndarray, top_k: float = ALL, score_threshold: float = -ALL
) -> list[Class]:
    """The best classes, the best first.

    Args:
        scores: one of each class `[classes]`.
        top_k: how many at most.
        score_threshold: those with less are left out.
    """
    best = np.argsort(-np.asarray(scores), kind="stable")[: int(min(top_k, len(scores)))]
    return [Class(int(i), float(scores[i])) for i in best if scores[i] >= score_threshold]


def get_classes(interpreter: Any, top_k: float = ALL, score_threshold: float = -ALL) -> list[Class]:
    """The best classes of the picture that was run last; see `get_classes_from_scores`."""
    return get_classes_from_scores(get_scores(interpreter), top_k, score_threshold)


# pycoral.adapters.detect


class BBox(NamedTuple):
    """A box, in pixels of the original picture as `get_objects` gives it."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float

    @property
    def width(self) -> float:
        """Of the box; below 0 in one that is not valid."""
        return self.xmax - self.xmin

    @property
    def height(self) -> float:
        """Of the box; below 0 in one that is not valid."""
        return self.ymax - self.ymin

    @property
    def area(self) -> float:
        """Width times height."""
        return self.width * self.height

    @property
    def valid(self) -> bool:
        """Whether neither side is below 0."""
        return self.width >= 0 and self.height >= 0

    def scale(self, sx: float, sy: float) -> BBox:
        """The box with x times `sx` and y times `sy`."""
        return BBox(self.xmin * sx, self.ymin * sy, self.xmax * sx, self.ymax * sy)

    def translate(self, dx: float, dy: float) -> BBox:
        """The box moved by `dx` and `dy`."""
        return BBox(self.xmin + dx, self.ymin + dy, self.xmax + dx, self.ymax + dy)

    def map(self, f: Callable[[float], float]) -> BBox:
        """The box with `f` of each of its four numbers."""
        return BBox(*(f(number) for number in self))

    @staticmethod
    def intersect(a: BBox, b: BBox) -> BBox:
        """What both share; not `valid` where they share nothing."""
        low, high = map(max, a[:2], b[:2]), map(min, a[2:], b[2:])
        return BBox(*low, *high)

    @staticmethod
    def union(a: BBox, b: BBox) -> BBox:
        """The smallest box around both."""
        low, high = map(min, a[:2], b[:2]), map(max, a[2:], b[2:])
        return BBox(*low, *high)

    @staticmethod
    def iou(a: BBox, b: BBox) -> float:
        """The shared area as a part of the area that the two cover together, 0 to 1."""
        shared = BBox.intersect(a, b)
        return shared.area / (a.area + b.area - shared.area) if shared.valid else 0.0


class Object(NamedTuple):
    """Something that was found: its class, how sure the model is, and where it is."""

    id: int
    score: float
    bbox: BBox


def get_objects(
    interpreter: Any, score_threshold: float = -ALL, image_scale: tuple[float, float] = (1.0, 1.0)
) -> list[Object]:
    """What a detector with its post-processing inside (SSD) has found in the picture that was run last.

    Args:
        interpreter: after `invoke()`.
        score_threshold: objects with less are left out.
        image_scale: the factors that `set_resized_input` gave: boxes are then in pixels of the original.

    Raises:
        InputError: the model has not the four outputs of such a detector.
    """
    boxes, ids, scores, count = _found(interpreter)
    width, height = input_size(interpreter)
    sx, sy = width / image_scale[0], height / image_scale[1]
    objects = []
    for (ymin, xmin, ymax, xmax), kind, score in list(zip(boxes, ids, scores, strict=True))[:count]:
        if score >= score_threshold:
            box = BBox(xmin, ymin, xmax, ymax).scale(sx, sy).map(int)
            objects.append(Object(int(kind), float(score), box))
    return objects


def _found(interpreter: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Boxes, classes, scores and their count, whichever way TensorFlow has ordered the outputs."""
    places = [detail["index"] for detail in interpreter.get_output_details()]
    if len(places) != 4:
        raise InputError(
            tr("This model is no detector: it has {count} outputs.", count=len(places)),
            why=tr("boxes, classes, scores and their count are four"),
            fix=tr("take an SSD with its post-processing in the file, or read the outputs yourself"),
        )
    named = _named_outputs(interpreter)
    if named:  # TensorFlow 2 names them in this order
        count, scores, ids, boxes = (named[f"output_{number}"] for number in range(4))
    elif interpreter.tensor(places[3])().size == 1:  # TensorFlow 1: the count comes last
        boxes, ids, scores, count = places
    else:
        scores, boxes, count, ids = places
    boxes, ids, scores, count = (interpreter.tensor(place)()[0] for place in (boxes, ids, scores, count))
    return boxes, ids, scores, int(count)


def _named_outputs(interpreter: Any) -> dict[str, int]:
    """The places of the outputs by the names of the only signature; nothing where they have others."""
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        return {}
    details = interpreter.get_signature_runner(next(iter(signatures))).get_output_details()
    if set(details) != {f"output_{number}" for number in range(4)}:
        return {}
    return {name: detail["index"] for name, detail in details.items()}


# pycoral.adapters.segment


def get_output(interpreter: Any) -> np.ndarray:
    """The first output without its batch: a class for each pixel, or scores `[height, width, classes]`."""
    return output_tensor(interpreter, 0)[0]


CONTENT = {
    "utils.edgetpu": (
        make_interpreter, load_edgetpu_delegate, list_edge_tpus, get_runtime_version, run_inference,
    ),
    "utils.dataset": (read_label_file,),
    "adapters.common": (
        input_details, input_size, input_tensor, output_tensor, set_input, set_resized_input,
    ),
    "adapters.classify": (Class, num_classes, get_scores, get_classes_from_scores, get_classes),
    "adapters.detect": (BBox, Object, get_objects),
    "adapters.segment": (get_output,),
}  # fmt: skip


def _as_modules() -> dict[str, ModuleType]:
    """Modules of PyCoral's names with the functions above, each in the one that it stands in."""
    made = {name: ModuleType(name, __doc__) for name in (NAME, f"{NAME}.utils", f"{NAME}.adapters")}
    for place, members in CONTENT.items():
        module = made[f"{NAME}.{place}"] = ModuleType(f"{NAME}.{place}", __doc__)
        vars(module).update({member.__name__: member for member in members})
    for name, module in made.items():
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(made[parent], own, module)
        if name.count(".") < 2:
            module.__path__ = []
    return made


MODULES = _as_modules()
edgetpu, dataset, common, classify, detect, segment = (MODULES[f"{NAME}.{place}"] for place in CONTENT)


def provide() -> str:
    """Make `import pycoral` work in this process: Google's where it is installed, this module's elsewhere.

    The unrelated program of that name on PyPI is covered.

    Returns:
        Whose it is: "Google's PyCoral" or "edgelab's, over LiteRT".
    """
    ours = sys.modules.get(NAME) is MODULES[NAME]
    if not ours and pycoral_state() == "pycoral":
        return tr("Google's PyCoral")
    sys.modules.update(MODULES)
    return tr("edgelab's, over LiteRT")
