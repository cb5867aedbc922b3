"""Pack a model with its test inputs and a runner, for a board."""

from __future__ import annotations

import argparse
from pathlib import Path

GROUP = "measure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, what it is tested on, and what it is called in the table."""
    parser.add_argument("model", type=Path, help=".tflite, as the CPU runs it")
    parser.add_argument("out", type=Path, help="the zip to write")
    parser.add_argument(
        "--inputs", type=Path, help=".npy or .npz of test inputs [N, ...]; else they are drawn"
    )
    parser.add_argument("--count", type=int, help="how many are drawn; 32 by default, 8 for a chip's flash")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn ones; 0 by default")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--compiled", type=Path, help="the same model, compiled for the Edge TPU")
    kind.add_argument("--microcontroller", action="store_true", help="C sources and firmware, for no Python")
    parser.add_argument("--name", default="", help="of the model in the table; its file's name by default")
    parser.add_argument("--dataset", default="", help="that the model belongs to, in the table")


def run(options: argparse.Namespace) -> int:
    """Write the zip, and tell what to do with it."""
    from edgelab.boards import bundle, micro_bundle

    asked = {"inputs": options.inputs, "seed": options.seed, "name": options.name, "dataset": options.dataset}
    if options.count is not None:
        asked["count"] = options.count
    if options.microcontroller:
        made = micro_bundle.make(options.model, options.out, **asked)
    else:
        made = bundle.make(options.model, options.out, compiled=options.compiled, **asked)
    print(made)
    size = f"{options.out.stat().st_size / 1e6:.2f} MB"
    if options.microcontroller:
        print(f"{options.out}: {size}. Unpack it; README.md tells how to build and flash it.")
        print("Keep what the chip writes: `python -m edgelab collect serial.log`.")
    else:
        print(f"{options.out}: {size}. On the board: unpack it, then `python3 run.py`.")
        print("Bring results.json back: `python -m edgelab collect results.json`.")
    return 0
