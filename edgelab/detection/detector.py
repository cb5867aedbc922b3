"""A session of a detector, made into one function: a frame in, boxes out.

Two kinds of outputs are read: the two maps of `edgelab.detection.network`, and the four arrays of an
SSD-style `.tflite` whose last operator is TFLite_Detection_PostProcess.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from edgelab.detection.boxes import Detections, non_maximum_suppression
from edgelab.errors import InputError
from edgelab.texts import tr

if TYPE_CHECKING:
    from edgelab.runtime import Session, TensorSpec

MOST_PEAKS = 50  # looked at in one frame


class Prepared(NamedTuple):
    """A frame at the model's size and type, and what leads back from there."""

    tensor: np.ndarray
    size: tuple[int, int]  # width and height of the frame


def peaks(heat: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cells that have a higher score than their eight neighbours, in each class alone.

    Args:
        heat: scores `[rows, columns, classes]`.
        threshold: scores below it are left out.

    Returns:
        Rows, columns, classes and scores, highest score first, at most `MOST_PEAKS`.
    """
    window = np.ones((3, 3), np.uint8)
    around = np.dstack([cv2.dilate(np.ascontiguousarray(part), window) for part in np.moveaxis(heat, 2, 0)])
    rows, columns, labels = np.nonzero((heat >= around) & (heat >= threshold))
    scores = heat[rows, columns, labels]
    order = np.argsort(-scores, kind="stable")[:MOST_PEAKS]
    return rows[order], columns[order], labels[order], scores[order]


def decode(logits: np.ndarray, distances: np.ndarray, threshold: float, iou_above: float = 0.6) -> Detections:
    """Maps to boxes: sigmoid, peaks, edges around the middle of the cell, suppression of doubles.

    Args:
        logits: `[rows, columns, classes]`.
        distances: `[rows, columns, 4]`, in cells.
        threshold: lowest score.
        iou_above: overlap at which the lower of two is a double.

    Returns:
        Boxes in cells.
    """
    # Nearly all cells lie below the threshold: only theirs that do not need an exponential.
    scores = np.zeros(logits.shape, np.float32)
    likely = logits >= np.log(threshold / (1 - threshold)) - 1e-6
    scores[likely] = 1 / (1 + np.exp(-logits[likely]))
    rows, columns, labels, found = peaks(scores, threshold)
    left, up, right, down = distances[rows, columns].T
    x, y = columns + 0.5, rows + 0.5
    boxes = np.stack([x - left, y - up, x + right, y + down], axis=1)
    return non_maximum_suppression(Detections(boxes, found, labels), iou_above)


def pixel_codes(spec: TensorSpec) -> np.ndarray:
    """The value that stands for each of the 256 values of a pixel, `[256]` of the input's type.

    A uint8 input takes pixels as they are, whatever its scale says of the numbers behind it. An int8 input
    takes them shifted by 128, where its scale spans less than a hundred; that of others is asked.
    """
    pixels = np.arange(256)
    if spec.dtype == np.uint8:
        return pixels.astype(np.uint8)
    if spec.dtype == np.int8 and 255 * spec.scale < 100:
        return (pixels - 128).astype(np.int8)
    return spec.quantize(pixels)


class Detector:
    """Finds objects in frames of any size.

    Args:
        session: an opened model with one picture as input, `[1, height, width, 3]`, RGB pixels 0 to 255.
        names: of the classes, in the order of the model.
        threshold: lowest score that is told, above 0 and below 1.
        iou_above: overlap at which the lower of two boxes is a double.

    Raises:
        InputError: the outputs are of neither kind, the names do not fit, or the threshold is out of range.
    """

    def __init__(
        self, session: Session, names: Sequence[str], threshold: float = 0.3, iou_above: float = 0.6
    ) -> None:
        if not 0 < threshold < 1:
            raise InputError(
                tr("The threshold is {threshold}.", threshold=threshold),
                fix=tr("give one between 0 and 1"),
            )
        spec = session.inputs[0]
        if len(session.inputs) != 1 or len(spec.shape) != 4 or spec.shape[3] != 3:
            raise InputError(
                tr("The model takes {spec}.", spec=spec),
                why=tr("a detector looks at one RGB picture"),
                fix=tr("use a model with input [1, height, width, 3]"),
            )
        self.names, self.threshold, self.iou_above = tuple(names), threshold, iou_above
        self._session, self._size = session, (spec.shape[2], spec.shape[1])
        self._codes = pixel_codes(spec)  # exact, and faster than to divide each pixel
        if maps := _maps(session, len(self.names)):
            self._heat, self._box = maps
            self._found = self._from_maps
        elif ends := _post_processed(session):
            self._ends = ends
            self._found = self._from_post_process
        else:
            raise InputError(
                tr(
                    "The outputs of the model are not those of a known detector: {outputs}.",
                    outputs="; ".join(str(list(spec.shape)) for spec in session.outputs),
                ),
                why=tr(
                    "expected are maps of {count} classes and of 4 distances, or the four arrays of an SSD",
                    count=len(self.names),
                ),
                fix=tr("give as many names as the model has classes"),
            )

    def detect(self, frame: np.ndarray) -> Detections:
        """What is in a frame.

        Args:
            frame: uint8 `[height, width, 3]`, RGB, of any size.

        Returns:
            Boxes in pixels of this frame, highest score first.
        """
        return self.infer(self.prepare(frame))

    def prepare(self, frame: np.ndarray) -> Prepared:
        """The first half of `detect`, for a thread of its own: the frame at the model's size and type."""
        height, width = frame.shape[:2]
        if (width, height) != self._size:
            way = cv2.INTER_AREA if width > self._size[0] else cv2.INTER_LINEAR
            frame = cv2.resize(frame, self._size, interpolation=way)
        return Prepared(self._codes[frame][np.newaxis], (width, height))

    def infer(self, prepared: Prepared) -> Detections:
        """The second half: the model, and boxes from its outputs."""
        outputs = self._session.run(prepared.tensor)
        found = self._found(outputs)
        width, height = prepared.size
        scale = np.array([width, height, width, height], np.float32)
        boxes = np.clip(found.boxes * scale, 0, scale)
        return Detections(boxes, found.scores, found.labels)

    def _from_maps(self, outputs: Sequence[np.ndarray]) -> Detections:
        heat, box = (
            self._session.outputs[number].dequantize(outputs[number][0]) for number in (self._heat, self._box)
        )
        found = decode(heat, box, self.threshold, self.iou_above)
        rows, columns = heat.shape[:2]
        return Detections(found.boxes / np.array([columns, rows] * 2), found.scores, found.labels)

    def _from_post_process(self, outputs: Sequence[np.ndarray]) -> Detections:
        boxes, labels, scores, count = (
            self._session.outputs[number].dequantize(outputs[number]) for number in self._ends
        )
        count = int(count.ravel()[0])
        boxes, labels, scores = boxes.reshape(-1, 4), labels.ravel(), scores.ravel()
        keep = (np.arange(len(scores)) < count) & (scores >= self.threshold)
        keep &= labels < len(self.names)
        found = Detections(boxes[keep][:, [1, 0, 3, 2]], scores[keep], labels[keep])
        return non_maximum_suppression(found, self.iou_above)


def _maps(session: Session, class_count: int) -> tuple[int, int] | None:
    """Numbers of the outputs with the heat and with the boxes; None where there are no such two."""
    shapes = [spec.shape for spec in session.outputs]
    if len(shapes) != 2 or any(len(shape) != 4 for shape in shapes) or shapes[0][:3] != shapes[1][:3]:
        return None
    depths = [shape[3] for shape in shapes]
    if sorted(depths) != sorted((class_count, 4)):
        return None
    if class_count == 4:  # told apart by what they are called, else by their order
        heat = next((n for n, spec in enumerate(session.outputs) if "heat" in spec.name), 0)
        return heat, 1 - heat
    return depths.index(class_count), depths.index(4)


def _post_processed(session: Session) -> tuple[int, int, int, int] | None:
    """Numbers of boxes, classes, scores and count, which the operator always gives in this order."""
    shapes = [spec.shape for spec in session.outputs]
    if len(shapes) != 4:
        return None
    box = [number for number, shape in enumerate(shapes) if len(shape) == 3 and shape[2] == 4]
    count = [number for number, shape in enumerate(shapes) if int(np.prod(shape)) == 1]
    if not box and all(len(shape) in (0, 1) for shape in shapes):  # a file that does not tell its shapes
        return 0, 1, 2, 3
    if len(box) != 1 or len(count) != 1:
        return None
    classes, scores = (number for number in range(4) if number not in (box[0], count[0]))
    return box[0], classes, scores, count[0]
