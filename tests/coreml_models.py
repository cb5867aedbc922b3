"""A small network for Core ML, and its packages, kept in `tests/unit/targets/coreml/packages`.

    python tests/coreml_models.py

makes them anew, where coremltools is installed: one package for each way of keeping weights, the pictures
that they were tried on, and what Keras answered.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "unit" / "targets" / "coreml" / "packages"
KEPT = ("float16", "int8 weights", "6-bit palette")
ANSWERS = "answers.npz"
WIDE = 96  # channels: enough weights to be worth compressing


def network():
    """Convolutions in all that vary: strides, depthwise, one pixel wide; pools; a sum; eight classes."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    some = {"bias_initializer": "random_normal"}
    image = keras.Input((12, 12, 3), batch_size=1)
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.ReLU(6)(layers.Conv2D(8, 3, strides=2, padding="same", **some)(x))
    x = layers.ReLU(6)(layers.DepthwiseConv2D(3, padding="same", **some)(x))
    y = layers.Conv2D(8, 3, padding="same", activation="relu", **some)(x)
    x = layers.MaxPooling2D(2)(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(WIDE, 1, activation="sigmoid", **some)(x))
    return keras.Model(image, layers.Dense(8, "softmax", kernel_initializer="he_normal", **some)(x))


def pictures(count: int) -> np.ndarray:
    """Coloured squares, float pixels `[count, 12, 12, 3]`."""
    rng = np.random.default_rng(2)
    return np.kron(rng.integers(0, 256, (count, 3, 3, 3)), np.ones((1, 4, 4, 1))).astype(np.float32)


def name_of(precision: str) -> str:
    """Of a kept package, without blanks."""
    return f"{precision.replace(' ', '-')}.mlpackage"


def main() -> None:
    """Write the packages and the answers."""
    from edgelab import targets
    from edgelab.targets.coreml.package import MANIFEST

    model = network()
    images = pictures(16)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    np.savez_compressed(FOLDER / ANSWERS, images=images.astype(np.uint8), keras=model.predict(images, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.keras"
        model.save(path)
        for precision in KEPT:
            made = FOLDER / name_of(precision)
            targets.get("coreml", precision=precision).compile(path, made)
            manifest = made / MANIFEST  # without the names by chance that it gives its parts
            manifest.write_text(json.dumps(json.loads(manifest.read_text()), indent=1) + "\n")


if __name__ == "__main__":
    main()
