"""Run a model in this computer's browser, compare it with the CPU, then time it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

GROUP = "measure"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, which browser, and on what in it."""
    parser.add_argument("model", type=Path, nargs="?", help=".tflite, as the CPU runs it")
    parser.add_argument(
        "--headless", action="store_true", help="a browser without a window, in place of a tab"
    )
    parser.add_argument(
        "--accelerator", choices=("webgpu", "wasm"), help="the GPU or the processor; both by default"
    )
    parser.add_argument("--precision", choices=("float32", "float16"), default="float32", help="of WebGPU")
    parser.add_argument("--threads", type=int, default=1, help="of wasm; 1 by default")
    parser.add_argument("--software", action="store_true", help="a GPU that the processor plays: never timed")
    parser.add_argument("--count", type=int, default=32, help="inputs to compare on; 32 by default")
    parser.add_argument("--seconds", type=float, default=3.0, help="for the timed runs; 3 by default")
    parser.add_argument("--name", default="", help="of the model in the table; its file's name by default")
    parser.add_argument("--dataset", default="", help="that the model belongs to, in the table")
    parser.add_argument("--fetch", action="store_true", help="only fetch what the page needs: 12 MB, once")


def run(options: argparse.Namespace) -> int:
    """Print what was found; 1 where outputs differ or the model is refused."""
    from edgelab.targets.web import engine, files

    if options.fetch:
        folder = files.fetch()
        print(f"LiteRT.js {files.VERSION} is in {folder}, with its licence.")
        return 0
    if options.model is None:
        print("Name a model: python -m edgelab web MODEL.tflite", file=sys.stderr)
        return 2
    page = engine.headless(options.software) if options.headless else engine.tab(_show)
    try:
        return _both(options, page)
    finally:
        page.close()


def _show(address: str) -> None:
    print(
        f"Open this address in a browser of this computer, and keep the tab in view:\n{address}", flush=True
    )


def _both(options: argparse.Namespace, page: object) -> int:
    from edgelab.errors import ModelError
    from edgelab.web import checking

    status = 0
    for accelerator in [options.accelerator] if options.accelerator else ["wasm", "webgpu"]:
        if accelerator == "webgpu" and not page.adapter and not options.accelerator:
            print("webgpu: this browser offers no GPU to pages.\n")
            continue
        is_gpu = accelerator == "webgpu"
        try:
            found = checking.check(
                options.model, page, accelerator=accelerator, count=options.count,
                precision=options.precision if is_gpu else "float32",
                threads=1 if is_gpu else options.threads,
                name=options.name, dataset=options.dataset, max_seconds=options.seconds,
            )  # fmt: skip
        except ModelError as error:
            print(f"{accelerator}: {error}\n", file=sys.stderr)
            status = 1
            continue
        print(f"{found}\n", flush=True)
        status |= not found.is_sound
    return int(status)
