"""Build the networks behind the published latencies, and note what each layer of them computes.

    python tools/published_graphs.py            # all that are missing in data/estimate/layers.csv
    python tools/published_graphs.py yolov5n    # these again

A latency depends on the graph, not on the weights: each network is built with random weights, converted to
int8 as in chapter 4, and read by `edgelab.estimate.layers`. Sources of the architectures stand beside the
builders. All together take ten minutes and, for VGG16, 8 GB of memory. `edgelab.estimate` needs only the
table that this writes. After a change fit the costs again:

    python -c "from edgelab import estimate; estimate.write_costs()"
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

from edgelab import estimate, quantization
from edgelab.machine import artifacts, quiet

tensorflow = quiet.import_tensorflow()
import keras  # noqa: E402 - after the settings of its environment
from keras import layers, ops  # noqa: E402 - after the settings of its environment


def conv(x, channels, kernel=1, stride=1, activation="silu", groups=1):
    """A convolution with its folded BatchNorm (a bias) and its activation."""
    x = layers.Conv2D(channels, kernel, stride, "same", groups=groups)(x)
    return layers.Activation(activation)(x) if activation else x


def depthwise(x, kernel=3, stride=1, activation="silu", dilation=1):
    """A depthwise convolution with its folded BatchNorm and its activation."""
    x = layers.DepthwiseConv2D(kernel, stride, "same", dilation_rate=dilation)(x)
    return layers.Activation(activation)(x) if activation else x


def concat(*tensors):
    """Channels one after the other."""
    return layers.Concatenate()(list(tensors))


def up(x):
    """Twice the size, nearest neighbour."""
    return layers.UpSampling2D(2)(x)


def model(x, outputs, name):
    """A named model."""
    return keras.Model(x, outputs, name=name)


def image(height, width=None):
    """Input pixels."""
    return keras.Input((height, width or height, 3))


def even(channels):
    """Channels rounded up to a multiple of 8, as in the YOLO families."""
    return int(-(-channels // 8) * 8)


# --- YOLOv5, v8, v10, 11: ultralytics/ultralytics, cfg/models/*.yaml and nn/modules/*.py


def bottleneck(x, channels, hidden, first=3, add=True, activation="silu"):
    """Two convolutions and a shortcut."""
    y = conv(conv(x, hidden, first, activation=activation), channels, 3, activation=activation)
    return layers.Add()([x, y]) if add and x.shape[-1] == channels else y


def c3(x, channels, repeats, add=True, activation="silu", first=1, hidden=None):
    """CSP block with three convolutions."""
    hidden = hidden or channels // 2
    a = conv(x, hidden, activation=activation)
    for _ in range(repeats):
        a = bottleneck(a, hidden, hidden, first, add, activation)
    return conv(concat(a, conv(x, hidden, activation=activation)), channels, activation=activation)


def sppf(x, channels, activation="silu"):
    """Spatial pyramid pooling by three poolings in a row."""
    maps = [conv(x, x.shape[-1] // 2, activation=activation)]
    for _ in range(3):
        maps.append(layers.MaxPooling2D(5, 1, "same")(maps[-1]))
    return conv(concat(*maps), channels, activation=activation)


def split(x):
    """Halves of the channels."""
    return ops.split(x, 2, axis=-1)


def c2f(x, channels, repeats, block, part=0.5):
    """CSP block that keeps every intermediate result; `block(x, channels)` is repeated."""
    hidden = int(channels * part)
    maps = split(conv(x, 2 * hidden))
    for _ in range(repeats):
        maps.append(block(maps[-1], hidden))
    return conv(concat(*maps), channels)


def plain(add):
    """The block of YOLOv8's C2f."""
    return lambda x, channels: bottleneck(x, channels, channels, 3, add)


def narrow(x, channels):
    """The block of YOLO11's C3k2: a bottleneck half as wide."""
    return bottleneck(x, channels, channels // 2)


def nested(x, channels):
    """The other block of YOLO11's C3k2: a small C3."""
    return c3(x, channels, 2, first=3)


def attention(x, channels):
    """Self-attention over the positions, and a feed-forward block (PSABlock)."""
    heads = max(1, channels // 64)
    size, key = channels // heads, channels // heads // 2
    height, width = x.shape[1:3]
    count = height * width
    qkv = layers.Reshape((count, heads, 2 * key + size))(conv(x, heads * (2 * key + size), activation=None))
    q, k, v = ops.split(qkv, [key, 2 * key], axis=-1)
    scores = ops.matmul(ops.transpose(q, (0, 2, 1, 3)), ops.transpose(k, (0, 2, 3, 1))) * key**-0.5
    mixed = ops.matmul(ops.softmax(scores), ops.transpose(v, (0, 2, 1, 3)))
    mixed = layers.Reshape((height, width, channels))(ops.transpose(mixed, (0, 2, 1, 3)))
    position = depthwise(layers.Reshape((height, width, channels))(v), activation=None)
    x = layers.Add()([x, conv(layers.Add()([mixed, position]), channels, activation=None)])
    return layers.Add()([x, conv(conv(x, 2 * channels), channels, activation=None)])


def c2psa(x, repeats=1):
    """Half of the channels through attention."""
    channels = x.shape[-1]
    a, b = split(conv(x, channels))
    for _ in range(repeats):
        b = attention(b, channels // 2)
    return conv(concat(a, b), channels)


def scdown(x, channels):
    """Channels first, then space (YOLOv10)."""
    return depthwise(conv(x, channels), stride=2, activation=None)


def cib(x, channels):
    """Compact inverted block with a large kernel (YOLOv10)."""
    y = depthwise(conv(depthwise(x), 2 * channels), 7)
    return layers.Add()([x, depthwise(conv(y, channels))])


def scores(x):
    """Class scores and their sum, with which Rockchip's exports skip empty places early."""
    x = layers.Activation("sigmoid")(x)
    return [x, ops.clip(ops.sum(x, axis=-1, keepdims=True), 0, 1)]


def yolov5(size, activation="silu", masks=False):
    """YOLOv5 n, s, m; with `masks` the segmentation variant."""
    depth, width = {"n": (0.33, 0.25), "s": (0.33, 0.5), "m": (0.67, 0.75)}[size]

    def c(channels):
        return even(channels * width)

    def block(x, channels, repeats, add=True):
        return c3(x, c(channels), max(1, round(repeats * depth)), add, activation)

    def step(x, channels, kernel=3, stride=2):
        return conv(x, c(channels), kernel, stride, activation)

    pixels = image(640)
    x = block(step(step(pixels, 64, 6), 128), 128, 3)
    p3 = block(step(x, 256), 256, 6)
    p4 = block(step(p3, 512), 512, 9)
    x = sppf(block(step(p4, 1024), 1024, 3), c(1024), activation)
    top = step(x, 512, 1, 1)
    middle = step(block(concat(up(top), p4), 512, 3, False), 256, 1, 1)
    maps = [block(concat(up(middle), p3), 256, 3, False)]
    maps.append(block(concat(step(maps[0], 256), middle), 512, 3, False))
    maps.append(block(concat(step(maps[1], 512), top), 1024, 3, False))
    outputs = [conv(x, 3 * (85 + 32 * masks), activation="sigmoid") for x in maps]
    if masks:
        proto = conv(up(step(maps[0], 256, 3, 1)), c(256), 3, activation=activation)
        outputs.append(conv(proto, 32, activation=activation))
    return model(pixels, outputs, f"yolov5{size}")


def pyramid(maps, first, second, third, fourth, down):
    """Top-down and bottom-up: three maps in, three maps out."""
    p3, p4, p5 = maps
    middle = first(concat(up(p5), p4))
    n3 = second(concat(up(middle), p3))
    n4 = third(concat(down(n3), middle))
    return [n3, n4, fourth(concat(down(n4), p5))]


def detect(maps, classes=80, extra=None, light=False):
    """Anchor-free head: four distances as 16 bins each, class scores, and `extra` further channels."""
    first = maps[0].shape[-1]
    box, cls = max(16, first // 4, 64), max(first, min(classes, 100))
    outputs = []
    for x in maps:
        outputs.append(conv(conv(conv(x, box, 3), box, 3), 64, activation=None))
        hidden = conv(depthwise(conv(depthwise(x), cls)), cls) if light else conv(conv(x, cls, 3), cls, 3)
        outputs += scores(conv(hidden, classes, activation=None))
        if extra:
            hidden = max(first // 4, extra)
            outputs.append(conv(conv(conv(x, hidden, 3), hidden, 3), extra, activation=None))
    return outputs


def prototypes(x, hidden):
    """The 32 mask prototypes of a segmentation model."""
    x = layers.Conv2DTranspose(hidden, 2, 2)(conv(x, hidden, 3))
    return conv(conv(x, hidden, 3), 32)


def yolov8(size, classes=80, extra=None, masks=False):
    """YOLOv8 n, s, m: detection, and with `extra` channels segmentation, pose or rotated boxes."""
    depth, width, most = {"n": (0.33, 0.25, 1024), "s": (0.33, 0.5, 1024), "m": (0.67, 0.75, 768)}[size]

    def c(channels):
        return even(min(channels, most) * width)

    def block(channels, repeats, add=False):
        return lambda x: c2f(x, c(channels), max(1, round(repeats * depth)), plain(add))

    def down(x, channels=None):
        return conv(x, c(channels) if channels else x.shape[-1], 3, 2)

    pixels = image(640)
    x = block(128, 3, True)(down(down(pixels, 64), 128))
    p3 = block(256, 6, True)(down(x, 256))
    p4 = block(512, 6, True)(down(p3, 512))
    p5 = sppf(block(1024, 3, True)(down(p4, 1024)), c(1024))
    maps = pyramid((p3, p4, p5), block(512, 3), block(256, 3), block(512, 3), block(1024, 3), down)
    outputs = detect(maps, classes, extra)
    if masks:
        outputs.append(prototypes(maps[0], c(256)))
    return model(pixels, outputs, f"yolov8{size}")


def yolov10(size):
    """YOLOv10 n, s, the head without non-maximum suppression."""
    width = {"n": 0.25, "s": 0.5}[size]

    def c(channels):
        return even(channels * width)

    def block(channels, repeats, part):
        return lambda x: c2f(x, c(channels), max(1, round(repeats * 0.33)), part)

    pixels = image(640)
    x = conv(conv(pixels, c(64), 3, 2), c(128), 3, 2)
    p3 = block(256, 6, plain(True))(conv(block(128, 3, plain(True))(x), c(256), 3, 2))
    p4 = block(512, 6, plain(True))(scdown(p3, c(512)))
    p5 = block(1024, 3, plain(True) if size == "n" else cib)(scdown(p4, c(1024)))
    p5 = c2psa(sppf(p5, c(1024)))
    downs = iter([lambda x: conv(x, c(256), 3, 2), lambda x: scdown(x, c(512))])
    maps = pyramid(
        (p3, p4, p5),
        block(512, 3, plain(False)),
        block(256, 3, plain(False)),
        block(512, 3, plain(False)),
        block(1024, 3, cib),
        lambda x: next(downs)(x),
    )
    return model(pixels, detect(maps, light=True), f"yolov10{size}")


def yolo11(size):
    """YOLO11 n, s, m."""
    width, most = {"n": (0.25, 1024), "s": (0.5, 1024), "m": (1.0, 512)}[size]

    def c(channels):
        return even(min(channels, most) * width)

    def block(channels, is_nested=False, part=0.5):
        inner = nested if is_nested or size == "m" else narrow
        return lambda x: c2f(x, c(channels), 1, inner, part)

    def down(x, channels=None):
        return conv(x, c(channels) if channels else x.shape[-1], 3, 2)

    pixels = image(640)
    x = block(256, part=0.25)(down(down(pixels, 64), 128))
    p3 = block(512, part=0.25)(down(x, 256))
    p4 = block(512, True)(down(p3, 512))
    p5 = c2psa(sppf(block(1024, True)(down(p4, 1024)), c(1024)))
    maps = pyramid((p3, p4, p5), block(512), block(256), block(512), block(1024, True), down)
    return model(pixels, detect(maps, light=True), f"yolo11{size}")


# --- YOLOv6: meituan/YOLOv6, yolov6/models, in its deployed form (one 3x3 per RepVGG block)


def yolov6(size):
    """YOLOv6 3.0 n, s, m."""
    depth, width = {"n": (0.33, 0.25), "s": (0.33, 0.5), "m": (0.6, 0.75)}[size]

    def c(channels):
        return even(channels * width)

    def rep(x, channels, stride=1):
        return conv(x, channels, 3, stride, "relu")

    def block(x, channels, repeats):
        repeats = max(1, round(repeats * depth))
        if size != "m":
            for _ in range(repeats):
                x = rep(x, c(channels))
            return x
        hidden = int(c(channels) * 2 / 3)
        a = conv(x, hidden, activation="relu")
        for _ in range(repeats // 2):
            a = layers.Add()([a, rep(rep(a, hidden), hidden)])
        return conv(concat(a, conv(x, hidden, activation="relu")), c(channels), activation="relu")

    def fuse(top, same, below, channels):
        down = conv(conv(below, c(channels), activation="relu"), c(channels), 3, 2, "relu")
        upper = layers.Conv2DTranspose(c(channels), 2, 2)(top)
        return conv(
            concat(upper, conv(same, c(channels), activation="relu"), down), c(channels), activation="relu"
        )

    pixels = image(640)
    p2 = block(rep(rep(pixels, c(64), 2), c(128), 2), 128, 6)
    p3 = block(rep(p2, c(256), 2), 256, 12)
    p4 = block(rep(p3, c(512), 2), 512, 18)
    p5 = sppf(block(rep(p4, c(1024), 2), 1024, 6), c(1024), "relu")
    top = conv(p5, c(256), activation="relu")
    middle = conv(block(fuse(top, p4, p3, 256), 256, 12), c(128), activation="relu")
    maps = [block(fuse(middle, p3, p2, 128), 128, 12)]
    maps.append(block(concat(conv(maps[0], c(128), 3, 2, "relu"), middle), 256, 12))
    maps.append(block(concat(conv(maps[1], c(256), 3, 2, "relu"), top), 512, 12))
    outputs = []
    for x in maps:
        x = conv(x, x.shape[-1])
        outputs += scores(conv(conv(x, x.shape[-1], 3), 80, activation=None))
        outputs.append(conv(conv(x, x.shape[-1], 3), 68 if size == "m" else 4, activation=None))
    return model(pixels, outputs, f"yolov6{size}")


# --- YOLOv7: WongKinYiu/yolov7, cfg/deploy/*.yaml


def yolov7_tiny():
    """YOLOv7-tiny; Rockchip's export has ReLU."""

    def c(x, channels, kernel=1, stride=1):
        return conv(x, channels, kernel, stride, "relu")

    def elan(x, hidden, channels):
        maps = [c(x, hidden), c(x, hidden)]
        for _ in range(2):
            maps.append(c(maps[-1], hidden, 3))
        return c(concat(*maps), channels)

    def pool(x):
        return layers.MaxPooling2D(2)(x)

    pixels = image(640)
    x = elan(c(c(pixels, 32, 3, 2), 64, 3, 2), 32, 64)
    p3 = elan(pool(x), 64, 128)
    p4 = elan(pool(p3), 128, 256)
    x = elan(pool(p4), 256, 512)
    side, x = c(x, 256), c(x, 256)
    x = c(concat(*[layers.MaxPooling2D(k, 1, "same")(x) for k in (13, 9, 5)], x), 256)
    p5 = c(concat(x, side), 256)
    middle = elan(concat(c(p4, 128), up(c(p5, 128))), 64, 128)
    n3 = elan(concat(c(p3, 64), up(c(middle, 64))), 32, 64)
    n4 = elan(concat(c(n3, 128, 3, 2), middle), 64, 128)
    n5 = elan(concat(c(n4, 256, 3, 2), p5), 128, 256)
    outputs = [conv(c(x, 2 * x.shape[-1], 3), 255, activation="sigmoid") for x in (n3, n4, n5)]
    return model(pixels, outputs, "yolov7_tiny")


def yolov7():
    """YOLOv7; Rockchip's export has ReLU."""

    def c(x, channels, kernel=1, stride=1):
        return conv(x, channels, kernel, stride, "relu")

    def elan(x, hidden, channels):
        maps = [c(x, hidden), c(x, hidden)]
        for _ in range(4):
            maps.append(c(maps[-1], hidden, 3))
        return c(concat(maps[0], maps[1], maps[3], maps[5]), channels)

    def wide(x, hidden):
        maps = [c(x, hidden), c(x, hidden)]
        for _ in range(4):
            maps.append(c(maps[-1], hidden // 2, 3))
        return c(concat(*maps), hidden)

    def pool(x, channels):
        return c(layers.MaxPooling2D(2)(x), channels), c(c(x, channels), channels, 3, 2)

    pixels = image(640)
    x = elan(c(c(c(c(pixels, 32, 3), 64, 3, 2), 64, 3), 128, 3, 2), 64, 256)
    p3 = elan(concat(*pool(x, 128)), 128, 512)
    p4 = elan(concat(*pool(p3, 256)), 256, 1024)
    x = elan(concat(*pool(p4, 512)), 256, 1024)
    side, x = c(x, 512), c(c(c(x, 512), 512, 3), 512)
    x = c(c(concat(x, *[layers.MaxPooling2D(k, 1, "same")(x) for k in (5, 9, 13)]), 512), 512, 3)
    p5 = c(concat(x, side), 512)
    middle = wide(concat(c(p4, 256), up(c(p5, 256))), 256)
    n3 = wide(concat(c(p3, 128), up(c(middle, 128))), 128)
    n4 = wide(concat(*pool(n3, 128), middle), 256)
    n5 = wide(concat(*pool(n4, 256), p5), 512)
    outputs = [conv(c(x, 2 * x.shape[-1], 3), 255, activation="sigmoid") for x in (n3, n4, n5)]
    return model(pixels, outputs, "yolov7")


# --- YOLOX: Megvii-BaseDetection/YOLOX, yolox/models


def yolox(size):
    """YOLOX s, m. Its first step, pixels stacked as channels, is exported as a convolution of 6x6 (RKOPT)."""
    depth, width = {"s": (0.33, 0.5), "m": (0.67, 0.75)}[size]

    def c(channels):
        return int(channels * width)

    def block(x, channels, repeats, add=False):
        return c3(x, c(channels), max(1, round(repeats * depth)), add)

    pixels = image(640)
    x = conv(pixels, c(64), 6, 2)
    x = block(conv(x, c(128), 3, 2), 128, 3, True)
    p3 = block(conv(x, c(256), 3, 2), 256, 9, True)
    p4 = block(conv(p3, c(512), 3, 2), 512, 9, True)
    x = conv(conv(p4, c(1024), 3, 2), c(512))
    x = conv(concat(x, *[layers.MaxPooling2D(k, 1, "same")(x) for k in (5, 9, 13)]), c(1024))
    top = conv(block(x, 1024, 3), c(512))
    middle = conv(block(concat(up(top), p4), 512, 3), c(256))
    maps = [block(concat(up(middle), p3), 256, 3)]
    maps.append(block(concat(conv(maps[0], c(256), 3, 2), middle), 512, 3))
    maps.append(block(concat(conv(maps[1], c(512), 3, 2), top), 1024, 3))
    outputs = []
    for x in maps:
        x = conv(x, c(256))
        outputs.append(conv(conv(conv(x, c(256), 3), c(256), 3), 80, activation="sigmoid"))
        x = conv(conv(x, c(256), 3), c(256), 3)
        outputs += [conv(x, 4, activation=None), conv(x, 1, activation="sigmoid")]
    return model(pixels, outputs, f"yolox_{size}")


# --- PP-YOLOE: PaddlePaddle/PaddleDetection, ppdet/modeling: backbones, necks/custom_pan, heads/ppyoloe_head


def ppyoloe(size):
    """PP-YOLOE s, m, in its deployed form: one 3x3 per RepVGG block."""
    depth, width = {"s": (0.33, 0.5), "m": (0.67, 0.75)}[size]

    def c(channels):
        return int(channels * width)

    def count(repeats):
        return max(1, round(repeats * depth))

    def branches(x, hidden, repeats, add, pools=False):
        """Two branches, one of them deep; `pools` puts a pyramid of poolings into its middle."""
        a, b = conv(x, hidden), conv(x, hidden)
        for repeat in range(repeats):
            y = conv(conv(b, hidden, 3), hidden, 3)
            b = layers.Add()([b, y]) if add else y
            if pools and repeat == (repeats - 1) // 2:
                b = conv(concat(b, *[layers.MaxPooling2D(k, 1, "same")(b) for k in (5, 9, 13)]), hidden)
        return concat(a, b)

    def excite(x, activation):
        weights = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return layers.Multiply()([x, conv(weights, x.shape[-1], activation=activation)])

    def stage(x, channels, repeats):
        x = conv(x, (x.shape[-1] + channels) // 2, 3, 2)
        return conv(excite(branches(x, x.shape[-1] // 2, repeats, True), "hard_sigmoid"), channels)

    def fuse(x, channels, pools=False):
        return conv(branches(x, channels // 2, count(3), False, pools), channels)

    pixels = image(640)
    x = conv(conv(conv(pixels, c(32), 3, 2), c(32), 3), c(64), 3)
    maps = []
    for channels, repeats in ((128, 3), (256, 6), (512, 6), (1024, 3)):
        x = stage(x, c(channels), count(repeats))
        maps.append(x)
    _, p3, p4, p5 = maps
    n5 = fuse(p5, c(768), pools=True)
    n4 = fuse(concat(up(conv(n5, c(384))), p4), c(384))
    n3 = fuse(concat(up(conv(n4, c(192))), p3), c(192))
    m4 = fuse(concat(conv(n3, c(192), 3, 2), n4), c(384))
    m5 = fuse(concat(conv(m4, c(384), 3, 2), n5), c(768))
    outputs = []
    for x in (m5, m4, n3):
        classes = layers.Add()([conv(excite(x, "sigmoid"), x.shape[-1]), x])
        outputs += scores(conv(classes, 80, 3, activation=None))
        boxes = conv(excite(x, "sigmoid"), x.shape[-1])
        outputs.append(conv(boxes, 68, 3, activation=None))
    return model(pixels, outputs, f"ppyoloe_{size}")


# --- Networks of the Edge TPU's table


def inception_v1():
    """Inception v1 with BatchNorm folded: Szegedy et al. 2015, table 1, with 3x3 for 5x5 as in TF-Slim."""
    stages = (
        ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
        (
            (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
            (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
        ),
        ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
    )  # fmt: skip

    def c(x, channels, kernel=1, stride=1):
        return conv(x, channels, kernel, stride, "relu")

    pixels = image(224)
    x = layers.MaxPooling2D(3, 2, "same")(c(pixels, 64, 7, 2))
    x = c(c(x, 64), 192, 3)
    for stage in stages:
        x = layers.MaxPooling2D(3, 2, "same")(x)
        for one, reduce3, three, reduce5, five, pool in stage:
            branch = layers.MaxPooling2D(3, 1, "same")(x)
            x = concat(c(x, one), c(c(x, reduce3), three, 3), c(c(x, reduce5), five, 3), c(branch, pool))
    x = layers.GlobalAveragePooling2D()(x)
    return model(pixels, layers.Dense(1001, "softmax")(x), "inception_v1")


def efficientnet_edgetpu(size):
    """EfficientNet-EdgeTPU S, M: tensorflow/tpu, models/official/efficientnet/edgetpu, block arguments."""
    depth, pixels_count = {"S": (1.0, 224), "M": (1.1, 240)}[size]
    # repeats, kernel, stride, expansion, channels, fused convolution, shortcut
    stages = (
        (1, 3, 1, 4, 24, True, False), (2, 3, 2, 8, 32, True, True), (4, 3, 2, 8, 48, True, True),
        (5, 5, 2, 8, 96, False, True), (4, 5, 1, 8, 144, False, True), (2, 5, 2, 8, 192, False, True),
    )  # fmt: skip
    pixels = image(pixels_count)
    x = conv(pixels, 32, 3, 2, "relu")
    for repeats, kernel, first_stride, expansion, channels, is_fused, shortcut in stages:
        for repeat in range(int(np.ceil(repeats * depth))):
            stride, hidden = (first_stride if repeat == 0 else 1), x.shape[-1] * expansion
            if is_fused:
                y = conv(x, hidden, kernel, stride, "relu")
            else:
                y = depthwise(conv(x, hidden, activation="relu"), kernel, stride, "relu")
            y = conv(y, channels, activation=None)
            x = layers.Add()([x, y]) if shortcut and stride == 1 and x.shape[-1] == channels else y
    x = layers.GlobalAveragePooling2D()(conv(x, 1280, activation="relu"))
    return model(pixels, layers.Dense(1000, "softmax")(x), f"efficientnet_edgetpu_{size}")


def deeplab():
    """DeepLab v3 on MobileNetV2 with output stride 16: tensorflow/models, research/deeplab; 21 classes."""
    pixels = image(513)
    x = conv(pixels, 32, 3, 2, "relu6")
    dilation = 1
    for expansion, channels, repeats, first_stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 0),
        (6, 320, 1, 1),
    ):  # fmt: skip
        for repeat in range(repeats):
            stride = max(1, first_stride) if repeat == 0 else 1
            y = conv(x, x.shape[-1] * expansion, activation="relu6") if expansion > 1 else x
            y = conv(depthwise(y, 3, stride, "relu6", dilation), channels, activation=None)
            x = layers.Add()([x, y]) if stride == 1 and x.shape[-1] == channels else y
            if first_stride == 0:  # the stride of this stage is replaced by dilation from here on
                dilation = 2
    size = x.shape[1:3]
    pooled = conv(layers.AveragePooling2D(size)(x), 256, activation="relu")
    pooled = ops.image.resize(pooled, size, "bilinear")
    x = conv(concat(pooled, conv(x, 256, activation="relu")), 256, activation="relu")
    x = ops.image.resize(conv(x, 21, activation=None), (513, 513), "bilinear")
    # Keras' own argmax repairs negative zeros with bit operations, which TFLite lacks.
    return model(pixels, layers.Lambda(lambda x: tensorflow.argmax(x, axis=-1))(x), "deeplab_v3")


def unet():
    """U-Net on MobileNetV2: the TensorFlow tutorial on image segmentation, 3 classes."""
    base = keras.applications.MobileNetV2((128, 128, 3), weights=None, include_top=False)
    names = ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu")
    skips = [base.get_layer(name).output for name in names]
    x = base.get_layer("block_16_project").output
    for channels, skip in zip((512, 256, 128, 64), reversed(skips), strict=True):
        x = layers.Conv2DTranspose(channels, 3, 2, "same", activation="relu")(x)
        x = concat(x, skip)
    return model(base.input, layers.Conv2DTranspose(3, 3, 2, "same")(x), "unet_mobilenet_v2")


def ssd_mobilenet_v1():
    """SSD on MobileNetV1: tensorflow/models, research/object_detection; without the decoding of boxes."""
    base = keras.applications.MobileNet((300, 300, 3), weights=None, include_top=False)
    maps = [base.get_layer("conv_pw_11_relu").output, base.output]
    for hidden, channels in ((256, 512), (128, 256), (128, 256), (64, 128)):
        x = conv(maps[-1], hidden, activation="relu6")
        maps.append(conv(x, channels, 3, 2, "relu6"))
    boxes, classes = [], []
    for x, anchors in zip(maps, (3, 6, 6, 6, 6, 6), strict=True):
        boxes.append(layers.Reshape((-1, 4))(conv(x, 4 * anchors, activation=None)))
        classes.append(layers.Reshape((-1, 91))(conv(x, 91 * anchors, activation=None)))
    found = layers.Activation("sigmoid")(layers.Concatenate(axis=1)(classes))
    return model(base.input, [layers.Concatenate(axis=1)(boxes), found], "ssd_mobilenet_v1")


def retinaface():
    """RetinaFace on MobileNetV1 0.25, 320 pixels: biubug6/Pytorch_Retinaface."""
    base = keras.applications.MobileNet((320, 320, 3), alpha=0.25, weights=None, include_top=False)
    p3, p4, p5 = (
        conv(base.get_layer(f"conv_pw_{index}_relu").output, 64, activation="relu") for index in (5, 11, 13)
    )
    p4 = conv(layers.Add()([p4, up(p5)]), 64, 3, activation="relu")
    p3 = conv(layers.Add()([p3, up(p4)]), 64, 3, activation="relu")
    heads = ([], [], [])
    for x in (p3, p4, p5):
        a = conv(x, 16, 3, activation="relu")
        b = conv(a, 16, 3, activation=None)
        c = conv(conv(a, 16, 3, activation="relu"), 16, 3, activation=None)
        x = layers.ReLU()(concat(conv(x, 32, 3, activation=None), b, c))
        for found, count in zip(heads, (4, 2, 10), strict=True):
            found.append(layers.Reshape((-1, count))(conv(x, 2 * count, activation=None)))
    boxes, scores, landmarks = (layers.Concatenate(axis=1)(found) for found in heads)
    return model(base.input, [boxes, layers.Softmax()(scores), landmarks], "retinaface")


# --- Networks of Arm's evaluation kit


def wav2letter():
    """Wav2Letter: ARM-software/ML-zoo, speech recognition: convolutions over 296 steps of 39 features."""
    sound = keras.Input((1, 296, 39))
    x = conv(sound, 250, (1, 48), (1, 2), "relu")
    for _ in range(7):
        x = conv(x, 250, (1, 7), activation="relu")
    x = conv(conv(x, 2000, (1, 32), activation="relu"), 2000, activation="relu")
    return model(sound, layers.Softmax()(conv(x, 29, activation=None)), "wav2letter")


def resnet8():
    """ResNet-8 for CIFAR-10: mlcommons/tiny, benchmark/training/image_classification."""
    pixels = image(32)
    x = conv(pixels, 16, 3, activation="relu")
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = conv(conv(x, channels, 3, stride, "relu"), channels, 3, activation=None)
        x = x if stride == 1 else conv(x, channels, 1, stride, None)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return model(pixels, layers.Dense(10, "softmax")(x), "resnet8")


def application(name, size, **settings):
    """A network of keras.applications with random weights."""
    return lambda: getattr(keras.applications, name)(input_shape=(size, size, 3), weights=None, **settings)


BUILDERS = {
    "mobilenet_v1_224": application("MobileNet", 224),
    "mobilenet_v2_224": application("MobileNetV2", 224),
    "resnet50_299": application("ResNet50", 299),
    "inception_v1_224": inception_v1,
    "efficientnet_edgetpu_s": lambda: efficientnet_edgetpu("S"),
    "efficientnet_edgetpu_m": lambda: efficientnet_edgetpu("M"),
    "unet_mobilenet_v2_128": unet,
    "deeplab_v3_513": deeplab,
    "yolov5n": lambda: yolov5("n"),
    "yolov5s": lambda: yolov5("s"),
    "yolov5s_relu": lambda: yolov5("s", "relu"),
    "yolov5m": lambda: yolov5("m"),
    "yolov5n_seg": lambda: yolov5("n", masks=True),
    "yolov5s_seg": lambda: yolov5("s", masks=True),
    "yolov5m_seg": lambda: yolov5("m", masks=True),
    "yolov6n": lambda: yolov6("n"),
    "yolov6s": lambda: yolov6("s"),
    "yolov6m": lambda: yolov6("m"),
    "yolov7_tiny": yolov7_tiny,
    "yolov7": yolov7,
    "yolov8n": lambda: yolov8("n"),
    "yolov8s": lambda: yolov8("s"),
    "yolov8m": lambda: yolov8("m"),
    "yolov8n_obb": lambda: yolov8("n", 15, 1),
    "yolov8n_pose": lambda: yolov8("n", 1, 51),
    "yolov8n_seg": lambda: yolov8("n", 80, 32, True),
    "yolov8s_seg": lambda: yolov8("s", 80, 32, True),
    "yolov8m_seg": lambda: yolov8("m", 80, 32, True),
    "yolov10n": lambda: yolov10("n"),
    "yolov10s": lambda: yolov10("s"),
    "yolo11n": lambda: yolo11("n"),
    "yolo11s": lambda: yolo11("s"),
    "yolo11m": lambda: yolo11("m"),
    "yolox_s": lambda: yolox("s"),
    "yolox_m": lambda: yolox("m"),
    "ppyoloe_s": lambda: ppyoloe("s"),
    "ppyoloe_m": lambda: ppyoloe("m"),
    "retinaface_320": retinaface,
    "wav2letter": wav2letter,
    "mobilenet_v2_035_128": application("MobileNetV2", 128, alpha=0.35),
    "resnet8_32": resnet8,
    "densenet121_224": application("DenseNet121", 224),
    "resnet50_v2_299": application("ResNet50V2", 299),
    "inception_resnet_v2_299": application("InceptionResNetV2", 299),
    "resnet152_v2_299": application("ResNet152V2", 299),
    "vgg16_224": application("VGG16", 224),
    "vgg19_224": application("VGG19", 224),
    "ssd_mobilenet_v1_300": ssd_mobilenet_v1,
}


def layers_of(name: str) -> pd.DataFrame:
    """The layers of one network, from a real int8 conversion with one random image."""
    network = BUILDERS[name]()
    images = np.random.default_rng(0).integers(0, 256, (1, *network.input_shape[1:]), np.uint8)
    converted = quantization.convert(network, "int8", images, io_dtype="int8", name=name)
    found = estimate.layers(converted.path).drop(columns="why").astype({"edgetpu": int})
    converted.path.unlink()  # VGG16 alone is 138 MB
    found.insert(0, "network", name)
    return found


def main(names: list[str]) -> None:
    """Build what is named, or what is missing, and keep the table in the order of `BUILDERS`."""
    table = (
        pd.read_csv(estimate.LAYERS_FILE)
        if estimate.LAYERS_FILE.exists()
        else pd.DataFrame({"network": []}, dtype=object)
    )
    for name in names or [name for name in BUILDERS if name not in set(table["network"])]:
        started = time.perf_counter()
        found = layers_of(name)
        keras.backend.clear_session()
        table = pd.concat([table[table["network"] != name], found])
        order = table["network"].map({name: place for place, name in enumerate(BUILDERS)})
        table = table.assign(order=order).sort_values("order", kind="stable").drop(columns="order")
        with artifacts.atomic_path(estimate.LAYERS_FILE) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
        macs, weights = found["macs"].sum() / 1e9, found["weights"].sum() / 1e6
        seconds = time.perf_counter() - started
        print(
            f"{name:24} {macs:7.2f} G MACs {weights:7.2f} M weights {len(found):4} operators {seconds:5.0f} s"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
