"""One stored picture, of whatever format, as eight-bit RGB."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from edgelab.texts import tr

MAX_PIXELS = 120_000_000  # one picture, decoded; cameras of telephones reach 108 million
DRAFT = 4  # a JPEG is decoded no finer than this many times the result's side

# Formats of single pictures. Pillow reads further ones, through outside programs or for other purposes.
IMAGE_FORMATS = (
    "JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "PCX",
    "SGI", "SUN", "QOI", "DDS", "PSD", "XBM", "XPM", "ICNS",
)  # fmt: skip
OPENCV_SUFFIXES = (".hdr", ".pic", ".pxm", ".sr")  # read by OpenCV alone


def _suffixes() -> frozenset[str]:
    Image.init()
    by_pillow = {suffix for suffix, kind in Image.registered_extensions().items() if kind in IMAGE_FORMATS}
    return frozenset(by_pillow) | frozenset(OPENCV_SUFFIXES)


IMAGE_SUFFIXES = _suffixes()


def decode(data: bytes, image_size: int) -> np.ndarray:
    """One picture of any of `IMAGE_SUFFIXES` as uint8 `[image_size, image_size, 3]` RGB.

    A picture of another size is cut to its central square and resized: by area when it shrinks, so that no
    pixel is skipped. Orientation tags of cameras are obeyed, what is transparent becomes white, sixteen bits
    are scaled to eight, of several frames the first is taken.

    Raises:
        ValueError: no such picture, damaged, truncated, huge, or of values whose range is unknown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged tags; a picture that opens is used
            upright = _upright(data, image_size)
    except Exception as error:  # Pillow's decoders raise a dozen kinds on damaged files
        raise ValueError(str(error)) from error
    if upright.size != (image_size, image_size):
        shrinks = min(upright.size) >= image_size
        kernel = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        upright = ImageOps.fit(upright, (image_size, image_size), kernel)
    return np.asarray(upright)


def _upright(data: bytes, image_size: int) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)
    except UnidentifiedImageError:
        return _by_opencv(data)
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(tr("{width}x{height} pixels", width=picture.width, height=picture.height))
        if min(picture.size) > 2 * DRAFT * image_size:
            picture.draft("RGB", (DRAFT * image_size, DRAFT * image_size))
        return _eight_bits(ImageOps.exif_transpose(picture))


def _eight_bits(picture: Image.Image) -> Image.Image:
    if picture.mode[0] in "IF":
        return Image.fromarray(_scaled(np.asarray(picture, np.float64))).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _scaled(values: np.ndarray) -> np.ndarray:
    """Grey values of another type as uint8; each type's own full range becomes 0 to 255."""
    low, high = float(values.min()), float(values.max())
    is_whole = bool(np.all(values == np.rint(values)))
    if not (np.isfinite(values).all() and low >= 0 and high <= (65535 if is_whole else 255)):
        raise ValueError(
            tr("its values from {low:g} to {high:g} have no known full range", low=low, high=high)
        )
    narrow, wide = (255, 65535) if is_whole else (1, 255)
    full = narrow if high <= narrow else wide
    return np.rint(values * (255 / full)).astype(np.uint8)


def _by_opencv(data: bytes) -> Image.Image:
    """A picture that only OpenCV knows."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise ValueError(tr("no picture in it"))
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
