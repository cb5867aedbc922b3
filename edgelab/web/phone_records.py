"""What a phone in class sends: one record of its browser, judged before anything of it is kept.

A phone is asked for what it saw, never for a verdict: the outputs, which are compared with the CPU's here,
and the times of each run, which have to look like what a clock gave.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph, results
from edgelab.benchmark.statistics import never_too_narrow, repetition_interval
from edgelab.boards import samples
from edgelab.boards.bundle import precision_of
from edgelab.errors import DataError, InputError
from edgelab.machine.state import noise_reasons
from edgelab.runtime import TensorSpec
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.gpu.trial import sample_inputs
from edgelab.targets.web import engine, files, log, trial
from edgelab.targets.web.target import ACCELERATORS
from edgelab.texts import tr

INPUTS = 8
OPENINGS, RUNS = 5, 20  # of the model, and timed samples of each
LEAST_MS = 10.0  # of a sample, so that a phone's clock can tell two of them apart
LONGEST_NAME = 24
LARGEST_RECORD_BYTES = 2**20
MOST_OUTPUTS_BYTES = 2**18
LARGEST_CLOCK_MS = 2.0
MOST_LINES, LONGEST_LINE = 100, 300
MOST_BATCH = 100_000
# Exactly these fields, of exactly these types: a record holds nothing else.
HEAD = {"ticket": str, "name": str, "about": dict, "runs": list}
RUN = {
    "accelerator": str, "error": str, "console": list, "got": str, "fully": bool, "batch": int,
    "openings": list, "elapsed_ns": int,
}  # fmt: skip
OPENING = {"opening_ns": int, "warm_up_ns": list, "samples_ns": list, "window_ns": int}
ABOUT = ("agent", "brands", "platform", "phone", "cores", "secure", "adapter", "clock_ms")


@dataclass(frozen=True)
class Task:
    """What every phone is given.

    Attributes:
        name, precision, dataset: of the model, as the table calls it.
        content: the `.tflite` file.
        inputs, outputs: what it takes and gives.
        rows, want: inputs to compare on, and the CPU's outputs.
        tolerance: see `trial.tolerance_for`.
        operators: in the file.
    """

    name: str
    precision: str
    dataset: str
    content: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    rows: tuple[tuple[np.ndarray, ...], ...]
    want: tuple[tuple[np.ndarray, ...], ...]
    tolerance: float
    operators: int

    @property
    def row_bytes(self) -> list[int]:
        """The sizes of one row's outputs."""
        return [array.nbytes for array in self.want[0]]

    def message(self, ticket: str) -> tuple[dict[str, Any], list[bytes]]:
        """Head and parts for `server.pack`: the model, all inputs, all outputs of the CPU."""
        told = [
            [{"dtype": spec.dtype.name, "shape": list(spec.shape)} for spec in specs]
            for specs in (self.inputs, self.outputs)
        ]
        arrays = [array for row in (*self.rows, *self.want) for array in row]
        head = {
            "ticket": ticket, "model": self.name, "precision": self.precision, "inputs": told[0],
            "outputs": told[1], "rows": len(self.rows), "tolerance": self.tolerance,
            "software": engine.SOFTWARE.pattern, "openings": OPENINGS, "runs": RUNS, "least_ms": LEAST_MS,
            "about": ABOUT, "most_lines": MOST_LINES, "longest_line": LONGEST_LINE,
        }  # fmt: skip
        return head, [self.content, *(np.ascontiguousarray(array).tobytes() for array in arrays)]


@dataclass(frozen=True)
class Received:
    """A phone's record, judged.

    Attributes:
        name: as its owner calls it; "" where nobody has typed one.
        device, browser, adapter: as the phone's browser tells them.
        lines: what was found, a line for each accelerator.
        records: of what was right.
    """

    name: str
    device: str
    browser: str
    adapter: str
    lines: tuple[str, ...]
    records: tuple[results.Result, ...]

    def __str__(self) -> str:
        where = ", ".join(filter(None, (self.name, self.device, self.browser, self.adapter)))
        return "\n".join([where, *(f"  {line}" for line in self.lines)])


def task_of(model: Path, *, name: str = "", dataset: str = "") -> Task:
    """Read a model and run it on the CPU, for phones to be compared with.

    Args:
        model: a `.tflite` file.
        name, dataset: in the table; the file's name by default.

    Raises:
        ModelError: missing, corrupt, or one that the CPU refuses.
        InputError: its outputs are larger than a record of a phone may be.
    """
    model = Path(model)
    with CpuTarget(threads=1).open(model) as reference:
        content = model.read_bytes()
        found = graph.read(content)
        rows = tuple(sample_inputs(reference.inputs, INPUTS))
        want = tuple(reference.run(*row) for row in rows)
        size_bytes = sum(array.nbytes for row in want for array in row)
        if 2 * size_bytes > MOST_OUTPUTS_BYTES:  # of two accelerators
            raise InputError(
                tr("{model} gives too much for a phone to send back.", model=model.name),
                why=tr("its outputs on {count} inputs are {size} bytes", count=INPUTS, size=size_bytes),
                fix=tr("take a classifier, or a model with smaller outputs"),
            )
        return Task(
            name or model.stem, precision_of(found), dataset, content, reference.inputs, reference.outputs,
            rows, want, trial.tolerance_for(found, "float32"), len(found.operators),
        )  # fmt: skip


def judge(task: Task, head: dict[str, Any], parts: list[bytes]) -> Received:
    """Judge what a phone has sent.

    Args:
        task: that it was given.
        head, parts: its message, unpacked; the parts are the outputs of its runs, row by row.

    Raises:
        DataError: it is no such record, or its times are not what a clock gives.
    """
    _exactly(head, HEAD)
    about, runs = head["about"], head["runs"]
    if set(about) - set(ABOUT) or not 1 <= len(runs) <= len(ACCELERATORS):
        raise _refused(tr("it holds other parts than a record"))
    for run in runs:
        _exactly(run, RUN)
        if len(run["openings"]) > OPENINGS or len(run["console"]) > MOST_LINES:
            raise _refused(tr("it holds more than was asked for"))
        for opening in run["openings"]:
            _exactly(opening, OPENING)
    if sorted({run["accelerator"] for run in runs} & set(ACCELERATORS)) != sorted(
        run["accelerator"] for run in runs
    ):
        raise _refused(tr("it names other accelerators than there are"))
    clock = about.get("clock_ms")
    if type(clock) not in (int, float) or not 0 < clock <= LARGEST_CLOCK_MS:
        raise _refused(tr("its clock is none"))
    ran = [run for run in runs if not run["error"]]
    sizes = task.row_bytes * len(task.rows)
    if [len(part) for part in parts] != sizes * len(ran):
        raise _refused(tr("its outputs have another size than the model's"))
    device, browser = _device(about), engine.browser_name(about)
    adapter = engine.adapter_name(about.get("adapter"))
    lines, records, given = [], [], iter(parts)
    for run in runs:
        outputs = [] if run["error"] else [next(given) for _ in sizes]
        line, found = _run(task, run, outputs, about, device, browser, adapter, clock)
        lines.append(f"{run['accelerator']}: {line}")
        records += found
    return Received(plain_name(head["name"]), device, browser, adapter, tuple(lines), tuple(records))


def plain_name(text: str) -> str:
    """What a person has typed, as a part of a file's name: letters, digits, spaces and hyphens."""
    return " ".join(re.sub(r"[^\w -]", " ", text[: 4 * LONGEST_NAME]).split())[:LONGEST_NAME].strip()


def _refused(why: str) -> DataError:
    return DataError(
        tr("The record was refused."), why=why, fix=tr("load the page again, and let it run to its end")
    )


def _exactly(found: Any, wanted: dict[str, type]) -> None:
    if not isinstance(found, dict) or set(found) != set(wanted):
        raise _refused(tr("it holds other parts than a record"))
    for name, kind in wanted.items():
        if type(found[name]) is not kind:
            raise _refused(tr("its {name} is of another type", name=name))


def _device(about: dict[str, Any]) -> str:
    """The model that the browser tells, or what stands first in brackets in its own name."""
    agent = about.get("agent") if isinstance(about.get("agent"), str) else ""
    bracket = re.search(r"\(([^)]{1,200})\)", agent[:500])
    name = engine.plain(about.get("phone")) or engine.plain(bracket[1] if bracket else about.get("platform"))
    cores = about.get("cores")
    told = tr("{cores} cores", cores=cores) if type(cores) is int and 0 < cores < 1000 else ""
    return ", ".join(filter(None, (name or tr("a phone"), told)))


def _run(
    task: Task, run: dict[str, Any], outputs: list[bytes], about: dict[str, Any],
    device: str, browser: str, adapter: str, clock_ms: float,
) -> tuple[str, list[results.Result]]:  # fmt: skip
    """What one run is worth, in a line, and its records."""
    on_gpu = run["accelerator"] == "webgpu"
    if on_gpu and not adapter:
        raise _refused(tr("it tells of a GPU without an adapter"))
    if run["error"]:
        return tr("not run: {why}", why=engine.plain(run["error"])), []
    console = [line[:LONGEST_LINE] for line in run["console"] if isinstance(line, str)]
    if failed := log.failures(console):
        return tr("not run: {why}", why=failed[0][:LONGEST_LINE]), []
    specs = task.outputs * len(task.rows)
    flat = [
        np.frombuffer(part, spec.dtype).reshape(spec.shape) for part, spec in zip(outputs, specs, strict=True)
    ]
    width = len(task.outputs)
    have = [tuple(flat[place : place + width]) for place in range(0, len(flat), width)]
    parity = trial.judge(task.outputs, list(task.want), have, tolerance=task.tolerance)
    if not parity.agrees:
        return tr("a wrong answer has no speed: {fault}", fault=parity.fault), []
    is_simulated = on_gpu and engine.is_software(about.get("adapter"))
    if is_simulated and run["openings"]:
        raise _refused(tr("a GPU that the processor plays is not timed"))
    placement = log.placement(
        console, asked=run["accelerator"], got=run["got"][:20], fully=run["fully"], total=task.operators
    )
    same = 1.0 if parity.same_largest is None else parity.same_largest
    about_it = results.Result(
        "agreement", same, target=f"web/{run['accelerator']}", device=adapter if on_gpu else device,
        model=task.name, precision=task.precision, dataset=task.dataset,
        provenance="simulated" if is_simulated else "measured", source=f"{device}; {parity}",
        runtime_version=f"LiteRT.js {files.VERSION}, {browser}", placement=str(placement),
        image_count=parity.count,
    )  # fmt: skip
    if is_simulated:
        return tr("{parity}; simulated, no time", parity=parity), [about_it]
    latency = _latency(run, about_it, clock_ms)
    spread = latency.samples
    text = tr("{parity}; {latency:.3f} ms [{low:.3f}, {high:.3f}]", parity=parity, latency=latency.value,
              low=spread.low, high=spread.high)  # fmt: skip
    return text, [latency, about_it]


def _latency(run: dict[str, Any], common: results.Result, clock_ms: float) -> results.Result:
    """The record of a run's times, where they look like a clock's.

    A sample is a batch of inferences; what is judged are the batches, as the clock gave them.

    Raises:
        DataError: they do not.
    """
    if not 1 <= run["batch"] <= MOST_BATCH:
        raise _refused(tr("its batches hold no number of runs"))
    if any(len(one[part]) > RUNS for one in run["openings"] for part in ("samples_ns", "warm_up_ns")):
        raise _refused(tr("it holds more than was asked for"))
    if found := samples.doubts(run, clock_ms * 1e6):
        raise _refused("; ".join(found))
    openings = [np.array(one["samples_ns"]) / 1e6 / run["batch"] for one in run["openings"]]
    every = np.concatenate(openings)
    medians = np.array([np.median(part) for part in openings])
    middle, low, high = repetition_interval(medians)
    low, high = never_too_narrow(middle, low, high)
    if noise_reasons(every, 0.0):  # nothing less than what was seen is promised
        low, high = min(low, float(medians.min())), max(high, float(medians.max()))
    if not all(map(math.isfinite, (middle, low, high))):
        raise _refused(tr("a time is no number"))
    p05, p95 = np.percentile(every, [5, 95])
    spread = results.Samples(len(every), middle, float(p05), float(p95), low, high)
    return replace(common, metric="latency", value=middle, unit="", samples=spread, image_count=0)
