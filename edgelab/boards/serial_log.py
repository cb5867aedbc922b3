"""What a chip wrote to its serial port while it ran a bundle's tests: whole, its own, and bit for bit right?

`firmware/src/check.c` writes it. Each of its lines begins with `EL1` and ends with a CRC-32; a terminal may
put others between. The firmware repeats its run, so a log may begin and end in the middle of one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.boards import bundle
from edgelab.boards.micro_bundle import FIRMWARE_FORMAT
from edgelab.boards.runner import differences
from edgelab.errors import DataError
from edgelab.texts import tr

LARGEST_FILE_BYTES = 2**26
MARK = "EL1 "
LINE = re.compile(r"EL1 (?P<said>[ -~]*?) \*(?P<sum>[0-9a-f]{8})(?=\s|$)")
FAILURES = {
    "begin": tr("the arena is too small, or an operator is missing in the resolver"),
    "run": tr("the model stopped in the middle of an inference"),
    "input": tr("the model in the firmware takes other inputs than the tests have"),
    "output": tr("the model in the firmware gives other outputs than the tests have"),
}


@dataclass(frozen=True)
class ChipRun:
    """One whole run of all tests.

    Attributes:
        outputs: for each output of the model an array `[count, ...]`.
        ticks: of the chip's clock, for each inference.
        ticks_per_second: 0 where the chip has no clock.
        arena_used_bytes: what the interpreter took of its arena; 0 where that is not told.
        arena_bytes: how large the arena is.
    """

    outputs: tuple[np.ndarray, ...]
    ticks: tuple[int, ...]
    ticks_per_second: int
    arena_used_bytes: int
    arena_bytes: int


@dataclass(frozen=True)
class ChipLog:
    """A log, judged.

    Attributes:
        path: the file.
        bundle: what it belongs to.
        runs: those that are whole, in order.
        outputs: for each output a dict of "name", "snr_db" and "steps", as `runner.differences` has them.
        right: how many of the test inputs have bit for bit the outputs that are kept here.
        fault: why the chip is not right; "" where it is.
    """

    path: Path
    bundle: bundle.Bundle
    runs: tuple[ChipRun, ...]
    outputs: tuple[dict[str, Any], ...]
    right: int
    fault: str

    @property
    def bit_for_bit(self) -> bool:
        """Whether every output of every test is the one that is kept here."""
        return self.right == self.bundle.manifest["inputs"]["count"]

    @property
    def latency_ms(self) -> float | None:
        """The median inference by the chip's own clock; None without one. Nobody else has seen it run."""
        last = self.runs[-1]
        if not last.ticks_per_second:
            return None
        return 1e3 * float(np.median(last.ticks)) / last.ticks_per_second

    def __str__(self) -> str:
        manifest, last = self.bundle.manifest, self.runs[-1]
        model, count = manifest["model"], manifest["inputs"]["count"]
        lines = [
            f"{self.path.name}: {model['name']} {model['precision']}, {len(self.runs)} whole run(s)",
            f"  bit for bit as {manifest['expected_by']['runtime']}: {self.right} of {count} test inputs",
        ]
        lines += [f"  output {row['name']}: at most {row['steps']} step(s) apart" for row in self.outputs]
        if last.arena_used_bytes:
            lines.append(f"  arena: {last.arena_used_bytes:,} of {last.arena_bytes:,} bytes used")
        if self.latency_ms is not None:
            lines.append(f"  {self.latency_ms:.3f} ms an inference, by the chip's own clock; not recorded")
        return "\n".join([*lines, f"  wrong: {self.fault}"] if self.fault else lines)


def is_serial_log(path: Path) -> bool:
    """Whether a file is rather a log than the results.json of a board that runs Python."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES).replace(b"\0", b"")
    except OSError:
        return False
    return MARK.encode() in content and not content.lstrip().startswith(b"{")


def collect(path: Path) -> ChipLog:
    """Judge the serial log of a chip.

    Args:
        path: what the terminal wrote into a file.

    Raises:
        DataError: it cannot be read, belongs to no bundle that was made here, holds no whole run, or
            contradicts itself.
    """
    path = Path(path)
    said, garbled = _lines(path)
    key = _key_of(said, path, garbled)
    known = _bundle_of(key, path)
    runs, reasons = [], [tr("line {line} is garbled", line=line) for line in garbled[:1]]
    for spoken in _split(said):
        try:
            runs.append(_read_run(spoken, known))
        except _ContradictionError as error:
            raise _unreadable(path, str(error)) from error
        except (ValueError, IndexError) as error:
            reasons.append(str(error))
    if not runs:
        raise _unreadable(path, "; ".join(reasons))
    specs = known.manifest["model"]["outputs"]
    rows = differences(np, list(known.expected), list(runs[-1].outputs), specs)
    equal = _equal(known.expected, runs[-1].outputs)
    fault = _fault(known, runs, rows, equal)
    return ChipLog(path, known, tuple(runs), tuple(rows), int(equal.sum()), fault)


class _ContradictionError(ValueError):
    """The log cannot be what a chip wrote."""


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        tr("{path} holds no whole run of the tests.", path=path.name),
        why=why,
        fix=tr("let the chip run on until `EL1 end` has come, and keep all that it writes"),
    )


def _lines(path: Path) -> tuple[list[str], list[int]]:
    """What the firmware said, line by line; and the numbers of those lines whose checksum is wrong."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ValueError(tr("it is larger than a log can be"))
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")  # as PowerShell writes it
    text = raw.decode("utf-16" if wide else "utf-8", errors="replace")
    said, garbled = [], []
    lines, ended = text.splitlines(), text.endswith(("\n", "\r"))
    for number, line in enumerate(lines, 1):
        if MARK not in line:
            continue
        found = LINE.search(line)
        if found and zlib.crc32(found["said"].encode("ascii")) == int(found["sum"], 16):
            said.append(found["said"])
        elif ended or number < len(lines):  # else the terminal was closed in the middle of the last line
            garbled.append(number)
            said.append("garbled")
    return said, garbled


def _key_of(said: list[str], path: Path, garbled: list[int]) -> str:
    keys = {line.split()[1] for line in said if re.match(r"begin [0-9a-f]{64} ", line)}
    if len(keys) == 1:
        return keys.pop()
    if keys:
        raise _unreadable(path, tr("it holds runs of {count} bundles", count=len(keys)))
    why = tr("no line tells that a run begins")
    if garbled:
        why += "; " + tr("line {line} is garbled", line=garbled[0])
    raise _unreadable(path, why)


def _bundle_of(key: str, path: Path) -> bundle.Bundle:
    kept = bundle.kept_path(key)
    if not kept.exists():
        raise DataError(
            tr("{path} belongs to no bundle that was made here.", path=path.name),
            why=tr(
                "it is of bundle {key}, of which nothing is in {folder}", key=key[:12], folder=kept.parent
            ),
            fix=tr("collect it on the computer that made the bundle: half of the answers are only there"),
        )
    return bundle.read(kept, FIRMWARE_FORMAT)


def _split(said: list[str]) -> Iterator[list[str]]:
    """The lines of each run that begins, up to the next one."""
    starts = [place for place, line in enumerate(said) if line.startswith("begin ")]
    for start, end in zip(starts, [*starts[1:], len(said)], strict=True):
        yield said[start:end]


def _read_run(said: list[str], known: bundle.Bundle) -> ChipRun:
    """A run from its lines, each in its place.

    Raises:
        ValueError: it is cut, garbled, or failed.
        _ContradictionError: what it says cannot be.
    """
    specs, count = known.outputs, known.manifest["inputs"]["count"]
    lines = iter(said)
    _numbers(lines, f"begin {re.escape(said[0].split()[1])} tests {count}")
    used, size, ticks_per_second = _numbers(lines, r"chip arena (\d+) of (\d+) ticks (\d+)")
    if used > size:
        raise _ContradictionError(
            tr("an arena of {size} bytes cannot have {used} in use", size=size, used=used)
        )
    raw, ticks, claims, every = [[] for _ in specs], [], [], b""
    for test in range(count):
        took, claim = _said(lines, rf"test {test} ticks (\d+) same (yes|no|unknown)")
        ticks.append(int(took))
        claims.append(claim)
        for place, spec in enumerate(specs):
            data = _output(lines, test, place, int(np.prod(spec.shape)) * spec.dtype.itemsize)
            raw[place].append(np.frombuffer(data, spec.dtype).reshape(spec.shape))
            every += data
    [total] = _numbers(lines, rf"end {count} sum (\d+)")
    if total != zlib.crc32(every):
        raise _ContradictionError(tr("the sum of all outputs is another than the chip has written"))
    outputs = tuple(np.stack(arrays) for arrays in raw)
    _check_claims(claims, outputs, known)
    return ChipRun(outputs, tuple(ticks), ticks_per_second, used, size)


def _said(lines: Iterator[str], pattern: str) -> tuple[str, ...]:
    """The parts of the next line, which must be of this form."""
    line = next(lines, None)
    if line is None:
        raise ValueError(tr("the log ends in the middle of a run"))
    failed = re.fullmatch(r"fail (\w+)", line)
    if failed:
        raise ValueError(FAILURES.get(failed[1], tr("the chip says: {said}", said=line)))
    found = re.fullmatch(pattern, line)
    if not found:
        raise ValueError(tr("a line is missing, garbled or out of its place: {said}", said=line[:60]))
    return found.groups()


def _numbers(lines: Iterator[str], pattern: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _said(lines, pattern))


def _output(lines: Iterator[str], test: int, place: int, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        [part] = _said(lines, rf"out {test} {place} {len(data)} ((?:[0-9a-f]{{2}}){{1,32}})")
        data += bytes.fromhex(part)
    if len(data) != size_bytes:
        raise ValueError(tr("an output has other bytes than the model's"))
    return data


def _equal(expected: tuple[np.ndarray, ...], got: tuple[np.ndarray, ...]) -> np.ndarray:
    """For each test whether all its outputs are bit for bit the same `[count]`."""
    return np.array(
        [
            all(np.array_equal(want[test], have[test]) for want, have in zip(expected, got, strict=True))
            for test in range(len(expected[0]))
        ]
    )


def _check_claims(claims: list[str], outputs: tuple[np.ndarray, ...], known: bundle.Bundle) -> None:
    """What the chip said of its own outputs must be so."""
    answered = known.manifest["firmware"]["known"]
    for test, (claim, same) in enumerate(zip(claims, _equal(known.expected, outputs), strict=True)):
        wanted = "unknown" if test >= answered else "yes" if same else "no"
        if claim != wanted:
            raise _ContradictionError(
                tr("test {test} is called {claim!r} there and is {found!r} by its own bytes",
                   test=test, claim=claim, found=wanted)
            )  # fmt: skip


def _fault(known: bundle.Bundle, runs: list[ChipRun], rows: list[dict[str, Any]], equal: np.ndarray) -> str:
    """Why the chip is not right; "" where it is."""
    first = runs[0].outputs
    if any(not all(map(np.array_equal, first, run.outputs)) for run in runs[1:]):
        return tr(
            "two runs of the same inputs gave different outputs: is memory read that nobody has written?"
        )
    allowed = known.manifest["agreement"]["steps"]
    if all(row["steps"] is not None and row["steps"] <= allowed for row in rows):
        return ""
    answered = known.manifest["firmware"]["known"]
    if equal[:answered].all() and not equal[answered:].any():
        return tr("all outputs are right whose answers were in the bundle, and none of the others: "
                  "were they copied?")  # fmt: skip
    return tr("the outputs are not those that are kept here")
