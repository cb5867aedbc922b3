"""What the runtime writes to the browser's console: failures without an error, and where operators went."""

from __future__ import annotations

import re

from edgelab.runtime import Placement

# After these the runtime goes on and gives zeros, or what was in memory before.
FAILED = re.compile(r"failed to (?:prepare|allocate|invoke)|Encountered unresolved custom op", re.IGNORECASE)
COUNTS = re.compile(
    r"(?P<gpu>\d+|No) operations will run on the GPU, and (?:the remaining|all) (?P<cpu>\d+) operations"
)
FELL_BACK = re.compile(r"Falling back to WASM execution|Partially delegating to WASM", re.IGNORECASE)
UNSUPPORTED = re.compile(
    r"^\s*(?!INFO|ERROR|WARNING|VERBOSE)(?P<operator>[A-Z][A-Z0-9_]+): (?P<reason>.+?)(?:\. .*|\.)? *$",
    re.MULTILINE,
)
STYLES = re.compile(r"%c|(?:background|color|font-weight|padding|border-radius): [^ ;]+(?: [^ ;:]+)?;? ?")


def plain(line: str) -> str:
    """A line of the console without the styles that browsers draw it with."""
    return " ".join(STYLES.sub("", line).split())


def failures(lines: list[str]) -> tuple[str, ...]:
    """The lines that tell of a failure, each once."""
    return tuple(dict.fromkeys(plain(line) for line in lines if FAILED.search(line)))


def placement(lines: list[str], *, asked: str, got: str, fully: bool, total: int) -> Placement:
    """Where the operators run, as the runtime tells it.

    Args:
        lines: of the console, since the model was opened.
        asked: the accelerator asked for, "webgpu" or "wasm".
        got: the one that the runtime says it uses.
        fully: whether it says that all operators run there.
        total: operators in the file.
    """
    text = "\n".join(lines)
    fell_back = next((plain(line) for line in lines if FELL_BACK.search(line)), "")
    if asked == "wasm":
        return Placement(total, total)
    if got != asked:
        return Placement(0, total, (("all", fell_back or f"the runtime took {got}"),))
    counts = COUNTS.findall(text)
    if counts:
        on_gpu, on_cpu = (
            sum(0 if part == "No" else int(part) for part in column) for column in zip(*counts, strict=True)
        )
        reasons = tuple(dict.fromkeys((one["operator"], one["reason"]) for one in UNSUPPORTED.finditer(text)))
        if on_gpu + on_cpu != total:
            counted = f"the runtime counts {on_gpu + on_cpu} operators, the file holds {total}"
            reasons += (("unknown", f"{counted}: the split is unsure"),)
        return Placement(max(0, total - on_cpu), total, reasons or (("some", fell_back),))
    if fully:
        return Placement(total, total)
    return Placement(
        0, total, (("unknown", fell_back or "the runtime does not tell how many operators it left"),)
    )
