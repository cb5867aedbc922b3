"""What looks at the frames: a detector or a classifier of the user's, on any target, as one function."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from edgelab import targets
from edgelab.app.settings import Settings
from edgelab.data_sources.shapes import SHAPE_CLASSES
from edgelab.detection import Detections, Detector
from edgelab.detection.detector import pixel_codes
from edgelab.errors import EdgelabError, InputError, ModelError
from edgelab.machine import artifacts
from edgelab.runtime import Session
from edgelab.texts import tr
from edgelab.video import Frame, MovingRegion, resize, square_crop

BOXES = "boxes"
DETECTOR_FOLDER = artifacts.PROJECT_ROOT / "data" / "detector"
CLASSIFIER = artifacts.PROJECT_ROOT / "data" / "models" / "mobilenet_v2_cifar10.keras"
MOST_NAMES = 10_000
SSD_CLASSES = 91  # of COCO, numbered where nobody names them


class Analyser(Protocol):
    """Looks at one frame.

    Attributes:
        names: of the classes.
        about: what it is and where it runs, for people.
    """

    names: tuple[str, ...]
    about: str

    def detect(self, frame: Frame) -> Detections:
        """What is in a frame, in its pixels."""

    def close(self) -> None:
        """Free the model and its device."""


class ExactBoxes:
    """The boxes that drawn scenes know: no model, but everything after one can be tried with it."""

    names = tuple(SHAPE_CLASSES)

    def __init__(self) -> None:
        self.about = tr("the exact boxes of the drawn scenes, without a model")

    def detect(self, frame: Frame) -> Detections:
        """The boxes of a frame; none where the source knows none."""
        boxes = frame.boxes or ()
        edges = np.array([(box.left, box.top, box.right, box.bottom) for box in boxes]).reshape(-1, 4)
        return Detections(edges, np.ones(len(boxes)), [box.class_index for box in boxes])

    def close(self) -> None:
        """Nothing is held."""


class Objects:
    """A detector on a session."""

    def __init__(self, session: Session, names: tuple[str, ...], least_score: float, about: str) -> None:
        self._session, self.names, self.about = session, names, about
        self._detector = Detector(session, names, threshold=least_score)

    def detect(self, frame: Frame) -> Detections:
        """All that the model finds."""
        return self._detector.detect(frame.image)

    def close(self) -> None:
        """Free the session."""
        self._session.close()


class OneThing:
    """A classifier on a session: what it names is where it looked.

    Args:
        session: one picture in, one score a class out.
        names: of the classes.
        least_score: below it, nothing was seen.
        region: "moving", "middle" or "whole".
        about: for people.
    """

    def __init__(
        self, session: Session, names: tuple[str, ...], least_score: float, region: str, about: str
    ) -> None:
        spec = session.inputs[0]
        self._session, self.names, self.about = session, names, about
        self._least, self._size = least_score, (spec.shape[2], spec.shape[1])
        self._codes = pixel_codes(spec)
        self._is_whole = region == "whole"
        self._moving = MovingRegion() if region == "moving" else None

    def detect(self, frame: Frame) -> Detections:
        """At most one box: the part that was classified."""
        height, width = frame.image.shape[:2]
        box = self._moving(frame) if self._moving else (0.0, 0.0, float(width), float(height))
        if box is None:
            return Detections.none()
        part = frame.image if self._is_whole else square_crop(frame.image, self._moving and box, 0.2)
        tensor = self._codes[resize(part, self._size)][np.newaxis]
        output = np.ravel(self._session.outputs[0].dequantize(self._session.run(tensor)[0]))
        label = int(output.argmax())
        if output[label] < self._least:
            return Detections.none()
        return Detections(np.array([box]), [float(output[label])], [label])

    def close(self) -> None:
        """Free the session."""
        self._session.close()


def open_analyser(settings: Settings) -> Analyser:
    """Open what `[model]` names.

    Raises:
        InputError: an unknown target, labels that do not fit, a model of another kind.
        ModelError, TargetError: the model cannot be read, or not run there.
    """
    model = settings.model
    if model.file == BOXES:
        return ExactBoxes()
    path = settings.path(model.file) if model.file else built_in()
    labels = settings.path(model.labels) if model.labels else None
    options = {"threads": model.threads} if model.target == "cpu" and model.threads else {}
    target = targets.get(model.target, **options)
    if not path.is_file():
        raise ModelError(
            tr("There is no model {path}.", path=path),
            fix=tr('check [model] file; "" takes the built-in one'),
        )
    session = target.open(path)
    try:
        about = tr("{model} on {target}", model=path.name, target=f"{session.target} ({session.device})")
        if session.fault:
            raise ModelError(
                tr("{model} gives wrong results on {target}.", model=path.name, target=session.target),
                why=session.fault,
                fix=tr("choose another target"),
            )
        return _analyser(session, path, labels, model.least_score, model.region, about)
    except BaseException:
        session.close()
        raise


def built_in() -> Path:
    """The detector that comes with the course; without one, its image classifier, converted once and kept."""
    found = sorted(DETECTOR_FOLDER.glob("*.tflite"))
    if found:
        return found[0]
    from edgelab import quantization

    made = quantization.convert(CLASSIFIER, "float32", name=CLASSIFIER.stem).path
    beside = made.with_suffix(".txt")
    if not beside.exists():
        names = json.loads(CLASSIFIER.with_suffix(".json").read_text(encoding="utf-8"))["classes"]
        with artifacts.atomic_path(beside) as temporary:
            temporary.write_text("\n".join(names), encoding="utf-8")
    return made


def _analyser(
    session: Session, path: Path, labels: Path | None, least_score: float, region: str, about: str
) -> Analyser:
    shapes = [tuple(spec.shape) for spec in session.outputs]
    spec = session.inputs[0]
    if len(session.inputs) != 1 or len(spec.shape) != 4 or spec.shape[0] != 1 or spec.shape[3] != 3:
        raise InputError(
            tr("The model takes {spec}.", spec=spec),
            why=tr("the application looks at one RGB picture at a time"),
            fix=tr("use a model with one input [1, height, width, 3]"),
        )
    if len(shapes) == 1:
        count = int(np.prod(shapes[0]))
        names = names_of(path, labels) or _numbered(count)
        if len(names) != count:
            raise InputError(
                tr("{count} class names for {outputs} outputs.", count=len(names), outputs=count),
                fix=tr("give [model] labels the names that the model was trained with, in that order"),
            )
        return OneThing(session, names, least_score, region, about)
    depths = [shape[3] for shape in shapes if len(shape) == 4]
    is_maps = len(depths) == 2 and 4 in depths
    count = depths[1 - depths.index(4)] if is_maps else SSD_CLASSES
    return Objects(session, names_of(path, labels) or _numbered(count), least_score, about)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def names_of(model: Path, labels: Path | None) -> tuple[str, ...]:
    """Class names from a file of labels, or from what lies beside a model; none where nothing does.

    Beside `NAME-int8.tflite` these are `NAME-int8.txt`, `NAME-int8.json`, `NAME.txt` and `NAME.json`.

    Raises:
        InputError: the file cannot be read.
    """
    family = model.stem.rpartition("-")[0] or model.stem  # of NAME-int8.tflite
    beside = [model.with_name(f"{stem}{end}") for stem in (model.stem, family) for end in (".txt", ".json")]
    path = labels or next((one for one in beside if one.is_file()), None)
    if path is None:
        return ()
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            about = json.loads(text)
            known = [key for key in ("classes", "names") if key in about]
            if labels is None and not known:  # a record of something else
                return ()
            return tuple(str(name) for name in about[known[0]])[:MOST_NAMES]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            tr("The labels {path} cannot be read.", path=path),
            why=str(error),
            fix=tr("write one class per line into a text file in UTF-8"),
        ) from error
    names = [line.strip() for line in text.splitlines()]
    while names and not names[-1]:
        names.pop()
    return tuple(names[:MOST_NAMES])


class Reopening:
    """An analyser that is opened anew after it has failed, as when a USB accelerator was unplugged.

    Args:
        open_: opens it; called at once, so that a wrong model is told at the start.
    """

    def __init__(self, open_: Callable[[], Analyser]) -> None:
        self._open = open_
        self._analyser: Analyser | None = open_()
        self.names, self.about = self._analyser.names, self._analyser.about

    def detect(self, frame: Frame) -> Detections:
        """As the analyser's; its errors come through, and the next call opens it again."""
        if self._analyser is None:
            self._analyser = self._open()
        try:
            return self._analyser.detect(frame)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Free the model."""
        analyser, self._analyser = self._analyser, None
        if analyser is not None:
            try:
                analyser.close()
            except (EdgelabError, OSError):  # it is gone: the device was unplugged
                return
