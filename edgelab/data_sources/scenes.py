"""Moving scenes of the ten shapes with exact boxes: video for machines without a camera or a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgelab.data_sources import shapes
from edgelab.errors import DataError, InputError, StorageError
from edgelab.machine import artifacts, quiet
from edgelab.texts import tr

OBJECT_COUNT = 4
RADIUS_PX = (20.0, 34.0)  # for a scene 240 pixels high; scaled with the height
SPEED_PX = (1.0, 3.5)  # pixels per frame, likewise
SPIN = 0.02  # radians per frame at most
NOISE = 4.0
CODECS = ((".mp4", "mp4v"), (".avi", "MJPG"))


@dataclass(frozen=True)
class Box:
    """Where an object is: the smallest rectangle around its pixels, whether or not another object hides it.

    Attributes:
        class_index: index of `shapes.SHAPE_CLASSES`.
        left: pixels from the left edge of the frame.
        top: pixels from the upper edge.
        right: first column after the object.
        bottom: first row after the object.
    """

    class_index: int
    left: float
    top: float
    right: float
    bottom: float


@dataclass
class _Body:
    """One object on its way: position and velocity in pixels, rotation in radians."""

    class_index: int
    position: np.ndarray
    velocity: np.ndarray
    radius: float
    angle: float
    spin: float
    surface: np.ndarray

    def advance(self, width: int, height: int) -> None:
        """One frame further; at an edge the velocity is mirrored."""
        self.position = self.position + self.velocity
        reach = 1.15 * self.radius
        high = np.array([width, height]) - reach
        self.velocity = np.where(self.position < reach, np.abs(self.velocity), self.velocity)
        self.velocity = np.where(self.position > high, -np.abs(self.velocity), self.velocity)
        self.position = np.clip(self.position, reach, high)
        if abs(self.angle + self.spin) > shapes.ROTATION_RANGE[1]:
            self.spin = -self.spin
        self.angle += self.spin

    def paint(self, canvas: np.ndarray) -> Box:
        """Draw onto `canvas` float64 `[H, W, 3]`; only the window around the object is computed."""
        height, width = canvas.shape[:2]
        reach = int(np.ceil(1.2 * self.radius))
        left, top = (max(0, int(value) - reach) for value in self.position)
        right, bottom = min(width, left + 2 * reach + 1), min(height, top + 2 * reach + 1)
        x = (np.arange(left, right)[None, :] + 0.5 - self.position[0]) / self.radius
        y = (np.arange(top, bottom)[:, None] + 0.5 - self.position[1]) / self.radius
        gap = shapes.distance(shapes.SHAPE_CLASSES[self.class_index], *shapes.rotated(x, y, self.angle))
        cover = shapes.coverage(gap * self.radius)
        window = canvas[top:bottom, left:right]
        window += cover[..., None] * (self.surface[: window.shape[0], : window.shape[1]] - window)
        rows, columns = np.flatnonzero((cover >= 0.5).any(axis=1)), np.flatnonzero((cover >= 0.5).any(axis=0))
        return Box(
            self.class_index,
            float(left + columns[0]),
            float(top + rows[0]),
            float(left + columns[-1] + 1),
            float(top + rows[-1] + 1),
        )


def _bodies(rng: np.random.Generator, background: np.ndarray, width: int, height: int) -> list[_Body]:
    scale = height / 240
    classes = rng.random(len(shapes.SHAPE_CLASSES)).argsort(kind="stable")[:OBJECT_COUNT]
    bodies = []
    for class_index in classes:
        radius = scale * float(shapes.uniform(rng, *RADIUS_PX))
        direction, speed = shapes.uniform(rng, 0.15, np.pi / 2 - 0.15), scale * shapes.uniform(rng, *SPEED_PX)
        towards = np.where(rng.random(2) < 0.5, -1.0, 1.0)
        side = 2 * int(np.ceil(1.2 * radius)) + 1
        surface = shapes.textured_background(rng, shapes.contrasting(rng, background), side, side)[0]
        bodies.append(
            _Body(
                class_index=int(class_index),
                position=1.15 * radius + rng.random(2) * (np.array([width, height]) - 2.3 * radius),
                velocity=speed * towards * np.array([np.cos(direction), np.sin(direction)]),
                radius=radius,
                angle=float(shapes.uniform(rng, *shapes.ROTATION_RANGE)),
                spin=float(shapes.uniform(rng, -SPIN, SPIN)),
                surface=surface,
            )
        )
    return bodies


def scenes(
    frame_count: int, *, seed: int = 0, size: tuple[int, int] = (320, 240)
) -> Iterator[tuple[np.ndarray, tuple[Box, ...]]]:
    """Frames of several shapes gliding over a textured background and bouncing off its edges.

    Args:
        frame_count: frames to make.
        seed: 0 or more; the same seed gives the same frames on every platform.
        size: width and height in pixels, even numbers of at least 96.

    Yields:
        A frame uint8 `[H, W, 3]` RGB and one exact box per object, the last drawn (topmost) last.

    Raises:
        InputError: a size or count out of range.
    """
    width, height = size
    if frame_count < 1 or min(size) < 96 or width % 2 or height % 2:
        raise InputError(
            tr(
                "Cannot make {frame_count} frames of {width}x{height} pixels.",
                frame_count=frame_count,
                width=width,
                height=height,
            ),
            why=tr("at least one frame is needed, and even sides of 96 pixels or more (codecs want even)"),
            fix=tr("use size=(320, 240)"),
        )
    return _frames(frame_count, seed, width, height)


def _frames(
    frame_count: int, seed: int, width: int, height: int
) -> Iterator[tuple[np.ndarray, tuple[Box, ...]]]:
    rng = shapes.generator(seed, "scene")
    colour = shapes.uniform(rng, 40, 215, 1, 3)
    background = shapes.textured_background(rng, colour, width, height)[0]
    bodies = _bodies(rng, colour, width, height)
    # One sheet of noise, shown from a random corner each time, costs a copy instead of a new draw.
    noise = NOISE * shapes.sensor_noise(rng, height + 16, width + 16, 3)
    for _ in range(frame_count):
        canvas = background.copy()
        boxes = tuple(body.paint(canvas) for body in bodies)
        row, column = rng.integers(0, 16, 2)
        canvas += noise[row : row + height, column : column + width]
        yield shapes.to_pixels(canvas), boxes
        for body in bodies:
            body.advance(width, height)


def write_scene_video(
    path: Path | str,
    frame_count: int = 300,
    *,
    fps: float = 30.0,
    seed: int = 0,
    size: tuple[int, int] = (320, 240),
) -> Path:
    """Write a scene as a real video file, and its exact boxes as JSON beside it.

    Both files appear whole or not at all. Without an MP4 codec, Motion JPEG in an `.avi` is written.

    Args:
        path: wanted video file; its suffix gives way to that of the codec found.
        frame_count: frames.
        fps: frames per second.
        seed: of the scene.
        size: width and height in pixels.

    Returns:
        The video's path. The boxes are in the same name with `.json`: `fps`, `size`, `classes`, and `frames`,
        a list of boxes per frame.

    Raises:
        DataError: no codec can write video here.
        InputError: a size or count out of range.
        StorageError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    for suffix, codec in sorted(CODECS, key=lambda codec: codec[0] != path.suffix):
        video = path.with_suffix(suffix)
        try:
            with artifacts.atomic_path(video) as temporary:
                boxes = _encode(temporary, codec, fps, size, scenes(frame_count, seed=seed, size=size))
                record = {"fps": fps, "size": size, "classes": shapes.SHAPE_CLASSES, "frames": boxes}
                with artifacts.atomic_path(video.with_suffix(".json")) as temporary_json:
                    temporary_json.write_text(json.dumps(record))
            return video
        except _NoCodecError:
            continue
    raise DataError(
        tr("No video can be written here."),
        why=tr("OpenCV has none of the codecs {codecs}", codecs=", ".join(codec for _, codec in CODECS)),
        fix=tr("reinstall opencv-python-headless from its wheel"),
    )


class _NoCodecError(Exception):
    pass


def _encode(path: Path, codec: str, fps: float, size: tuple[int, int], frames: Iterator) -> list[list[dict]]:
    """Write all frames; returns the boxes of each as JSON values."""
    import cv2

    with quiet.native_stderr():  # FFmpeg reports a missing codec there, and we try the next
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
    if not writer.isOpened():
        raise _NoCodecError
    boxes = []
    try:
        for frame, frame_boxes in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            boxes.append([asdict(box) for box in frame_boxes])
    finally:
        writer.release()
    # The writer keeps silent when the disk is full, so the file is opened again and its frames are counted.
    reader = cv2.VideoCapture(str(path))
    written = int(reader.get(cv2.CAP_PROP_FRAME_COUNT))
    reader.release()
    if written != len(boxes):
        raise StorageError(
            tr(
                "Only {written} of {count} frames of {path} could be written.",
                written=written,
                count=len(boxes),
                path=path.name,
            ),
            why=tr("the disk is full or was removed"),
            fix=tr("free some space, or choose another folder"),
        )
    return boxes
