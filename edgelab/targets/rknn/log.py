"""The log of Rockchip's compiler, parsed: a row per layer, its place, its figures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgelab.runtime import Placement
from edgelab.targets.base import Compiled

if TYPE_CHECKING:
    import pandas as pd

ENDS = ("InputOperator", "OutputOperator")  # rows of the table that compute nothing
NO_REASON = "Rockchip's compiler put it there, and gives no reason"
_PREFIX = re.compile(r"^D RKNN: \[[\d:.]*\] ?(.*)$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LAYER = re.compile(
    r"(?P<id>\d+)\s+(?P<operator>\S+)\s+(?P<dtype>\S+)\s+(?P<unit>NPU|CPU|GPU)\s+(?P<inputs>\S+)\s+"
    r"(?P<output>\S+)\s+(?P<ddr>\d+)/(?P<npu>\d+)/(?P<total>\d+)\s+(?:\d+%\s+)?(?P<moved>[\d.]+)\s*(?P<name>.*)"
)
_MEMORY = re.compile(r"Total (Internal|Weight) Memory Size: ([\d.]+)KB")
_ERROR = re.compile(r"\[(?P<operator>\w+)\] (?P<name>\S+)\s+(?P<figures>(?:[\d.]+ \| [\d.]+\s*){2})$")


def parse_log(text: str) -> tuple[dict[str, Any], ...]:
    """The compiler's own table of layers, and the memory they need, from its verbose log.

    Args:
        text: the log; lines that are none of these are skipped.

    Returns:
        One row per layer: kind "layer", id, operator, dtype, unit ("NPU", "CPU" or "GPU"), output shape,
        ddr_cycles (to move the data), npu_cycles (to compute), cycles (the larger of them; 0 where the
        compiler does not count), moved_bytes, name. Then one of kind "memory": internal_bytes of
        activations, weight_bytes.
    """
    rows: list[dict[str, Any]] = []
    memory = {}
    for line in text.replace("\r", "\n").split("\n"):
        found = _PREFIX.match(COLOUR.sub("", line))
        if not found:
            continue
        content = found[1].strip()
        if "Network Layer Information Table" in content:
            rows = []  # the compiler may print it for every attempt: the last one counts
        elif layer := _LAYER.fullmatch(content):
            rows.append(_layer_row(layer))
        elif size := _MEMORY.fullmatch(content):
            memory[f"{size[1].lower()}_bytes"] = round(float(size[2]) * 1024)
    return (*rows, *([{"kind": "memory", **memory}] if memory else []))


def _layer_row(found: re.Match[str]) -> dict[str, Any]:
    return {
        "kind": "layer",
        "id": int(found["id"]),
        "operator": found["operator"],
        "dtype": found["dtype"],
        "unit": found["unit"],
        "output_shape": found["output"],
        "ddr_cycles": int(found["ddr"]),
        "npu_cycles": int(found["npu"]),
        "cycles": int(found["total"]),
        "moved_bytes": round(float(found["moved"]) * 1024),
        "name": found["name"].strip(),
    }


def parse_errors(text: str) -> tuple[dict[str, Any], ...]:
    """Rows of the toolkit's accuracy analysis: how far each layer is from the same in float.

    Returns:
        operator, name, cosine (with the errors of all layers before), own_cosine (fed with exact inputs).
        Layers that were fused into the next have no figures and no row.
    """
    rows = []
    for line in text.splitlines():
        found = _ERROR.fullmatch(COLOUR.sub("", line).strip())
        if found:
            cosine, _, own, _ = map(float, re.findall(r"[\d.]+", found["figures"]))
            row = {"operator": found["operator"], "name": found["name"], "cosine": cosine, "own_cosine": own}
            rows.append(row)
    return tuple(rows)


def layers(compiled: Compiled) -> pd.DataFrame:
    """The compiler's table of layers as a frame, without the rows that only name inputs and outputs."""
    import pandas as pd

    return pd.DataFrame(layer_rows(compiled.log_rows)).drop(columns="kind").set_index("id")


def memory_bytes(compiled: Compiled) -> dict[str, int]:
    """Bytes of activations ("internal") and weights on the device, by the compiler's log."""
    found = next((row for row in compiled.log_rows if row["kind"] == "memory"), {})
    return {name: found[f"{name}_bytes"] for name in ("internal", "weight") if f"{name}_bytes" in found}


def layer_rows(rows: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """The rows of layers that compute something."""
    return [row for row in rows if row["kind"] == "layer" and row["operator"] not in ENDS]


def placement_of(rows: tuple[dict[str, Any], ...]) -> Placement:
    """The placement that the compiler reports."""
    computing = layer_rows(rows)
    left = [row for row in computing if row["unit"] != "NPU"]
    reasons = tuple(
        (f"{row['operator']} ({row['id']})", f"on the {row['unit']}: {NO_REASON}") for row in left
    )
    return Placement(len(computing) - len(left), len(computing), reasons)
