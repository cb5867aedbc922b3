"""A model kept open on a board: questions come in, answers go out, the clock is read here.

The kit puts it beside `runner.py` on the board. A message is eight bytes of length, then one letter and its
content: "J" a line of JSON, "N" arrays as an .npz file. It ends when its input does.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
import sys
import time
from importlib import metadata
from pathlib import Path

try:
    import runner  # in the same folder, on a board
    import vendors
except ImportError:
    from edgelab.boards import runner, vendors

LENGTH = struct.Struct(">Q")
LARGEST_BYTES = 2**31


def _read(stream: io.BufferedReader, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def send(stream: io.RawIOBase, kind: bytes, content: bytes) -> None:
    """One message."""
    stream.write(LENGTH.pack(1 + len(content)) + kind + content)
    stream.flush()


def packed(np: object, **arrays: object) -> bytes:
    """Arrays as an .npz file, not compressed."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _specs(np: object, details: list) -> list:
    rows = []
    for entry in details:
        scale, zero_point = entry.get("quantization") or (0.0, 0)
        rows.append(
            {
                "name": entry["name"],
                "shape": [int(size) for size in entry["shape"]],
                "dtype": np.dtype(entry["dtype"]).name,
                "scale": float(scale),
                "zero_point": int(zero_point),
            }
        )
    return rows


def _answer(np: object, model: object, question: dict, accelerator: str) -> bytes:
    """Outputs and the nanoseconds of each run; of several runs the times, and the energy of all."""
    count = int(question.pop("count"))
    arrays = [question[name] for name in sorted(question)]
    if count:
        counter, times = runner.onboard.Counter(accelerator), []
        while len(times) < count:
            piece = max(1, int(1e9 * runner.onboard.PERIOD_S / times[-1])) if times else 1
            times += runner.time_runs(model, arrays, min(piece, count - len(times)))
            counter.sample()
        used_mj = counter.energy_mj()
        found = {"energy_mj": np.float64(np.nan if used_mj is None else used_mj)}
        return packed(np, times_ns=np.array(times, np.int64), **found)
    started = time.perf_counter_ns()
    found = model.run(arrays)
    elapsed = time.perf_counter_ns() - started
    named = {f"output{number:03d}": array for number, array in enumerate(found)}
    return packed(np, times_ns=np.array([elapsed], np.int64), **named)


def serve(options: argparse.Namespace, stdin: io.BufferedReader, stdout: io.RawIOBase) -> None:
    """Open the model, tell what it is, and answer until the input ends."""
    np, runtime, about = runner.needed()
    accelerator, specs = options.delegate or ("npu" if options.rknn else ""), {"inputs": [], "outputs": []}
    if options.rknn:
        model = vendors.RknnModel(options.model)
        about = {**about, "name": "rknn-toolkit-lite2", "version": metadata.version("rknn-toolkit-lite2")}
    else:
        model = runner.Model(runtime, Path(options.model).read_bytes(), options, [])
        specs["inputs"] = _specs(np, model.interpreter.get_input_details())
        specs["outputs"] = _specs(np, model.interpreter.get_output_details())
    counter = runner.onboard.Counter(accelerator)
    told = {
        **specs,
        "board": runner.onboard.board("", ""),
        "counter": {"is_there": counter.meter is not None, "note": counter.note},
        "runtime": about,
    }
    send(stdout, b"J", json.dumps(told).encode())
    while True:
        head = stdin.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return
        content = _read(stdin, min(LENGTH.unpack(head)[0], LARGEST_BYTES))
        with np.load(io.BytesIO(content[1:]), allow_pickle=False) as kept:
            question = {name: kept[name] for name in kept.files}
        try:
            send(stdout, b"N", _answer(np, model, question, accelerator))
        except (RuntimeError, ValueError) as error:
            send(stdout, b"J", json.dumps({"error": str(error)}).encode())


def main() -> int:
    """Serve one model; what it and its runtime print goes to stderr."""
    parser = argparse.ArgumentParser(prog="server.py")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--delegate", default="")
    parser.add_argument("--rknn", action="store_true", help="it is a .rknn file")
    parser.add_argument("--option", type=runner._option, action="append", default=[])
    options = parser.parse_args()
    stdout = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # native code prints to stdout too
    try:
        with io.BufferedWriter(stdout) as answers:
            serve(options, sys.stdin.buffer, answers)
    except runner.BoardError as error:
        print(error, file=sys.stderr)
        return 1
    except (EOFError, BrokenPipeError):
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
