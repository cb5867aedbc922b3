"""The same model on this computer's processor and in its browser: compared first, then timed in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgelab import benchmark, graph, results
from edgelab.benchmark import Measurement, SpeedUp
from edgelab.boards.bundle import precision_of
from edgelab.errors import EdgelabError, TargetError
from edgelab.runtime import Placement, Session
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.web import trial
from edgelab.targets.web.target import WebTarget
from edgelab.texts import tr
from edgelab.web.checking import why_no_time

NATIVE = "cpu"
IN_A_BROWSER = ("web/wasm", "web/webgpu")
SECONDS_EACH = 1.0


@dataclass(frozen=True)
class Place:
    """What one place made of one model.

    Attributes:
        model, precision: as the table calls it, and as its file says.
        place: "cpu", "web/wasm" or "web/webgpu".
        device: what computed, in words; "" where nothing did.
        provenance: "measured", or "simulated" where the processor plays the GPU; "" where nothing ran.
        placement: of the operators; None for the CPU and where nothing ran.
        parity: of its outputs with the CPU's; None for the CPU itself and where nothing ran.
        measurement: None where no time is told.
        speed_up: over the CPU, in the same turns; None where no time is told, and for the CPU itself.
        note: why nothing ran or why no time is told, and what to do.
    """

    model: str
    precision: str
    place: str
    device: str = ""
    provenance: str = ""
    placement: Placement | None = None
    parity: trial.Parity | None = None
    measurement: Measurement | None = None
    speed_up: SpeedUp | None = None
    note: str = ""

    @property
    def cost(self) -> float | None:
        """How many times the CPU's time it takes; None where no time is told."""
        return 1 / self.speed_up.ratio if self.speed_up else None

    @property
    def cost_text(self) -> str:
        """The cost with its 95 % interval, "" without one."""
        found = self.speed_up
        return f"{self.cost:.2f} [{1 / found.high:.2f}, {1 / found.low:.2f}]" if found else ""


@dataclass(frozen=True, repr=False)
class Places:
    """Some models, each in several places.

    Attributes:
        found: one for each model and place.
        machine: how calm it was while the times were taken: "quiet" or "noisy".
    """

    found: tuple[Place, ...]
    machine: str

    def __getitem__(self, key: tuple[str, str]) -> Place:
        """The finding of a model's name and a place."""
        return next(one for one in self.found if (one.model, one.place) == key)

    def rows(self) -> list[dict[str, str]]:
        """One row for each, for a table: results before times, each time with its mark."""
        return [_row(one) for one in self.found]

    def records(self, model: str = "", dataset: str = "") -> tuple[results.Result, ...]:
        """The times in the browser, for `results.append`.

        Args:
            model: what all are called, where their names here only tell their precisions apart.
            dataset: that they belong to.
        """
        timed = [one for one in self.found if one.measurement and one.place != NATIVE]
        return tuple(
            record
            for one in timed
            for record in results.from_measurement(
                one.measurement, model=model or one.model, precision=one.precision, dataset=dataset
            )
        )

    def __str__(self) -> str:
        lines = [", ".join(filter(None, row.values())) for row in self.rows()]
        return "\n".join([*lines, tr("{machine} machine", machine=self.machine)])

    __repr__ = __str__


def compare(
    models: Mapping[str, Path],
    places: Sequence[str] = IN_A_BROWSER,
    *,
    max_seconds: float = SECONDS_EACH,
    seed: int = 0,
) -> Places:
    """Run each model on one thread of the CPU, and in a browser; time in turns what is right and real.

    Args:
        models: `.tflite` files by name.
        places: of `IN_A_BROWSER`; the CPU comes always, and first.
        max_seconds: of timed runs, for each model and place.
        seed: of inputs, order and intervals.

    Returns:
        A finding for each model and place; a browser that is missing, or refuses a model, says so in a note.

    Raises:
        ModelError: a model that the CPU cannot run.
    """
    found: list[Place] = []
    machines, gone = [], {}
    for name, path in models.items():
        of_model, machine = _of_model(name, Path(path), places, gone, max_seconds, seed)
        found += of_model
        machines.append(machine)
    return Places(tuple(found), "noisy" if "noisy" in machines else "quiet")


def _of_model(
    name: str, path: Path, places: Sequence[str], gone: dict[str, str], max_seconds: float, seed: int
) -> tuple[list[Place], str]:
    """The findings for one model; `gone` keeps why a place has no browser, which is asked once."""
    described = graph.read(path.read_bytes())
    precision = precision_of(described)
    with ExitStack() as stack:
        native = stack.enter_context(CpuTarget(threads=1).open(path))
        timed: dict[str, Session] = {NATIVE: native}
        found = [Place(name, precision, NATIVE, native.device, native.provenance)]
        for place in places:
            one = Place(name, precision, place, note=gone.get(place, ""))
            if not one.note:
                one, session = _opened(one, path, stack, native, gone)
                if session is not None and not one.note:
                    timed[place] = session
            found.append(one)
        ranking = benchmark.compare(timed, baseline=NATIVE, max_seconds=max_seconds, seed=seed)
    times = {
        place: {"measurement": measured, "speed_up": ranking.speed_ups.get(place)}
        for place, measured in ranking.measurements.items()
    }
    return [replace(one, **times.get(one.place, {})) for one in found], ranking.machine.verdict


def _opened(
    one: Place, path: Path, stack: ExitStack, native: Session, gone: dict[str, str]
) -> tuple[Place, Session | None]:
    """Open and compare; with a note there is no time to be told."""
    target = WebTarget(one.place.partition("/")[2])
    try:
        target.page()
    except TargetError as error:
        gone[one.place] = " ".join(str(error).splitlines())
        return replace(one, note=gone[one.place]), None
    try:
        session = stack.enter_context(target.open(path))
        tolerance = trial.tolerance_for(graph.read(path.read_bytes()), "float32")
        parity = trial.compare(session, native, tolerance=tolerance)
    except EdgelabError as error:
        return replace(one, note=" ".join(str(error).splitlines())), None
    facts: dict[str, Any] = {
        "device": session.device, "provenance": session.provenance, "placement": session.placement,
    }  # fmt: skip
    note = why_no_time(session.fault or parity.fault, session.provenance)
    return replace(one, **facts, parity=parity, note=note), session


def _row(one: Place) -> dict[str, str]:
    time, against = "–", "–"
    if one.measurement:
        low, high = one.measurement.interval_ms
        glyph = results.PROVENANCE_GLYPHS[one.measurement.provenance]
        time = f"{glyph} {one.measurement.median_ms:.3g} [{low:.3g}, {high:.3g}]"
        against = one.cost_text or "1"
    native = one.place == NATIVE
    return {
        "model": one.model,
        "precision": one.precision,
        "place": one.place,
        "device": one.device or "–",
        "outputs": tr("the reference") if native else str(one.parity or "–"),
        "time (ms)": time,
        "times the CPU's": against,
        "remark": one.note,
    }
