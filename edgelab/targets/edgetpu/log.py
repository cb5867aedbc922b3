"""What `edgetpu_compiler` prints, as numbers: its summary, and the operators in `NAME_edgetpu.log`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAPPED = "Mapped to Edge TPU"
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SIZES = {
    "input": "Input size",
    "output": "Output size",
    "parameters kept on the chip": "On-chip memory used for caching model parameters",
    "room left on the chip": "On-chip memory remaining for caching model parameters",
    "parameters streamed": "Off-chip memory used for streaming uncached model parameters",
}
COUNTS = {
    "subgraphs": "Number of Edge TPU subgraphs",
    "total": "Total number of operations",
    "mapped": "Number of operations that will run on Edge TPU",
    "on_cpu": "Number of operations that will run on CPU",
}
# A line of the table: an operator, how many, and a status, which is free text.
OPERATOR_LINE = re.compile(r"^([A-Z][A-Za-z0-9_]*)\s+(\d+)\s{2,}(\S.*?)\s*$", re.MULTILINE)
ERROR_LINE = re.compile(
    r"^(?:ERROR:|Invalid model|Model (?:not|could not)|Compilation failed|Internal compiler error).*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class CompilerLog:
    """What the compiler said.

    Attributes:
        version: of the compiler; empty when it did not say.
        total, mapped: operators in the model, and on the Edge TPU; None when it did not say.
        operators: (operator, count, status), where the table was printed.
        sizes: bytes, by the names in `SIZES`; those that were printed.
        errors: its lines about what went wrong.
    """

    version: str
    total: int | None
    mapped: int | None
    operators: tuple[tuple[str, int, str], ...]
    sizes: dict[str, int]
    errors: tuple[str, ...]

    def rows(self) -> tuple[dict[str, Any], ...]:
        """One dict per operator kind and status, then one per size."""
        operators = [
            {"operator": name, "count": count, "status": text} for name, count, text in self.operators
        ]
        return (*operators, *({"memory": name, "bytes": size} for name, size in self.sizes.items()))

    def status_of(self, operator: str) -> str:
        """Why operators of this kind were not mapped, in the compiler's words."""
        texts = [text for name, _, text in self.operators if name == operator and text != MAPPED]
        return "; ".join(dict.fromkeys(texts))


def _size(text: str, label: str) -> int | None:
    found = re.search(rf"^{label}:\s*([\d.]+)\s*([KMG]?i?B)\b", text, re.MULTILINE)
    return round(float(found[1]) * UNITS[found[2]]) if found and found[2] in UNITS else None


def _count(text: str, label: str) -> int | None:
    found = re.search(rf"^{label}:\s*(\d+)\b", text, re.MULTILINE)
    return int(found[1]) if found else None


def parse(text: str) -> CompilerLog:
    """Read the compiler's output, its log file, or both joined.

    The counts of mapped operators are printed only when some stay on the CPU; the table is printed only with
    `-s`, and always written to the log. What is in neither is missing here too. Anything may be parsed:
    rubbish gives a log without content.

    Args:
        text: the output.

    Returns:
        The numbers in it.
    """
    operators = tuple(
        dict.fromkeys((name, int(count), status) for name, count, status in OPERATOR_LINE.findall(text))
    )
    counts = {name: _count(text, label) for name, label in COUNTS.items()}
    sizes = {name: _size(text, label) for name, label in SIZES.items()}
    total, mapped = counts["total"], counts["mapped"]
    if operators:
        total = sum(count for _, count, _ in operators) if total is None else total
        mapped = (
            sum(count for _, count, status in operators if status == MAPPED) if mapped is None else mapped
        )
    elif total is not None and mapped is None:
        mapped = total
    version = re.search(r"Edge TPU Compiler version (\S+)", text)
    return CompilerLog(
        version=version[1] if version else "",
        total=total,
        mapped=mapped,
        operators=operators,
        sizes={name: size for name, size in sizes.items() if size is not None},
        errors=tuple(line.strip() for line in ERROR_LINE.findall(text)),
    )
