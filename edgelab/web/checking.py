"""A model in a browser, from the file to a record: placement, comparison, and only then a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgelab import graph, results
from edgelab.benchmark import Measurement, measure
from edgelab.boards.bundle import precision_of
from edgelab.errors import InputError
from edgelab.runtime import Placement
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.gpu.trial import sample_inputs
from edgelab.targets.web import trial
from edgelab.targets.web.engine import Page
from edgelab.targets.web.target import WebTarget
from edgelab.texts import tr

INPUTS = 32
MOST_INPUTS = 1000


@dataclass(frozen=True)
class Checked:
    """What was found about one model in one browser.

    Attributes:
        name, precision: of the model, as the table calls it.
        accelerator: "webgpu" or "wasm".
        browser: its name and version.
        adapter: of WebGPU; "" where the page has none.
        device, runtime_version, provenance, placement: as the session gives them.
        load_ms, compile_ms: until the runtime was loaded, once a page, and the model prepared.
        parity: against the CPU.
        measurement: None where none was made.
        no_time_because: why; "" where there is one.
        runs_per_sample: inferences whose mean is one sample.
        records: what was recorded; nothing that was not sound.
    """

    name: str
    precision: str
    accelerator: str
    browser: str
    adapter: str
    device: str
    runtime_version: str
    provenance: str
    placement: Placement
    load_ms: float
    compile_ms: float
    parity: trial.Parity
    measurement: Measurement | None
    no_time_because: str
    runs_per_sample: int
    records: tuple[results.Result, ...]

    @property
    def is_sound(self) -> bool:
        """Whether the results are the CPU's; a simulated GPU may well be sound."""
        return self.parity.agrees

    def __str__(self) -> str:
        lines = [
            f"{self.name} {self.precision}, {self.accelerator}, {self.provenance}",
            f"browser: {self.browser}",
            f"adapter: {self.adapter or 'none'}",
            f"device: {self.device}",
            f"runtime: {self.runtime_version}; loaded in {self.load_ms:.0f} ms, "
            f"model prepared in {self.compile_ms:.0f} ms",
            f"placement: {self.placement} on {self.accelerator}",
            *(f"  {operator}: {reason}" for operator, reason in self.placement.reasons),
            f"outputs: {self.parity}",
        ]
        if self.measurement is None:
            return "\n".join([*lines, f"no latency: {self.no_time_because}"])
        found = self.measurement
        low, high = found.interval_ms
        lines += [
            f"latency: {found.median_ms:.3f} ms, 95 % interval [{low:.3f}, {high:.3f}], "
            f"{len(found.samples_ms)} samples of {self.runs_per_sample} run(s) by the page's clock",
            f"machine: {found.machine.verdict}",
            *(f"  {note}" for note in found.machine.notes),
        ]
        return "\n".join(lines)


def check(
    model: Path,
    page: Page,
    *,
    accelerator: str = "webgpu",
    precision: str = "float32",
    threads: int = 1,
    count: int = INPUTS,
    name: str = "",
    dataset: str = "",
    max_seconds: float = 3.0,
    record: bool = True,
) -> Checked:
    """Run a model in a page and on the CPU; time it where the outputs agree; record it where it was timed.

    Args:
        model: a `.tflite` file.
        page: where it runs.
        accelerator, precision, threads: as for `WebTarget`.
        count: inputs to compare on, 1 to 1000.
        name: of the model in the table; its file's name by default.
        dataset: that the model belongs to, in the table.
        max_seconds: for the timed runs.
        record: append what was measured to the results.

    Raises:
        InputError: another count.
        ModelError: missing, corrupt, or one that the CPU or the browser refuses, if only in
            its console.
        TargetError: the page is gone or silent.
        StorageError: the results cannot be written.
    """
    if not 1 <= count <= MOST_INPUTS:
        raise InputError(
            tr("{count} inputs cannot be compared.", count=count),
            fix=tr("name 1 to {most}", most=MOST_INPUTS),
        )
    model = Path(model)
    target = WebTarget(accelerator, precision=precision, threads=threads, page=page)
    with target.open(model) as session:
        with CpuTarget(threads=1).open(model) as reference:
            rows = list(sample_inputs(session.inputs, count))
            found = graph.read(model.read_bytes())
            tolerance = trial.tolerance_for(found, precision)
            parity = trial.compare(session, reference, rows, tolerance=tolerance)
        session.fault = session.fault or parity.fault
        measurement, why = None, why_no_time(session.fault, session.provenance)
        if not why:
            measurement = measure(session, rows[-1], max_seconds=max_seconds)
        shown, kind = name or model.stem, precision_of(found)
        if precision == "float16" and kind == "float32":
            kind = "float16"
        records = (
            results.from_measurement(measurement, model=shown, precision=kind, dataset=dataset)
            if measurement
            else ()
        )
        if record and records:
            results.append(*records)
        return Checked(
            shown, kind, accelerator, page.browser, page.adapter, session.device, session.runtime_version,
            session.provenance, session.placement, session.load_ms, session.compile_ms, parity,
            measurement, why, session.runs_per_sample, records if record else (),
        )  # fmt: skip


def why_no_time(fault: str, provenance: str) -> str:
    """Why a session is not timed, or ""."""
    if fault:
        return tr("a wrong answer has no speed: {fault}", fault=fault)
    if provenance != "measured":
        return tr("the processor plays the GPU here, and how long that takes says nothing about a GPU")
    return ""
