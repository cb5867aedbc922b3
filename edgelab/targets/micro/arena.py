"""The memory a model needs while it runs, found by trying."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgelab import graph
from edgelab.errors import InputError, TargetError
from edgelab.targets.cpu.session import trial_input
from edgelab.targets.micro.engine import Child, RefusedError, last_words_of
from edgelab.targets.micro.session import checked, explained, generous, require, specs_of
from edgelab.texts import tr

STEP_BYTES = 16  # the allocator aligns to it: a finer search would find nothing
RECORD_LINE = re.compile(
    r"'(?P<part>[^']+)' used (?P<used>\d+) bytes .*requested (?P<requested>\d+) bytes for (?P<count>\d+)"
)
TOTAL_LINE = re.compile(r"Arena allocation (?P<part>total|head|tail) (?P<used>\d+) bytes")


@dataclass(frozen=True)
class Attempt:
    """One try to run a model in an arena of a given size.

    Attributes:
        arena_bytes: the size.
        outcome: "runs", "refused" (the allocator said no), or "crashed" (the process died).
        detail: the last words of the allocator.
    """

    arena_bytes: int
    outcome: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.arena_bytes:,} bytes: {self.outcome}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Arena:
    """The memory a model needs while it runs.

    Attributes:
        smallest_bytes: the smallest arena in which it runs and gives the same output as in a large one, to
            `STEP_BYTES`.
        head_bytes: activations and scratch buffers, which share one area; the same on any chip.
        tail_bytes: what stays for good: structures, pointers, multipliers of each channel. It holds pointers,
            so a chip of 32 bits needs less than this computer of 64.
        parts: the tail's record: (what, bytes, how many).
        attempts: the sizes that were tried, in order.
    """

    smallest_bytes: int
    head_bytes: int
    tail_bytes: int
    parts: tuple[tuple[str, int, int], ...]
    attempts: tuple[Attempt, ...]

    def __str__(self) -> str:
        return (
            f"smallest arena {self.smallest_bytes:,} bytes: head {self.head_bytes:,}, "
            f"tail {self.tail_bytes:,} ({len(self.attempts)} tries)"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<li>{html.escape(part)}: {used:,} bytes, {count}</li>" for part, used, count in self.parts
        )
        return f"<p>{self}</p><ul>{rows}</ul>"


def check_size(arena_bytes: int) -> None:
    """Refuse an arena that could hold nothing.

    Raises:
        InputError: it is smaller than one step of the allocator.
    """
    if arena_bytes < STEP_BYTES:
        raise InputError(
            tr("An arena of {arena_bytes} bytes holds nothing.", arena_bytes=arena_bytes),
            fix=tr("give {step_bytes} or more", step_bytes=STEP_BYTES),
        )


def attempts(model: Path, sizes: Iterable[int]) -> tuple[Attempt, ...]:
    """Run a model once in an arena of each size, in a child process that may die of it.

    Args:
        model: a `.tflite` file.
        sizes: in bytes, `STEP_BYTES` or more.

    Raises:
        InputError: a size below `STEP_BYTES`.
        ModelError: the file cannot be read.
        TargetError: the runtime is missing.
    """
    sizes = tuple(sizes)
    for size in sizes:
        check_size(size)
    found = checked(Path(model))
    require()
    with Child(Path(model).resolve()) as process:
        return tuple(_attempt(process, found, size)[0] for size in sizes)


def _attempt(
    process: Child, found: graph.Graph, arena_bytes: int
) -> tuple[Attempt, tuple[np.ndarray, ...] | None]:
    """The try, and the output where it ran."""
    counts = len(found.inputs), len(found.outputs)
    try:
        specs = specs_of(process.load(arena_bytes, counts)["inputs"], found, found.inputs)
        output = process.run(tuple(map(trial_input, specs)), counts[1])
    except RefusedError as error:
        return Attempt(arena_bytes, "refused", error.words or error.error), None
    except TargetError as error:
        return Attempt(arena_bytes, "crashed", last_words_of(error.why) or error.what), None
    return Attempt(arena_bytes, "runs"), output


def smallest_arena(model: Path) -> Arena:
    """Find the smallest arena in which a model runs, by bisection in child processes.

    The allocator's own record, taken in a large arena, is the first guess; sizes around it are tried, and an
    output that differs from the large arena's counts as a failure.

    Args:
        model: a `.tflite` file.

    Returns:
        The smallest size, a multiple of `STEP_BYTES`: with `STEP_BYTES` less it does not run.

    Raises:
        ModelError: unreadable, of unknown size, or it cannot run in any arena.
        TargetError: the runtime is missing.
    """
    model = Path(model)
    found = checked(model)
    require()
    tried: list[Attempt] = []
    with Child(model.resolve()) as process:
        plenty = generous(found)
        try:
            specs = specs_of(
                process.load(plenty, (len(found.inputs), len(found.outputs)))["inputs"], found, found.inputs
            )
            expected = process.run(tuple(map(trial_input, specs)), len(found.outputs))
            record = process.ask("record")["text"]
        except (RefusedError, TargetError) as error:
            raise explained(error, model, found, plenty) from error
        totals = {match["part"]: int(match["used"]) for match in TOTAL_LINE.finditer(record)}
        if set(totals) != {"total", "head", "tail"}:
            raise TargetError(
                tr("The allocator's record cannot be read."),
                why=record[:200] or tr("it is empty"),
                fix=tr("use the tested version: pip install --force-reinstall tflite-micro"),
            )

        def runs(steps: int) -> bool:
            attempt, output = _attempt(process, found, steps * STEP_BYTES)
            tried.append(attempt)
            return output is not None and all(map(np.array_equal, output, expected))

        smallest = _smallest(runs, -(-totals["total"] // STEP_BYTES))
    parts = tuple(
        (match["part"], int(match["used"]), int(match["count"])) for match in RECORD_LINE.finditer(record)
    )
    return Arena(smallest * STEP_BYTES, totals["head"], totals["tail"], parts, tuple(tried))


def _smallest(runs: Callable[[int], bool], guess: int) -> int:
    """The smallest number that `runs`, searched from a guess outwards, then by bisection."""
    width = 1
    if runs(guess):
        high, low = guess, guess - width
        while low > 0 and runs(low):
            width *= 2
            high, low = low, max(0, low - width)
    else:
        low, high = guess, guess + width
        while not runs(high):
            width *= 2
            low, high = high, high + width
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle) else (middle, high)
    return high
