"""The record every number becomes, the store that keeps it, the comparison table and the Pareto plot.

Records are lines of JSON in `artifacts/results/results.jsonl`. Appending is safe with several kernels writing
at once, and after a kill at any moment every earlier record is still there and readable.
"""

from __future__ import annotations

import csv
import html
import json
import os
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import numpy as np
import pandas as pd

from edgelab.machine import artifacts
from edgelab.drawing import point_labels
from edgelab.errors import DataError, InputError
from edgelab.texts import tr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from edgelab.benchmark import Measurement

# The one unit each common metric is stored in, so that two chapters can never disagree about it.
UNITS = {
    "accuracy": "fraction",
    "agreement": "fraction",
    "latency": "ms",
    "throughput": "1/s",
    "size": "bytes",
    "peak_memory": "bytes",
    "energy": "mJ",
    "power": "W",
    "price": "USD",
    "peak_compute": "TOPS",
}
# Strongest evidence first: where a table has one place for two records, the first one is shown.
PROVENANCES = ("measured", "simulated", "published", "estimated")
PROVENANCE_GLYPHS = {"measured": "●", "simulated": "■", "published": "◆", "estimated": "▲"}
PROVENANCE_MARKERS = {"measured": "o", "simulated": "s", "published": "D", "estimated": "^"}

ROW_KEY = ["model", "precision", "target", "device", "dataset"]
RESULT_KEY = ["metric", "target", "device", "model", "precision", "dataset", "provenance"]
MAIN_METRICS = ["accuracy", "latency", "size"]
# Area in points² of the largest model's marker, of the smallest, and of one whose size is unknown.
MARKER_AREAS = (300.0, 40.0, 40.0)
MOST_TICKS = 11  # on a logarithmic axis, side by side
SMALLEST_SPAN = 5.0  # percentage points: a narrower axis would make noise look like a difference


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Samples:
    """The timings behind one value, in the value's unit.

    Attributes:
        n: how many there are.
        median, p05, p95: their 50th, 5th and 95th percentile.
        low, high: 95 % confidence interval of the median.
    """

    n: int
    median: float
    p05: float
    p95: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """One number and everything needed to trust it.

    Attributes:
        metric: what was determined, such as "latency" or "accuracy".
        value: the number, in `unit`.
        unit: filled in for the metrics in `UNITS`; accuracy is a fraction, 0 to 1.
        target: which runtime, such as "cpu" or "edgetpu".
        device: the chip or board.
        model: name of the network.
        precision: "float32", "int8", …
        dataset: what an accuracy was measured on.
        provenance: "measured" here, "simulated" by the vendor's tool, "estimated" by our model, "published".
        source: where a published number stands; else optional.
        runtime_version: name and version of what executed the model.
        samples: the timings behind the value.
        placement: "31 of 31 operators" on the accelerator.
        created: UTC time, ISO 8601.

    Raises:
        InputError: unknown provenance, a published number without source, a value that is not finite, or a
            unit that differs from the one in `UNITS`.
    """

    metric: str
    value: float
    unit: str = ""
    target: str = ""
    device: str = ""
    model: str = ""
    precision: str = ""
    dataset: str = ""
    provenance: str = "measured"
    source: str = ""
    runtime_version: str = ""
    samples: Samples | None = None
    placement: str = ""
    created: str = field(default_factory=_now)

    def __post_init__(self) -> None:
        if self.provenance not in PROVENANCES:
            raise InputError(
                tr("provenance is {provenance!r}.", provenance=self.provenance),
                why=tr("a number must say where it comes from"),
                fix=tr("use one of {provenances}", provenances=", ".join(PROVENANCES)),
            )
        if self.provenance == "published" and not self.source.strip():
            raise InputError(
                tr(
                    "The published {metric} of {model} has no source.",
                    metric=self.metric,
                    model=self.model or tr("a model"),
                ),
                why=tr("a figure that nobody can look up is a rumour"),
                fix=tr("give source=, the document and its version"),
            )
        if not np.isfinite(self.value):
            raise InputError(
                tr("{metric} is {value}.", metric=self.metric, value=self.value),
                why=tr("a record holds a finite number; what was not measured has no record"),
                fix=tr("leave the record out"),
            )
        known = UNITS.get(self.metric, self.unit)
        if self.unit and self.unit != known:
            raise InputError(
                tr("{metric} is given in {unit!r}.", metric=self.metric, unit=self.unit),
                why=tr(
                    "{metric} is always stored in {known!r}, so that values can be compared",
                    metric=self.metric,
                    known=known,
                ),
                fix=tr("convert the value to {known!r}, or leave unit out", known=known),
            )
        object.__setattr__(self, "unit", known)
        object.__setattr__(self, "value", float(self.value))

    def __str__(self) -> str:
        where = " ".join(part for part in (self.model, self.precision, self.target, self.device) if part)
        return f"{self.metric} of {where}: {format_value(self.value, self.unit)} ({self.provenance})"


def format_value(value: float, unit: str) -> str:
    """A number with its unit as people read it: 91.2 %, 1.29 ms, 0.62 MB."""
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    if unit == "bytes":
        return f"{value / 1e6:.2f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text}/s" if unit == "1/s" else f"{text} {unit}".strip()


def from_measurement(
    measurement: Measurement, *, model: str, precision: str, dataset: str = ""
) -> tuple[Result, ...]:
    """The records of one benchmark: latency, throughput, and energy where a counter was read.

    Args:
        measurement: from `benchmark.measure` or a row of `benchmark.compare`.
        model: the network's name.
        precision: of the file that ran, such as "int8".
        dataset: the data set the model belongs to, so that its records meet in one row of the table.

    Returns:
        Records ready for `append`.
    """
    common = {
        "target": measurement.target,
        "device": measurement.device,
        "model": model,
        "precision": precision,
        "dataset": dataset,
        "provenance": measurement.provenance,
        "runtime_version": measurement.runtime_version,
        "placement": str(measurement.placement or ""),
    }
    low, high = measurement.interval_ms
    samples = Samples(
        len(measurement.samples_ms),
        measurement.median_ms,
        measurement.p05_ms,
        measurement.p95_ms,
        low,
        high,
    )
    records = [
        Result("latency", measurement.median_ms, samples=samples, **common),
        Result("throughput", measurement.throughput_per_s, **common),
    ]
    if measurement.energy_mj is not None:
        records.append(Result("energy", measurement.energy_mj, **common))
    return tuple(records)


def store_path() -> Path:
    """The file that holds the records of this folder of artifacts."""
    return artifacts.artifacts_dir() / "results" / "results.jsonl"


def append(*results: Result) -> None:
    """Add records to the store: all of them or, when the disk refuses, none.

    Args:
        *results: what to keep.

    Raises:
        StorageError: the disk is full or the folder cannot be written. Earlier records are intact.
    """
    path = store_path()
    data = "".join(json.dumps(asdict(result), ensure_ascii=False) + "\n" for result in results).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(".results.lock")):
            _append_bytes(path, data)
    except OSError as error:
        raise artifacts.storage_error(error, path) from error


def _append_bytes(path: Path, data: bytes) -> None:
    """Append `data` and wait until it is on the disk; put the old length back if that fails.

    The caller holds the lock.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and _last_byte(descriptor, size) != b"\n":
            data = b"\n" + data  # a writer was killed in its line: close it, so that ours stands alone
        try:
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def _parse(line: bytes) -> Result | None:
    """The record of one line, or None for one that a killed writer left unfinished or that is no record."""
    try:
        fields_read = json.loads(line)
        samples = fields_read.pop("samples")
        result = Result(**fields_read, samples=Samples(**samples) if samples else None)
    except (ValueError, TypeError, KeyError, AttributeError, InputError, RecursionError):
        return None
    texts = (
        getattr(result, entry.name) for entry in fields(Result) if entry.name not in ("value", "samples")
    )
    numbers = asdict(result.samples).values() if result.samples else ()
    sound = all(isinstance(text, str) for text in texts)
    return result if sound and all(isinstance(number, int | float) for number in numbers) else None


def to_frame(results: Iterable[Result]) -> pd.DataFrame:
    """Records as a frame: one column per field, the samples' fields as n, median, p05, p95, low, high."""
    sample_names = [entry.name for entry in fields(Samples)]
    names = [entry.name for entry in fields(Result) if entry.name != "samples"]
    rows = []
    for result in results:
        samples = asdict(result.samples) if result.samples else dict.fromkeys(sample_names, np.nan)
        rows.append({name: getattr(result, name) for name in names} | samples)
    frame = pd.DataFrame(rows, columns=names + sample_names)
    return frame.astype(dict.fromkeys(["value", *sample_names], float))


def load(path: Path | None = None) -> pd.DataFrame:
    """Every record in the store, oldest first (see `to_frame`).

    A line that a killed writer left unfinished is left out and counted in `frame.attrs["unreadable_lines"]`.

    Args:
        path: a file of records from elsewhere; None takes the store.
    """
    path = path or store_path()
    lines = [line for line in path.read_bytes().split(b"\n") if line] if path.exists() else []
    parsed = [_parse(line) for line in lines]
    frame = to_frame(result for result in parsed if result)
    frame.attrs["unreadable_lines"] = parsed.count(None)
    return frame


def latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The newest record of each metric, target, device, model, precision, data set and provenance."""
    return frame.drop_duplicates(RESULT_KEY, keep="last").reset_index(drop=True)


def published(*names: str) -> tuple[Result, ...]:
    """Figures of vendors and papers from `data/published/`, each with its source.

    Args:
        *names: files without their ending, such as "latency"; none means all of them.

    Returns:
        Records with provenance "published", in the order of the file.

    Raises:
        DataError: there is no such file, or a row that cannot be read.
    """
    folder = artifacts.PROJECT_ROOT / "data" / "published"
    available = sorted(path.stem for path in folder.glob("*.csv"))
    records = []
    for name in names or available:
        if name not in available:
            raise DataError(
                tr("There are no published figures named {name!r}.", name=name),
                why=tr("data/published holds {names}", names=", ".join(available) or tr("nothing")),
                fix=tr("use one of these names, or add a file as data/README.md describes"),
            )
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                records.append(_published_row(row, f"{name}.csv line {line}"))
    return tuple(records)


def _published_row(row: Mapping[str, str], place: str) -> Result:
    try:
        return Result(**{**row, "value": float(row["value"])}, provenance="published", created="")
    except (InputError, TypeError, ValueError, KeyError) as error:
        raise DataError(
            tr("data/published/{place} cannot be read.", place=place),
            why=getattr(error, "why", "") or str(error),
            fix=tr("give every column a value, as the rows beside it do"),
        ) from error


def _cells(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The strongest evidence of `metric` per row key, indexed by `ROW_KEY`."""
    chosen = frame[frame["metric"] == metric].assign(
        strength=lambda rows: rows["provenance"].map(PROVENANCES.index)
    )
    chosen = chosen.sort_values("strength", kind="stable").drop_duplicates(ROW_KEY)
    return chosen.set_index(ROW_KEY)


def _latency_ranks(latency: pd.DataFrame) -> dict[tuple, str]:
    """Rank of each row among those of the same model and data set; rows that overlap are called a tie.

    A row's rank is one more than the number of rows that are certainly faster: those whose whole interval
    lies below its own.
    """
    ranks = {}
    timed = latency.dropna(subset=["low", "high"]).reset_index()
    for _, group in timed.groupby(["model", "dataset"], sort=False):
        for row in group.itertuples():
            rank = 1 + int((group["high"] < row.low).sum())
            overlapping = group[(group["low"] <= row.high) & (group["high"] >= row.low)].drop(row.Index)
            tied = ", ".join(f"{other.precision} {other.target}" for other in overlapping.itertuples())
            key = tuple(getattr(row, name) for name in ROW_KEY)
            ranks[key] = f"{rank} (tie with {tied})" if tied else str(rank)
    return ranks


@dataclass(frozen=True, repr=False)
class ComparisonTable:
    """One row per model, precision, target, device and data set; every number with unit and provenance.

    Attributes:
        rows: text cells, `columns` in order; a metric cell is (text, provenance) or None.
        columns: headings.
    """

    rows: tuple[tuple, ...]
    columns: tuple[str, ...]

    def __str__(self) -> str:
        lines = [self.columns, *([_plain(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*text, self.legend])

    __repr__ = __str__

    @property
    def legend(self) -> str:
        """What the marks mean, for those that occur."""
        seen = {cell[1] for row in self.rows for cell in row if isinstance(cell, tuple)}
        marks = [f"{PROVENANCE_GLYPHS[name]} {name}" for name in PROVENANCES if name in seen]
        return ", ".join(marks)

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col" style="text-align:left">{html.escape(name)}</th>' for name in self.columns
        )
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{_rich(cell)}</td>' for cell in row) + "</tr>"
            for row in self.rows
        )
        return (
            f"<table><caption>{self.legend or 'No results yet.'}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _plain(cell: str | tuple[str, str] | None) -> str:
    if cell is None:
        return "–"
    return cell if isinstance(cell, str) else f"{PROVENANCE_GLYPHS[cell[1]]} {cell[0]}"


def _rich(cell: str | tuple[str, str] | None) -> str:
    if cell is None:
        return '<span title="not measured">–</span>'
    if isinstance(cell, str):
        return html.escape(cell)
    glyph = PROVENANCE_GLYPHS[cell[1]]
    return f'<span title="{cell[1]}" aria-label="{cell[1]}">{glyph}</span> {html.escape(cell[0])}'


def _metric_cell(row: pd.Series) -> tuple[str, str]:
    text = format_value(row["value"], row["unit"])
    if np.isfinite(row["low"]):
        text += f" [{row['low']:.3g}, {row['high']:.3g}]"
    return text, row["provenance"]


def comparison_table(frame: pd.DataFrame | None = None) -> ComparisonTable:
    """The course's one table: what each model costs and gives on each target.

    Rows are ordered by latency, fastest first. Latencies of one model whose 95 % intervals overlap are called
    a tie. Metrics besides accuracy, latency and size get a column when any row has them.

    Args:
        frame: records as `load` gives them; None takes the store.

    Returns:
        A table that shows itself in a notebook and prints as plain text.
    """
    frame = latest(load() if frame is None else frame)
    others = [name for name in frame["metric"].unique() if name not in MAIN_METRICS]
    metrics = MAIN_METRICS + sorted(others)
    cells = {metric: _cells(frame, metric) for metric in metrics}
    ranks = _latency_ranks(cells["latency"])
    placements = frame[frame["placement"] != ""].drop_duplicates(ROW_KEY, keep="last")
    placements = placements.set_index(ROW_KEY)["placement"]
    keys = list(dict.fromkeys(frame[ROW_KEY].itertuples(index=False, name=None)))
    keys.sort(key=lambda key: cells["latency"]["value"].get(key, np.inf))

    def cell(metric, key):
        return _metric_cell(cells[metric].loc[key]) if key in cells[metric].index else None

    rows = tuple(
        (
            *(part or "–" for part in key),
            *(cell(metric, key) for metric in MAIN_METRICS),
            ranks.get(key),
            placements.get(key),
            *(cell(metric, key) for metric in metrics[len(MAIN_METRICS) :]),
        )
        for key in keys
    )
    headings = [*ROW_KEY, *MAIN_METRICS, "latency rank", "placement", *metrics[len(MAIN_METRICS) :]]
    optional = ("latency rank", "placement")
    shown = [
        column
        for column, name in enumerate(headings)
        if name not in optional or any(row[column] is not None for row in rows)
    ]
    return ComparisonTable(
        rows=tuple(tuple(row[column] for column in shown) for row in rows),
        columns=tuple(headings[column].replace("_", " ") for column in shown),
    )


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
    cells = {metric: _cells(frame, metric) for metric in MAIN_METRICS}
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
