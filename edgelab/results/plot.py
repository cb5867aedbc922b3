"""Accuracy against latency, with size: the Pareto plot of all targets."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgelab.drawing import point_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

from edgelab.results.record import MAIN_METRICS, PROVENANCES, format_value
from edgelab.results.store import latest, load
from edgelab.results.table import rows_of_metric

PROVENANCE_MARKERS = {"measured": "o", "simulated": "s", "published": "D", "estimated": "^"}
# Area in points² of the largest model's marker, of the smallest, and of one whose size is unknown.
MARKER_AREAS = (300.0, 40.0, 40.0)
MOST_TICKS = 11  # on a logarithmic axis, side by side
SMALLEST_SPAN = 5.0  # percentage points: a narrower axis would make noise look like a difference


def pareto_front(latency_ms: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Indices of the points that no other beats in both latency (lower) and accuracy (higher).

    Args:
        latency_ms: shape [N].
        accuracy: shape [N], any unit.

    Returns:
        Indices int64, fastest point first.
    """
    order = np.lexsort((-np.asarray(accuracy), latency_ms))
    best, front = -np.inf, []
    for index in order:
        if accuracy[index] > best:
            best = accuracy[index]
            front.append(index)
    return np.array(front, dtype=np.int64)


def _marker_areas(size_bytes: pd.Series) -> np.ndarray:
    """Marker area in points², proportional to the size; a fixed small one where the size is unknown."""
    largest, smallest, unknown = MARKER_AREAS
    scaled = (largest * size_bytes / size_bytes.max()).clip(lower=smallest)
    return scaled.fillna(unknown).to_numpy()


def plot_pareto(frame: pd.DataFrame | None = None) -> Figure:
    """Accuracy against latency: marker area is the file size, marker shape says where the numbers come from.

    The line is the Pareto front of each data set: models that no other beats in both. A model without an
    accuracy or a latency cannot be drawn and is named below the axes. A hollow marker has no known size.

    Args:
        frame: records as `load` gives them; None takes the store.

    Returns:
        The figure; the caller shows and closes it.
    """
    from matplotlib import pyplot as plt
    from matplotlib.colors import to_rgba

    frame = latest(load() if frame is None else frame)
    cells = {metric: rows_of_metric(frame, metric) for metric in MAIN_METRICS}
    rows = pd.DataFrame({metric: cells[metric]["value"] for metric in MAIN_METRICS})
    rows["provenance"] = cells["latency"]["provenance"].reindex(rows.index)
    drawn = rows.dropna(subset=["accuracy", "latency"]).reset_index()
    missing = [f"{key[1]} {key[2]}" for key in rows[rows[["accuracy", "latency"]].isna().any(axis=1)].index]

    fig, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    axes.set(xlabel="latency in ms (log scale, lower is better)", ylabel="accuracy in % (higher is better)")
    if drawn.empty:
        axes.text(0.5, 0.5, "No model has both an accuracy and a latency yet.", ha="center", va="center")
        return fig
    drawn["area"] = _marker_areas(drawn["size"])
    colours = {target: f"C{index}" for index, target in enumerate(sorted(drawn["target"].unique()))}
    axes.set_xscale("log")
    plain_log_axis(axes.xaxis)
    for (target, provenance), group in drawn.groupby(["target", "provenance"], sort=False):
        axes.scatter(
            group["latency"],
            100 * group["accuracy"],
            s=group["area"],
            marker=PROVENANCE_MARKERS[provenance],
            facecolors=[
                to_rgba(colours[target], 0.8 if np.isfinite(size) else 0.0) for size in group["size"]
            ],
            edgecolors=colours[target],
        )
    for _, group in drawn.groupby("dataset", sort=False):
        points = group.iloc[pareto_front(group["latency"].to_numpy(), group["accuracy"].to_numpy())]
        axes.step(
            points["latency"], 100 * points["accuracy"], where="post", color="0.35", lw=1, ls="-", zorder=0
        )
    axes.margins(x=0.2, y=0.12)  # room for names
    low, high = axes.get_ylim()
    if high - low < SMALLEST_SPAN:
        axes.set_ylim((low + high - SMALLEST_SPAN) / 2, (low + high + SMALLEST_SPAN) / 2)
    _pareto_legend(axes, drawn)
    if missing:
        names = textwrap.fill(
            f"not drawn, accuracy or latency unknown: {', '.join(dict.fromkeys(missing))}", 110
        )
        axes.set_title(names, loc="left", fontsize=9)
    points = np.column_stack([drawn["latency"], 100 * drawn["accuracy"]])
    point_labels.add(axes, points, _pareto_names(drawn), drawn["area"].to_numpy())
    return fig


def plain_log_axis(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, … (on a short one closer), as people write numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    class Locator(LogLocator):
        def tick_values(self, vmin: float, vmax: float) -> np.ndarray:
            ticks = np.asarray(super().tick_values(vmin, vmax))
            shown = np.count_nonzero((ticks >= vmin) & (ticks <= vmax))
            if shown > MOST_TICKS:
                return ticks[np.isclose(np.log10(ticks) % 1, 0) | np.isclose(np.log10(ticks) % 1, 1)]
            if shown > 2:
                return ticks
            even = MaxNLocator(5, steps=(1, 2, 5, 10)).tick_values(vmin, vmax)
            return even[even > 0]

    axis.set_major_locator(Locator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _pareto_names(drawn: pd.DataFrame) -> list[str]:
    """What tells the points apart: model, precision or target, or several of them."""
    parts = [name for name in ("model", "precision", "target") if drawn[name].nunique() > 1] or ["precision"]
    return drawn[parts].agg(" ".join, axis=1).tolist()


def _pareto_legend(axes: Axes, drawn: pd.DataFrame) -> None:
    """Explains shape (provenance) and area (size). Each point's name tells its target; colour repeats it."""
    from matplotlib.lines import Line2D

    handles = []
    for name in PROVENANCES:
        if (drawn["provenance"] == name).any():
            marker = PROVENANCE_MARKERS[name]
            handles.append(Line2D([], [], marker=marker, ls="", color="0.35", mfc="none", label=name))
    handles.append(Line2D([], [], color="0.35", lw=1, ls="-", label="Pareto front"))
    title = ""
    if drawn["size"].notna().any():
        title = f"largest marker: {format_value(drawn['size'].max(), 'bytes')}"
    axes.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
