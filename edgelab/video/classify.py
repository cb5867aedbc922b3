"""From a frame to a class: which part of the picture, at what size, and what the model says about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgelab.errors import InputError
from edgelab.runtime import Session
from edgelab.texts import tr
from edgelab.video.sources import Frame

Region = tuple[float, float, float, float]  # left, top, right, bottom in pixels
MOTION_WIDTH = 320
MOVING_FRACTION = (0.002, 0.6)  # of the picture: less is noise, more is a cut or a change of light


@dataclass(frozen=True)
class Prediction:
    """What the model sees.

    Attributes:
        class_index: the most probable class.
        label: its name.
        confidence: its probability, 0 to 1.
        box: the part of the frame that was classified; None for all of it.
    """

    class_index: int
    label: str
    confidence: float
    box: Region | None = None


@dataclass(frozen=True)
class Prepared:
    """What the model takes, and where in the frame it was cut from."""

    tensor: np.ndarray
    box: Region | None


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at another size, smoothly.

    Shrinking averages the area that each new pixel covers; picking single pixels instead would let fine
    structure flicker. Enlarging interpolates linearly.

    Args:
        image: uint8 `[H, W, 3]`.
        size: new width and height.

    Returns:
        uint8 `[height, width, 3]`.
    """
    shrinks = size[0] < image.shape[1] and size[1] < image.shape[0]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def square_crop(image: np.ndarray, box: Region | None = None, margin: float = 0.0) -> np.ndarray:
    """A square around a box, shifted inside the picture, so that nothing is stretched.

    Args:
        image: uint8 `[H, W, 3]`.
        box: left, top, right, bottom in pixels; None for the largest square in the middle.
        margin: what to leave around the box, as a fraction of its longer side.

    Returns:
        uint8 `[S, S, 3]`: a view into `image`. The side is at most the picture's shorter one.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box or (0.0, 0.0, float(width), float(height))
    longest = max(right - left, bottom - top) if box else min(width, height)
    side = int(np.clip(round(longest * (1 + 2 * margin)), 1, min(width, height)))
    x = int(np.clip(round((left + right - side) / 2), 0, width - side))
    y = int(np.clip(round((top + bottom - side) / 2), 0, height - side))
    return image[y : y + side, x : x + side]


def largest_box(frame: Frame) -> Region | None:
    """The largest of the boxes that the source knows; None where it knows none."""
    edges = [(box.left, box.top, box.right, box.bottom) for box in frame.boxes or ()]
    return max(edges, key=lambda e: (e[2] - e[0]) * (e[3] - e[1]), default=None)


class MovingRegion:
    """The largest thing that moves before a still background, for a camera that knows no boxes.

    A mixture of Gaussians models the colour of each background pixel (Zivkovic 2004, MOG2); what does not
    fit is foreground. Works on a picture shrunk to `MOTION_WIDTH`, since the time grows with the pixels.
    Keeps state: use one for each stream.
    """

    def __init__(self) -> None:
        self._background = cv2.createBackgroundSubtractorMOG2(history=200, detectShadows=False)
        self._kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

    def __call__(self, frame: Frame) -> Region | None:
        """Left, top, right, bottom of the largest moving thing; None when all is still, or all changes."""
        height, width = frame.image.shape[:2]
        scale = max(width / MOTION_WIDTH, 1.0)
        image = frame.image if scale == 1.0 else resize(frame.image, (MOTION_WIDTH, round(height / scale)))
        mask = self._background.apply(image)
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._kernel)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._kernel, iterations=3)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        if count < 2:  # the first is the background
            return None
        left, top, width, height, area = max(stats[1:], key=lambda row: row[cv2.CC_STAT_AREA])
        if not MOVING_FRACTION[0] < area / mask.size < MOVING_FRACTION[1]:
            return None
        return scale * left, scale * top, scale * (left + width), scale * (top + height)


class Classifier:
    """Preprocess and infer for an image classifier: the two functions that `run` wants.

    Args:
        session: a model with one image input `[1, H, W, 3]` that takes raw pixels.
        class_names: one for each output.
        region: finds the part of a frame to classify; None for the square in its middle.
        margin: what to leave around that part, as a fraction of its longer side; 0.2 suits models trained on
            pictures with the object in the middle and some ground around it.

    Raises:
        InputError: the model's input or output has another shape.
    """

    def __init__(
        self,
        session: Session,
        class_names: Sequence[str],
        region: Callable[[Frame], Region | None] | None = None,
        margin: float = 0.2,
    ) -> None:
        spec = session.inputs[0]
        if len(spec.shape) != 4 or spec.shape[0] != 1 or spec.shape[3] != 3:
            raise InputError(
                tr("The model takes {spec}.", spec=spec),
                why=tr("a video is classified one RGB picture at a time"),
                fix=tr("use a model with input [1, height, width, 3]"),
            )
        if session.outputs[0].shape[-1] != len(class_names):
            raise InputError(
                tr(
                    "{count} class names for {outputs} outputs.",
                    count=len(class_names),
                    outputs=session.outputs[0].shape[-1],
                ),
                fix=tr("pass the names of the dataset that the model was trained on"),
            )
        self._session, self._class_names = session, tuple(class_names)
        self._region, self._margin = region, margin
        # A pixel has 256 values: quantizing those once and looking them up is exact and fast.
        self._codes = spec.quantize(np.arange(256))
        self._size = (spec.shape[2], spec.shape[1])

    def preprocess(self, frame: Frame) -> Prepared:
        """Cut out the region, bring it to the model's size and type."""
        box = self._region(frame) if self._region else None
        image = resize(square_crop(frame.image, box, self._margin if box else 0.0), self._size)
        return Prepared(self._codes[image][np.newaxis], box)

    def infer(self, prepared: Prepared) -> Prediction:
        """Run the model; the confidence is the dequantized probability, not the raw integer."""
        output = self._session.run(prepared.tensor)[0][0]
        probabilities = self._session.outputs[0].dequantize(output)
        index = int(np.argmax(probabilities))
        return Prediction(index, self._class_names[index], float(probabilities[index]), prepared.box)
