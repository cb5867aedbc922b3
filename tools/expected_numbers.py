"""Write the tables “Numbers to expect” into the notes for instructors, from the results in `data/expected/`.

    python tools/expected_numbers.py

Each file there is the `artifacts/results/results.jsonl` of one machine after `make run`, named after it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from edgelab import results

ROOT = Path(__file__).resolve().parent.parent
EXPECTED, NOTES = ROOT / "data" / "expected", ROOT / "docs" / "instructors"
HEADING = "## Numbers to expect"
SECTION = re.compile(rf"{HEADING}\n.*?(?=^## )", re.DOTALL | re.MULTILINE)
# Chapter: target and metric of what it records.
SHOWN = {
    "01_gpu_basics": [("cpu", "memory_bandwidth"), ("cpu", "peak_arithmetic")],
    "03_train_mobilenetv2": [("keras", "accuracy"), ("keras", "size")],
    "04_quantize": [("cpu", "size"), ("cpu", "accuracy")],
    "06_compile_rknn": [("rknn", "accuracy"), ("rknn", "size")],
    "07_compile_tensorrt": [(t, m) for t in ("onnxruntime", "openvino") for m in ("latency", "accuracy")],
    "09_benchmark": [("keras", "latency"), ("cpu", "latency"), ("cpu", "throughput")],
    "12_operators": [(target, "accelerated operators") for target in ("edgetpu", "ethosu", "gpu", "rknn")],
    "16_microcontrollers": [("micro", "arena"), ("ethosu", "latency")],
}


def load() -> pd.DataFrame:
    """The newest result of each kind of each machine, with a column "machine"."""
    frames = [
        results.latest(results.load(path)).assign(machine=path.stem)
        for path in sorted(EXPECTED.glob("*.jsonl"))
    ]
    frame = pd.concat(frames, ignore_index=True)
    return frame[frame["provenance"].isin(["measured", "simulated"])]


def _value(value: float, unit: str) -> str:
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    if unit == "bytes":
        return f"{value / 1000:,.0f} kB"
    return f"{value:,.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def section(chapter: str, frame: pd.DataFrame) -> str:
    """The section of one chapter's notes.

    Args:
        chapter: the notebook's name without ending.
        frame: as `load` gives it.
    """
    shown = pd.concat(
        [
            frame[(frame["target"] == target) & (frame["metric"] == metric)]
            for target, metric in SHOWN[chapter]
        ]
    )
    # A simulated chip is part of what ran; the machine that ran the simulator is not.
    chips = shown["device"].where(shown["target"].isin(["ethosu"]), "")
    named = [
        ", ".join(filter(None, row))
        for row in zip(shown["target"], shown["model"], shown["precision"], chips, strict=True)
    ]
    values = [_value(value, unit) for value, unit in zip(shown["value"], shown["unit"], strict=True)]
    shown = shown.assign(what=named, text=values)
    machines = sorted(frame["machine"].unique())
    rows = []
    for (what, metric), part in shown.groupby(["what", "metric"], sort=False):
        by_machine = dict(zip(part["machine"], part["text"], strict=True))
        cells = [what, metric.replace("_", " "), *(by_machine.get(machine, "–") for machine in machines)]
        rows.append(f"| {' | '.join(cells)} |")
    dates = "; ".join(
        f"{machine}: {part['created'].max()[:10]}" for machine, part in frame.groupby("machine")
    )
    return "\n".join([
        HEADING,
        "",
        f"From `data/expected/`, fast profile ({dates}).",
        "",
        f"| what ran | metric | {' | '.join(machines)} |",
        f"|---|---|{'---:|' * len(machines)}",
        *rows,
        "",
        "",
    ])  # fmt: skip


def main() -> None:
    """Put each section where the old one stands, or before the questions."""
    frame = load()
    for chapter in SHOWN:
        path = NOTES / f"{chapter}.md"
        notes, fresh = path.read_text(encoding="utf-8"), section(chapter, frame)
        if HEADING in notes:
            notes = SECTION.sub(lambda _, fresh=fresh: fresh, notes)
        else:
            notes = notes.replace("## Questions for the class", f"{fresh}## Questions for the class")
        path.write_text(notes, encoding="utf-8")


if __name__ == "__main__":
    main()
