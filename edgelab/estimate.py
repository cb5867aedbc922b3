"""Latency of a model on devices that are not here, from a small model fitted on published figures.

The time of one inference is a sum: what the model needs of the device (`device_model.QUANTITIES`), each times
a cost. Costs are fitted by least squares on the logarithm of the time, none below zero, on the figures in
`data/published/estimate.csv`. The graphs behind those figures are in `data/estimate/layers.csv`, made by
`tools/published_graphs.py`, and the costs in `data/estimate/costs.json`, made by `write_costs`.

How far to trust the result is measured: each network is left out in turn, estimated from the others, and
compared with its published figure. The interval of every estimate comes from those errors.
"""

from __future__ import annotations

import html
import itertools
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from edgelab import results
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.processor_models import device_model
from edgelab.processor_models.device_model import CPU_QUANTITIES, DEVICES, QUANTITIES, Device, layers
from edgelab.results import Result
from edgelab.runtime import Placement
from edgelab.texts import tr

__all__ = [
    "DEVICES",
    "Costs",
    "Estimate",
    "costs",
    "fit",
    "held_back",
    "latency",
    "layers",
    "leave_one_out",
    "write_costs",
]

LAYERS_FILE = artifacts.PROJECT_ROOT / "data" / "estimate" / "layers.csv"
COSTS_FILE = artifacts.PROJECT_ROOT / "data" / "estimate" / "costs.json"
COVERAGE = 0.9  # wanted of the intervals; few figures give less
ROUNDS = 30  # of the least squares; the result stands still after ten
DIGITS = 6  # significant ones, of the costs in the file
# Parts of an estimate, and the quantities behind each.
PARTS = {
    "compute": ("matrix", "depthwise"),
    "memory": ("activations",),
    "weights": ("weights", "streamed"),
    "transfer": ("transfer",),
    "host": ("start",),
    "cpu": CPU_QUANTITIES,
}


@dataclass(frozen=True)
class Costs:
    """What one family of devices costs, and how far its estimates were off.

    Attributes:
        fitted: by name of the cost (`Device.costs`).
        cpu: ms per 10⁹ multiply-accumulates and per 10⁶ values on the CPU beside it.
        factor: the published figure of a network that was left out lies within estimate / factor and
            estimate * factor, `coverage` of the time.
        cpu_factor: the same for the CPU.
        coverage: of the intervals.
        figures: how many the costs are fitted on.
        median_error_percent: of the figures that were left out.
        shortest_ms, longest_ms: the range of those figures.
        most_operators: of the networks behind them.
    """

    fitted: dict[str, float]
    cpu: dict[str, float]
    factor: float
    cpu_factor: float
    coverage: float
    figures: int
    median_error_percent: float
    shortest_ms: float
    longest_ms: float
    most_operators: int

    def per_quantity(self, device: Device) -> pd.Series:
        """The cost of each of `QUANTITIES` in ms; 0 for those that do not count on this device."""
        found = pd.Series(0.0, index=list(QUANTITIES))
        for name, members in device.costs.items():
            found[list(members)] = self.fitted[name]
        for name, cost in {**device.fixed, **self.cpu}.items():
            found[name] = cost
        return found


def _device(name: str) -> Device:
    if name not in DEVICES:
        raise InputError(
            tr("There is no device named {name!r} to estimate for.", name=name),
            why=tr("published figures were fitted for {devices}", devices=", ".join(DEVICES)),
            fix=tr("use one of these"),
        )
    return DEVICES[name]


@cache
def _figures(file: str = "estimate") -> pd.DataFrame:
    """The published latencies in a file: model, device, value in ms, source."""
    return results.to_frame(results.published(file))[["model", "device", "value", "source"]]


@cache
def _layer_table() -> pd.DataFrame:
    return pd.read_csv(LAYERS_FILE, keep_default_na=False)


@cache
def _known_needs(network: str, device_name: str, cpu_only: bool) -> pd.Series:
    """What a network behind a published figure needs of a device, or of a CPU alone."""
    device = DEVICES[device_name]
    table = _layer_table()
    frame = device_model.placed(table[table["network"] == network].reset_index(drop=True), device)
    if cpu_only:
        frame = frame.assign(accelerated=False)
    return device_model.quantities(frame, device).sum()


def _least_squares(needs: np.ndarray, known_ms: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """Costs, none below zero, with the smallest sum of squared logarithms of estimate / published.

    Each round solves plain least squares, weighted so that it approaches that of the logarithms:
    (a - b)² / (a b) ≈ log(a / b)². A cost that would be negative is zero: every choice of costs is tried and
    the best kept; of four costs there are fifteen.

    Args:
        needs: float64 [figures, costs], what each network needs.
        known_ms: float64 [figures], time that is not fitted.
        times_ms: float64 [figures], as published.

    Returns:
        float64 [costs].
    """
    count = needs.shape[1]
    choices = [list(c) for size in range(1, count + 1) for c in itertools.combinations(range(count), size)]
    estimates_ms = times_ms
    for _ in range(ROUNDS):
        weight = 1 / np.sqrt(np.maximum(estimates_ms, 1e-6) * times_ms)
        target = (times_ms - known_ms) * weight
        best, found = np.inf, np.zeros(count)
        for choice in choices:
            matrix = needs[:, choice] * weight[:, np.newaxis]
            chosen = np.linalg.lstsq(matrix, target, rcond=None)[0]
            error = float(((matrix @ chosen - target) ** 2).sum())
            if (chosen >= 0).all() and error < best * (1 - 1e-9):
                best, found = error, np.zeros(count)
                found[choice] = chosen
        estimates_ms = known_ms + needs @ found
    return found


def _cpu_rows(device: Device) -> pd.DataFrame:
    return _figures()[_figures()["device"] == device.processor].assign(name=device.name)


def _device_rows(device: Device, file: str = "estimate") -> pd.DataFrame:
    """The figures of a family; `name` tells which device each is of."""
    chips = {other.chip: other.name for other in DEVICES.values() if other.family == device.family}
    rows = _figures(file)[_figures(file)["device"].isin(chips)]
    return rows.assign(name=rows["device"].map(chips)).reset_index(drop=True)


def _needs(rows: pd.DataFrame, cpu_only: bool = False) -> pd.DataFrame:
    pairs = zip(rows["model"], rows["name"], strict=True)
    return pd.DataFrame([_known_needs(model, name, cpu_only) for model, name in pairs])


def _fit_cpu(rows: pd.DataFrame) -> dict[str, float]:
    """Costs of the CPU, from figures of whole networks on it."""
    needs = _needs(rows, cpu_only=True)[list(CPU_QUANTITIES)].to_numpy()
    found = _least_squares(needs, np.zeros(len(rows)), rows["value"].to_numpy())
    return dict(zip(CPU_QUANTITIES, found.tolist(), strict=True))


def _fit_device(device: Device, rows: pd.DataFrame, cpu: dict[str, float]) -> dict[str, float]:
    """Costs of the accelerator; its CPU's are known."""
    needs = _needs(rows)
    matrix = np.column_stack([needs[list(names)].sum(axis=1) for names in device.costs.values()])
    known_ms = sum(needs[name] * cost for name, cost in {**device.fixed, **cpu}.items()).to_numpy()
    found = _least_squares(matrix, known_ms, rows["value"].to_numpy())
    return dict(zip(device.costs, found.tolist(), strict=True))


def _without(rows: pd.DataFrame, network: str) -> pd.DataFrame:
    return rows[rows["model"] != network]


def _interval(estimates: np.ndarray, published: np.ndarray) -> tuple[float, float]:
    """Factor and coverage of an interval, from the errors of figures left out.

    Split-conformal in spirit (Vovk et al. 2005): of n errors the k-th smallest covers a new one with a chance
    of k / (n + 1), whatever their distribution. With few figures even the largest error covers less than
    wanted.
    """
    errors = np.sort(np.abs(np.log(estimates / published)))
    count = min(len(errors), math.ceil(COVERAGE * (len(errors) + 1)))
    return math.exp(errors[count - 1]), count / (len(errors) + 1)


def leave_one_out(device: str) -> pd.DataFrame:
    """Every published figure of a device, estimated from the figures of all other networks.

    Args:
        device: a name in `DEVICES`.

    Returns:
        One row per figure: `model`, `device`, `published_ms`, `estimate_ms`, `error_percent` (signed),
        `peak_ms`, the time if every multiplier worked in every cycle, and `source`. The network's own
        figures, the CPU's too, take no part in its estimate.

    Raises:
        InputError: no such device.
    """
    chosen = _device(device)
    rows, cpu_rows = _device_rows(chosen), _cpu_rows(chosen)
    estimates = {}
    for network in rows["model"].unique():
        cpu = _fit_cpu(_without(cpu_rows, network))
        fitted = _fit_device(chosen, _without(rows, network), cpu)
        left_out = Costs(fitted, cpu, 1, 1, 0, 0, 0, 0, 0, 0)
        for name in rows.loc[rows["model"] == network, "name"]:
            cost = left_out.per_quantity(DEVICES[name])
            estimates[network, name] = float((_known_needs(network, name, False) * cost).sum())
    return _compared(rows, [estimates[key] for key in zip(rows["model"], rows["name"], strict=True)])


def held_back(device: str) -> pd.DataFrame:
    """Published figures that no cost was fitted on, beside their estimates.

    Not a blind test: their values were known when the form of the model was chosen (by leave-one-out alone).

    Args:
        device: a name in `DEVICES`.

    Returns:
        As `leave_one_out`, for the figures in `data/published/estimate_check.csv`; empty where it has none.

    Raises:
        InputError: no such device.
    """
    rows, known = _device_rows(_device(device), "estimate_check"), costs(device)
    names = zip(rows["model"], rows["name"], strict=True)
    needs = [(_known_needs(model, name, False), DEVICES[name]) for model, name in names]
    return _compared(rows, [float((need * known.per_quantity(of)).sum()) for need, of in needs])


def _compared(rows: pd.DataFrame, estimates_ms: list[float]) -> pd.DataFrame:
    """Published figures beside their estimates."""
    found = rows.rename(columns={"value": "published_ms"}).assign(estimate_ms=estimates_ms)
    found["error_percent"] = 100 * (found["estimate_ms"] / found["published_ms"] - 1)
    found["peak_ms"] = [_peak_ms(*key) for key in zip(rows["model"], rows["name"], strict=True)]
    return found[["model", "device", "published_ms", "estimate_ms", "error_percent", "peak_ms", "source"]]


def _peak_ms(network: str, device_name: str) -> float:
    table = _layer_table()
    macs = table.loc[table["network"] == network, "macs"].sum()
    return 2 * macs / DEVICES[device_name].peak_tops / 1e9


def _leave_one_out_cpu(device: Device) -> np.ndarray:
    rows = _cpu_rows(device)
    needs = _needs(rows, cpu_only=True)[list(CPU_QUANTITIES)].to_numpy()
    cpus = [_fit_cpu(_without(rows, network)) for network in rows["model"]]
    return np.array(
        [need @ [cpu[name] for name in CPU_QUANTITIES] for need, cpu in zip(needs, cpus, strict=True)]
    )


def fit(device: str) -> Costs:
    """Fit a device's costs on the published figures, and measure how far off they are.

    Args:
        device: a name in `DEVICES`.

    Returns:
        The same as `costs`, computed anew.

    Raises:
        InputError: no such device.
    """
    chosen = _device(device)
    rows, cpu_rows = _device_rows(chosen), _cpu_rows(chosen)
    cpu = _fit_cpu(cpu_rows)
    errors = leave_one_out(device)
    factor, coverage = _interval(errors["estimate_ms"].to_numpy(), errors["published_ms"].to_numpy())
    cpu_factor, _ = _interval(_leave_one_out_cpu(chosen), cpu_rows["value"].to_numpy())
    return Costs(
        fitted=_fit_device(chosen, rows, cpu),
        cpu=cpu,
        factor=factor,
        cpu_factor=cpu_factor,
        coverage=coverage,
        figures=len(rows),
        median_error_percent=float(errors["error_percent"].abs().median()),
        shortest_ms=float(rows["value"].min()),
        longest_ms=float(rows["value"].max()),
        most_operators=max(int((_layer_table()["network"] == model).sum()) for model in rows["model"]),
    )


def write_costs() -> Path:
    """Fit every device and keep the costs in `data/estimate/costs.json`."""

    def rounded(value):
        if isinstance(value, dict):
            return {name: rounded(item) for name, item in value.items()}
        return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value

    found = {name: rounded(vars(fit(name))) for name in DEVICES}
    with artifacts.atomic_path(COSTS_FILE) as temporary:
        temporary.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    costs.cache_clear()
    return COSTS_FILE


@cache
def costs(device: str) -> Costs:
    """The fitted costs of a device, from the file.

    Raises:
        InputError: no such device.
    """
    _device(device)
    return Costs(**json.loads(COSTS_FILE.read_text(encoding="utf-8"))[device])


@dataclass(frozen=True, repr=False)
class Estimate:
    """The latency of a model on a device that is not here.

    Attributes:
        device: what it is for.
        latency_ms: of one inference, batch 1.
        low_ms, high_ms: its interval; `coverage` of the published figures lay inside theirs.
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
        return (
            f"{self.low_ms:.3g} to {self.high_ms:.3g} ms ({self.coverage:.0%} of figures left out lay inside)"
        )

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
    chosen = _device(device)
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
