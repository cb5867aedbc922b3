"""The wrong ways themselves: what is fed, how outputs are read, which labels and which file ship."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgelab import graph

BATCH = 8
SHARE_OF_NOISE = 4.0  # times the spread of the last layer's weights


def shrunk(frames: np.ndarray, size: int) -> np.ndarray:
    """The right way: each pixel the mean of those it stands for, rounded.

    Args:
        frames: uint8 `[N, H, W, 3]`, H and W multiples of `size`.

    Returns:
        uint8 `[N, size, size, 3]`.
    """
    count, height, width, channels = frames.shape
    blocks = frames.reshape(count, size, height // size, size, width // size, channels)
    return np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)


def fed(cause: str, frames: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """What the device hands to the model for its frames, uint8 `[N, size, size, 3]`."""
    pixels = shrunk(frames, size)
    if cause == "scaling":
        return (pixels / 255).astype(np.uint8)
    if cause == "bgr":
        return pixels[..., ::-1].copy()
    if cause == "planes":
        return pixels.transpose(0, 3, 1, 2).reshape(pixels.shape)
    if cause == "resize":
        corner = rng.integers(2)  # cut out of the frame, or repeated by np.resize
        if corner:
            return frames[:, :size, :size].copy()
        return np.stack([np.resize(frame, (size, size, 3)) for frame in frames])
    return pixels


def read_outputs(cause: str, outputs: np.ndarray) -> np.ndarray:
    """What the device makes of the model's probabilities, float32 `[N, classes]`."""
    if cause == "truncated":
        return outputs.astype(np.uint8).astype(np.float32)
    if cause == "no_batch":
        return outputs[np.arange(len(outputs)) // BATCH * BATCH]
    return outputs


def labels(cause: str, classes: Sequence[str], rng: np.random.Generator) -> list[str]:
    """The lines of the file of labels."""
    if cause != "labels":
        return list(classes)
    if rng.integers(2):
        return ["background", *classes]
    return [*classes[1:], classes[0]]


def older(model: bytes, rng: np.random.Generator) -> bytes:
    """A file of the same size with other weights in its last layer: one that was built before."""
    found = graph.read(model)
    last = [one for one in found.operators if one.name == "FULLY_CONNECTED"][-1]
    weights = found.tensors[last.inputs[1]].values()
    noise = rng.normal(0, SHARE_OF_NOISE * weights.std(), weights.shape)
    changed = np.clip(np.rint(weights + noise), -127, 127).astype(weights.dtype)
    return graph.with_values(model, {last.inputs[1]: changed})
