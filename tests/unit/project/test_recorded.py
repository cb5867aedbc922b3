"""What chapters show where a tool is missing."""

from __future__ import annotations

import json

from edgelab.machine import artifacts
from edgelab.targets.qualcomm.target import PLATFORMS


def test_what_is_recorded_for_chapter_15_belongs_together():
    """One recording, of the package that `make qualcomm` fetches, by tools/record_qualcomm.py."""
    root = artifacts.PROJECT_ROOT
    recorded = json.loads((root / "data" / "recorded" / "qualcomm.json").read_text(encoding="utf-8"))
    pinned = (root / "requirements" / "qualcomm.in").read_text(encoding="utf-8")
    assert f"onnxruntime-qnn=={recorded['where'].split('onnxruntime-qnn ')[1].split(',')[0]}" in pinned
    asked = {(row["model"], row["precision"], row["platform"]) for row in recorded["rows"]}
    assert len(asked) == len(recorded["rows"]) == len(PLATFORMS) * len({key[:2] for key in asked})
    for row in recorded["rows"]:
        assert row["platform"] in PLATFORMS and row["size_bytes"] > 0
        assert sum(count for *_, count in row["left"]) == row["operators"] - row["on_npu"]
        assert row["parts"] >= (row["on_npu"] > 0)


def test_what_is_recorded_for_chapter_6_belongs_together():
    """One recording, of the toolkit that `make rknn` installs: by tools/record_rknn.py, never by hand."""
    root = artifacts.PROJECT_ROOT
    recorded = json.loads((root / "data" / "recorded" / "rknn.json").read_text(encoding="utf-8"))
    pinned = (root / "requirements" / "rknn.in").read_text(encoding="utf-8")
    version = recorded["where"].split("rknn-toolkit2 ")[1].split(",")[0]
    assert f"rknn-toolkit2=={version}" in pinned
    layers, chip = recorded["layers"], recorded["platforms"][0]
    on_npu = sum(layer["unit"] == "NPU" for layer in layers)
    assert chip["operators on the NPU"] == f"{on_npu} of {len(layers)} operators"
    assert chip["cycles"] == sum(layer["cycles"] for layer in layers)
    int8 = {name: value for name, value in recorded["precisions"][1].items() if name != "model"}
    for pitfall in ("calibration", "layout", "normalisation"):
        assert int8.items() <= recorded[pitfall][0].items(), "the right way, first in each table"


def test_what_is_recorded_of_core_ml_is_of_the_version_that_is_installed():
    """By tools/record_coreml.py, never by hand."""
    root = artifacts.PROJECT_ROOT
    recorded = json.loads((root / "data" / "recorded" / "coreml.json").read_text(encoding="utf-8"))
    pinned = (root / "requirements" / "coreml.in").read_text(encoding="utf-8")
    version = recorded["where"].split("coremltools ")[1].split(",")[0]
    assert f"coremltools=={version}" in pinned
    sizes = [row["size (MB)"] for row in recorded["packages"]]
    assert sizes == sorted(sizes, reverse=True)
    assert recorded["packages"][0]["weights"] == "float16"
