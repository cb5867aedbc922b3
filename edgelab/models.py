"""The networks of the course, as Keras models that take raw pixels (float32 values 0 to 255).

Normalisation is a layer inside each model, so training, calibration and every runtime see the same pixels:
the most common deployment mistake, a scaling that differs between them, cannot happen. Outputs are
probabilities (softmax), `[N, class_count]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgelab.errors import InputError
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras

# Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2:
# expansion factor, output channels, repeats of each stage.
MOBILENET_V2_STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))

# Stride of the first convolution, then of each stage. The paper's five stride-2 steps divide 224 pixels into
# a 7x7 map, but 32 pixels into a single cell; the fitted version keeps 4x4 cells to tell shapes apart.
STOCK_STRIDES = (2, 1, 2, 2, 2, 1, 2, 1)
FITTED_STRIDES = (1, 1, 2, 2, 1, 1, 2, 1)


def channel_count(channels: float) -> int:
    """Channels rounded to a multiple of 8, as the MobileNet authors do, never below 90 % of the wish."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v2(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    class_count: int = 10,
    *,
    alpha: float = 0.35,
    strides: tuple[int, ...] = FITTED_STRIDES,
    batch_norm_momentum: float = 0.9,
    name: str = "mobilenet_v2",
) -> keras.Model:
    """MobileNetV2 with its strides fitted to small images.

    Args:
        input_shape: height, width, 3. Pixels are RGB, 0 to 255.
        class_count: number of outputs.
        alpha: width multiplier on every stage's channels.
        strides: of the first convolution and the seven stages; `STOCK_STRIDES` is the paper's network.
        batch_norm_momentum: Keras' default of 0.99 needs thousands of steps to settle; 0.9 needs a hundred.
        name: the model's name.

    Returns:
        An untrained model, float32 `[N, H, W, 3]` to float32 `[N, class_count]` probabilities.

    Raises:
        InputError: not eight strides, or images that the strides shrink to nothing.
    """
    from keras import Input, Model, layers

    if len(strides) != 1 + len(MOBILENET_V2_STAGES):
        raise InputError(
            tr("strides has {count} entries, 8 are needed.", count=len(strides)),
            why=tr("one is for the first convolution and one for each of the seven stages"),
            fix=tr("use models.FITTED_STRIDES or models.STOCK_STRIDES as a pattern"),
        )

    def batch_norm(x, name, activate=True):
        x = layers.BatchNormalization(momentum=batch_norm_momentum, epsilon=1e-3, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x

    def bottleneck(x, expansion, channels, stride, name):
        shortcut = x
        if expansion > 1:
            wide = x.shape[-1] * expansion
            x = batch_norm(layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand")(x), f"{name}_expand")
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
        x = batch_norm(x, f"{name}_depthwise")
        # No activation after the projection: ReLU would destroy information in so few channels (paper, 3.2).
        x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
        x = batch_norm(x, f"{name}_project", activate=False)
        has_shortcut = stride == 1 and shortcut.shape[-1] == channels
        return layers.Add(name=f"{name}_add")([shortcut, x]) if has_shortcut else x

    pixels = x = Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(x)
    first = channel_count(32 * alpha)
    x = layers.Conv2D(first, 3, strides[0], padding="same", use_bias=False, name="first")(x)
    x = batch_norm(x, "first")
    for stage, (expansion, channels, repeats) in enumerate(MOBILENET_V2_STAGES, start=1):
        for repeat in range(repeats):
            stride = strides[stage] if repeat == 0 else 1
            x = bottleneck(x, expansion, channel_count(channels * alpha), stride, f"stage{stage}_{repeat}")
    last = channel_count(1280 * max(alpha, 1.0))
    x = batch_norm(layers.Conv2D(last, 1, use_bias=False, name="last")(x), "last")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    probabilities = layers.Dense(class_count, activation="softmax", name="probabilities")(x)
    return Model(pixels, probabilities, name=name)


def final_map_size(model: keras.Model) -> tuple[int, int]:
    """Height and width of the last feature map before global pooling: how much "where" the network keeps."""
    height, width = model.get_layer("last").output.shape[1:3]
    return int(height), int(width)


def accelerator_cnn(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    class_count: int = 10,
    *,
    activation: str = "relu6",
    normalisation: str = "batch",
    squeeze_excite: bool = False,
    shrink: str = "stride",
    head: str = "pool",
    name: str = "accelerator_cnn",
) -> keras.Model:
    """A small residual network that every accelerator takes whole; its options make it less friendly.

    Three stages of two 3x3 convolutions with a shortcut, 16, 32 and 64 channels. The defaults use only what
    accelerators have had since the first of them: convolution, addition, ReLU6, a mean, a matrix product.

    Args:
        input_shape: height, width, 3. Pixels are RGB, 0 to 255.
        class_count: number of outputs.
        activation: "relu6", which is fused into the convolution, or any other that Keras knows ("gelu",
            "hard_swish", "swish").
        normalisation: "batch", whose statistics are constants after training and fold into the convolution;
            "layer", which computes them anew for every image; or "none", where the convolutions have biases.
        squeeze_excite: weigh the channels by what a small network makes of their means (Hu et al. 2018).
        shrink: "stride" halves the map in the second stage's convolution; "resize" does so bilinearly, to 3/8
            of the height and width, a factor that no power of two gives.
        head: "pool" averages the last map; "flatten" keeps it and needs a reshape.
        name: the model's name.

    Returns:
        An untrained model, float32 `[N, H, W, 3]` to float32 `[N, class_count]` probabilities.

    Raises:
        InputError: an unknown normalisation, shrink or head.
    """
    choices = {
        "normalisation": ("batch", "layer", "none"),
        "shrink": ("stride", "resize"),
        "head": ("pool", "flatten"),
    }
    for option, given in (("normalisation", normalisation), ("shrink", shrink), ("head", head)):
        if given not in choices[option]:
            raise InputError(
                tr("There is no {option} {given!r}.", option=option, given=given),
                fix=tr("use one of {choices}", choices=", ".join(choices[option])),
            )
    from keras import Input, Model, layers

    def activate(x, name):
        return (
            layers.ReLU(6.0, name=name)(x)
            if activation == "relu6"
            else layers.Activation(activation, name=name)(x)
        )

    def convolve(x, channels, stride, name):
        has_bias = normalisation == "none"
        x = layers.Conv2D(channels, 3, stride, padding="same", use_bias=has_bias, name=f"{name}_conv")(x)
        if has_bias:
            return x
        if normalisation == "layer":
            return layers.LayerNormalization(epsilon=1e-3, name=f"{name}_norm")(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_norm")(x)

    def weigh_channels(x, name):
        channels = x.shape[-1]
        means = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
        hidden = layers.Conv2D(max(8, channels // 4), 1, activation="relu", name=f"{name}_reduce")(means)
        gate = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_gate")(hidden)
        return layers.Multiply(name=f"{name}_excite")([x, gate])

    pixels = x = Input(input_shape, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(x)
    for stage, channels in enumerate((16, 32, 64), start=1):
        block, stride = f"stage{stage}", 1 if stage == 1 else 2
        if stage == 2 and shrink == "resize":
            size = [side * 3 // 8 for side in input_shape[:2]]
            x, stride = layers.Resizing(*size, interpolation="bilinear", name="resize")(x), 1
        x = shortcut = activate(convolve(x, channels, stride, f"{block}_first"), f"{block}_first_act")
        x = convolve(x, channels, 1, f"{block}_second")
        if squeeze_excite:
            x = weigh_channels(x, f"{block}_se")
        x = activate(layers.Add(name=f"{block}_add")([shortcut, x]), f"{block}_act")
    x = layers.GlobalAveragePooling2D(name="pool")(x) if head == "pool" else layers.Flatten(name="flatten")(x)
    return Model(pixels, layers.Dense(class_count, activation="softmax", name="probabilities")(x), name=name)
