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
    parser.add_argument(
        "--class", action="store_true", dest="phones", help="phones on the local network join, by a QR code"
    )
    parser.add_argument("--address", default="", help="of this computer, for phones; found by default")
    parser.add_argument("--port", type=int, default=0, help="for phones; any that is free by default")
    parser.add_argument("--fetch", action="store_true", help="only fetch what the page needs: 12 MB, once")


def run(options: argparse.Namespace) -> int:
    """Print what was found; 1 where outputs differ or the model is refused."""
    from edgelab.targets.web import engine, files

    if options.fetch:
        folder = files.fetch()
        print(f"LiteRT.js {files.VERSION} is in {folder}, with its licence.")
        return 0
    if options.phones:
        return _class(options)
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


def _class(options: argparse.Namespace) -> int:
    """Phones join until Ctrl-C; the board is written after each."""
    import logging
    import webbrowser

    import segno

    from edgelab.web import phone_records, phones

    # A phone's first visit ends in its browser's warning, which tornado would report as an error of ours.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    model, name = (options.model, "") if options.model else _course_model()
    task = phone_records.task_of(model, name=options.name or name, dataset=options.dataset)
    places = phones.new_places()
    server = phones.PhoneServer(task, places, options.address or phones.local_address(), options.port)
    try:
        segno.make(server.address).terminal(compact=True)
        print(
            f"For phones: {server.address}\nTheir browser warns, since this computer made its certificate "
            f"itself. SHA-256 fingerprint: {server.fingerprint}\n"
            f"QR code and board, on this computer: {server.wall}\nCtrl-C ends it.",
            flush=True,
        )
        webbrowser.open(server.wall)
        _collect(server, places)
    except KeyboardInterrupt:
        print(f"\nRecords: {places.records}\nBoard: {places.board}")
    finally:
        server.close()
    return 0


def _collect(server: object, places: object) -> None:
    """Print each record; write the board anew whenever none is waiting."""
    import queue

    from edgelab.course import class_board

    while True:
        try:
            print(server.arrived.get(timeout=1.0), flush=True)  # a wait that Ctrl-C ends everywhere
        except queue.Empty:
            continue
        if server.arrived.empty() and any(places.records.glob("*.jsonl")):
            class_board.write(places.records, places.board)


def _course_model() -> tuple[Path, str]:
    """The classifier that comes with the course, converted once and kept, and its name."""
    from edgelab import quantization
    from edgelab.app.analysis import CLASSIFIER

    return quantization.convert(CLASSIFIER, "float32", name=CLASSIFIER.stem).path, CLASSIFIER.stem
