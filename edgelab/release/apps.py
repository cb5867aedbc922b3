"""What an app's source says about the release that it uses, beside what the release says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgelab.machine import artifacts

FOLDER = artifacts.PROJECT_ROOT / "data" / "mobile"
SKELETONS = {
    "Android (Kotlin)": FOLDER / "android" / "Classifier.kt",
    "iOS (Swift)": FOLDER / "ios" / "Classifier.swift",
}
COREML_MODEL = "model"  # the name of the Core ML package, without its ending
CONSTANT = re.compile(r'^\s*(?:const val|static let) (\w+) = (?:"([^"]*)"|(\d+))\s*$', re.MULTILINE)


def constants(source: Path) -> dict[str, str]:
    """The constants of a Kotlin or Swift source, by name in small letters."""
    found = CONSTANT.findall(Path(source).read_text(encoding="utf-8"))
    return {name.lower(): text or number for name, text, number in found}


def differences(source: Path, metadata: Mapping[str, Any], labels: str = "labels.txt") -> list[str]:
    """Where an app's constants are not those of a release, one sentence each; empty where all fit.

    Args:
        source: of the app, Kotlin (LiteRT) or Swift (Core ML).
        metadata: of the release.
        labels: name of its file of labels.
    """
    has = constants(source)
    size = metadata["input"]
    wants = {"labels": labels, "height": str(size["height"]), "width": str(size["width"])}
    if Path(source).suffix == ".kt":
        wants["model"] = (
            has.get("model") if has.get("model") in metadata["models"] else "a model of the release"
        )
        wants["input"] = metadata["models"].get(has.get("model"), {}).get("input", "its type")
    else:
        wants |= {"model": COREML_MODEL, "input": "float32"}
    return [
        f"{name}: the app has {has.get(name, 'nothing')}, the release {want}"
        for name, want in wants.items()
        if has.get(name) != want
    ]
