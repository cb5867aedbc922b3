"""Changes that need no thought, made in a copy of the model."""

from __future__ import annotations

from pathlib import Path

from edgelab import graph
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.report.smells import smells
from edgelab.report.subject import Subject
from edgelab.texts import tr

REPAIRS = {
    "open_batch": (graph.with_batch_of_one, lambda: tr("the batch is fixed at 1")),
    "float_ends": (graph.without_float_ends, lambda: tr("it takes and gives integers")),
}


def repaired(subject: Subject, out: Path) -> tuple[str, ...]:
    """Write a copy with every mechanical repair that its smells call for.

    Args:
        subject: whose `main` file is repaired; for a Keras model that is its int8 copy.
        out: a new `.tflite` file.

    Returns:
        What was done, in words.

    Raises:
        InputError: `out` exists already.
        StorageError: it cannot be written.
    """
    if out.exists():
        raise InputError(
            tr("{path} is there already.", path=out),
            why=tr("no file of yours is overwritten"),
            fix=tr("name a new file, or move that one away"),
        )
    content = subject.main.read_bytes()
    done = []
    for smell in smells(subject.graph):
        if smell.key in REPAIRS:
            repair, words = REPAIRS[smell.key]
            content = repair(content)
            done.append(words())
    with artifacts.atomic_path(out) as temporary:
        temporary.write_bytes(content)
    return tuple(done)
