"""Make the kept detector again: draw the scenes, train, convert, judge, and write `data/detector/`.

Run as `python tools/make_detector.py`: ten minutes on two idle cores. With `--weights FILE` it goes on from
weights that were trained before.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from edgelab import quantization, targets
from edgelab.detection import Detector, mean_average_precision, network
from edgelab.machine import quiet

TEST_SEEDS, TEST_COUNT = 90_000, 400
CALIBRATION_COUNT = 200
LOWEST = 0.02  # threshold of the judge: average precision wants the unlikely ones, too
INT8 = "centres-int8.tflite"


def drawn(count: int, first_seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Pictures uint8 `[count, 120, 160, 3]` and their objects."""
    stream = tqdm(network.pictures(count, first_seed), total=count, desc="drawing scenes")
    images, objects = zip(*stream, strict=True)
    return np.stack(images), list(objects)


def trained(recipe: network.Recipe) -> tuple[object, float]:
    """The network by the recipe, and the seconds that it took."""
    import keras

    keras.utils.set_random_seed(recipe.seed)
    model, start_s = network.build(), time.perf_counter()
    bar = tqdm(
        network.train(model, *drawn(recipe.scene_count, recipe.first_seed), recipe), total=recipe.steps
    )
    for loss in bar:
        bar.set_postfix(loss=f"{loss:.2f}", refresh=False)
    return model, time.perf_counter() - start_s


def judged(path: Path, images: np.ndarray, objects: list[np.ndarray]) -> dict[str, float]:
    """mAP of a `.tflite` on the CPU."""
    with targets.get("cpu", threads=1).open(path) as session:
        detector = Detector(session, network.NAMES, threshold=LOWEST)
        found = [detector.detect(image) for image in tqdm(images, desc=f"judging {path.name}")]
    count = len(network.NAMES)
    return {
        f"mAP@{least}": mean_average_precision(found, objects, count, least).mean for least in (0.5, 0.75)
    }


def main() -> None:
    """Write the weights, the int8 file and the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=network.Recipe.steps)
    parser.add_argument("--weights", type=Path, help="go on from these")
    parser.add_argument("--stopped-after", type=int, help="steps after which --weights were kept")
    options = parser.parse_args()
    quiet.import_tensorflow()
    recipe, seconds = replace(network.Recipe(), steps=options.steps), None
    network.FOLDER.mkdir(parents=True, exist_ok=True)
    if options.weights:
        model = network.build()
        with np.load(options.weights) as kept:
            model.set_weights([kept[str(number)].astype(np.float32) for number in range(len(kept.files))])
    else:
        model, seconds = trained(recipe)
    network.save_weights(model, network.FOLDER / network.WEIGHTS)
    card = {
        "names": list(network.NAMES),
        "recipe": asdict(recipe),
        "input": "uint8 RGB, 1 x 120 x 160 x 3, pixels 0 to 255",
        "made_by": "tools/make_detector.py",
        "licence": "Apache-2.0; drawn scenes only, no foreign pictures",
        "parameters": model.count_params(),
    }
    if options.stopped_after:
        card["stopped_after_steps"] = options.stopped_after
    if seconds is not None:
        card["training_s"] = round(seconds)
    (network.FOLDER / network.CARD).write_text(json.dumps(card))
    model = network.load()  # with the weights as they were written
    images, objects = drawn(TEST_COUNT, TEST_SEEDS)
    calibration = drawn(CALIBRATION_COUNT, recipe.first_seed)[0]
    card["judged"] = {"scenes": TEST_COUNT, "first_seed": TEST_SEEDS}
    for mode in ("float32", "int8"):
        io_dtype = "uint8" if mode == "int8" else "float32"
        made = quantization.convert(
            model, mode, calibration if mode == "int8" else None, io_dtype=io_dtype, name="centres"
        )
        card["judged"][mode] = judged(made.path, images, objects)
        if mode == "int8":
            (network.FOLDER / INT8).write_bytes(made.path.read_bytes())
    (network.FOLDER / network.CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(card["judged"], indent=1))


if __name__ == "__main__":
    main()
