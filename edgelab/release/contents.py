"""What is in a release, as bytes by file name: models, metadata, test vectors, the model card."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgelab import graph
from edgelab.errors import InputError
from edgelab.texts import tr

METADATA, CARD, LABELS, VECTORS = "metadata.json", "MODEL_CARD.md", "labels.txt", "vectors.json"


def model_files(paths: Mapping[str, Path]) -> dict[str, bytes]:
    """The content of each model file, under the name it has in the release, such as "model_int8.tflite"."""
    return {name: Path(path).read_bytes() for name, path in paths.items()}


def describe(
    models: Mapping[str, bytes],
    *,
    labels: Sequence[str],
    tolerances: Mapping[str, float],
    files: Mapping[str, str],
) -> dict[str, Any]:
    """What an app must know to use the models: the contract that a version number stands for.

    Args:
        models: `.tflite` files by name; all take one picture of the same size.
        labels: names of the classes, in the order of the model's outputs.
        tolerances: for each model, how far a probability may be from that of a test vector, 0 to 1.
        files: for each model, its checksum.

    Returns:
        "input", "labels", "models" (type of input and output, bytes, tolerance) and "files".

    Raises:
        InputError: the models take pictures of different sizes.
    """
    graphs = {name: graph.read(content) for name, content in models.items()}
    shapes = {name: found.tensors[found.inputs[0]].shape for name, found in graphs.items()}
    if len(set(shapes.values())) != 1:
        raise InputError(
            tr("The models of one release take different inputs: {shapes}.", shapes=shapes),
            fix=tr("make a release of each"),
        )
    _, height, width, channels = next(iter(shapes.values()))
    return {
        "input": {
            "height": height,
            "width": width,
            "channels": "RGB" if channels == 3 else str(channels),
            "layout": "NHWC",
            # What the app computes from a pixel of 0 to 255 before the model sees it.
            "scale": 1.0,
            "offset": 0.0,
        },
        "labels": list(labels),
        "models": {
            name: {
                "input": found.tensors[found.inputs[0]].dtype,
                "output": found.tensors[found.outputs[0]].dtype,
                "size_bytes": len(models[name]),
                "tolerance": tolerances[name],
            }
            for name, found in graphs.items()
        },
        "files": dict(files),
    }


def picture_files(pictures: np.ndarray, labels: Sequence[str], probabilities: np.ndarray) -> dict[str, bytes]:
    """The test vectors: each picture as PNG, and one list of what must come out.

    Pictures rather than tensors: so the receiver's own decoding and scaling are tested, too.

    Args:
        pictures: uint8 `[N, H, W, 3]`, RGB.
        labels: the name of the class of each, in words and not as a number.
        probabilities: float `[N, classes]`, of the model as it was trained.
    """
    files, entries = {}, []
    for number, (picture, label, row) in enumerate(zip(pictures, labels, probabilities, strict=True)):
        name, png = f"vectors/{number:02d}.png", io.BytesIO()
        Image.fromarray(picture).save(png, format="PNG")
        files[name] = png.getvalue()
        entries.append({"picture": name, "label": label, "probabilities": [round(float(p), 6) for p in row]})
    return {**files, VECTORS: json.dumps(entries, indent=1).encode()}


def card(
    name: str, metadata: Mapping[str, Any], *, data: str, accuracy: Mapping[str, str], limits: Sequence[str]
) -> str:
    """The model card: what it is, what it was measured on, what it is not for (Mitchell et al. 2019).

    Args:
        name: of the model, in words.
        metadata: as `describe` gives it, with its "version".
        data: what it was trained and tested on.
        accuracy: for each model file, its accuracy with an interval, in words.
        limits: what it must not be used for, a sentence each.
    """
    size = metadata["input"]
    lines = [
        f"# {name} {metadata['version']}",
        "",
        f"Takes a picture of {size['height']} x {size['width']} pixels, {size['channels']}, values 0 to 255.",
        f"Tells {len(metadata['labels'])} classes apart: {', '.join(metadata['labels'])}.",
        "",
        "| file | input | output | bytes | accuracy |",
        "|---|---|---|---:|---|",
        *(
            f"| {file} | {one['input']} | {one['output']} | {one['size_bytes']} | {accuracy[file]} |"
            for file, one in metadata["models"].items()
        ),
        "",
        f"Data: {data}",
        "",
        "Not for:",
        "",
        *(f"- {limit}" for limit in limits),
        "",
    ]
    return "\n".join(lines)
