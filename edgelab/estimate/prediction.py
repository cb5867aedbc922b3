"""The latency of a model on a device that is not here, with its interval, its parts and its layers."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from edgelab.estimate.figures import known_device
from edgelab.estimate.fitting import Costs, costs
from edgelab.processor_models import device_model
from edgelab.processor_models.device_model import CPU_QUANTITIES, Device, layers
from edgelab.results import Result
from edgelab.runtime import Placement

# Parts of an estimate, and the quantities behind each.
PARTS = {
    "compute": ("matrix", "depthwise"),
    "memory": ("activations", "concatenated", "attention"),
    "weights": ("weights", "streamed"),
    "transfer": ("transfer",),
    "host": ("start",),
    "cpu": CPU_QUANTITIES,
}


@dataclass(frozen=True, repr=False)
class Estimate:
    """The latency of a model on a device that is not here.

    Attributes:
        device: what it is for.
        latency_ms: of one inference, batch 1.
        low_ms, high_ms: its interval, which holds a new network's figure with a chance of `coverage`.
        coverage: 0 to 1.
        placement: operators on the accelerator, and why the others are not.
        parts: ms of compute, memory, weights, transfer, host, cpu.
        per_layer: one row per operator: where it runs, its MACs, the share of the multipliers that work, ms.
        note: what to know before using the number.
        is_extrapolated: less than half of the shortest published figure, or more than twice the longest.
        provenance: always "estimated".
    """

    device: Device
    latency_ms: float
    low_ms: float
    high_ms: float
    coverage: float
    placement: Placement
    parts: dict[str, float]
    per_layer: pd.DataFrame
    note: str
    is_extrapolated: bool
    provenance: str = "estimated"

    def result(self, *, model: str, precision: str = "int8", dataset: str = "") -> Result:
        """The record for `results.append`."""
        return Result(
            "latency",
            self.latency_ms,
            target=self.device.target,
            device=self.device.chip,
            model=model,
            precision=precision,
            dataset=dataset,
            provenance=self.provenance,
            source=f"edgelab.estimate, {self.interval}",
            placement=str(self.placement),
        )

    @property
    def interval(self) -> str:
        """The interval in words."""
        chance = f"the figure of a network left out lies inside with a chance of {self.coverage:.0%}"
        return f"{self.low_ms:.3g} to {self.high_ms:.3g} ms ({chance})"

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {ms:.3g}" for name, ms in self.parts.items() if ms)
        text = (
            f"{self.device.chip}: {self.placement}; estimated {self.latency_ms:.3g} ms, {self.interval}; "
            f"ms: {parts}"
        )
        return f"{text}. {self.note}" if self.note else text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{name}</th><td>{ms:.3g} ms</td></tr>'
            for name, ms in self.parts.items()
            if ms
        )
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        chip, interval = html.escape(self.device.chip), html.escape(self.interval)
        return (
            f"<table><caption>{chip}: {self.placement} on the accelerator; estimated "
            f"<b>{self.latency_ms:.3g} ms</b>, {interval}</caption><tbody>{rows}</tbody></table>{note}"
        )


def latency(model: Path | str | bytes, device: str) -> Estimate:
    """Estimate the latency of a fully quantized `.tflite` on a device.

    Args:
        model: the file, or its content; int8 throughout, as `chain.converted("int8")` gives it. The graph
            decides, not the weights: random ones do.
        device: a name in `DEVICES`.

    Returns:
        The estimate with its interval, its parts, and the placement it assumes.

    Raises:
        InputError: no such device.
        ModelError: a damaged model, or one that cannot be estimated: float, dynamic shapes, control flow, a
            custom operator, or compiled already.
    """
    chosen = known_device(device)
    known = costs(device)
    frame = device_model.placed(layers(model), chosen)
    spent = device_model.quantities(frame, chosen) * known.per_quantity(chosen)
    parts = {name: float(spent[list(members)].to_numpy().sum()) for name, members in PARTS.items()}
    cpu_ms = parts["cpu"]
    accelerator_ms = sum(parts.values()) - cpu_ms
    return Estimate(
        device=chosen,
        latency_ms=accelerator_ms + cpu_ms,
        low_ms=accelerator_ms / known.factor + cpu_ms / known.cpu_factor,
        high_ms=accelerator_ms * known.factor + cpu_ms * known.cpu_factor,
        coverage=known.coverage,
        placement=_placement(frame),
        parts=parts,
        per_layer=_per_layer(frame, spent, chosen),
        note=_note(accelerator_ms, cpu_ms, len(frame), chosen, known),
        is_extrapolated=not known.shortest_ms / 2 <= accelerator_ms + cpu_ms <= known.longest_ms * 2,
    )


def _placement(frame: pd.DataFrame) -> Placement:
    left = frame[~frame["accelerated"]]
    reasons = tuple((f"{row.operator} ({row.Index})", row.why) for row in left.itertuples())
    return Placement(int(frame["accelerated"].sum()), len(frame), reasons)


def _per_layer(frame: pd.DataFrame, spent: pd.DataFrame, device: Device) -> pd.DataFrame:
    steps = np.array([device_model.array_steps(row, device) for row in frame.itertuples()])
    busy = frame["macs"].to_numpy() / np.maximum(steps * device.multipliers, 1e-9)
    is_counted = (frame["accelerated"] & (frame["macs"] > 0)).to_numpy()
    return pd.DataFrame(
        {
            "operator": frame["operator"],
            "output": frame["output"],
            "where": np.where(frame["accelerated"], "accelerator", "CPU"),
            "macs": frame["macs"],
            "utilisation": np.where(is_counted, busy, np.nan),
            "ms": spent.sum(axis=1),
        }
    )


def _note(accelerator_ms: float, cpu_ms: float, operators: int, device: Device, known: Costs) -> str:
    """What to know before using the number."""
    notes = []
    if cpu_ms > accelerator_ms:
        notes.append(f"Most of it is CPU time, as on a {device.processor}.")
    total_ms = accelerator_ms + cpu_ms
    if total_ms < known.shortest_ms / 2:
        notes.append(
            f"Extrapolated: the shortest published figure is {known.shortest_ms:.3g} ms. Every call has an "
            "overhead that such figures do not show: take this as a lower bound."
        )
    if total_ms > known.longest_ms * 2:
        notes.append(f"Extrapolated: the longest published figure is {known.longest_ms:.3g} ms.")
    if operators > 1.5 * known.most_operators:
        notes.append(
            f"It has {operators} operators, the networks behind the published figures at most "
            f"{known.most_operators}: the interval may be too narrow."
        )
    return " ".join(notes)
