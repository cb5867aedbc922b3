"""ResNet50 as Keras builds it, its pixels prepared inside the model in one of two ways that compute the same.

The weights of 2015 came from Caffe: channels in the order blue, green, red, the means of ImageNet taken off.
Keras downloads them once, and keeps them in its own folder.
"""

from __future__ import annotations

import os
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgelab.errors import DataError, InputError
from edgelab.machine import downloads
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras

MEANS_BGR = (103.939, 116.779, 123.68)  # of ImageNet's pixels, as keras.applications takes them off
FLIPS = ("slice", "convolution")
# Keras' own name for the weights without the last layer, and where it gets them.
WEIGHTS_NAME = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
WEIGHTS_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{WEIGHTS_NAME}"
PATIENCE_S = 3.0  # for a server's first answer, names looked up included


def weights_file() -> Path | None:
    """ImageNet's weights in the folder where Keras keeps its downloads; None where they are not."""
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    path = Path(home) / "models" / WEIGHTS_NAME
    return path if path.exists() else None


def status() -> str:
    """Are the weights here, and if not, why it matters and what to do."""
    path = weights_file()
    if path is not None:
        size_mb = path.stat().st_size / 1e6
        return tr("ResNet50's weights are here: {name}, {size_mb:.1f} MB.", name=path.name, size_mb=size_mb)
    return tr(
        "ResNet50's weights are not here, so it cannot be compared on photographs. Keras loads them once, "
        "95 MB, where there is a network: "
        'python -c "import keras; keras.applications.ResNet50(include_top=False)"'
    )


def download() -> None:
    """Let Keras load the weights of ImageNet, if its server answers soon; an offline class does not wait.

    Raises:
        DataError: the server does not answer, or the download stalls or breaks off.
    """
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(WEIGHTS_URL, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S):
                answered.set()
        except OSError:
            pass  # told below

    # A thread of its own, since looking up a name takes no time limit.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    if not answered.is_set():
        raise _no_download(tr("their server gave no answer within {seconds:g} s", seconds=PATIENCE_S))
    import keras

    try:
        with downloads.connection_timeout(downloads.TIMEOUT_S):  # Keras sets none
            keras.applications.ResNet50(weights="imagenet", include_top=False, input_shape=(32, 32, 3))
    except Exception as error:  # Keras raises plain Exception, and whatever the connection does
        raise _no_download(str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _no_download(why: str) -> DataError:
    return DataError(
        tr("ResNet50's weights cannot be downloaded."),
        why=why,
        fix=tr("connect to the internet once, or copy {name} into ~/.keras/models", name=WEIGHTS_NAME),
    )


def pretrained(path: Path, image_size: int) -> keras.Model:
    """ResNet50 without its last layer, with trained weights: RGB pixels 0 to 255 to `[N, 2048]`.

    Args:
        path: the weights, from `weights_file`, in Keras' HDF5 format.
        image_size: pixels on a side, 32 at least.

    Raises:
        DataError: the file is broken, or holds the weights of another network.
    """
    import keras

    shape = (image_size, image_size, 3)
    try:
        base = keras.applications.ResNet50(
            weights=str(path), include_top=False, pooling="avg", input_shape=shape
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            tr("The file {name} holds no weights of ResNet50.", name=path.name),
            why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=tr("delete {path}; Keras loads it again where there is a network", path=path),
        ) from error
    pixels = keras.Input(shape, name="pixels")
    turn = keras.layers.Conv2D(3, 1, trainable=False, name="turn")
    prepared = turn(pixels)
    turn.set_weights(preparation())
    return keras.Model(pixels, base(prepared), name="resnet50")


def preparation() -> list[np.ndarray]:
    """Kernel `[1, 1, 3, 3]` and bias `[3]` of a convolution that turns RGB round and takes the means off."""
    kernel = np.eye(3, dtype=np.float32)[:, ::-1].reshape(1, 1, 3, 3)
    return [np.ascontiguousarray(kernel), -np.array(MEANS_BGR, np.float32)]


def resnet50(flip: str, image_size: int = 224, *, thin: int = 1, seed: int = 0) -> keras.Model:
    """ResNet50 with random weights and one sigmoid unit, float32 pixels 0 to 255 RGB in.

    Args:
        flip: "slice" turns the channels round as `z[..., ::-1]` and subtracts; "convolution" does both by a
            fixed 1x1 convolution.
        image_size: pixels on a side, 32 at least.
        thin: the channels of every layer are divided by this; the operators stay the same.
        seed: of the weights.

    Raises:
        InputError: another `flip`.
    """
    if flip not in FLIPS:
        raise InputError(
            tr("Channels cannot be turned round by {flip!r}.", flip=flip),
            fix=tr("use one of {known}", known=", ".join(FLIPS)),
        )
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    shape = (image_size, image_size, 3)
    base = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg", input_shape=shape)
    if thin > 1:
        base = _thinner(base, thin)
    pixels = keras.Input(shape, name="pixels")
    if flip == "slice":
        prepared = pixels[..., ::-1] - np.array(MEANS_BGR, np.float32)
    else:
        turn = layers.Conv2D(3, 1, trainable=False, name="turn")
        prepared = turn(pixels)
        turn.set_weights(preparation())
    unit = layers.Dense(1, activation="sigmoid", name="probability")
    return keras.Model(pixels, unit(base(prepared)), name=f"resnet50_{flip}")


def _thinner(model: keras.Model, thin: int) -> keras.Model:
    """The same network with a part of its channels, its weights random again."""
    import keras

    config = model.get_config()
    for layer in config["layers"]:
        layer.pop("build_config", None)  # it holds the old shapes
        if "filters" in layer["config"]:
            layer["config"]["filters"] //= thin
    return keras.Model.from_config(config)
