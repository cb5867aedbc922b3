"""One question to every target: the same model, the same pictures; what does it cost, and is it still right?

Every target compiles the model from the conversion that it takes, and runs it wherever it can: on the device,
in the vendor's simulator. What cannot run says why; what runs is compared with the CPU before it is timed.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from edgelab import benchmark, display, estimate, results, targets
from edgelab.errors import EdgelabError, InputError
from edgelab.pipeline import Pipeline
from edgelab.runtime import Session, predict
from edgelab.targets.base import Compiled, Target
from edgelab.texts import tr
from edgelab.verification import THRESHOLD_POINTS, Comparison, compare_outputs, divergence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGE_COUNT = 200
SECONDS_EACH = 0.5  # of timing, per target
OPENINGS = 4  # of each target: its spread between openings belongs to its latency
IMAGES_FOR_CUTS = 8
# Both are tried on a GPU: it takes either, and gets one of them wrong on some drivers.
MODES = {"gpu": ("float32", "int8")}
# A browser is two places: its processor, which takes the int8 model, and its GPU, which takes the float one.
OPTIONS = {"web": ({"accelerator": "wasm"}, {"accelerator": "webgpu"})}
# The device that stands for a target while none is here: a name in `estimate.DEVICES`.
DEVICES = {"edgetpu": "edgetpu", "rknn": "rk3588", "ethosu": "ethos-u55-128"}


@dataclass(frozen=True)
class Entry:
    """What one target made of the model.

    Attributes:
        target, precision: which, and in what precision it computes; a browser is "web/wasm" and "web/webgpu".
        device: the chip or simulator, in words.
        placement: "N of M operators"; empty for the CPU itself and where nobody can tell.
        size_bytes: of the compiled file; None where nothing compiled.
        comparison: with the CPU's int8 model, on the same pictures; None where nothing ran.
        run_provenance: "measured" on a device, "simulated" by the vendor's tool.
        latency: the record of it, whatever its provenance; None where there is none.
        divergence: for a wrong result, the operator where it starts, or why that is unknown.
        note: for what is missing: what, and how to fix it.
    """

    target: str
    precision: str
    device: str = ""
    placement: str = ""
    size_bytes: int | None = None
    comparison: Comparison | None = None
    run_provenance: str = ""
    latency: results.Result | None = None
    divergence: str = ""
    note: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether the accuracy is surely off by more than three points, up or down."""
        if self.comparison is None:
            return False
        low, high = self.comparison.interval_points
        return low > THRESHOLD_POINTS or high < -THRESHOLD_POINTS

    @property
    def is_open(self) -> bool:
        """Whether so few pictures show neither that it is wrong nor that it is within three points."""
        if self.comparison is None or self.is_wrong:
            return False
        low, high = self.comparison.interval_points
        return low < -THRESHOLD_POINTS or high > THRESHOLD_POINTS


@dataclass(frozen=True, repr=False)
class Survey:
    """What all targets made of one model.

    Attributes:
        model, dataset: which.
        image_count: test pictures that each was tried on.
        entries: one per target and precision, the CPU first.
        machine: calm or noisy while the latencies were measured; empty when none was.
    """

    model: str
    dataset: str
    image_count: int
    entries: tuple[Entry, ...]
    machine: str

    @property
    def wrong(self) -> tuple[Entry, ...]:
        """Targets whose accuracy is surely off by more than three points."""
        return tuple(entry for entry in self.entries if entry.is_wrong)

    def records(self) -> tuple[results.Result, ...]:
        """Everything found, for `results.append`; wrong results are left out, they are no result."""
        found = []
        for entry in self.entries:
            if entry.is_wrong:
                continue
            common = {
                "target": entry.target,
                "device": entry.device,
                "model": self.model,
                "precision": entry.precision,
                "dataset": self.dataset,
                "placement": entry.placement,
            }
            if entry.size_bytes is not None:
                found.append(results.Result("size", entry.size_bytes, **common))
            # This computer's CPU, the first, has seen all test pictures elsewhere.
            if entry.comparison is not None and entry is not self.entries[0]:
                origin = {
                    "provenance": entry.run_provenance,
                    "source": f"{self.image_count} test images",
                    "image_count": self.image_count,
                }
                found.append(
                    results.Result("accuracy", entry.comparison.candidate_accuracy, **common, **origin)
                )
                agreement = entry.comparison.agreement
                found.append(results.Result("agreement", agreement, "fraction", **common, **origin))
            if entry.latency is not None:
                found.append(entry.latency)
        return tuple(found)

    def __str__(self) -> str:
        lines = [COLUMNS, *(_cells(entry) for entry in self.entries)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS) - 1)]
        text = []
        for line in lines:
            cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
            text.append("  ".join([*cells, line[-1].replace("\n", " ")]).rstrip())
        return "\n".join([self.caption, *text, LEGEND])

    __repr__ = __str__

    @property
    def caption(self) -> str:
        """What was asked, and under which conditions."""
        calm = f", {self.machine} machine" if self.machine else ""
        return f"{self.model} on {self.image_count} pictures of {self.dataset}{calm}"

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in COLUMNS)
        body = ""
        for entry in self.entries:
            style = f"text-align:left;{WRONG_STYLE if entry.is_wrong else ''}"
            cells = "".join(
                f'<td style="{style}">{html.escape(cell).replace(chr(10), "<br>")}</td>'
                for cell in _cells(entry)
            )
            body += f"<tr>{cells}</tr>"
        return (
            f"<table><caption>{html.escape(self.caption)}. {LEGEND}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


COLUMNS = (
    "target", "precision", "device", "placement", "accuracy", "against the CPU", "same answer", "cosine",
    "latency", "size", "remark",
)  # fmt: skip
LEGEND = ", ".join(f"{glyph} {name}" for name, glyph in results.PROVENANCE_GLYPHS.items())
WRONG_STYLE = "color:#A40000;background:#FDECEC;font-weight:600"


def _cells(entry: Entry) -> tuple[str, ...]:
    accuracy = against = same = cosine = latency = size = "–"
    remark = entry.note
    if (found := entry.comparison) is not None:
        glyph = results.PROVENANCE_GLYPHS[entry.run_provenance]
        accuracy = f"{glyph} {100 * found.candidate_accuracy:.1f} %"
        against = f"{0.0 - found.loss_points:+.1f} points"
        same, cosine = f"{100 * found.agreement:.1f} %", f"{found.output_error.cosine:.4f}"
    if entry.is_wrong:
        remark = f"WRONG RESULT. It starts at: {entry.divergence}"
    elif entry.is_open:
        low, high = (0.0 - end for end in reversed(found.interval_points))
        text = f"within {THRESHOLD_POINTS:g} points is not shown ({low:+.1f} to {high:+.1f})"
        remark = f"{text}. {remark}" if remark else text
    if (record := entry.latency) is not None:
        glyph = results.PROVENANCE_GLYPHS[record.provenance]
        latency = f"{glyph} {results.format_value(record.value, 'ms')}"
        if record.samples:
            latency += f" [{record.samples.low:.3g}, {record.samples.high:.3g}]"
    if entry.size_bytes is not None:
        size = results.format_value(entry.size_bytes, "bytes")
    return (
        entry.target, entry.precision, entry.device or "–", entry.placement or "–", accuracy, against, same,
        cosine, latency, size, remark,
    )  # fmt: skip


def run(
    chain: Pipeline,
    names: Sequence[str] | None = None,
    *,
    elsewhere: Sequence[Target] = (),
    compiled: Mapping[str, Path] | None = None,
    image_count: int = IMAGE_COUNT,
    progress: bool = False,
) -> Survey:
    """Compile the chain's model for every target, run it on the same test pictures, compare, then time.

    Args:
        chain: the data and the trained model.
        names: targets to ask; None for all but Keras, with the CPU first, which the others are compared with.
        elsewhere: further targets that run on other machines, such as `boards.target("cpu", "pi5")`.
        compiled: int8 files that were compiled elsewhere, by the target's name: `{"edgetpu": path}`. They are
            opened as they are, whether or not the compiler is here.
        image_count: test pictures, the first of the set.
        progress: show a progress bar.

    Returns:
        One entry per target and precision. A target that is missing or fails is an entry with a note.

    Raises:
        InputError: a file is given for a target that is not asked.
    """
    names = [name for name in (targets.names() if names is None else names) if name not in ("keras", "cpu")]
    tasks = [(targets.get("cpu"), "cpu", "int8"), *(task for name in names for task in _tasks(name))]
    tasks += [(target, target.name, None) for target in elsewhere]
    given = _given(compiled or {}, tasks)
    images, labels = chain.dataset.test_images[:image_count], chain.dataset.test_labels[:image_count]
    entries: list[Entry] = []
    openers: dict[int, Callable[[], Session]] = {}
    with tqdm(total=len(tasks), disable=not progress, leave=False) as bar:
        reference = None
        for target, label, mode in tasks:
            bar.set_description(f"trying {label}")
            if target.name in given:
                entry, made = _taken(target, label, given[target.name])
            else:
                precision = mode or getattr(target, "precision", "int8")
                entry, made = _compiled(chain, target, label, mode or target.takes, precision)
            entry, session = _opened(target, entry, made)
            if session is not None:
                with session:
                    entry, outputs = _judge(chain, target, entry, session, images, labels, reference)
                    reference = outputs if reference is None else reference
                    if entry.comparison and not entry.is_wrong and _can_be_timed(session):
                        openers[len(entries)] = partial(target.open, made)
            entries.append(entry)
            bar.update()
        bar.set_description("timing")
        here = {str(index): opener for index, opener in openers.items() if tasks[index][0] not in elsewhere}
        ranking = benchmark.compare_openings(
            here, openings=OPENINGS, max_seconds=SECONDS_EACH, seed=chain.seed
        )
        timed = {int(index): measured for index, measured in ranking.measurements.items()}
        for index in openers.keys() - timed.keys():  # alone: a link that breaks must not cost the others
            try:
                timed[index] = benchmark.measure_openings(
                    openers[index], openings=OPENINGS, max_seconds=SECONDS_EACH
                )
            except EdgelabError as error:
                entries[index] = replace(entries[index], note=str(error))
    for index, measured in timed.items():
        [latency, *_] = results.from_measurement(measured, **_identity(chain, entries[index]))
        entries[index] = replace(entries[index], latency=latency)
    entries = [_with_estimate(chain, entry) for entry in entries]
    return Survey(chain.model_name, chain.dataset.name, len(images), tuple(entries), ranking.machine.verdict)


def _tasks(name: str) -> list[tuple[Target, str, str | None]]:
    """What a target is tried as: itself, its name in the table, the precision where it takes several."""
    if name in OPTIONS:
        tried = [(targets.get(name, **options), options) for options in OPTIONS[name]]
        return [(target, "/".join([name, *options.values()]), target.takes) for target, options in tried]
    return [(targets.get(name), name, mode) for mode in MODES.get(name, (None,))]


def _identity(chain: Pipeline, entry: Entry) -> dict[str, str]:
    return {"model": chain.model_name, "precision": entry.precision, "dataset": chain.dataset.name}


def _given(compiled: Mapping[str, Path], tasks: Sequence[tuple[Target, str, str | None]]) -> dict[str, Path]:
    """The files, once each has a target that takes it."""
    names = {target.name for target, *_ in tasks[1:]}
    for name in compiled:
        if name not in names:
            raise InputError(
                tr("A compiled file is given for {name!r}, which is not asked.", name=name),
                fix=tr("choose from {names}", names=", ".join(sorted(names))),
            )
    return {name: Path(path) for name, path in compiled.items()}


def _chip(target: Target) -> str:
    """The chip of a target that may not be here: the one that stands for it, or that it compiles for."""
    name = DEVICES.get(target.name)
    return estimate.DEVICES[name].chip if name else getattr(target, "platform", "")


def _taken(target: Target, label: str, path: Path) -> tuple[Entry, Path | None]:
    """A file that was compiled elsewhere, where the target can run; no compiler is needed."""
    found = target.probe()
    chip = _chip(target)
    size_bytes = path.stat().st_size if path.is_file() else None
    note = "" if found.can_run else found.fix or found.detail
    return Entry(label, "int8", chip, size_bytes=size_bytes, note=note), path if found.can_run else None


def _compiled(
    chain: Pipeline, target: Target, label: str, mode: str, precision: str
) -> tuple[Entry, Compiled | None]:
    """Compile, where the compiler is here; what was made is None where it cannot run here."""
    found = target.probe()
    chip = _chip(target)
    entry = Entry(label, precision, chip, note="" if found.can_run else found.fix or found.detail)
    if not found.can_compile:
        return replace(entry, note=found.fix or found.detail), None
    try:
        made = chain.compiled(target, mode)
        entry = replace(entry, placement=str(made.placement or ""), size_bytes=made.size_bytes)
        if made.placement is None and not entry.note:
            entry = replace(entry, note=tr("where its operators run is decided on the device"))
        if made.vendor_latency_ms is not None:
            latency = results.Result(
                "latency",
                made.vendor_latency_ms,
                target=label,
                device=entry.device,
                provenance="simulated",
                source=made.vendor_note,
                placement=entry.placement,
                **_identity(chain, entry),
            )
            entry = replace(entry, latency=latency)
    except EdgelabError as error:
        return replace(entry, note=str(error)), None
    return entry, made if found.can_run else None


def _opened(target: Target, entry: Entry, made: Compiled | Path | None) -> tuple[Entry, Session | None]:
    """Open what was made; the entry tells what it runs on, or why it does not."""
    if made is None:
        return entry, None
    try:
        session = target.open(made)
    except EdgelabError as error:
        return replace(entry, note=str(error)), None
    placement = str(session.placement or "") if target.name != "cpu" else ""
    device = entry.device if session.provenance == "simulated" and entry.device else session.device
    return replace(entry, device=device, placement=placement), session


def _can_be_timed(session: Session) -> bool:
    return session.provenance == "measured" and not session.fault


def _judge(
    chain: Pipeline,
    target: Target,
    entry: Entry,
    session: Session,
    images: np.ndarray,
    labels: np.ndarray,
    reference: np.ndarray | None,
) -> tuple[Entry, np.ndarray | None]:
    """The entry with the comparison, and the outputs; the first target to come is its own reference."""
    try:
        outputs = predict(session, images)
        reference = outputs if reference is None else reference
        comparison = compare_outputs(reference, outputs, labels, chain.dataset.class_names)
    except EdgelabError as error:
        return replace(entry, note=str(error)), None
    entry = replace(
        entry, comparison=comparison, run_provenance=session.provenance, note=session.fault or entry.note
    )
    if entry.is_wrong:
        mode = entry.precision if target.name in MODES else target.takes
        entry = replace(entry, divergence=_where(chain, target, mode, images[:IMAGES_FOR_CUTS]))
    return entry, outputs


def _where(chain: Pipeline, target: Target, mode: str, images: np.ndarray) -> str:
    """The operator where a target's results become wrong, in words."""
    if mode == "keras":
        return "unknown, it starts from the Keras model, which is not cut"
    model = chain.converted(mode).path
    calibration = chain.calibration_for(target)

    def open_on_target(path: Path) -> Session:
        made = target.compile(path, path.with_suffix(f".out{target.suffix}"), calibration=calibration)
        return target.open(made)

    try:
        found = divergence.first_wrong(model, open_on_target, images)
    except EdgelabError as error:
        return f"unknown, {error.what}"
    return str(found) if found else "no single operator, the errors of many add up"


def _with_estimate(chain: Pipeline, entry: Entry) -> Entry:
    """The entry with an estimated latency, where no better one is known and the device has been fitted."""
    device = DEVICES.get(entry.target)
    if device is None or entry.latency is not None or entry.is_wrong:
        return entry
    found = estimate.latency(chain.converted("int8").path, device)
    entry = replace(entry, placement=entry.placement or str(found.placement))
    latency = replace(found.result(**_identity(chain, entry)), placement=entry.placement)
    return replace(entry, latency=latency)


def plot(found: Survey) -> tuple[Figure, str]:
    """What each target changes of the accuracy, and how long it takes, a row each.

    Bars through a point are its 95 % interval; the marker says where the number comes from. The shaded part
    is within three points of the CPU. Where there is no point, nothing ran or nobody knows.

    Returns:
        The figure, which the caller shows and closes, and its alt text.
    """
    from matplotlib import pyplot as plt

    names = [f"{entry.target} {entry.precision}" for entry in found.entries]
    size_inches = (10, 1.2 + 0.34 * len(names))
    fig, (left, right) = plt.subplots(1, 2, sharey=True, figsize=size_inches, layout="constrained")
    left.axvspan(-THRESHOLD_POINTS, THRESHOLD_POINTS, color="#E4F1E7", zorder=0)
    left.axvline(0, color="0.5", lw=1)
    left.margins(x=0.12)
    for row, entry in enumerate(found.entries):
        if (compared := entry.comparison) is not None:
            low, high = (0.0 - end for end in reversed(compared.interval_points))
            _point(left, row, 0.0 - compared.loss_points, (low, high), entry.run_provenance)
        if (record := entry.latency) is not None:
            ends = (record.samples.low, record.samples.high) if record.samples else None
            _point(right, row, record.value, ends, record.provenance)
    left.set(xlabel="accuracy beside the CPU's (points)", yticks=range(len(names)), yticklabels=names)
    left.set_ylim(len(names) - 0.5, -0.5)
    right.set(xlabel="latency (ms, log scale)", xscale="log")
    results.plain_log_axis(right.xaxis)
    latencies = [entry.latency.provenance for entry in found.entries if entry.latency]
    known = {*latencies, *(entry.run_provenance for entry in found.entries if entry.comparison)}
    for provenance, marker in results.PROVENANCE_MARKERS.items():
        if provenance in known:
            right.plot([], [], marker, color=_colour(provenance), label=provenance)
    display.legend(right)
    return fig, _in_words(found)


def _point(axes: Axes, row: int, value: float, ends: tuple[float, float] | None, provenance: str) -> None:
    if ends is not None:
        axes.plot(ends, (row, row), "-", color="0.35", lw=1.5)
    axes.plot(value, row, results.PROVENANCE_MARKERS[provenance], color=_colour(provenance))


def _colour(provenance: str) -> str:
    return display.PALETTE[list(results.PROVENANCE_MARKERS).index(provenance)]


def _in_words(found: Survey) -> str:
    lines = []
    for entry in found.entries:
        facts = []
        if entry.comparison is not None:
            wrong = tr(", a wrong result") if entry.is_wrong else ""
            facts.append(tr("{points:+.1f} points", points=0.0 - entry.comparison.loss_points) + wrong)
        if (record := entry.latency) is not None:
            facts.append(f"{results.format_value(record.value, 'ms')} {record.provenance}")
        told = ", ".join(facts) or tr("nothing ran")
        lines.append(f"{entry.target} {entry.precision}: {told}")
    return tr("Accuracy beside the CPU's, and latency. {rows}.", rows="; ".join(lines))
