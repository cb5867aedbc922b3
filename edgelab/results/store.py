"""Where records are kept, and published figures; both as a frame.

Records are lines of JSON in `artifacts/results/results.jsonl`. Appending is safe with several kernels writing
at once, and after a kill at any moment every earlier record is still there and readable.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

import filelock
import numpy as np
import pandas as pd

from edgelab.errors import DataError, InputError
from edgelab.machine import artifacts
from edgelab.results.record import Result, Samples
from edgelab.texts import tr

RESULT_KEY = ["metric", "target", "device", "model", "precision", "dataset", "provenance"]


def store_path() -> Path:
    """The file that holds the records of this folder of artifacts."""
    return artifacts.artifacts_dir() / "results" / "results.jsonl"


def append(*results: Result) -> None:
    """Add records to the store: all of them or, when the disk refuses, none.

    Args:
        *results: what to keep.

    Raises:
        StorageError: the disk is full or the folder cannot be written. Earlier records are intact.
    """
    path = store_path()
    data = "".join(json.dumps(asdict(result), ensure_ascii=False) + "\n" for result in results).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_name(".results.lock")):
            _append_bytes(path, data)
    except OSError as error:
        raise artifacts.storage_error(error, path) from error


def _append_bytes(path: Path, data: bytes) -> None:
    """Append `data` and wait until it is on the disk; put the old length back if that fails.

    The caller holds the lock.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and _last_byte(descriptor, size) != b"\n":
            data = b"\n" + data  # a writer was killed in its line: close it, so that ours stands alone
        try:
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _last_byte(descriptor: int, size: int) -> bytes:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1)


def _parse(line: bytes) -> Result | None:
    """The record of one line, or None for one that a killed writer left unfinished or that is no record."""
    try:
        fields_read = json.loads(line)
        samples = fields_read.pop("samples")
        result = Result(**fields_read, samples=Samples(**samples) if samples else None)
        return result if _is_sound(result) else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, InputError, RecursionError):
        return None


def _is_sound(result: Result) -> bool:
    """Whether texts are texts that a file can hold, and numbers finite ones.

    Raises:
        ValueError, TypeError, OverflowError: some are not.
    """
    for entry in fields(Result):
        if entry.name not in ("value", "samples", "image_count"):
            getattr(result, entry.name).encode()
    numbers = (result.value, result.image_count, *(asdict(result.samples).values() if result.samples else ()))
    return all(type(number) in (int, float) and math.isfinite(float(number)) for number in numbers)


def to_frame(results: Iterable[Result]) -> pd.DataFrame:
    """Records as a frame: one column per field, the samples' fields as n, median, p05, p95, low, high."""
    sample_names = [entry.name for entry in fields(Samples)]
    names = [entry.name for entry in fields(Result) if entry.name != "samples"]
    rows = []
    for result in results:
        samples = asdict(result.samples) if result.samples else dict.fromkeys(sample_names, np.nan)
        rows.append({name: getattr(result, name) for name in names} | samples)
    frame = pd.DataFrame(rows, columns=names + sample_names)
    return frame.astype(dict.fromkeys(["value", *sample_names], float))


def load(path: Path | None = None) -> pd.DataFrame:
    """Every record in the store, oldest first (see `to_frame`).

    A line that a killed writer left unfinished is left out and counted in `frame.attrs["unreadable_lines"]`.

    Args:
        path: a file of records from elsewhere; None takes the store.
    """
    path = path or store_path()
    lines = [line for line in path.read_bytes().split(b"\n") if line] if path.exists() else []
    parsed = [_parse(line) for line in lines]
    frame = to_frame(result for result in parsed if result)
    frame.attrs["unreadable_lines"] = parsed.count(None)
    return frame


def latest(frame: pd.DataFrame) -> pd.DataFrame:
    """The best founded record of each metric, target, device, model, precision, data set and provenance.

    That is the one of most pictures; of several such, and of what knows no pictures, the newest.
    """
    poorest_first = frame.sort_values("image_count", kind="stable")
    kept = poorest_first.drop_duplicates(RESULT_KEY, keep="last").sort_index()
    return kept.reset_index(drop=True)


def published(*names: str) -> tuple[Result, ...]:
    """Figures of vendors and papers from `data/published/`, each with its source.

    Args:
        *names: files without their ending, such as "latency"; none means all of them.

    Returns:
        Records with provenance "published", in the order of the file.

    Raises:
        DataError: there is no such file, or a row that cannot be read.
    """
    folder = artifacts.PROJECT_ROOT / "data" / "published"
    available = sorted(path.stem for path in folder.glob("*.csv"))
    records = []
    for name in names or available:
        if name not in available:
            raise DataError(
                tr("There are no published figures named {name!r}.", name=name),
                why=tr("data/published holds {names}", names=", ".join(available) or tr("nothing")),
                fix=tr("use one of these names, or add a file as data/README.md describes"),
            )
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                records.append(_published_row(row, f"{name}.csv line {line}"))
    return tuple(records)


def _published_row(row: Mapping[str, str], place: str) -> Result:
    try:
        return Result(**{**row, "value": float(row["value"])}, provenance="published", created="")
    except (InputError, TypeError, ValueError, KeyError) as error:
        raise DataError(
            tr("data/published/{place} cannot be read.", place=place),
            why=getattr(error, "why", "") or str(error),
            fix=tr("give every column a value, as the rows beside it do"),
        ) from error
