"""What a lesson shows: figures with alt text, tables, chapter headers, claims beside measurements.

Everything is emitted as HTML through IPython's `display`, with a plain text beside it: nbconvert's templates
drop the alt text of ordinary images, and a terminal shows the plain text.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from edgelab.errors import InputError
from edgelab.machine import artifacts, no_tensorflow
from edgelab.texts import tr, tr_later

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COURSE_FILE = artifacts.PROJECT_ROOT / "data" / "course.json"
MINUTES_FILE = artifacts.PROJECT_ROOT / "data" / "minutes.json"
NOTEBOOKS_DIR = artifacts.PROJECT_ROOT / "notebooks"

WORDS_PER_MINUTE = 130  # read aloud
MINUTES_PER_EXERCISE = 3

# Blue, orange, teal, purple, black, olive: told apart with every form of colour blindness, and each at least
# 4.5:1 against white, so that text in these colours can be read, too. Tests check both.
PALETTE = ("#2A3FE0", "#C05800", "#1A808D", "#75159C", "#111111", "#5E6638")
PROVENANCES = (
    tr_later("measured"),
    tr_later("simulated"),
    tr_later("estimated"),
    tr_later("published"),
)

WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_STYLE = "text-align:left;padding:0.25em 0.8em;border-bottom:1px solid #8888;"


def use_style() -> None:
    """One look for all figures: palette, line styles that differ without colour, sizes, resolution."""
    import matplotlib.pyplot as plt
    from cycler import cycler

    styles = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
    plt.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=styles),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#DDDDDD",
            "axes.edgecolor": "#444444",
            "text.color": "#1A1A1A",
            "axes.labelcolor": "#1A1A1A",
            "xtick.color": "#333333",
            "ytick.color": "#333333",
            "font.size": 11,
            "axes.titlesize": 12,
            "lines.linewidth": 2,
            "figure.figsize": (8, 4),
            "figure.dpi": 100,
            "savefig.facecolor": "white",
            "image.interpolation": "nearest",
        }
    )


def show_html(content: str, plain: str) -> None:
    """Show `content` in a notebook, `plain` in a terminal."""
    from IPython.display import display

    display({"text/html": content, "text/plain": plain}, raw=True)


def show_widget(widget: ipywidgets.Widget, content: str, plain: str) -> None:
    """Show a live control; a page without a kernel shows `content` in its place, a terminal `plain`.

    Both are told where the live one is.
    """
    from IPython.display import display

    note = tr("This control moves in JupyterLab: make lab.")
    still = f'{content}<p class="live-note"><small>{html.escape(note)}</small></p>'
    display({**widget._repr_mimebundle_(), "text/html": still, "text/plain": f"{plain}\n{note}"}, raw=True)


def figure(fig: Figure, alt: str, caption: str = "") -> None:
    """Show a figure as a PNG with its alt text, then close it.

    Args:
        fig: a matplotlib figure.
        alt: what a reader who cannot see it needs to know: the finding, not "a plot".
        caption: shown below it.

    Raises:
        InputError: no alt text.
    """
    import matplotlib.pyplot as plt

    if not alt.strip():
        raise InputError(
            tr("The figure has no alt text."),
            why=tr("a reader who cannot see it would learn nothing"),
            fix=tr("say in one sentence what the figure shows"),
        )
    png = io.BytesIO()
    fig.savefig(png, format="png", bbox_inches="tight")
    plt.close(fig)
    picture = base64.b64encode(png.getvalue()).decode()
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    show_html(
        f'<figure style="margin:0.5em 0"><img alt="{html.escape(alt)}" style="max-width:100%;height:auto" '
        f'src="data:image/png;base64,{picture}">{below}</figure>',
        alt,
    )


def legend(axes: Axes) -> None:
    """The legend of `axes` above its frame, where it can lie on no measured point, wherever that falls.

    Call it last: a title moves up to make room.

    Args:
        axes: what was drawn with a label is in the legend.
    """
    labels = axes.get_legend_handles_labels()[1]
    size = 9.0
    # A letter is about 0.55 of its size wide; handle, gaps and the space between columns take 4.5 sizes.
    widest_points = size * (0.55 * max(map(len, labels)) + 4.5)
    width_points = axes.get_window_extent().width * 72 / axes.figure.dpi
    columns = max(1, min(len(labels), int(width_points / widest_points)))
    rows = -(-len(labels) // columns)
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    axes.legend(ncols=columns, frameon=False, fontsize=size, **place)
    if axes.get_title():
        axes.set_title(axes.get_title(), pad=8 + 1.7 * size * rows)


def _cell_text(value: Any) -> str:
    """Numbers with about four significant digits, as one reads them; anything else as it is."""
    import numbers

    if value is None or value != value:  # NaN differs from itself
        return "–"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def table_html(frame: pd.DataFrame, caption: str) -> str:
    """`frame` as an HTML table with caption and header scopes; everything in it is escaped.

    The index becomes the row headers, unless it only numbers the rows; then the first column does.
    """
    import pandas as pd

    is_unnamed = frame.index.names == [None]
    numbers_rows = is_unnamed and pd.api.types.is_integer_dtype(frame.index)
    if not numbers_rows:
        frame = frame.reset_index()
    heads = [f'<th scope="col" style="{CELL_STYLE}">{html.escape(str(name))}</th>' for name in frame]
    if is_unnamed and not numbers_rows:
        heads[0] = "<td></td>"  # pandas would call it "index"
    rows = []
    for row in frame.itertuples(index=False, name=None):
        first, *others = (html.escape(_cell_text(value)).replace("\n", "<br>") for value in row)
        cells = "".join(f'<td style="{CELL_STYLE}">{value}</td>' for value in others)
        rows.append(f'<tr><th scope="row" style="{CELL_STYLE}">{first}</th>{cells}</tr>')
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left;font-weight:bold">'
        f"{html.escape(caption)}</caption><thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def table(frame: pd.DataFrame | Iterable[Mapping[str, Any]], caption: str) -> None:
    """Show a frame, or a list of rows, as an accessible table.

    Args:
        frame: the rows; a column named with its unit needs no further words.
        caption: what the table holds.
    """
    import pandas as pd

    frame = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(list(frame))
    plain = frame.to_string(index=not isinstance(frame.index, pd.RangeIndex))
    show_html(table_html(frame, caption), f"{caption}\n{plain}")


def chapters() -> list[dict[str, str]]:
    """The chapters in order: number, notebook, title, promise, takes, leaves, needs."""
    return json.loads(COURSE_FILE.read_text(encoding="utf-8"))["chapters"]


def paths() -> list[dict[str, Any]]:
    """The ways through the course: name, for whom, and the numbers of their chapters."""
    return json.loads(COURSE_FILE.read_text(encoding="utf-8"))["paths"]


def minutes_text(notebook: str) -> str:
    """How long a chapter took in the last recorded run of the fast profile, and on what machine."""
    if not MINUTES_FILE.exists():
        return "not timed yet"
    record = json.loads(MINUTES_FILE.read_text(encoding="utf-8"))
    seconds = record["seconds"].get(notebook)
    if seconds is None:
        return "not timed yet"
    duration = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
    return f"{duration} to run in the fast profile, recorded {record['date']} on {record['machine']}"


def working_minutes(notebook: str) -> tuple[int, int]:
    """How long a chapter takes somebody who reads it and solves its exercises, without what the cells run.

    Read aloud at 130 words a minute, and three minutes for each exercise. Instructors' notes do not count.

    Args:
        notebook: its file name.

    Returns:
        Minutes of its core path, and of all that is tagged `deeper`.
    """
    cells = json.loads((NOTEBOOKS_DIR / notebook).read_text(encoding="utf-8"))["cells"]
    minutes = {True: 0.0, False: 0.0}
    for cell in cells:
        tags = cell["metadata"].get("tags", [])
        if cell["metadata"].get("slideshow", {}).get("slide_type") == "notes":
            continue
        if cell["cell_type"] == "markdown":
            minutes["deeper" in tags] += len("".join(cell["source"]).split()) / WORDS_PER_MINUTE
        minutes["deeper" in tags] += MINUTES_PER_EXERCISE * ("exercise" in tags)
    return round(minutes[False]), round(minutes[True])


def header(notebook: str) -> None:
    """Show what a chapter needs, how long it takes and runs, and its place in the chain.

    Args:
        notebook: its file name, with or without `.ipynb`.

    Raises:
        InputError: no such chapter in `data/course.json`.
    """
    name = f"{notebook.removesuffix('.ipynb')}.ipynb"
    entries = {chapter["notebook"]: chapter for chapter in chapters()}
    if name not in entries:
        raise InputError(
            tr("{name} is not a chapter of the course.", name=name),
            why=tr("data/course.json lists {entries}", entries=", ".join(entries)),
            fix=tr("add an entry there, or correct the name"),
        )
    chapter = entries[name]
    takes = chapter["takes"]
    if "chapter" in takes:  # its recorded time is that of a run in which the chapters before it came first
        takes += tr("; made here first when it is missing, which takes minutes more")
    core, deeper = working_minutes(name)
    facts = {
        "Needs": chapter["needs"],
        "Work": f"{core} min" + (f"; what goes deeper, folded up, {deeper} more" if deeper else ""),
        "Time": minutes_text(name),
        "Takes": takes,
        "Leaves": chapter["leaves"],
    }
    if no_tensorflow.skip_cells():
        facts["Without TensorFlow"] = tr(
            "it is not installed here. Cells that need it are skipped, and cells that need those. The "
            "models of chapters 3 and 4 are those that the project keeps. To get it: {fix}",
            fix=no_tensorflow.fix(),
        )
    items = "".join(f"<div><b>{name}</b>: {html.escape(fact)}</div>" for name, fact in facts.items())
    show_html(
        f'<div style="border-left:4px solid {PALETTE[0]};padding:0.3em 0.8em">{items}</div>',
        "\n".join(f"{name}: {fact}" for name, fact in facts.items()),
    )


def claim_vs_measured(rows: Iterable[Mapping[str, str]], caption: str = "Claim against measurement") -> None:
    """Show what is often claimed beside what was found, and where each number comes from.

    Args:
        rows: mappings with the keys "what", "claim", "found", "provenance" (one of `PROVENANCES`), and, if
            wished, "source" (required when the provenance is "published") and "remark".
        caption: above the table.

    Raises:
        InputError: a key is missing, the provenance is unknown, or a published figure names no source.
    """
    import pandas as pd

    shown = []
    for row in rows:
        missing = [key for key in ("what", "claim", "found", "provenance") if key not in row]
        if missing:
            raise InputError(
                tr("A row lacks {missing}.", missing=", ".join(missing)),
                fix=tr("give every row the four keys"),
            )
        if row["provenance"] not in PROVENANCES:
            raise InputError(
                tr("{provenance!r} is not a provenance.", provenance=row["provenance"]),
                fix=tr("use one of {provenances}", provenances=", ".join(PROVENANCES)),
            )
        if row["provenance"] == "published" and not row.get("source"):
            raise InputError(
                # Note: {what} is what a row of a table is about, such as an accuracy.
                tr("The published figure for {what} has no source.", what=row["what"]),
                fix=tr("add its source"),
            )
        provenance = f"{row['provenance']} ({row['source']})" if row.get("source") else row["provenance"]
        shown.append(
            {
                "what": row["what"],
                "claim": row["claim"],
                "found": row["found"],
                "provenance": provenance,
                "remark": row.get("remark", ""),
            }
        )
    table(pd.DataFrame(shown), caption)


def explore(function: Callable[..., None], **controls: Any) -> None:
    """Sliders and menus that redraw `function`; a page without a kernel shows its result at the start values.

    Args:
        function: shows something through this module, from one argument per control.
        **controls: an ipywidgets control per argument.
    """
    import ipywidgets

    content, plain = _shown(function, controls)
    # Not an Output widget: what executes notebooks answers its every change on the socket on which it waits
    # for the cell's end, and now and then misses that end and waits for good.
    drawing = ipywidgets.HTML(content)

    def redraw(_: dict[str, Any]) -> None:
        drawing.value = _shown(function, controls)[0]

    for control in controls.values():
        control.observe(redraw, names="value")
    items = controls.items()
    settings = ", ".join(f"{control.description or name} = {control.value}" for name, control in items)
    show_widget(
        ipywidgets.VBox([*controls.values(), drawing]),
        f"<p><i>{html.escape(settings)}</i></p>{content}",
        f"{settings}\n{plain}",
    )


def _shown(function: Callable[..., None], controls: Mapping[str, Any]) -> tuple[str, str]:
    """What `function` shows at the controls' values, as HTML and as plain text."""
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        function(**{name: control.value for name, control in controls.items()})
    data = [output.data for output in captured.outputs if WIDGET not in output.data]  # no progress bars
    pages = [entry.get("text/html") or f"<pre>{html.escape(entry['text/plain'])}</pre>" for entry in data]
    return "".join(pages), "\n".join(entry["text/plain"] for entry in data)
