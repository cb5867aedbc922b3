"""Published latencies, the graphs behind them, and what each graph needs of a device."""

from __future__ import annotations

from functools import cache

import pandas as pd

from edgelab import results
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.processor_models import device_model
from edgelab.processor_models.device_model import DEVICES, Device
from edgelab.texts import tr

LAYERS_FILE = artifacts.PROJECT_ROOT / "data" / "estimate" / "layers.csv"
# Networks of one family share their blocks: one of them is no test of a fit that saw another.
FAMILIES = (
    "deeplab", "densenet", "efficientnet_edgetpu", "inception_resnet", "inception_v1", "mobilenet_v1",
    "mobilenet_v2", "ppyoloe", "resnet", "retinaface", "ssd", "unet", "vgg", "wav2letter", "yolo11",
    "yolov10", "yolov5", "yolov6", "yolov7", "yolov8", "yolox",
)  # fmt: skip
# 5 Gbit/s, of which 8b/10b coding leaves four fifths: no USB 3 cable carries more.
CABLE_GB_PER_S = 0.5


def known_device(name: str) -> Device:
    """The device of that name.

    Raises:
        InputError: there is none.
    """
    if name not in DEVICES:
        raise InputError(
            tr("There is no device named {name!r} to estimate for.", name=name),
            why=tr("published figures were fitted for {devices}", devices=", ".join(DEVICES)),
            fix=tr("use one of these"),
        )
    return DEVICES[name]


@cache
def published(file: str = "estimate") -> pd.DataFrame:
    """The published latencies in a file: model, device, value in ms, source."""
    return results.to_frame(results.published(file))[["model", "device", "value", "source"]]


@cache
def layer_table() -> pd.DataFrame:
    """The layers of every network behind a published figure: `device_model.layers`, with `network`."""
    return pd.read_csv(LAYERS_FILE, keep_default_na=False)


@cache
def needs_of(network: str, device_name: str, cpu_only: bool) -> pd.Series:
    """What a network behind a published figure needs of a device, or of a CPU alone."""
    device = DEVICES[device_name]
    table = layer_table()
    frame = device_model.placed(table[table["network"] == network].reset_index(drop=True), device)
    if cpu_only:
        frame = frame.assign(accelerated=False)
    return device_model.quantities(frame, device).sum()


def cpu_rows(device: Device) -> pd.DataFrame:
    """The figures of whole networks on the CPU that stands for the one beside the device."""
    return published()[published()["device"] == device.processor].assign(name=device.name)


def device_rows(device: Device, file: str = "estimate") -> pd.DataFrame:
    """The figures of a family; `name` tells which device each is of."""
    chips = {other.chip: other.name for other in DEVICES.values() if other.family == device.family}
    rows = published(file)[published(file)["device"].isin(chips)]
    return rows.assign(name=rows["device"].map(chips)).reset_index(drop=True)


def needs(rows: pd.DataFrame, cpu_only: bool = False) -> pd.DataFrame:
    """What the networks of some figures need: a row per figure, the columns `QUANTITIES`."""
    pairs = zip(rows["model"], rows["name"], strict=True)
    return pd.DataFrame([needs_of(model, name, cpu_only) for model, name in pairs])


def peak_ms(network: str, device_name: str) -> float:
    """The time of a network if every multiplier worked in every cycle."""
    table = layer_table()
    macs = table.loc[table["network"] == network, "macs"].sum()
    return 2 * macs / DEVICES[device_name].peak_tops / 1e9


def family(network: str) -> str:
    """The family of a network in the table of layers, such as "yolov5" of "yolov5s_seg".

    Raises:
        InputError: it is of none: a new network in the table.
    """
    found = next((name for name in FAMILIES if network.startswith(name)), None)
    if found is None:
        raise InputError(
            tr("The network {network!r} is of no known family.", network=network),
            fix=tr("add its family to FAMILIES in edgelab/estimate/figures.py"),
        )
    return found


def cable_gb_per_s(network: str, device: Device, published_ms: float) -> float:
    """What a cable must have carried in the published time, at the least: weights that the chip cannot keep.

    0 where weights do not come over a cable.
    """
    table = layer_table()
    weights = table.loc[table["network"] == network, "weights"].sum()
    beyond = max(0, int(weights) - device.on_chip_bytes) if device.on_chip_bytes else 0
    return beyond / published_ms / 1e6
