"""What came back from a board: is it of a known bundle, right, and measured? Then it is recorded."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import results
from edgelab.benchmark.statistics import repetition_interval
from edgelab.boards import bundle, samples
from edgelab.boards.runner import RESULTS_FORMAT, agrees, differences
from edgelab.errors import DataError
from edgelab.machine.state import MAX_OTHER_CORES, noise_reasons
from edgelab.texts import tr

LARGEST_FILE_BYTES = 2**29
LONGEST_TEXT = 120
LARGEST_MJ, MOST_WATTS = 1e9, 2000.0  # beyond that a counter is broken, or no board's
KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Collected:
    """One file of results, judged.

    Attributes:
        path: the file.
        bundle: what it belongs to.
        target: "cpu", "edgetpu", or the delegate's name.
        device: the board, as it or its owner calls it.
        runtime: what ran the model there, with its version.
        outputs: for each output a dict of "name", "snr_db" (dB against the CPU here; None where shape or type
            differ) and "steps", the largest difference in quantization steps, None where it is not quantized.
        same_largest: of all test inputs the share whose largest output is the same; None where there is none.
        fault: why no latency is recorded; "" where one is.
        notes: what was disturbed, a sentence each.
        records: what was, or would be, recorded.
        is_new: whether they were added now; False where they had been before, and for a fault.
    """

    path: Path
    bundle: bundle.Bundle
    target: str
    device: str
    runtime: str
    outputs: tuple[dict[str, Any], ...]
    same_largest: float | None
    fault: str
    notes: tuple[str, ...]
    records: tuple[results.Result, ...]
    is_new: bool

    def __str__(self) -> str:
        model = self.bundle.manifest["model"]
        where = f"{self.device}, {self.target}, {self.runtime}"
        lines = [f"{self.path.name}: {model['name']} {model['precision']} on {where}"]
        lines += [f"  output {row['name']}: {_apart(row)}" for row in self.outputs]
        if self.same_largest is not None:
            count = self.bundle.manifest["inputs"]["count"]
            lines.append(f"  same largest output for {self.same_largest:.1%} of {count} test inputs")
        if self.fault:
            return "\n".join([*lines, f"  no latency is recorded: {self.fault}"])
        latency = self.records[0]
        spread = latency.samples
        interval = f"[{spread.low:.3f}, {spread.high:.3f}]"
        lines.append(f"  latency {latency.value:.3f} ms {interval}, {spread.n} runs, measured there")
        for energy in self.records[2:]:
            counter = energy.source.rpartition(": ")[2]
            lines.append(f"  energy {energy.value:.3f} mJ per run, measured there: {counter}")
        lines += [f"  {note}" for note in self.notes]
        return "\n".join([*lines, f"  {'recorded' if self.is_new else 'has been recorded before'}"])


def _apart(row: dict[str, Any]) -> str:
    if row["snr_db"] is None:
        return "another shape or type than expected"
    if row["snr_db"] == math.inf:
        return "equal to the CPU's here"
    steps = "" if row["steps"] is None else f", at most {row['steps']} step(s) apart"
    return f"SNR {row['snr_db']:.1f} dB against the CPU here{steps}"


def collect(
    path: Path, *, sent: Path | None = None, conditions: str = "", disturbed: tuple[str, ...] = ()
) -> Collected:
    """Judge one file of results, and record it if nothing speaks against it.

    Args:
        path: the results.json that the runner wrote.
        sent: the bundle's zip, where another computer made it; None takes the bundles made here.
        conditions: of the board, such as its governor, where it was asked; they stand in the record.
        disturbed: what the board said against the measurement, a sentence each.

    Raises:
        DataError: it cannot be read, is of another version, or belongs to no known bundle.
        StorageError: the store cannot be written.
    """
    path = Path(path)
    raw, found = _read(path)
    known = _bundle_of(found, path, sent)
    try:
        ran, device, runtime = found["ran"], found["device"], found["runtime"]
        target, name = _plain(ran["target"]), _plain(device["name"])
        version = f"{_plain(runtime['name'])} {_plain(runtime['version'])}".strip()
        emulated, threads = _plain(device["emulated"]), int(ran["threads"])
        why, timing = _plain(found["no_timing_because"]), found["timing"]
        resolution = float(found["clock_resolution_ns"])
        got = _outputs(found["outputs"], known)
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
        raise _unreadable(path, tr("a part of it is missing or damaged: {error}", error=error)) from error
    specs = known.manifest["model"]["outputs"]
    rows = differences(np, list(known.expected), got, specs)
    fault = _fault(rows, known, emulated, target, name, timing, resolution, why)
    records, notes = (), ()
    if not fault:
        about = tr("{threads} threads; bundle {key}, results {hash}", threads=threads, key=known.key[:12],
                   hash=hashlib.sha256(raw).hexdigest()[:12])  # fmt: skip
        about = f"{about}; {conditions}" if conditions else about
        records, notes = _records(timing, known, target, name, version, about, disturbed)
        records += _energy(timing, records[0])
    is_new = bool(records) and not _is_stored(records[0])
    if is_new:
        results.append(*records)
    same = _same_largest(known.expected, got)
    return Collected(path, known, target, name, version, tuple(rows), same, fault, notes, records, is_new)


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        tr("{path} cannot be read.", path=path.name),
        why=why,
        fix=tr("copy results.json from the board again, or run run.py there again"),
    )


def _read(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ValueError(tr("it is larger than results can be"))
        raw = path.read_bytes()
        found = json.loads(raw, parse_constant=_no_number)
        version = found["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(path, str(error) or type(error).__name__) from error
    if version != RESULTS_FORMAT:
        raise DataError(
            tr("{path} is of another version.", path=path.name),
            why=tr(
                "it says {found!r}, and this edgelab reads {own!r}",
                found=str(version)[:60],
                own=RESULTS_FORMAT,
            ),
            fix=tr("collect it with the edgelab that made the bundle, or make the bundle again"),
        )
    return raw, found


def _no_number(text: str) -> float:
    raise ValueError(tr("{text} is no number", text=text))


def _bundle_of(found: dict[str, Any], path: Path, sent: Path | None) -> bundle.Bundle:
    key = found.get("bundle")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise _unreadable(path, tr("it does not say which bundle it belongs to"))
    kept = sent or bundle.kept_path(key)
    if sent is None and not kept.exists():
        raise DataError(
            tr("{path} belongs to no bundle that was made here.", path=path.name),
            why=tr(
                "it is of bundle {key}, of which nothing is in {folder}", key=key[:12], folder=kept.parent
            ),
            fix=tr("collect it where the bundle was made, or name the bundle's zip: --bundle OUT.zip"),
        )
    known = bundle.read(kept)
    if known.key != key:
        raise DataError(
            tr("{path} belongs to another bundle.", path=path.name),
            why=tr(
                "it is of bundle {key}, and {sent} is {other}",
                key=key[:12],
                sent=kept.name,
                other=known.key[:12],
            ),
            fix=tr("name the zip that was unpacked on that board"),
        )
    return known


def _plain(text: Any) -> str:
    """A text of the file as a short line.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(text, str):
        raise TypeError(tr("{value!r} is no text", value=text))
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:LONGEST_TEXT]


def _outputs(packed: Any, known: bundle.Bundle) -> list[np.ndarray]:
    """The arrays in the file, as large as those expected at most.

    Raises:
        ValueError, zlib.error: damaged, or another number of outputs.
    """
    arrays = []
    for entry, expected in zip(packed, known.expected, strict=True):
        dtype, shape = np.dtype(_plain(entry["dtype"])), tuple(int(size) for size in entry["shape"])
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(base64.b64decode(entry["data"], validate=True), 8 * expected.nbytes + 1)
        if dtype.kind not in "iufb" or math.prod(shape) * dtype.itemsize != len(data) or not unpacking.eof:
            raise ValueError(tr("an output's bytes do not fit its shape"))
        arrays.append(np.frombuffer(data, dtype).reshape(shape))
    return arrays


def _fault(
    rows: list[dict[str, Any]],
    known: bundle.Bundle,
    emulated: str,
    target: str,
    name: str,
    timing: Any,
    resolution_ns: float,
    why: str,
) -> str:
    """Why nothing of these results may be recorded; "" where nothing speaks against them."""
    if not agrees(rows, known.manifest["agreement"]):
        return tr("the outputs are not those of the CPU here, and a wrong answer has no speed")
    if emulated:
        return tr("it ran in an emulation, {chip}, whose time says nothing about the device", chip=emulated)
    if not name or not target:
        return tr("it does not say what it ran on")
    if timing is None:
        return why or tr("nothing was timed")
    return "; ".join(samples.doubts(timing, resolution_ns))


def _same_largest(expected: tuple[np.ndarray, ...], got: list[np.ndarray]) -> float | None:
    """The share of test inputs whose largest value of the first output is in the same place."""
    want, have = expected[0], got[0]
    if want.shape != have.shape or want[0].size < 2:
        return None
    return float(np.mean([a.argmax() == b.argmax() for a, b in zip(want, have, strict=True)]))


def _records(
    timing: dict[str, Any],
    known: bundle.Bundle,
    target: str,
    device: str,
    version: str,
    source: str,
    disturbed: tuple[str, ...],
) -> tuple[tuple[results.Result, ...], tuple[str, ...]]:
    """Latency and throughput, with the interval in which a repetition will find them, and what disturbed."""
    openings = [np.array(one["samples_ns"]) / 1e6 for one in timing["openings"]]
    every = np.concatenate(openings)
    medians = np.array([np.median(part) for part in openings])
    notes = [*noise_reasons(every, 0.0), *disturbed]
    other = timing.get("other_cores")
    if isinstance(other, float) and other > MAX_OTHER_CORES:
        notes.append(tr("Other programs kept {cores:.1f} cores of that board busy.", cores=other))
    middle, low, high = repetition_interval(medians)
    if notes:  # who disturbs now may be gone at the repetition: nothing less than what was seen is promised
        low, high = min(low, float(medians.min())), max(high, float(medians.max()))
    p05, p95 = np.percentile(every, [5, 95])
    spread = results.Samples(len(every), middle, float(p05), float(p95), low, high)
    model = known.manifest["model"]
    shape = model["inputs"][0]["shape"]
    common = {
        "target": target,
        "device": device,
        "model": model["name"],
        "precision": model["precision"],
        "dataset": model["dataset"],
        "provenance": "measured",
        "runtime_version": version,
        "source": source,
    }
    return (
        results.Result("latency", middle, samples=spread, **common),
        results.Result("throughput", (shape[0] if shape else 1) * 1e3 / float(every.mean()), **common),
    ), tuple(notes)


def _energy(timing: dict[str, Any], latency: results.Result) -> tuple[results.Result, ...]:
    """Energy of a run by the board's own counter; nothing where it has none, or shows what no board uses."""
    openings = timing["openings"]
    each, counters = [[one.get(name) for one in openings] for name in ("energy_mj", "counter")]
    counter = counters[0]
    if not isinstance(counter, str) or any(name != counter for name in counters):
        return ()
    if any(type(used) not in (int, float) or not 0 < used < LARGEST_MJ for used in each):
        return ()
    energy_mj = sum(each) / sum(len(one["samples_ns"]) for one in openings)
    window_s = sum(one["window_ns"] for one in openings) / 1e9
    if not sum(each) / 1e3 / window_s < MOST_WATTS:
        return ()
    source = tr("{source}; energy: {counter}", source=latency.source, counter=_plain(counter))
    return (replace(latency, metric="energy", unit="", value=energy_mj, source=source, samples=None),)


def _is_stored(record: results.Result) -> bool:
    return bool((results.load()["source"] == record.source).any())
