"""What LiteRT and Qualcomm's compiler print, parsed: how much the NPU takes, what is left, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from edgelab import graph
from edgelab.runtime import Placement
from edgelab.targets.base import Compiled

NPU_OPERATOR = "DISPATCH_OP"
NO_REASON = "Qualcomm's compiler gives no reason"
_SDK = re.compile(r"Applying plugin with SDK version: v(\S+)")
_WHOLE = re.compile(
    r"Partitioned subgraph<(\d+)>, selected (\d+) ops, from a total of (\d+) ops\. "
    r"resulted in (\d+) partitions"
)
_MISMATCH = re.compile(
    r"Unsupported input/output datatypes requested for the HTP Op '\w+' in the node '(\w+)'"
)
_REFUSED = re.compile(r"QNN op validation failed: '(\w+)' \(type=(\w+)(?:, operation=(\w+))?")
_SIDE = re.compile(r"\s+(Inputs|Outputs):$")
_TENSOR = re.compile(r"\s+\[\d+\] name=.* dtype=QNN_DATATYPE_(\w+)")
_CODE = re.compile(r"\s+QNN error=(\d+)")
_LEFT = re.compile(r"LiteRT Op #(\d+) '(\w+)'.* is not supported")
_CUSTOM = re.compile(r"No custom package registered for custom op")
_KINDS = {"SFIXED_POINT_": "int", "UFIXED_POINT_": "uint", "FLOAT_": "float", "INT_": "int", "UINT_": "uint"}


def parse_log(text: str) -> tuple[dict[str, Any], ...]:
    """What was printed about each operator that is left to the CPU, and about each graph as a whole.

    Args:
        text: the log; lines that are none of these are skipped.

    Returns:
        Rows of kind "left": subgraph, index of the operator in it, reason; of kind "custom", where the log
        says that it knows no custom operators: reason; and of kind "whole": subgraph, on_npu, operators,
        parts, and sdk, the version of Qualcomm's libraries.
    """
    lines = text.splitlines()
    mismatched = {found[1] for line in lines if (found := _MISMATCH.search(line))}
    rows: list[dict[str, Any]] = []
    refused, pending, sdk = None, [], ""
    for line in lines:
        if found := _SDK.search(line):
            sdk = found[1]
        elif found := _REFUSED.search(line):
            name = " ".join(filter(None, found.group(2, 3)))
            refused = {"node": found[1], "name": name, "Inputs": [], "Outputs": [], "side": "Inputs"}
        elif refused and (found := _SIDE.match(line)):
            refused["side"] = found[1]
        elif refused and (found := _TENSOR.match(line)):
            refused[refused["side"]].append(_dtype(found[1]))
        elif refused and (found := _CODE.match(line)):
            refused["code"] = found[1]
        elif found := _LEFT.search(line):
            reason = _reason(refused, mismatched) if refused else "not supported in Qualcomm Compiler"
            pending.append({"kind": "left", "index": int(found[1]), "reason": reason})
            refused = None
        elif found := _CUSTOM.search(line):
            rows.append({"kind": "custom", "reason": found[0]})
        elif found := _WHOLE.search(line):
            subgraph, on_npu, operators, parts = map(int, found.groups())
            rows += [{**row, "subgraph": subgraph} for row in pending]
            counts = {"on_npu": on_npu, "operators": operators, "parts": parts}
            rows.append({"kind": "whole", "subgraph": subgraph, **counts, "sdk": sdk})
            pending = []
    return tuple(rows)


def _dtype(name: str) -> str:
    """Qualcomm's name of a type as NumPy has it: int16 for SFIXED_POINT_16."""
    for start, kind in _KINDS.items():
        if name.startswith(start):
            return kind + name.removeprefix(start)
    return name


def _reason(refused: dict[str, Any], mismatched: set[str]) -> str:
    types = f"from {', '.join(refused['Inputs'])} to {', '.join(refused['Outputs'])}"
    why = ": no such combination of types" if refused["node"] in mismatched else ""
    return f"{refused['name']} {types} is refused, QNN error {refused.get('code', 'unknown')}{why}"


def whole(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The row about the model's main graph.

    Raises:
        ValueError: the log has none.
    """
    for row in rows:
        if row["kind"] == "whole" and row["subgraph"] == 0:
            return row
    raise ValueError("its log does not say how many operators the NPU takes")


def placement_of(before: graph.Graph, after: graph.Graph, rows: tuple[dict[str, Any], ...]) -> Placement:
    """The placement that the compiler reports, with a reason for each operator that is left.

    Args:
        before, after: the model, and what was made of it.
        rows: from `parse_log`.

    Raises:
        ValueError: the log has no counts, or they are not those of the compiled model.
    """
    told = whole(rows)
    left = Counter(operator.name for operator in after.operators if operator.name != NPU_OPERATOR)
    if told["operators"] - told["on_npu"] != left.total():
        raise ValueError(
            f"its log counts {told['on_npu']} of {told['operators']} operators, its result others"
        )
    known = {row["index"]: row["reason"] for row in rows if row["kind"] == "left" and row["subgraph"] == 0}
    custom = next((row["reason"] for row in rows if row["kind"] == "custom"), None)
    reasons = []
    for operator in before.operators:
        reason = known.get(operator.index)
        if reason is None and custom and operator.is_custom:
            reason = custom
        if reason is not None and left[operator.name]:
            reasons.append((f"{operator.name} ({operator.index})", reason))
            left[operator.name] -= 1
    reasons += [(name, NO_REASON) for name in left.elements()]
    return Placement(told["on_npu"], told["operators"], tuple(reasons))


def summary(compiled: Compiled) -> dict[str, Any]:
    """A row of the table.

    Returns:
        on_npu and operators; parts, the number of programs for the NPU; size_bytes of the file; left: lists
        of operator, reason, and how often, the most frequent first.
    """
    told = whole(compiled.log_rows)
    counts = Counter((name.split(" (")[0], reason) for name, reason in compiled.placement.reasons)
    left = [[name, reason, count] for (name, reason), count in counts.most_common()]
    return {name: told[name] for name in ("on_npu", "operators", "parts")} | {
        "size_bytes": compiled.size_bytes,
        "left": left,
    }


def left_text(left: Iterable[tuple[str, str, int]]) -> str:
    """Which operators are left, and how many: `left` of a `summary` in words."""
    counts: Counter[str] = Counter()
    for name, _, count in left:
        counts[name] += count
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"


def errors(text: str) -> str:
    """The last lines that tell of an error."""
    lines = [line.strip() for line in text.splitlines()]
    return "\n".join([line for line in lines if re.search(r"ERROR|Could not|Failed", line)][-3:])
