"""Many images through any session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tqdm.auto import tqdm

from edgelab.errors import InputError
from edgelab.runtime.session import Session
from edgelab.texts import tr


def predict(session: Session, images: np.ndarray, *, progress: bool = False) -> np.ndarray:
    """Run many images through a session, whatever its input type and batch size.

    Pixels are quantized to the input's scale when it takes integers and handed over as they are when it takes
    floats; outputs are dequantized.

    Args:
        session: a model with one image input; its first output counts.
        images: uint8 `[N, H, W, 3]`, RGB 0 to 255.
        progress: show a progress bar.

    Returns:
        float32 `[N, classes]`.

    Raises:
        InputError: images of another shape or type than the model takes.
    """
    spec = session.inputs[0]
    images = np.asarray(images)
    expected = (-1, *spec.shape[1:])
    if images.dtype != np.uint8 or not replace(spec, shape=expected).takes(images.shape):
        raise InputError(
            tr(
                "Images: expected uint8 {expected}, got {dtype} {shape}.",
                expected=list(expected),
                dtype=images.dtype,
                shape=list(images.shape),
            ),
            why=tr("a model takes raw pixels, 0 to 255, of the size it was trained on"),
            fix=tr("load them with edgelab.datasets, and do not scale them: the model does"),
        )
    if len(images) == 0:
        return np.zeros((0, *session.outputs[0].shape[1:]), np.float32)
    # A pixel has 256 values: quantizing those once and looking them up is exact and fast.
    codes = spec.quantize(np.arange(256))
    batch = spec.shape[0] if spec.shape[0] > 0 else 256
    rows = []
    for start in tqdm(range(0, len(images), batch), disable=not progress, desc="inference", leave=False):
        part = codes[images[start : start + batch]]
        missing = batch - len(part) if spec.shape[0] > 0 else 0
        if missing:
            part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        rows.append(session.run(part)[0][: batch - missing])
    return session.outputs[0].dequantize(np.concatenate(rows))
