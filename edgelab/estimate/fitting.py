"""Costs of devices, fitted on published figures, and how far figures that were left out are missed."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from edgelab.estimate import figures
from edgelab.estimate.figures import known_device
from edgelab.machine import artifacts
from edgelab.processor_models.device_model import CPU_QUANTITIES, DEVICES, QUANTITIES, Device

COSTS_FILE = artifacts.PROJECT_ROOT / "data" / "estimate" / "costs.json"
COVERAGE = 0.9  # wanted of the intervals; few figures give less
ROUNDS = 30  # of the least squares; the result stands still after ten
DIGITS = 6  # significant ones, of the costs in the file


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


def _least_squares(needs: np.ndarray, known_ms: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
    """Costs, none below zero, with the smallest sum of squared logarithms of estimate / published.

    Each round solves plain least squares, weighted so that it approaches that of the logarithms:
    (a - b)² / (a b) ≈ log(a / b)². A cost that would be negative is zero: every choice of costs is tried and
    the best kept; of five costs there are thirty-one.

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


def _fit_cpu(rows: pd.DataFrame) -> dict[str, float]:
    """Costs of the CPU, from figures of whole networks on it."""
    needs = figures.needs(rows, cpu_only=True)[list(CPU_QUANTITIES)].to_numpy()
    found = _least_squares(needs, np.zeros(len(rows)), rows["value"].to_numpy())
    return dict(zip(CPU_QUANTITIES, found.tolist(), strict=True))


def _fit_device(device: Device, rows: pd.DataFrame, cpu: dict[str, float]) -> dict[str, float]:
    """Costs of the accelerator; its CPU's are known."""
    needs = figures.needs(rows)
    matrix = np.column_stack([needs[list(names)].sum(axis=1) for names in device.costs.values()])
    known_ms = sum(needs[name] * cost for name, cost in {**device.fixed, **cpu}.items()).to_numpy()
    found = _least_squares(matrix, known_ms, rows["value"].to_numpy())
    return dict(zip(device.costs, found.tolist(), strict=True))


def _interval(estimates: pd.Series | np.ndarray, published: pd.Series | np.ndarray) -> tuple[float, float]:
    """Factor and coverage of an interval, from the errors of figures left out.

    Split-conformal in spirit (Vovk et al. 2005): of n errors the k-th smallest covers a new one with a chance
    of k / (n + 1), whatever their distribution. With few figures even the largest error covers less than
    wanted.
    """
    errors = np.sort(np.abs(np.log(np.asarray(estimates) / np.asarray(published))))
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
    rows = figures.device_rows(known_device(device))
    return _compared(rows, _estimates_without(rows, known_device(device), rows["model"]))


def leave_family_out(device: str) -> pd.DataFrame:
    """Every published figure, estimated from other families, beside an interval from their errors.

    A network whose sibling took part is met too well: YOLOv5s says much about YOLOv5m. So a whole family is
    left out; and its intervals come from the errors of the other families alone.

    Args:
        device: a name in `DEVICES`.

    Returns:
        As `leave_one_out`, with `factor`, of the interval; and `is_inside`.

    Raises:
        InputError: no such device.
    """
    rows = figures.device_rows(known_device(device))
    families = rows["model"].map(figures.family)
    found = _compared(rows, _estimates_without(rows, known_device(device), families))
    others = [found[families != own] for own in families]
    found["factor"] = [_interval(other["estimate_ms"], other["published_ms"])[0] for other in others]
    ratio = found["estimate_ms"] / found["published_ms"]
    return found.assign(is_inside=ratio.between(1 / found["factor"], found["factor"]))


def _estimates_without(rows: pd.DataFrame, device: Device, groups: pd.Series) -> list[float]:
    """Each figure estimated in ms by costs that were fitted without its group, the CPU's costs too."""
    cpu_rows = figures.cpu_rows(device)
    estimates = {}
    for group in groups.unique():
        models = rows.loc[groups == group, "model"].unique()
        cpu = _fit_cpu(cpu_rows[~cpu_rows["model"].isin(models)])
        fitted = _fit_device(device, rows[groups != group], cpu)
        left_out = Costs(fitted, cpu, 1, 1, 0, 0, 0, 0, 0, 0)
        for place, row in rows[groups == group].iterrows():
            cost = left_out.per_quantity(DEVICES[row["name"]])
            estimates[place] = float((figures.needs_of(row["model"], row["name"], False) * cost).sum())
    return [estimates[place] for place in rows.index]


def held_back(device: str) -> pd.DataFrame:
    """Published figures that no cost was fitted on, beside their estimates.

    Not blind everywhere: all but those of PP-YOLOE and SSD were known when the form of the model was chosen.

    Args:
        device: a name in `DEVICES`.

    Returns:
        As `leave_one_out`, for the figures in `data/published/estimate_check.csv`, with `cable_gb_per_s`,
        what the cable must have carried; more than `CABLE_GB_PER_S` is not possible: such a figure is wrong,
        or of another network. Empty where there is none.

    Raises:
        InputError: no such device.
    """
    rows, known = figures.device_rows(known_device(device), "estimate_check"), costs(device)
    names = zip(rows["model"], rows["name"], strict=True)
    needs = [(figures.needs_of(model, name, False), DEVICES[name]) for model, name in names]
    found = _compared(rows, [float((need * known.per_quantity(of)).sum()) for need, of in needs])
    carried = zip(rows["model"], rows["name"], rows["value"], strict=True)
    return found.assign(
        cable_gb_per_s=[figures.cable_gb_per_s(model, DEVICES[name], ms) for model, name, ms in carried]
    )


def _compared(rows: pd.DataFrame, estimates_ms: list[float]) -> pd.DataFrame:
    """Published figures beside their estimates."""
    found = rows.rename(columns={"value": "published_ms"}).assign(estimate_ms=estimates_ms)
    found["error_percent"] = 100 * (found["estimate_ms"] / found["published_ms"] - 1)
    found["peak_ms"] = [figures.peak_ms(*key) for key in zip(rows["model"], rows["name"], strict=True)]
    return found[["model", "device", "published_ms", "estimate_ms", "error_percent", "peak_ms", "source"]]


def _leave_one_out_cpu(device: Device) -> np.ndarray:
    rows = figures.cpu_rows(device)
    needs = figures.needs(rows, cpu_only=True)[list(CPU_QUANTITIES)].to_numpy()
    cpus = [_fit_cpu(rows[rows["model"] != network]) for network in rows["model"]]
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
    chosen = known_device(device)
    rows, cpu_rows = figures.device_rows(chosen), figures.cpu_rows(chosen)
    cpu = _fit_cpu(cpu_rows)
    errors, apart = leave_one_out(device), leave_family_out(device)
    factor, coverage = _interval(apart["estimate_ms"], apart["published_ms"])
    cpu_factor, _ = _interval(_leave_one_out_cpu(chosen), cpu_rows["value"])
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
        most_operators=max(int((figures.layer_table()["network"] == model).sum()) for model in rows["model"]),
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
    known_device(device)
    return Costs(**json.loads(COSTS_FILE.read_text(encoding="utf-8"))[device])
