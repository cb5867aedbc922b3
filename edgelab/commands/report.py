"""Tell where a model of yours will run, and write a page about it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

GROUP = "check"
CANNOT_BE_READ, NOT_MET = 2, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, what to try it on, where the page goes, and what it must meet."""
    parser.add_argument("model", type=Path, help=".tflite, .onnx, .keras, .h5 or a SavedModel's folder")
    parser.add_argument("--images", type=Path, help="folder or archive of pictures to try it on; else noise")
    parser.add_argument("--labels", type=Path, help="text file, one class per line; folders are the truth")
    for name, example in (("input-shape", "1,3,224,224"), ("mean", "123.7,116.3,103.5"), ("std", "58.4")):
        parser.add_argument(f"--{name}", type=numbers, help=f"of a model, such as {example}")
    parser.add_argument("--only", type=names, default=(), help="ask only these targets, such as cpu,edgetpu")
    parser.add_argument("--out", type=Path, help="the page; build/reports/MODEL.html by default")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--fix", type=Path, metavar="OUT", help="write a copy with the mechanical repairs")
    parser.add_argument("--require", default="", help='such as "edgetpu=100%%,latency_ms[rk3588]<20"')


def numbers(text: str) -> list[float]:
    """Numbers separated by commas.

    Raises:
        ValueError: one is none.
    """
    return [float(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    """Names of targets separated by commas.

    Raises:
        ValueError: one is none.
    """
    from edgelab import targets

    found = text.split(",")
    if unknown := set(found) - set(targets.names()):
        raise ValueError(", ".join(sorted(unknown)))
    return found


def _build_folder() -> Path:
    from edgelab.course import execution  # it reads notebooks, and what that needs takes seconds to load

    return execution.BUILD_DIR


def run(options: argparse.Namespace) -> int:
    """Write the page and print the gist; 0 when all requirements are met, 1 when not, 2 when unreadable."""
    from edgelab import report
    from edgelab.errors import EdgelabError

    try:
        required = report.parse(options.require)
        found, _ = report.make(
            options.model,
            images=options.images,
            labels=options.labels,
            only=options.only,
            progress=sys.stderr.isatty(),
            input_shape=options.input_shape and [int(size) for size in options.input_shape],
            mean=options.mean,
            std=options.std,
        )
        repairs = report.repaired(found.subject, options.fix) if options.fix else ()
    except EdgelabError as error:
        print(error, file=sys.stderr)
        return CANNOT_BE_READ
    plain = re.sub(r"[^\w.+-]+", "_", options.model.name) or "model"
    page = options.out or _build_folder() / "reports" / f"{plain}.html"
    report.write_page(found, page)
    verdicts = [one.judged(found) for one in required]
    if options.json:
        result = found.as_json() | {"requirements": [{"met": met, "text": text} for met, text in verdicts]}
        print(json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print(found)
        for words in repairs:
            print(f"{options.fix}: {words}")
        for _, text in verdicts:
            print(text)
        print(f"page: {page}")
    return 0 if all(met for met, _ in verdicts) else NOT_MET
