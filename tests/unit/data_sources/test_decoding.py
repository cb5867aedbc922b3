"""Pictures of many formats as eight-bit RGB."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from edgelab.data_sources import decoding

RAMP = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)


def stored(picture: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        stored(RAMP),
        stored(RAMP, "TIFF"),
        stored(RAMP.astype(np.int32), "TIFF"),
        stored((RAMP / 65535).astype(np.float32), "TIFF"),
        cv2.imencode(".png", np.dstack([RAMP] * 3))[1].tobytes(),
        cv2.imencode(".tiff", np.dstack([RAMP] * 3))[1].tobytes(),
    ],
    ids=["grey png", "grey tiff", "32 bit", "float", "rgb png", "rgb tiff"],
)
def test_more_than_eight_bits_are_scaled(data):
    np.testing.assert_allclose(decoding.decode(data, 64)[..., 0], RAMP / 257.0, atol=1)


@pytest.mark.parametrize("values", [RAMP.astype(np.float32) - 5, RAMP.astype(np.float32) * np.nan])
def test_values_of_unknown_range_are_refused(values):
    with pytest.raises(ValueError, match="range"):
        decoding.decode(stored(values, "TIFF"), 64)


def test_what_is_transparent_becomes_white():
    square = np.zeros((64, 64, 4), np.uint8)
    square[16:48, 16:48, 3] = 255
    decoded = decoding.decode(stored(square), 64)
    assert decoded[0, 0].tolist() == [255] * 3 and decoded[32, 32].tolist() == [0] * 3


def test_a_large_photograph_is_averaged_like_a_small_one():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
    large = stored(np.kron(coarse, np.ones((256, 256, 1), np.uint8)), "JPEG", quality=95)
    np.testing.assert_allclose(decoding.decode(large, 8), coarse, atol=24)


def test_a_camera_held_upright_is_turned():
    halves = Image.fromarray(
        np.vstack([np.zeros((32, 64, 3), np.uint8), np.full((32, 64, 3), 255, np.uint8)])
    )
    exif = halves.getexif()
    exif[0x112] = 6
    turned = decoding.decode(stored(halves, "JPEG", exif=exif), 64)
    assert turned[32, 2].mean() > 200 > 50 > turned[32, 61].mean()


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<!doctype html>", b"II*\0" + bytes(40)])
def test_what_is_no_picture_is_said_without_an_address_of_memory(data):
    with pytest.raises(ValueError) as caught:
        decoding.decode(data, 32)
    assert "0x" not in str(caught.value)
