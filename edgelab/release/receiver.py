"""What whoever receives a release runs: Python, NumPy, Pillow and LiteRT are enough; it uses nothing of ours.

    python receiver.py FOLDER

It judges nothing. It prints facts as one line of JSON: the checksum that every file has, the one that was
promised, and what each model answers to the test vectors, prepared as the metadata says. A model whose
checksum is not the promised one is not loaded: a damaged file can end the process that reads it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

SUMS = "SHA256SUMS"


def hashes_in(folder: Path) -> dict[str, str]:
    """The checksum of every file below a folder, but for the list of checksums itself."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def promised_in(folder: Path) -> dict[str, str]:
    """The checksums that the list names; none where there is no list."""
    path = folder / SUMS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def answers(model: Path, pictures: list[Path], size: dict) -> list[list[float]]:
    """The model's probabilities for each picture, prepared as the metadata says."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    interpreter = Interpreter(str(model), num_threads=1)
    interpreter.allocate_tensors()
    takes, gives = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for path in pictures:
        with Image.open(path) as picture:
            shown = picture.convert("RGB").resize((size["width"], size["height"]))
        pixels = np.asarray(shown, np.float64)
        if size["channels"] == "BGR":
            pixels = pixels[..., ::-1]
        real = pixels * size["scale"] + size["offset"]
        if np.issubdtype(takes["dtype"], np.integer):
            scale, zero_point = takes["quantization"]
            limits = np.iinfo(takes["dtype"])
            real = np.clip(np.rint(real / scale) + zero_point, limits.min, limits.max)
        interpreter.set_tensor(takes["index"], real.astype(takes["dtype"])[np.newaxis])
        interpreter.invoke()
        row = interpreter.get_tensor(gives["index"])[0].astype(np.float64)
        scale, zero_point = gives["quantization"]
        rows.append(((row - zero_point) * scale if scale else row).round(6).tolist())
    return rows


def facts(folder: Path) -> dict:
    """All that can be said about a release without judging it."""
    actual, promised = hashes_in(folder), promised_in(folder)
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    vectors = json.loads((folder / "vectors.json").read_text(encoding="utf-8"))
    pictures = [folder / vector["picture"] for vector in vectors]
    sound = [name for name in metadata["models"] if actual.get(name, "") == promised.get(name)]
    return {
        "version": metadata["version"],
        "actual": actual,
        "promised": promised,
        "labels": (folder / "labels.txt").read_text(encoding="utf-8").split("\n")[:-1],
        "vectors": vectors,
        "tolerance": {name: metadata["models"][name]["tolerance"] for name in sound},
        "outputs": {name: answers(folder / name, pictures, metadata["input"]) for name in sound},
    }


if __name__ == "__main__":
    print("facts " + json.dumps(facts(Path(sys.argv[1]))))
