"""The one table: a row per model, target and device, each number with the mark of its provenance."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from edgelab.results.record import MAIN_METRICS, PROVENANCE_GLYPHS, PROVENANCES, ROW_KEY, format_value
from edgelab.results.store import latest, load
from edgelab.texts import tr

# What a terminal shows of the table, and what it leaves out of a number: interval and count of pictures.
BRIEF_COLUMNS = ("model", "precision", "target", "device", *MAIN_METRICS)
DETAILS = re.compile(r" (\[.*|\(n = .*)")
LEAST_WIDTH = 8


def rows_of_metric(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The strongest evidence of `metric` per row key, that of most pictures first, indexed by `ROW_KEY`."""
    chosen = frame[frame["metric"] == metric].assign(
        strength=lambda rows: rows["provenance"].map(PROVENANCES.index)
    )
    chosen = chosen.sort_values(["strength", "image_count"], ascending=[True, False], kind="stable")
    chosen = chosen.drop_duplicates(ROW_KEY)
    return chosen.set_index(ROW_KEY)


def _latency_ranks(latency: pd.DataFrame) -> dict[tuple, str]:
    """Rank of each row among those of the same model and data set; rows that overlap are named.

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
            ranks[key] = f"{rank} (no difference shown to {tied})" if tied else str(rank)
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
        return "\n".join([*_aligned([self.columns, *map(_plain_row, self.rows)]), self.legend])

    def brief(self, width: int = 100) -> str:
        """The columns that matter most, without intervals, for a terminal.

        Args:
            width: characters in a line; names of models and devices are cut to keep within it.
        """
        if not self.rows:
            return tr("No results yet: chapters record what they measure.")
        shown = [place for place, name in enumerate(self.columns) if name in BRIEF_COLUMNS]
        lines = [[row[place] for place in shown] for row in (self.columns, *map(_plain_row, self.rows))]
        lines = [[DETAILS.sub("", cell) for cell in line] for line in lines]
        too_wide = max(map(len, _aligned(lines))) - width
        for name in ("device", "model"):
            if too_wide > 0 and name in self.columns:
                place = shown.index(self.columns.index(name))
                longest = max(len(line[place]) for line in lines)
                kept = max(LEAST_WIDTH, longest - too_wide)
                lines = [
                    [_cut(cell, kept) if at == place else cell for at, cell in enumerate(line)]
                    for line in lines
                ]
                too_wide -= longest - kept
        return "\n".join([*_aligned(lines), self.legend.partition(", n pictures")[0]])

    __repr__ = __str__

    @property
    def legend(self) -> str:
        """What the marks mean, for those that occur."""
        seen = {cell[1] for row in self.rows for cell in row if isinstance(cell, tuple)}
        marks = [f"{PROVENANCE_GLYPHS[name]} {name}" for name in PROVENANCES if name in seen]
        counts = {count for row in self.rows for cell in row if (count := _pictures(cell))}
        if len(counts) > 1:
            marks.append("n pictures each; compare accuracies of the same n, or better, of the same pictures")
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


def _pictures(cell: str | tuple[str, str] | None) -> str:
    """The number of pictures that a cell tells; empty where it tells none."""
    return cell[0].partition("(n = ")[2] if isinstance(cell, tuple) else ""


def _plain_row(row: tuple) -> list[str]:
    return [_plain(cell) for cell in row]


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return ["  ".join(line).rstrip() for line in padded]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


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
    if row["metric"] == "accuracy" and row["image_count"]:
        text += f" (n = {row['image_count']:,})"
    return text, row["provenance"]


def comparison_table(frame: pd.DataFrame | None = None) -> ComparisonTable:
    """The course's one table: what each model costs and gives on each target.

    Rows are ordered by latency, fastest first. Latencies of one model whose 95 % intervals overlap share
    a rank. An accuracy says on how many pictures; two of different pictures are not compared like for like.
    Metrics besides accuracy, latency and size get a column when any row has them.

    Args:
        frame: records as `load` gives them; None takes the store.

    Returns:
        A table that shows itself in a notebook and prints as plain text.
    """
    frame = latest(load() if frame is None else frame)
    others = [name for name in frame["metric"].unique() if name not in MAIN_METRICS]
    metrics = MAIN_METRICS + sorted(others)
    cells = {metric: rows_of_metric(frame, metric) for metric in metrics}
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
