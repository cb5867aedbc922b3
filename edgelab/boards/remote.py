"""A model run on a board over the link: bundled, measured there, results home, judged as `collect` does."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgelab import results
from edgelab.boards import bundle, facts, health, kit
from edgelab.boards.collect import Collected, collect
from edgelab.boards.link import Link
from edgelab.boards.registry import Board
from edgelab.boards.runner import agrees
from edgelab.errors import TargetError
from edgelab.machine import artifacts
from edgelab.machine.child import last_lines
from edgelab.texts import tr

JOBS = f"{kit.FOLDER}/jobs"
START_S = 60.0  # beyond the runner's own limit


def check(
    board: Board,
    *,
    install: bool = False,
    wheels: Path | None = None,
    kit_file: Path | None = None,
    asks: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> health.Asked:
    """Ask a board all that `board check` tells, and set its kit up if that is wanted.

    Args:
        board: which.
        install: whether to put the kit there, if this version of it is not there.
        wheels: a folder of wheels for it; None takes them from pip's index.
        kit_file: a kit made before, in place of making one.
        asks: whether ssh may ask for a password.
        told: hears what is being done.

    Raises:
        TargetError: it cannot be reached or set up, or somebody else uses it.
        DataError: the kit given is for another board.
    """
    with Link(board, asks=asks) as link:
        found = link.facts()
        state = link.state()
        started = time.perf_counter()
        link.shell(":")
        round_trip_s = time.perf_counter() - started
        held = kit.installed(link) if found.python else None
        if install and held is None:
            wanted = kit.needed_by(found)
            link.hold_lock()
            told(
                tr(
                    "Making the kit for Python {python} on {machine} …",
                    python=wanted.python,
                    machine=wanted.machine,
                )
            )
            zipped = kit.checked(kit_file, wanted) if kit_file else kit.make(wanted, wheels)
            told(tr("Setting it up on {name} …", name=board.name))
            held = kit.install(link, found, zipped, _progress(told))
            found = replace(link.facts(), python=found.python)
    return health.Asked(found, state, held, round_trip_s, board.destination)


def _progress(told: Callable[[str], None]) -> Callable[[int, int], None]:
    last = [time.monotonic()]

    def moved(done: int, total: int) -> None:
        if time.monotonic() - last[0] > 5:
            last[0] = time.monotonic()
            told(tr("  {done:.0f} of {total:.0f} MB copied", done=done / 1e6, total=total / 1e6))

    return moved


@dataclass(frozen=True)
class Ran:
    """What a run on a board came to.

    Attributes:
        collected: results as the judge of `collect` found them.
        facts: what the board is.
        before, after: how it was doing.
        simulated: records of an emulated board: agreement alone, never a time.
    """

    collected: Collected
    facts: facts.Facts
    before: facts.State
    after: facts.State
    simulated: tuple[results.Result, ...]

    @property
    def is_right(self) -> bool:
        """Whether its outputs are those expected, and what there is to record was recorded."""
        return bool(self.simulated) or not self.collected.fault

    def row(self) -> dict[str, str]:
        """What a table of runs shows of it: answers, then the board's own clock and counter, or why not."""
        found = self.collected
        kept = {record.metric: record for record in found.records}
        latency, energy = kept.get("latency"), kept.get("energy")
        spread = latency.samples if latency else None
        why_not = tr("not timed") if self.simulated else found.fault
        same = "" if found.same_largest is None else f"{found.same_largest:.1%}"
        return {
            "same answers": f"{same} of {found.bundle.manifest['inputs']['count']} test inputs",
            "latency (ms)": f"{latency.value:.3f} [{spread.low:.3f}, {spread.high:.3f}]"
            if spread
            else why_not,
            "energy (mJ per run)": f"{energy.value:.3f}" if energy else "not measured",
            "runs on": f"{found.device}, {found.target}, {found.runtime}",
            "state": " ".join((f"{self.after}.", *found.notes)) if found.notes else str(self.after),
            "provenance": "simulated" if self.facts.emulated else "measured",
        }

    def __str__(self) -> str:
        lines = [str(self.collected), tr("  that board: {state}", state=self.after)]
        for record in self.simulated:
            lines.append(tr("  recorded as simulated: {record}", record=record))
        return "\n".join(lines)


@dataclass(frozen=True)
class Wanted:
    """What is to be run, and how.

    Attributes:
        model: a `.tflite` file that the CPU runs here.
        inputs, count, seed, compiled, name, dataset: as `bundle.make` takes them.
        device: name of the board in the table; "" takes what it calls itself.
        arguments: further ones for the runner, such as `("--threads", "1")`.
        limit_s: for all that the runner does.
    """

    model: Path
    inputs: Path | None = None
    count: int = bundle.COUNT
    seed: int = 0
    compiled: Path | None = None
    name: str = ""
    dataset: str = ""
    device: str = ""
    arguments: tuple[str, ...] = ()
    limit_s: float = 600.0


def run(
    board: Board, wanted: Wanted, *, asks: bool = False, told: Callable[[str], None] = lambda _: None
) -> Ran:
    """Run a model on a board, and record what it measured if nothing speaks against it.

    Args:
        board: which; its kit is installed.
        wanted: what is run.
        asks: whether ssh may ask for a password.
        told: hears every line that the runner prints there.

    Raises:
        EdgelabError: the model cannot be bundled; the board cannot be reached, is in use, lacks the kit or
            space; the link broke; the runner there refused. Nothing is recorded then.
    """
    with tempfile.TemporaryDirectory(prefix="edgelab-") as temporary:
        zipped = Path(temporary) / "bundle.zip"
        made = bundle.make(
            wanted.model,
            zipped,
            inputs=wanted.inputs,
            count=wanted.count,
            seed=wanted.seed,
            compiled=wanted.compiled,
            name=wanted.name,
            dataset=wanted.dataset,
        )
        content = zipped.read_bytes()
    with Link(board, asks=asks) as link:
        found = link.facts()
        require_kit(link, found)
        link.hold_lock()
        job = f"{JOBS}/{made.key[:12]}-{secrets.token_hex(3)}"
        link.verb("remove", JOBS)  # the lock is ours: what is there was left by a link that broke
        link.put(content, f"{job}.zip")
        link.verb("unpack", f"{job}.zip", job)
        before = link.state()
        _measure(link, found, wanted, job, told)
        after = link.state()
        raw = link.get(f"{job}/results.json")
        link.verb("remove", job)
    path = _keep(board, made.key, raw, found, before, after)
    collected = collect(path, conditions=str(after), disturbed=tuple(facts.disturbances(before, after)))
    return Ran(collected, found, before, after, _simulated(collected, found))


def require_kit(link: Link, found: facts.Facts) -> None:
    """Raise what to do where the board lacks the kit.

    Raises:
        TargetError: it lacks it.
    """
    kit.needed_by(found)
    if kit.installed(link) is None:
        raise TargetError(
            tr("{name} lacks the board kit, or has an older one.", name=link.board.name),
            fix=tr("python -m edgelab board check {name} --install", name=link.board.name),
        )


def python_of_kit() -> str:
    """The kit's Python on a board, as its shell reads it."""
    return f"{kit.folder()}/env/bin/python"


def _measure(link: Link, found: facts.Facts, wanted: Wanted, job: str, told: Callable[[str], None]) -> None:
    """Run the bundle's own runner, and pass on what it prints."""
    arguments = [
        "--device",
        wanted.device or found.device,
        "--limit",
        f"{wanted.limit_s:g}",
        *wanted.arguments,
    ]
    if found.emulated:
        arguments += ["--emulated", found.emulated]
    with link.running("run", job, python_of_kit(), "-u", "run.py", *arguments) as channel:
        for line in channel.lines(2 * wanted.limit_s + START_S):
            told(line)
        code = channel.returncode()
        said = channel.words()
    if code:
        what, _, fix = last_lines(said, 40).rpartition("What to do: ")
        raise TargetError(
            tr("The model did not run on {name}.", name=link.board.name),
            why=(what or said).strip() or tr("the runner ended with exit code {code}", code=code),
            fix=fix or tr("look at the board's memory and `dmesg`: the system may have ended it"),
        )


def _keep(
    board: Board, key: str, raw: bytes, found: facts.Facts, before: facts.State, after: facts.State
) -> Path:
    """The results with what the board told besides, kept here; nothing of them is lost after this."""
    whole: dict[str, Any] = json.loads(raw)
    whole["board"] = {"name": board.name, **asdict(found), "before": asdict(before), "after": asdict(after)}
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = artifacts.artifacts_dir() / "boards" / board.name / f"{stamp}-{key[:12]}-results.json"
    with artifacts.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(whole), "utf-8")
    return path


def _simulated(collected: Collected, found: facts.Facts) -> tuple[results.Result, ...]:
    """What an emulated board may leave in the table: how many answers agree, and no time."""
    model = collected.bundle.manifest["model"]
    right = agrees(list(collected.outputs), collected.bundle.manifest["agreement"])
    if not found.emulated or not right or collected.same_largest is None:
        return ()
    record = results.Result(
        "agreement",
        collected.same_largest,
        target=collected.target,
        device=collected.device,
        model=model["name"],
        precision=model["precision"],
        dataset=model["dataset"],
        provenance="simulated",
        runtime_version=collected.runtime,
        source=tr("answers equal to this computer's CPU; bundle {key}", key=collected.bundle.key[:12]),
        image_count=collected.bundle.manifest["inputs"]["count"],
    )
    results.append(record)
    return (record,)
