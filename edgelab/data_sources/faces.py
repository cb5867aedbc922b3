"""Faces of cats, dogs and rabbits, drawn as the ten shapes are: a task for which pictures are few.

Backgrounds, light, blur and noise are those of `shapes`; ears, nose and head differ from picture to picture,
so that a few of them do not show all there is. The same call gives the same pixels on every platform.
"""

from __future__ import annotations

import numpy as np
from tqdm.auto import tqdm

from edgelab.data_sources import shapes
from edgelab.data_sources.shapes import CHUNK_IMAGES, circle, rotated, uniform
from edgelab.errors import InputError
from edgelab.texts import tr

FACE_CLASSES = ("cat", "dog", "rabbit")
STREAM_PART = 17  # no random number is shared with the shapes of the same seed
RADIUS_RANGE = (0.5, 0.8)  # of a face, as a fraction of half a picture
CENTRE_RANGE = 0.22
ROTATION_RANGE = (-0.55, 0.55)  # radians

_POINTED_EAR = np.array([(-0.26, 0.3), (0.0, -0.42), (0.26, 0.3)])


def _ellipse(x: np.ndarray, y: np.ndarray, half_width, half_height) -> np.ndarray:
    """Nearly the distance to an ellipse around the origin: exact where it is zero."""
    return (np.sqrt((x / half_width) ** 2 + (y / half_height) ** 2) - 1.0) * np.minimum(
        half_width, half_height
    )


def _ear(kind: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distance to the right ear; the left one is its mirror image. Tilt and size differ per picture."""
    count = len(x)
    size, tilt = uniform(rng, 0.8, 1.25, count, 1, 1), uniform(rng, -0.3, 0.3, count, 1, 1)
    if kind == "cat":  # upright and pointed
        u, v = rotated(x - 0.42, y + 0.62, 0.35 + tilt)
        return shapes.polygon(u / size, v / size, _POINTED_EAR) * size
    if kind == "dog":  # hanging beside the head
        u, v = rotated(x - 0.66, y + 0.02, -0.3 + tilt)
        return _ellipse(u, v, 0.22 * size, 0.55 * size)
    u, v = rotated(x - 0.3, y + 0.85, 0.2 + tilt)  # rabbit: upright, long, round at the end
    return _ellipse(u, v, 0.15 * size, 0.5 * size)


def distance(kind: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nearly the signed distance to faces of one kind, upright, around the origin; eyes and nose are holes.

    Args:
        kind: one of `FACE_CLASSES`.
        x: float64 `[N, H, W]`, in units of the face's radius.
        y: like `x`, downwards.
        rng: of what differs from face to face.

    Returns:
        float64 `[N, H, W]`, negative inside.
    """
    count, side = len(x), np.abs(x)
    wide, high = uniform(rng, 0.56, 0.74, count, 1, 1), uniform(rng, 0.56, 0.74, count, 1, 1)
    face = np.minimum(_ellipse(x, y - 0.12, wide, high), _ear(kind, side, y, rng))
    apart, eye = uniform(rng, 0.22, 0.32, count, 1, 1), uniform(rng, 0.07, 0.13, count, 1, 1)
    nose = uniform(rng, 0.08, 0.17, count, 1, 1)  # any kind may have any: the ears tell
    holes = np.minimum(circle(side - apart, y, 0.0) - eye, circle(x, y - 0.38, 0.0) - nose)
    return np.maximum(face, -holes)


def _draw_chunk(
    rng: np.random.Generator, kinds: tuple[str, ...], image_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """`CHUNK_IMAGES` pictures and labels, the kinds mixed and nearly equally many."""
    count = CHUNK_IMAGES
    labels = rng.permutation(np.arange(count) % len(kinds))
    background = uniform(rng, 0, 255, count, 3)
    canvas = shapes._add_clutter(rng, shapes.textured_background(rng, background, image_size, image_size))

    radius = uniform(rng, *RADIUS_RANGE, count, 1, 1)
    centre_x, centre_y = (uniform(rng, -CENTRE_RANGE, CENTRE_RANGE, count, 1, 1) for _ in range(2))
    x, y = shapes.pixel_grid(image_size, image_size)
    angle = uniform(rng, *ROTATION_RANGE, count, 1, 1)
    x, y = rotated((x - centre_x) / radius, (y - centre_y) / radius, angle)
    gap = np.empty(x.shape)
    for index, kind in enumerate(kinds):
        chosen = labels == index
        gap[chosen] = distance(kind, x[chosen], y[chosen], rng)
    fur = shapes.textured_background(rng, shapes.contrasting(rng, background), image_size, image_size)
    canvas = shapes._blend(canvas, fur, shapes.coverage(gap * radius * image_size / 2))

    canvas *= shapes._lighting(rng, count, image_size)
    canvas = shapes._blurred(canvas, uniform(rng, *shapes.BLUR_RANGE, count, 1, 1, 1))
    canvas += uniform(rng, *shapes.NOISE_RANGE, count, 1, 1, 1) * shapes.sensor_noise(rng, *canvas.shape)
    return shapes.to_pixels(canvas), labels.astype(np.int64)


def draw_faces(
    count: int,
    *,
    kinds: tuple[str, ...] = ("cat", "dog"),
    seed: int = 0,
    image_size: int = 32,
    stream: str = "train",
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures of one face each; a longer draw begins with the pictures of a shorter one.

    Args:
        count: pictures.
        kinds: some of `FACE_CLASSES`.
        seed: 0 or more.
        image_size: pixels on a side, 8 to 512.
        stream: "train" or "test"; two streams share no picture.

    Returns:
        Images uint8 `[count, image_size, image_size, 3]` RGB, and labels int64 `[count]`, indices of `kinds`.

    Raises:
        InputError: a count below 1, a size out of range, an unknown kind or stream, a negative seed.
    """
    known = set(kinds) <= set(FACE_CLASSES) and stream in shapes.STREAMS
    if count < 1 or not 8 <= image_size <= 512 or not kinds or not known:
        raise InputError(
            tr(
                "Cannot draw {count} faces of {image_size} pixels: {kinds}, for {stream!r}.",
                count=count,
                image_size=image_size,
                kinds=", ".join(kinds),
                stream=stream,
            ),
            why=tr(
                "at least one picture of 8 to 512 pixels, of {known}, and a stream of {streams}",
                known=", ".join(FACE_CLASSES),
                streams=", ".join(shapes.STREAMS),
            ),
            fix=tr("change the argument that is out of range"),
        )
    parts = [STREAM_PART, *(FACE_CLASSES.index(kind) for kind in kinds)]
    chunks = []
    for number in tqdm(range(-(-count // CHUNK_IMAGES)), desc="drawing faces", delay=1, leave=False):
        chunks.append(_draw_chunk(shapes.generator(seed, stream, *parts, number), tuple(kinds), image_size))
    return tuple(np.concatenate(arrays)[:count] for arrays in zip(*chunks, strict=True))
