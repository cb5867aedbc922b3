"""What WebAssembly costs beside native code: the same files in a browser and by LiteRT, opened in turns.

    python benchmarks/wasm_cost.py [MODEL.tflite …]

Without a model: chapter 3's network as float32 and int8. Each is opened ten times in both places, in random
order, so that the ratio's 95 % interval holds what changes from one opening to another. Needs what
`python -m edgelab web --headless` needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgelab import benchmark, pipeline
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.web.target import WebTarget

SECONDS_EACH = 3.0


def openings(path: Path) -> benchmark.Ranking:
    """The file natively and in a page, ten openings each, in turns."""
    native, page = CpuTarget(threads=1), WebTarget(accelerator="wasm", where="headless")
    return benchmark.compare_openings(
        {"native": lambda: native.open(path), "wasm": lambda: page.open(path)},
        max_seconds=SECONDS_EACH,
        progress=True,
    )


def main() -> None:
    """Print a row for each model: both times, and how many times the native one wasm takes."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("models", nargs="*", type=Path)
    paths = options.parse_args().models
    if not paths:
        chain = pipeline.open("fast", "", 0)
        paths = [chain.converted(precision).path for precision in ("float32", "int8")]
    for path in paths:
        found = openings(path)
        native, wasm = found.measurements["native"], found.measurements["wasm"]
        cost = found.speed_ups["wasm"]
        print(
            f"{path.name}: wasm {wasm.median_ms:.3f} ms, native {native.median_ms:.3f} ms, "
            f"{1 / cost.ratio:.2f} times [{1 / cost.high:.2f}, {1 / cost.low:.2f}]; "
            f"{found.machine.verdict} machine, {wasm.device}"
        )


if __name__ == "__main__":
    main()
