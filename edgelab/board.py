"""The class board: what all students of a class have measured, in one table and one plot."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab import artifacts, display, results
from edgelab.errors import DataError
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN = ("measured", "simulated")  # published and estimated figures are the same for everybody
LARGEST_FILE_BYTES = 50_000_000
LONGEST_NAME = 60
MOST_NAMES = 10  # in a row of the plot; of more students only the first and the last are named
BETWEEN = " · "
PANELS = (
    ("latency", "latency in ms (log scale, lower is better)", 1.0),
    ("accuracy", "accuracy in % (higher is better)", 100.0),
)
STYLE = """body{font-family:sans-serif;max-width:90em;margin:2em auto;padding:0 1em;color:#1a1a1a}
th,td{padding:.2em .8em;border-bottom:1px solid #bbb;white-space:nowrap}
img{max-width:100%}caption{text-align:left}"""


@dataclass(frozen=True)
class Board:
    """The results of a class.

    Attributes:
        frame: the newest record of each kind of each student, with a column "student".
        students: how many handed something in.
        skipped: lines that cannot be read, and files that hold none that can.
        page, picture, csv: where it was written.
    """

    frame: pd.DataFrame
    students: int
    skipped: int
    page: Path
    picture: Path
    csv: Path

    def __str__(self) -> str:
        return (
            f"{len(self.frame)} results of {self.students} students; {self.skipped} lines or files could not "
            f"be read and were left out.\n{self.page}\n{self.picture}\n{self.csv}"
        )


def _student(path: Path, folder: Path) -> str:
    """The folder below `folder` that holds the file, or the file's own name."""
    parts = path.relative_to(folder).parts
    name = parts[0] if len(parts) > 1 else path.stem
    return "".join(c for c in name if c.isprintable())[:LONGEST_NAME] or "?"


def read(folder: Path) -> tuple[pd.DataFrame, int]:
    """All students' newest records with a column "student", and how many lines or files could not be read.

    Args:
        folder: `NAME.jsonl` files, or a folder per student that holds a `.jsonl` file somewhere.

    Raises:
        DataError: there is no such folder, or no readable record in it.
    """
    import pandas as pd

    paths = sorted(path for path in folder.rglob("*.jsonl") if path.is_file() and not path.is_symlink())
    frames, skipped = [], 0
    for path in paths:
        try:
            if path.stat().st_size > LARGEST_FILE_BYTES:
                raise OSError("too large")
            frame = results.load(path)
        except OSError:
            skipped += 1
            continue
        skipped += frame.attrs["unreadable_lines"]
        frames.append(frame.assign(student=_student(path, folder)))
    rows = sum(len(frame) for frame in frames)
    if not rows:
        raise DataError(
            tr("{folder} holds no results.", folder=folder),
            why=tr(
                "{count} .jsonl files, {skipped} lines or files that cannot be read",
                count=len(paths),
                skipped=skipped,
            ),
            fix=tr("put the students' artifacts/results/results.jsonl there, each named after its student"),
        )
    frame = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    for name in results.ROW_KEY:
        frame[name] = frame[name].map(lambda text: re.sub(r"\s+", " ", text)[:LONGEST_NAME])
    newest = frame.drop_duplicates([*results.RESULT_KEY, "student"], keep="last")
    return newest[newest["provenance"].isin(OWN)].reset_index(drop=True), skipped


def comparison_table(frame: pd.DataFrame) -> results.ComparisonTable:
    """The course's table with a row per student: ranks and ties are those of the class."""
    named = frame.assign(target=frame["target"] + BETWEEN + frame["student"])
    table = results.comparison_table(named)
    position = table.columns.index("target")
    rows = []
    for row in table.rows:
        target, student = row[position].rsplit(BETWEEN, 1)
        rows.append((student, *row[:position], target, *row[position + 1 :]))
    return results.ComparisonTable(rows=tuple(rows), columns=("student", *table.columns))


def plot(frame: pd.DataFrame) -> Figure:
    """Latency and accuracy of each model on each target: a point per student, the median as a line.

    Args:
        frame: as `read` gives it.

    Returns:
        The figure; the caller saves and closes it.
    """
    from matplotlib import pyplot as plt

    labels = frame[["model", "precision", "target"]].agg(" ".join, axis=1)
    shown = frame.assign(row=labels)[frame["metric"].isin([name for name, _, _ in PANELS])]
    rows = sorted(shown["row"].unique())
    fig, panels = plt.subplots(
        1, len(PANELS), figsize=(13, 1.8 + 0.55 * len(rows)), sharey=True, layout="constrained"
    )
    for axes, (metric, label, factor) in zip(panels, PANELS, strict=True):
        axes.set_xlabel(label)
        if metric == "latency":
            axes.set_xscale("log")
        for height, row in enumerate(rows):
            part = shown[(shown["metric"] == metric) & (shown["row"] == row) & (shown["value"] > 0)]
            _points(axes, part.assign(value=factor * part["value"]), height)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(-0.6, len(rows) - 0.2)
        axes.margins(x=0.15)
    if not shown.empty and (shown["metric"] == "latency").any():
        results.plain_log_axis(panels[0].xaxis)
    return fig


def _points(axes: Axes, part: pd.DataFrame, height: int) -> None:
    if part.empty:
        return
    part = part.sort_values(["value", "student"])
    for provenance, group in part.groupby("provenance"):
        marker = results.PROVENANCE_MARKERS[provenance]
        axes.scatter(group["value"], [height] * len(group), marker=marker, color="C0", alpha=0.7)
    median = part["value"].median()
    axes.plot([median, median], [height - 0.25, height + 0.25], color="0.2", lw=2, ls="-")
    named = part if len(part) <= MOST_NAMES else part.iloc[[0, -1]]
    if len(part) > 1 and part["value"].nunique() == 1:
        where = (part["value"].iloc[0], height)
        axes.annotate(f"all {len(part)}", where, (8, 6), textcoords="offset points", fontsize=8)
        return
    for level, (value, student) in enumerate(zip(named["value"], named["student"], strict=True)):
        # Neighbours' names go above and below in turn.
        offset = (0, 8 if level % 2 == 0 else -15)
        axes.annotate(student, (value, height), offset, textcoords="offset points", ha="center", fontsize=8)


def write(folder: Path, out: Path) -> Board:
    """Read the results of a class, and write the board as a page, a picture and a CSV file.

    Args:
        folder: see `read`.
        out: where it goes.

    Raises:
        DataError: there is nothing to show.
        StorageError: the disk is full or `out` cannot be written.
    """
    from matplotlib import pyplot as plt

    frame, skipped = read(folder)
    board = Board(
        frame, frame["student"].nunique(), skipped, out / "board.html", out / "board.png", out / "board.csv"
    )
    display.use_style()
    figure = plot(frame)
    with artifacts.atomic_path(board.picture) as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight")
    plt.close(figure)
    with artifacts.atomic_path(board.csv) as temporary:
        frame.to_csv(temporary, index=False)
    with artifacts.atomic_path(board.page) as temporary:
        temporary.write_text(_page(board), encoding="utf-8")
    return board


def _page(board: Board) -> str:
    picture = base64.b64encode(board.picture.read_bytes()).decode()
    alt = (
        f"Latency and accuracy of each model on each target, a point for each of {board.students} students, "
        "with the class's median; the table below holds the numbers."
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Class board</title><style>{STYLE}</style></head><body><main><h1>Class board</h1>
<p>{html.escape(str(board).splitlines()[0])} A line in the plot: the median.</p>
<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">
{comparison_table(board.frame)._repr_html_()}</main></body></html>
"""
