"""The class board: what all students of a class have measured, in one table and one plot."""

from __future__ import annotations

import base64
import html
import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab import display, results
from edgelab.errors import DataError
from edgelab.machine import artifacts, owned_folders
from edgelab.texts import tr

MADE_BY = "class board"

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OWN = ("measured", "simulated")  # published and estimated figures are the same for everybody
LARGEST_FILE_BYTES = 50_000_000
LONGEST_NAME = 60
BETWEEN = " · "
LONGEST_LABEL = 40  # characters, beside the plot; then it goes on below
WIDE_RANGE = 300.0  # between the fastest and the slowest: then the axis has room for powers of ten only
PANELS = (
    ("latency", "latency in ms (lower is better)", 1.0),
    ("accuracy", "accuracy in % (higher is better)", 100.0),
)
STYLE = """body{font-family:sans-serif;max-width:90em;margin:2em auto;padding:0 1em;color:#1a1a1a}
table{margin:1em 0}caption{padding-bottom:.4em}
th,td{padding:.2em .8em;border-bottom:1px solid #bbb;font-variant-numeric:tabular-nums}
tbody th{font-weight:normal}img{max-width:100%}.scroll{overflow-x:auto}summary{cursor:pointer}"""


@dataclass(frozen=True)
class Board:
    """The results of a class.

    Attributes:
        frame: the newest record of each kind of each student, with a column "student".
        students: how many handed something in.
        skipped: for each file in which something could not be read, how many lines; 1 when it is all of it.
        page, picture, csv: where it was written.
    """

    frame: pd.DataFrame
    students: int
    skipped: dict[str, int]
    page: Path
    picture: Path
    csv: Path

    def __str__(self) -> str:
        skipped = sum(self.skipped.values())
        return (
            f"{len(self.frame)} results of {self.students} students; {skipped} lines or files "
            f"could not be read and were left out.\n{self.page}\n{self.picture}\n{self.csv}"
        )


def _student(path: Path, folder: Path) -> str:
    """The folder below `folder` that holds the file, or the file's own name."""
    parts = path.relative_to(folder).parts
    name = parts[0] if len(parts) > 1 else path.stem
    return "".join(c for c in name if c.isprintable())[:LONGEST_NAME] or "?"


def read(folder: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """All students' newest records with a column "student", and where how many lines could not be read.

    Args:
        folder: `NAME.jsonl` files, or a folder per student that holds a `.jsonl` file somewhere.

    Raises:
        DataError: there is no such folder, or no readable record in it.
    """
    import pandas as pd

    paths = sorted(path for path in folder.rglob("*.jsonl") if path.is_file() and not path.is_symlink())
    frames, skipped = [], {}
    for path in paths:
        try:
            if path.stat().st_size > LARGEST_FILE_BYTES:
                raise OSError("too large")
            frame = results.load(path)
        except OSError:
            skipped[path.relative_to(folder).as_posix()] = 1
            continue
        if unreadable := frame.attrs["unreadable_lines"]:
            skipped[path.relative_to(folder).as_posix()] = unreadable
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


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """Latencies and accuracies with a column "row": what ran on what, as far as it differs within the class.

    The student's machine is no part of it, except where a simulator stands for a chip.

    Args:
        frame: as `read` gives it.
    """
    frame = frame[frame["metric"].isin([name for name, _, _ in PANELS])]
    parts = frame.assign(chip=frame["device"].where(frame["provenance"] == "simulated", ""))
    parts = parts[["target", "precision", "model", "dataset", "chip"]]
    telling = [name for name in parts if name == "target" or parts[name].nunique() > 1]
    rows = [BETWEEN.join(filter(None, row)) for row in parts[telling].itertuples(index=False, name=None)]
    return frame.assign(row=rows)


def _middle(values: pd.Series, factor: float = 1.0, suffix: str = "") -> str:
    return f"{factor * values.median():.3g}{suffix}" if len(values) else ""


def _extreme(part: pd.DataFrame, first: bool) -> str:
    if part.empty:
        return ""
    found = part.sort_values(["value", "student"]).iloc[0 if first else -1]
    return f"{found['value']:.3g} ({found['student']})"


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """The class in numbers: a row for everything that was run, with the fastest, the middle and the slowest.

    Args:
        frame: as `read` gives it.
    """
    import pandas as pd

    rows = []
    for row, part in labelled(frame).groupby("row"):
        latency, accuracy = (part[part["metric"] == name] for name in ("latency", "accuracy"))
        low, high = 100 * accuracy["value"].min(), 100 * accuracy["value"].max()
        rows.append({
            "what ran": row,
            "students": part["student"].nunique(),
            "fastest, ms": _extreme(latency, first=True),
            "median, ms": _middle(latency["value"]),
            "slowest, ms": _extreme(latency, first=False),
            "median accuracy": _middle(accuracy["value"], 100.0, " %"),
            "accuracy from, to": f"{low:.1f} % to {high:.1f} %" if len(accuracy) else "",
        })  # fmt: skip
    return pd.DataFrame(rows)


def by_machine(frame: pd.DataFrame) -> pd.DataFrame:
    """What to expect of each kind of machine: the median of those who have it.

    Args:
        frame: as `read` gives it.
    """
    import pandas as pd

    measured = labelled(frame[frame["provenance"] == "measured"])
    latency = measured[measured["metric"] == "latency"]
    groups = latency.groupby(["row", "device"])
    rows = [
        {
            "what ran": row,
            "machine": device,
            "students": part["student"].nunique(),
            "value": part["value"].median(),
        }
        for (row, device), part in groups
    ]
    rows.sort(key=lambda row: (row["what ran"], row["value"]))
    return pd.DataFrame([{**row, "value": f"{row['value']:.3g}"} for row in rows]).rename(
        columns={"value": "median, ms"}
    )


def nearest_peak(frame: pd.DataFrame) -> pd.DataFrame:
    """Who came nearest to the peak of a core, by their own measurement: chapter 20's fourth challenge.

    Args:
        frame: as `read` gives it.

    Returns:
        A row for each precision and for the network that is of use; empty where nobody measured a share.
    """
    import pandas as pd

    shares = frame[(frame["metric"] == "peak_share") & (frame["provenance"] == "measured")]
    found = shares.assign(of_use=shares["model"] == "your network", percent=100 * shares["value"])
    rows = []
    for (of_use, precision), part in found.groupby(["of_use", "precision"]):
        best = part.sort_values(["percent", "student"], ascending=[False, True]).iloc[0]
        rows.append({
            "what ran": f"{'a network of use' if of_use else 'layers'}, {precision}",
            "students": part["student"].nunique(),
            "nearest, % of one core's peak": f"{best['percent']:.0f} ({best['student']})",
            "which": best["model"],
            "median, %": f"{part.groupby('student')['percent'].max().median():.0f}",
            "processor": best["device"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def _with_interval(time: pd.Series) -> str:
    return f"{time['value']:.3g} [{time['low']:.3g}, {time['high']:.3g}]"


def browsers(frame: pd.DataFrame) -> pd.DataFrame:
    """What ran in browsers: a row for each phone or computer and each of its processors.

    Args:
        frame: as `read` gives it.
    """
    import pandas as pd

    inside = frame[frame["target"].str.startswith("web/")]
    rows = []
    for (student, target, device, model), part in inside.groupby(["student", "target", "device", "model"]):
        times, same = (part[part["metric"] == metric] for metric in ("latency", "agreement"))
        time, first = times.iloc[-1] if len(times) else None, part.iloc[-1]
        rows.append({
            "who": student,
            "device": device,
            "runs on": target.removeprefix("web/"),
            "runtime and browser": first["runtime_version"],
            "what ran": f"{model} {first['precision']}",
            "placement": first["placement"],
            "same answers": f"{100 * same['value'].iloc[-1]:.0f} %" if len(same) else "",
            "latency, ms": _with_interval(time) if time is not None else "not timed",
            "provenance": f"{results.PROVENANCE_GLYPHS[first['provenance']]} {first['provenance']}",
        })  # fmt: skip
    return pd.DataFrame(rows)


def plot(frame: pd.DataFrame) -> Figure:
    """Latency and accuracy of everything that was run: a point per student, the median as a line.

    Args:
        frame: as `read` gives it.

    Returns:
        The figure; the caller saves and closes it.
    """
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator

    shown = labelled(frame)
    rows = sorted(shown["row"].unique(), reverse=True)
    wanted = [panel for panel in PANELS if panel[0] in set(shown["metric"])] or PANELS[:1]
    fig, panels = plt.subplots(
        1, len(wanted), figsize=(13, 1.8 + 0.55 * len(rows)), sharey=True, layout="constrained", squeeze=False
    )
    for axes, (metric, label, factor) in zip(panels[0], wanted, strict=True):
        axes.set_xlabel(label)
        if metric == "latency":
            axes.set_xscale("log")
        for height, row in enumerate(rows):
            part = shown[(shown["metric"] == metric) & (shown["row"] == row) & (shown["value"] > 0)]
            _points(axes, part.assign(value=factor * part["value"]), height)
        axes.set_yticks(range(len(rows)), [textwrap.fill(row, LONGEST_LABEL) for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.2)
        axes.margins(x=0.15)
    latency = shown.loc[(shown["metric"] == "latency") & (shown["value"] > 0), "value"]
    if len(latency):
        results.plain_log_axis(panels[0, 0].xaxis)
        if latency.max() / latency.min() > WIDE_RANGE:
            panels[0, 0].xaxis.set_major_locator(LogLocator())
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
    if len(part) > 1 and part["value"].nunique() == 1:
        where = (part["value"].iloc[0], height)
        axes.annotate(f"all {len(part)}", where, (8, 6), textcoords="offset points", fontsize=8)
        return
    # The names of all would cover each other. A neighbour's name goes above and below in turn.
    for level, (_, best) in enumerate(part.iloc[sorted({0, len(part) - 1})].iterrows()):
        offset = (0, 8 if level == 0 else -15)
        where = (best["value"], height)
        axes.annotate(best["student"], where, offset, textcoords="offset points", ha="center", fontsize=8)


def write(folder: Path, out: Path) -> Board:
    """Read the results of a class, and write the board as a page, a picture and a CSV file.

    Args:
        folder: see `read`.
        out: where it goes.

    Raises:
        DataError: there is nothing to show.
        InputError: `out` holds what is not this command's own.
        StorageError: the disk is full or `out` cannot be written.
    """
    frame, skipped = read(folder)
    with owned_folders.renewed(out, MADE_BY) as fresh:
        made = _write_into(fresh, frame, skipped)
    return replace(made, page=out / made.page.name, picture=out / made.picture.name, csv=out / made.csv.name)


def _write_into(out: Path, frame: pd.DataFrame, skipped: dict[str, int]) -> Board:
    from matplotlib import pyplot as plt

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
        f"Latency and accuracy of everything that was run, a point for each of {board.students} students, "
        "with the class's median; the table below holds the numbers."
    )
    left_out = ""
    if board.skipped:
        files = "; ".join(f"{name} ({count})" for name, count in sorted(board.skipped.items()))
        left_out = f"<p>Lines that could not be read: {html.escape(files)}.</p>"
    machines = by_machine(board.frame)
    details = ""
    if len(nearest := nearest_peak(board.frame)):
        details += f"""<div class="scroll" tabindex="0" role="region" aria-label="Nearest to the peak">
{display.table_html(nearest, "Nearest to the peak, as each student measured it")}</div>"""
    if len(machines):
        details += f"""<details><summary>What to expect of each kind of machine</summary>
<div class="scroll" tabindex="0" role="region" aria-label="By machine">
{display.table_html(machines, "Median latency of the students who have the machine")}</div></details>"""
    inside, phones = browsers(board.frame), ""
    if len(inside):
        phones = f"""<div class="scroll" tabindex="0" role="region" aria-label="In browsers">
{display.table_html(inside, "In browsers: phones and computers, each compared with the CPU")}</div>"""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Class board</title><style>{STYLE}</style></head><body><main><h1>Class board</h1>
<p>{html.escape(str(board).splitlines()[0])} All results: {board.csv.name}, beside this page.</p>{left_out}
<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">
<p>A point is a student, a line the median; the fastest and the slowest are named. Squares are simulated.</p>
<div class="scroll" tabindex="0" role="region" aria-label="The class in numbers">
{display.table_html(summary(board.frame), "The class in numbers")}</div>
{phones}
{details}</main></body></html>
"""
