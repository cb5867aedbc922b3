"""Pictures of ten shapes, drawn by arithmetic alone, so that every machine draws the same ones.

A shape is a signed distance function: negative inside, positive outside. Whole batches are evaluated at once
in float64 and rounded at the very end, and all randomness comes from PCG64, so neither the platform nor an
image library decides a pixel. Coordinates run from -1 to 1 across a picture, y downwards.
"""

from __future__ import annotations

import numpy as np
from tqdm.auto import tqdm

from edgelab.errors import InputError
from edgelab.texts import tr

SHAPE_CLASSES = (
    "circle",
    "ring",
    "square",
    "triangle",
    "star",
    "cross",
    "crescent",
    "hexagon",
    "arrow",
    "heart",
)
STREAMS = ("train", "test", "scene")  # independent random streams of one seed
CHUNK_IMAGES = 250  # drawn together: enough to vectorise, small enough to stay in the processor's cache

# How hard the pictures are: lengths as fractions of half a picture, colours in grey levels (0 to 255). Chosen
# so that MobileNetV2 0.35 reaches about 93 % in eight epochs of 6,000 pictures: damage to a model shows.
RADIUS_RANGE = (0.48, 0.8)
CENTRE_RANGE = 0.2
ROTATION_RANGE = (-0.5, 0.5)  # radians
CONTRAST_RANGE = (80.0, 175.0)
TEXTURE_RANGE = (4.0, 26.0)
NOISE_RANGE = (2.0, 13.0)
LIGHTING_RANGE = (0.0, 0.35)
BLUR_RANGE = (0.0, 0.2)
CLUTTER_STROKES = 3


def generator(seed: int, stream: str, *parts: int) -> np.random.Generator:
    """A PCG64 generator for one part of one stream; different parts never share random numbers.

    Raises:
        InputError: a negative seed.
    """
    if seed < 0:
        raise InputError(
            tr("The seed is {seed}.", seed=seed), why=tr("seeds count from 0"), fix=tr("use 0, 1, 2, …")
        )
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, STREAMS.index(stream), *parts])))


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> np.ndarray:
    """Float64 values from `low` to `high`."""
    return low + (high - low) * rng.random(shape)


def circle(x: np.ndarray, y: np.ndarray, radius: float = 1.0) -> np.ndarray:
    """Distance to a circle around the origin."""
    return np.sqrt(x * x + y * y) - radius


def polygon(x: np.ndarray, y: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Distance to a simple polygon, corners `[K, 2]` in order.

    The nearest edge gives the distance, the parity of edges crossed by a horizontal ray gives the sign
    (Inigo Quilez, "2D distance functions").
    """
    squared = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, 1, axis=0), strict=True):
        edge_x, edge_y, from_x, from_y = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((from_x * edge_x + from_y * edge_y) / (edge_x**2 + edge_y**2), 0.0, 1.0)
        squared = np.minimum(squared, (from_x - edge_x * along) ** 2 + (from_y - edge_y * along) ** 2)
        crosses = (y >= ay) != (y >= by)
        is_left = (edge_x * from_y > edge_y * from_x) == (by > ay)
        inside ^= crosses & is_left
    return np.where(inside, -1.0, 1.0) * np.sqrt(squared)


def _star_corners(points: int, inner: float) -> np.ndarray:
    """Corners of a star; `inner` = 1 makes a regular polygon of twice as many corners."""
    angles = np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A square standing on its corner, with a half circle on each upper side."""
    half = 0.55
    side = half * np.sqrt(2.0)
    square = (np.abs(x) + np.abs(y - 0.15) - side) / np.sqrt(2.0)
    lobes = circle(np.abs(x) - side / 2, y - 0.15 + side / 2, half)
    return np.minimum(square, lobes)


_ARROW = [(1, 0), (0.1, 0.8), (0.1, 0.3), (-0.9, 0.3), (-0.9, -0.3), (0.1, -0.3), (0.1, -0.8)]
_CROSS = [(0.3, 1), (0.3, 0.3), (1, 0.3), (1, -0.3), (0.3, -0.3), (0.3, -1)]
_CORNERS = {
    "square": 0.95 * _star_corners(2, 1.0),
    "triangle": 1.1 * _star_corners(3, 0.5),
    "star": 1.1 * _star_corners(5, 0.45),
    "cross": np.array(_CROSS + [(-x, -y) for x, y in _CROSS]),
    "hexagon": _star_corners(3, 1.0),
    "arrow": np.array(_ARROW),
}


def distance(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance to the named shape of radius about 1, upright, around the origin.

    Args:
        name: one of `SHAPE_CLASSES`.
        x: float64, any shape, in units of the shape's radius.
        y: the same shape as `x`, downwards.

    Returns:
        float64 like `x`, negative inside.
    """
    if name == "circle":
        return circle(x, y, 0.92)
    if name == "ring":
        return np.abs(circle(x, y, 0.74)) - 0.22
    if name == "crescent":
        return np.maximum(circle(x, y), -circle(x - 0.5, y, 0.8))
    if name == "heart":
        return _heart(x, y)
    return polygon(x, y, _CORNERS[name])


def rotated(x: np.ndarray, y: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates as seen by something turned by `angle` radians."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def pixel_grid(width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres of all pixels, x `[1, W]` and y `[H, 1]`; the shorter side runs from -1 to 1."""
    half = min(width, height) / 2
    columns, rows = np.arange(width)[None, :], np.arange(height)[:, None]
    return (columns + 0.5 - width / 2) / half, (rows + 0.5 - height / 2) / half


def coverage(distance_px: np.ndarray) -> np.ndarray:
    """How much of a pixel lies inside, 0 to 1, from the distance of its centre in pixels."""
    return np.clip(0.5 - distance_px, 0.0, 1.0)


def textured_background(rng: np.random.Generator, colours: np.ndarray, width: int, height: int) -> np.ndarray:
    """Soft colour clouds and two plane waves over a base colour.

    Args:
        rng: random numbers.
        colours: base colours `[N, 3]`, 0 to 255.
        width: pixels.
        height: pixels.

    Returns:
        float64 `[N, height, width, 3]`, about 0 to 255, not clipped.
    """
    count, cells = len(colours), 5
    strength = uniform(rng, *TEXTURE_RANGE, count, 1, 1, 1)
    clouds = uniform(rng, -1.0, 1.0, count, cells + 1, cells + 1, 3)
    rows, columns = (_interpolation(size, cells) for size in (height, width))
    clouds = np.einsum("hi,nijc->nhjc", rows, clouds)
    clouds = np.einsum("wj,nhjc->nhwc", columns, clouds)
    x, y = pixel_grid(width, height)
    waves = np.zeros((count, height, width))
    for _ in range(2):
        angle, frequency, phase = (uniform(rng, 0, high, count, 1, 1) for high in (np.pi, 18.0, 2 * np.pi))
        along, _ = rotated(x[None], y[None], angle)
        waves += np.sin(along * (4.0 + frequency) + phase)
    tint = uniform(rng, 0.3, 1.0, count, 1, 1, 3)
    return colours[:, None, None, :] + strength * (1.5 * clouds + 0.5 * waves[..., None] * tint)


def _interpolation(size: int, cells: int) -> np.ndarray:
    """Weights `[size, cells + 1]` of linear interpolation from a coarse grid."""
    position = (np.arange(size) + 0.5) / size * cells
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(cells + 1)))


def _blend(canvas: np.ndarray, colours: np.ndarray, cover: np.ndarray) -> np.ndarray:
    return canvas + cover[..., None] * (colours - canvas)


def _add_clutter(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Strokes of random place, length, width and colour: what a detector must learn to ignore."""
    count, height, width, _ = canvas.shape
    x, y = pixel_grid(width, height)
    for _ in range(CLUTTER_STROKES):
        centre_x, centre_y = (uniform(rng, -1.0, 1.0, count, 1, 1) for _ in range(2))
        along, across = rotated(x - centre_x, y - centre_y, uniform(rng, 0, np.pi, count, 1, 1))
        half_length, half_width = uniform(rng, 0.0, 0.5, count, 1, 1), uniform(rng, 0.03, 0.13, count, 1, 1)
        beyond = np.maximum(np.abs(along) - half_length, 0.0)
        gap = np.sqrt(beyond * beyond + across * across) - half_width
        cover = coverage(gap * width / 2) * uniform(rng, 0.3, 1.0, count, 1, 1)
        canvas = _blend(canvas, uniform(rng, 0, 255, count, 1, 1, 3), cover)
    return canvas


def _blurred(canvas: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Each axis smoothed by the weights (a, 1 - 2a, a), edges repeated."""
    for axis in (1, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        padded = np.pad(canvas, pad, mode="edge")
        size = canvas.shape[axis]
        before, after = (padded.take(range(start, start + size), axis) for start in (0, 2))
        canvas = canvas + amount * (before + after - 2 * canvas)
    return canvas


def sensor_noise(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Nearly normal noise of standard deviation 1, from integers alone: the sum of four bytes, scaled."""
    total = rng.integers(0, 256, (4, *shape), dtype=np.uint8).sum(axis=0, dtype=np.int64)
    return (total - 510) / np.sqrt(4 * (256**2 - 1) / 12)


def to_pixels(canvas: np.ndarray) -> np.ndarray:
    """Rounded to the nearest level and clipped to uint8."""
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def contrasting(rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """Colours `CONTRAST_RANGE` levels away from the given ones, going on from 0 after 255."""
    return (colours + uniform(rng, *CONTRAST_RANGE, *colours.shape)) % 256


def _draw_chunk(rng: np.random.Generator, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """`CHUNK_IMAGES` pictures and labels; every ten in a row hold each class once."""
    count, classes = CHUNK_IMAGES, len(SHAPE_CLASSES)
    labels = rng.random((count // classes, classes)).argsort(axis=1, kind="stable").ravel()
    background = uniform(rng, 0, 255, count, 3)
    canvas = _add_clutter(rng, textured_background(rng, background, image_size, image_size))

    radius = uniform(rng, *RADIUS_RANGE, count, 1, 1)
    centre_x, centre_y = (uniform(rng, -CENTRE_RANGE, CENTRE_RANGE, count, 1, 1) for _ in range(2))
    x, y = pixel_grid(image_size, image_size)
    x, y = rotated(
        (x - centre_x) / radius, (y - centre_y) / radius, uniform(rng, *ROTATION_RANGE, count, 1, 1)
    )
    gap = np.empty(x.shape)
    for index, name in enumerate(SHAPE_CLASSES):
        chosen = labels == index
        gap[chosen] = distance(name, x[chosen], y[chosen])
    surface = textured_background(rng, contrasting(rng, background), image_size, image_size)
    canvas = _blend(canvas, surface, coverage(gap * radius * image_size / 2))

    canvas *= _lighting(rng, count, image_size)
    canvas = _blurred(canvas, uniform(rng, *BLUR_RANGE, count, 1, 1, 1))
    canvas += uniform(rng, *NOISE_RANGE, count, 1, 1, 1) * sensor_noise(rng, *canvas.shape)
    return to_pixels(canvas), labels.astype(np.int64)


def _lighting(rng: np.random.Generator, count: int, image_size: int) -> np.ndarray:
    """Brightness `[count, H, W, 1]` that rises in a random direction."""
    x, y = pixel_grid(image_size, image_size)
    along, _ = rotated(x, y, uniform(rng, 0, 2 * np.pi, count, 1, 1))
    return (uniform(rng, 0.7, 1.1, count, 1, 1) + uniform(rng, *LIGHTING_RANGE, count, 1, 1) * along)[
        ..., None
    ]


def draw_shapes(
    count: int, *, seed: int = 0, image_size: int = 32, stream: str = "train"
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures of one shape each; the same call gives the same pixels on every platform.

    A longer draw begins with the pictures of a shorter one. Any ten in a row (from a multiple of ten) hold
    every class once.

    Args:
        count: pictures.
        seed: 0 or more.
        image_size: pixels on a side, 8 to 512.
        stream: "train" or "test"; two streams share no picture.

    Returns:
        Images uint8 `[count, image_size, image_size, 3]` RGB, and labels int64 `[count]`, indices of
        `SHAPE_CLASSES`.

    Raises:
        InputError: a count below 1, a size out of range, a negative seed or an unknown stream.
    """
    if count < 1 or not 8 <= image_size <= 512 or stream not in STREAMS:
        raise InputError(
            tr(
                "Cannot draw {count} pictures of {image_size} pixels for {stream!r}.",
                count=count,
                image_size=image_size,
                stream=stream,
            ),
            why=tr(
                "at least one picture, 8 to 512 pixels on a side, and a stream of {streams}",
                streams=", ".join(STREAMS),
            ),
            fix=tr("change the argument that is out of range"),
        )
    images = np.empty((count, image_size, image_size, 3), np.uint8)
    labels = np.empty(count, np.int64)
    with tqdm(total=count, desc="drawing shapes", unit=" pictures", delay=1, leave=False) as bar:
        for start in range(0, count, CHUNK_IMAGES):
            chunk, chunk_labels = _draw_chunk(generator(seed, stream, start // CHUNK_IMAGES), image_size)
            stop = min(start + CHUNK_IMAGES, count)
            images[start:stop], labels[start:stop] = chunk[: stop - start], chunk_labels[: stop - start]
            bar.update(stop - start)
    return images, labels
