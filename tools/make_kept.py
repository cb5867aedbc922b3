"""Make again what a machine without TensorFlow takes in place of chapters 3 and 4: `data/models/*.tflite`.

Run as `python tools/make_kept.py`. It asks the chain that the chapters use, in the fast profile with its
seed: trained before, it takes seconds, else minutes. Beside the files stands a card with what decided them,
what made them, and what they reach.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from datetime import date
from pathlib import Path

from edgelab import models, pipeline, quantization, targets
from edgelab.data_sources import shapes
from edgelab.machine import artifacts, hardware, no_tensorflow
from edgelab.runtime import predict


def main() -> None:
    """Convert in every mode, judge, copy, write the card."""
    chain = pipeline.open()
    data = chain.dataset
    _, training = chain.float_model()
    stem = f"mobilenet_v2_{chain.dataset_name}"
    files, accuracy = {}, {}
    for mode in quantization.MODES:
        made = chain.converted(mode)
        name = f"{stem}-{mode}-{made.io_dtype}.tflite"
        with artifacts.atomic_path(pipeline.PRETRAINED_DIR / name) as temporary:
            shutil.copyfile(made.path, temporary)
        files[name] = {"conversion_s": made.conversion_s, "calibration_count": made.calibration_count}
        with targets.get("cpu").open(made.path) as session:
            right = predict(session, data.test_images).argmax(axis=1) == data.test_labels
        accuracy[name] = float(right.mean())
    card = {
        "model": "MobileNetV2, alpha 0.35, strides fitted to 32x32 pixels (edgelab.models.mobilenet_v2)",
        "classes": data.class_names,
        "output": "probabilities, one per class",
        "dataset": f"drawn shapes: {len(data.train_images)} pictures to train on, a tenth of them held out, "
        f"{len(data.test_images)} to test on",
        "drawing_code": artifacts.content_key(code=Path(shapes.__file__).read_text("utf-8")),
        "network_code": artifacts.content_key(code=Path(models.__file__).read_text("utf-8")),
        "settings": {**asdict(chain.settings), "seed": chain.seed},
        "made": {
            "tensorflow": no_tensorflow.version(),
            "keras": hardware.version_of("keras"),
            "date": date.today().isoformat(),
            "machine": hardware.description(),
        },
        "files": files,
        "training": asdict(training),
        "test_accuracy": accuracy,
    }
    with artifacts.atomic_path(pipeline.PRETRAINED_DIR / f"{stem}_tflite.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    for name, share in accuracy.items():
        print(f"{name}: {share:.1%} of {len(data.test_labels)} test pictures")


if __name__ == "__main__":
    main()
