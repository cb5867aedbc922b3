"""The report as one page that needs nothing else."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from pathlib import Path

from edgelab import display, results
from edgelab.drawing import graph_drawing
from edgelab.machine import artifacts
from edgelab.report.summary import Report, specs_in_words
from edgelab.report.trials import LIKELY_WRONG_SNR_DB, Trial

TEMPLATE = Path(__file__).with_name("page.html.j2")
ROWS = 16  # boxes in a column of the drawing
OPERATORS_IN_A_FIGURE = 80
# With the figures in base 64 and all tables, the page stays below 3 MB.
MOST_FIGURE_BYTES = 1_800_000
GLYPHS = results.PROVENANCE_GLYPHS


def write_page(report: Report, out: Path) -> None:
    """Write the page; all that comes from the model is escaped.

    Args:
        report: from `summary.make`.
        out: an `.html` file; its folder is made.

    Raises:
        StorageError: it cannot be written.
    """
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    figures = list(_figures(report))
    content = template.render(
        report=report,
        inputs=specs_in_words(report.graph, report.graph.inputs),
        outputs=specs_in_words(report.graph, report.graph.outputs),
        figures=figures,
        drawn=min(len(report.graph.operators), OPERATORS_IN_A_FIGURE * len(figures)),
        glyphs=GLYPHS,
        legend=", ".join(f"{glyph} {name}" for name, glyph in GLYPHS.items()),
        wrong_db=LIKELY_WRONG_SNR_DB,
        chapter=_chapter,
        size=lambda count: results.format_value(count, "bytes"),
        snr=_snr,
        share=_share,
        accuracy=_accuracy,
        latency=_latency,
    )
    artifacts.make_folder(out.parent)
    with artifacts.atomic_path(out) as temporary:
        temporary.write_text(content, encoding="utf-8")


def _chapter(number: str) -> str:
    title = next((one["title"] for one in display.chapters() if one["number"] == number), "")
    return f"chapter {int(number)}, {title}" if title else f"chapter {int(number)}"


def _snr(trial: Trial) -> str:
    if trial.snr_db is None:
        return "–"
    text = "equal" if math.isinf(trial.snr_db) else f"{trial.snr_db:.1f} dB"
    return f"{GLYPHS[trial.provenance]} {text}"


def _share(value: float | None, provenance: str) -> str:
    return "–" if value is None else f"{GLYPHS[provenance]} {100 * value:.0f} %"


def _accuracy(trial: Trial) -> str:
    if trial.accuracy is None:
        return "–"
    low, high = 100 * trial.accuracy_low, 100 * trial.accuracy_high
    return f"{_share(trial.accuracy, trial.provenance)} [{low:.0f}, {high:.0f}]"


def _latency(trial: Trial) -> str:
    if trial.latency_ms is None:
        return "–"
    return f"{GLYPHS['measured']} {trial.latency_ms:.3g} ms [{trial.low_ms:.3g}, {trial.high_ms:.3g}]"


def _figures(report: Report) -> Iterator[tuple[str, str]]:
    """The graph, in as many drawings as it needs and the page bears: (alt text, PNG in base 64)."""
    import matplotlib.pyplot as plt

    count, drawn_bytes = len(report.graph.operators), 0
    for start in range(0, count, OPERATORS_IN_A_FIGURE):
        stop = min(count, start + OPERATORS_IN_A_FIGURE)
        figure, alt = graph_drawing.draw(report.graph, start=start, stop=stop, rows=ROWS)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=90, bbox_inches="tight")
        plt.close(figure)
        drawn_bytes += file.tell()
        if drawn_bytes > MOST_FIGURE_BYTES:
            return
        yield alt, base64.b64encode(file.getvalue()).decode("ascii")
