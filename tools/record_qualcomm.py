"""Keep what Qualcomm's compiler says, for chapter 15 on computers that have not got it.

    EDGELAB_DATA=FOLDER python tools/record_qualcomm.py

compiles the course's network in four precisions, and two models that others made (`models/` in that folder),
for every chip, and writes `data/recorded/qualcomm.json`. It needs `make qualcomm`.
"""

from __future__ import annotations

import datetime
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from edgelab import pipeline, targets
from edgelab.machine import artifacts
from edgelab.targets.qualcomm import log
from edgelab.targets.qualcomm.target import PLATFORMS

OUT = artifacts.PROJECT_ROOT / "data" / "recorded" / "qualcomm.json"
PRECISIONS = ("int8", "float32", "int16x8", "dynamic_range")
# Name of the model, its precision, its file in EDGELAB_DATA/models.
FOREIGN = (
    ("SSD MobileNetV1 on COCO", "uint8", "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"),
    ("MobileNetV1 0.25 on ImageNet", "float32", "mobilenet_v1_0.25_224_1_default_1.tflite"),
)


def models() -> Iterator[tuple[str, str, Path]]:
    """Name, precision and file of each."""
    chain = pipeline.open("fast")
    for precision in PRECISIONS:
        yield f"{chain.model_name} on {chain.dataset.name}", precision, chain.converted(precision).path
    for name, precision, file in FOREIGN:
        yield name, precision, Path(os.environ["EDGELAB_DATA"], "models", file)


def main() -> None:
    """Ask for every model and chip."""
    rows = []
    tasks = [(*model, platform) for model in models() for platform in PLATFORMS]
    with tempfile.TemporaryDirectory() as folder:
        for name, precision, path, platform in tqdm(tasks):
            target = targets.get("qualcomm", platform=platform)
            made = target.compile(path, Path(folder, "out.tflite"))
            rows.append({"model": name, "precision": precision, "platform": platform, **log.summary(made)})
    versions = f"LiteRT {target.settings['litert']} with {target.settings['libraries']}"
    recorded = {"where": f"{datetime.date.today()}: {versions}, Linux on x86-64", "rows": rows}
    with artifacts.atomic_path(OUT) as temporary:
        temporary.write_text(json.dumps(recorded, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
