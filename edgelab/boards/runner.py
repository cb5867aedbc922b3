"""Runs the model of this folder on this board, compares its outputs, and times it: `python run.py`.

It needs Python 3.9 or newer, numpy, and ai-edge-litert or tflite-runtime; `onboard.py` and `energy.py` lie
beside it. It writes one file, results.json, whole or not at all, to be taken back to where the bundle was
made: `python -m edgelab collect results.json`.
"""

# It is copied into every bundle as run.py, and runs where there is no edgelab: what it imports goes along.

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import faulthandler
import gc
import hashlib
import io
import json
import math
import os
import platform
import sys
import time
import zlib
from importlib import metadata
from pathlib import Path

try:
    import onboard  # beside run.py
except ImportError:
    try:
        from edgelab.boards import onboard
    except ImportError:
        sys.exit("onboard.py is missing.\nWhat to do: unpack the zip again, into an empty folder")

MANIFEST, INPUTS, EXPECTED = "manifest.json", "inputs.npz", "expected.npz"
MODEL, COMPILED = "model.tflite", "compiled.tflite"
BUNDLE_FORMAT, RESULTS_FORMAT = "edgelab-bundle 1", "edgelab-results 1"
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert", "LiteRT"),
    ("tflite_runtime.interpreter", "tflite-runtime", "TensorFlow Lite"),
)
WINDOW, GAIN = 10, 0.02  # so many warm-up runs that are less than 2 % faster than the best end the warm-up
LEAST_RUNS, MOST_RUNS = 5, 400  # timed runs of one opening


class BoardError(Exception):
    """What went wrong, and what to do about it, in a sentence each."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}\nWhat to do: {fix}")


# ----------------------------------------------------------------------------------- what came here


def checked_files(folder: Path) -> tuple[dict, str, dict[str, bytes]]:
    """The manifest, its hash, and every file's content, once each has proved to be the one that was sent.

    Raises:
        BoardError: a file is missing or has changed.
    """
    again = "unpack the zip again, into an empty folder, and copy the zip again if that does not help"
    try:
        raw = (folder / MANIFEST).read_bytes()
        manifest = json.loads(raw.decode("utf-8"))
        version, files = manifest["format"], manifest["files"]
        missing = {MODEL, INPUTS, EXPECTED} - set(files) or {"model", "agreement"} - set(manifest)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BoardError(f"{MANIFEST} cannot be read: {error}.", again) from error
    if version != BUNDLE_FORMAT:
        raise BoardError(f"{version!r} is another version than {BUNDLE_FORMAT!r}.", "make the bundle again")
    if missing:
        raise BoardError(f"{MANIFEST} does not tell of {', '.join(sorted(missing))}.", again)
    contents = {}
    for name, about in files.items():
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise BoardError(f"{name} cannot be read: {error.strerror or error}.", again) from error
        if hashlib.sha256(contents[name]).hexdigest() != about["sha256"]:
            raise BoardError(f"{name} is damaged or was changed: its hash is another.", again)
    return manifest, hashlib.sha256(raw).hexdigest(), contents


def arrays_of(np: object, content: bytes) -> list:
    """The arrays of an .npz file, in the order they were put in."""
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        return [kept[name] for name in kept.files]


def needed() -> tuple[object, object, dict]:
    """Numpy, the first runtime that is here, and what it is called.

    Raises:
        BoardError: one is missing or does not load; tells the command that installs it.
    """
    old = sys.version_info < (3, 10)
    packages = 'tflite-runtime "numpy<2"' if old else "ai-edge-litert numpy"
    fix = f'"{sys.executable}" -m pip install {packages}'
    try:
        import numpy as np
    except Exception as error:  # whatever a broken installation raises
        raise BoardError(f"numpy is missing or does not load: {_words(error)}.", fix) from error
    reasons = []
    for module, package, name in RUNTIMES:
        try:
            interpreter = __import__(module, fromlist=["Interpreter"])
            made = interpreter.Interpreter  # there, and not only a folder of that name
        except Exception as error:
            reasons.append(f"{package}: {_words(error)}")
            continue
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            version = str(getattr(sys.modules.get(made.__module__), "__version__", "")) or "version unknown"
        about = {"name": name, "version": version, "python": platform.python_version()}
        return np, interpreter, {**about, "numpy": np.__version__}
    if "ARRAY_API" in str(reasons) or "multiarray" in str(reasons):  # tflite-runtime is older than numpy 2
        fix += ', or keep tflite-runtime with an older numpy: pip install "numpy<2"'
    raise BoardError(f"No runtime for the model is here ({'; '.join(reasons)}).", fix)


def _words(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


# ----------------------------------------------------------------------------------- the model


class Model:
    """A model opened once, by the runtime and, where one is named, a delegate.

    Raises:
        BoardError: the runtime or the delegate refuses.
    """

    def __init__(self, runtime: object, content: bytes, options: argparse.Namespace, arrays: list) -> None:
        delegates = []
        if options.delegate:
            try:
                ctypes.CDLL(options.delegate)  # its reason alone: LiteRT prints a traceback besides
                delegates = [runtime.load_delegate(options.delegate, dict(options.option))]
            except Exception as error:  # the library decides what it raises
                raise BoardError(
                    f"The delegate {options.delegate} does not load: {_words(error)}.",
                    "check its path, and that the device is there and free; the CPU needs no --delegate",
                ) from error
        try:
            self.interpreter = runtime.Interpreter(
                model_content=content, num_threads=options.threads, experimental_delegates=delegates or None
            )
            for entry, array in zip(self.interpreter.get_input_details(), arrays):  # noqa: B905 - as below
                if tuple(entry["shape"]) != array.shape:
                    self.interpreter.resize_tensor_input(entry["index"], array.shape)
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            fix = "update the runtime, which may be older than the model, or name another delegate"
            raise BoardError(f"The runtime refuses the model: {_words(error)}.", fix) from error
        self.inputs = [entry["index"] for entry in self.interpreter.get_input_details()]
        self.outputs = [entry["index"] for entry in self.interpreter.get_output_details()]

    def run(self, arrays: list) -> list:
        """One inference: inputs handed over, outputs copied back, as an application does it."""
        for index, array in zip(self.inputs, arrays):  # noqa: B905 - Python 3.9 has no strict=
            self.interpreter.set_tensor(index, array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(index) for index in self.outputs]


def outputs_of(model: Model, np: object, inputs: list, deadline: float) -> list:
    """Every output for every test input, stacked: one array `[count, ...]` an output.

    Raises:
        BoardError: the model fails, or is too slow for the time there is.
    """
    found = []
    for number in range(len(inputs[0])):
        _in_time(deadline, f"{number} of {len(inputs[0])} test inputs were done")
        try:
            found.append(model.run([array[number] for array in inputs]))
        except (RuntimeError, ValueError) as error:
            what = f"The model fails on test input {number}: {_words(error)}."
            raise BoardError(what, "update the runtime") from error
    return [np.stack(arrays) for arrays in zip(*found)]  # noqa: B905 - Python 3.9 has no strict=


def _in_time(deadline: float, done: str) -> None:
    if time.monotonic() > deadline:
        raise BoardError(f"The time is over: {done}.", "give it more, such as --limit 3600 (seconds)")


def differences(np: object, expected: list, got: list, specs: list) -> list:
    """For each output its signal-to-noise ratio in dB and, where it is quantized, the largest step apart."""
    rows = []
    for want, have, spec in zip(expected, got, specs):  # noqa: B905 - Python 3.9 has no strict=
        row = {"name": spec["name"], "snr_db": None, "steps": None}
        rows.append(row)
        if want.shape != have.shape or want.dtype != have.dtype:
            continue
        a, b = (spec["scale"] * (values.astype(np.float64) - spec["zero_point"]) for values in (want, have))
        if not spec["scale"]:
            a, b = want.astype(np.float64), have.astype(np.float64)
        signal, noise = float(np.sum(a * a)), float(np.sum((a - b) ** 2))
        row["snr_db"] = 10 * math.log10(signal / noise) if signal > 0 < noise < math.inf else -math.inf
        if want.tobytes() == have.tobytes() or noise == 0:
            row["snr_db"] = math.inf
        if np.issubdtype(want.dtype, np.integer) and want.size:
            row["steps"] = int(np.abs(want.astype(np.int64) - have.astype(np.int64)).max())
    return rows


def agrees(rows: list, rule: dict) -> bool:
    """Whether all outputs are near enough to what was expected: by their ratio, or a step or so apart."""
    near = [row["steps"] is not None and row["steps"] <= rule["steps"] for row in rows]
    clear = [row["snr_db"] is not None and row["snr_db"] >= rule["least_snr_db"] for row in rows]
    return all(map(max, near, clear))


# ----------------------------------------------------------------------------------- the clock


def time_runs(model: Model, arrays: list, count: int) -> list:
    """Nanoseconds of each of `count` runs, by the clock of this board."""
    run, clock, times = model.run, time.perf_counter_ns, [0] * count
    for index in range(count):
        started = clock()
        run(arrays)
        times[index] = clock() - started
    return times


def _median(values: list) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def warm_up(model: Model, arrays: list, seconds: float) -> list:
    """Runs until they get no faster, or the time is over; at least one. They do not count."""
    deadline, times, best = time.monotonic() + seconds, time_runs(model, arrays, 1), math.inf
    while time.monotonic() < deadline:
        window = []
        while len(window) < WINDOW and (not window or time.monotonic() < deadline):
            window += time_runs(model, arrays, 1)
        times += window
        if _median(window) > (1 - GAIN) * best:
            break
        best = min(best, _median(window))
    return times


def one_opening(opener: object, arrays: list, options: argparse.Namespace, deadline: float) -> dict:
    """Open the model, warm it up, time it, and close it: nanoseconds of all that, and what it used."""
    seconds, clock = options.seconds / options.openings, time.perf_counter_ns
    started = clock()
    model = opener()
    opened = clock()
    warm = warm_up(model, arrays, min(seconds / 3, deadline - time.monotonic()))
    chunk = max(1, min(20, int(20e6 / max(1, _median(warm[-WINDOW:])))))
    samples, window = [], 0
    gc.collect()
    gc.disable()
    counter, until = onboard.Counter(options.delegate), time.monotonic() + seconds
    try:
        while len(samples) < LEAST_RUNS or (time.monotonic() < until and len(samples) < MOST_RUNS):
            _in_time(deadline, "one opening of the model takes longer")
            began = clock()
            samples += time_runs(model, arrays, chunk)
            window += clock() - began
            counter.sample()
        used_mj = counter.energy_mj()
    finally:
        gc.enable()
    found = {"opening_ns": opened - started, "warm_up_ns": warm, "samples_ns": samples, "window_ns": window}
    return {**found, "energy_mj": used_mj, "counter": counter.note}


def timed(opener: object, arrays: list, options: argparse.Namespace, deadline: float) -> dict:
    """Several openings, one after the other, and how busy other programs kept the board meanwhile."""
    began, busy, own, openings = time.perf_counter_ns(), onboard.busy_s(), sum(os.times()[:2]), []
    for number in range(options.openings):
        openings.append(one_opening(opener, arrays, options, deadline))
        runs = openings[-1]["samples_ns"]
        print(f"opening {number + 1} of {options.openings}: {_median(runs) / 1e6:.3f} ms, {len(runs)} runs")
    elapsed = time.perf_counter_ns() - began
    later, other = onboard.busy_s(), None
    if busy is not None and later is not None:
        other = max(0.0, (later - busy - (sum(os.times()[:2]) - own)) / (elapsed / 1e9))
    return {"openings": openings, "elapsed_ns": elapsed, "other_cores": other}


# ----------------------------------------------------------------------------------- the result


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        BoardError: there is no space, or no permission.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        what = f"{path.name} cannot be written: {error.strerror or error}."
        fix = "free some space, or name another place: --out FILE"
        raise BoardError(what, fix) from error
    finally:
        with contextlib.suppress(OSError):  # it has become the file, or never was
            temporary.unlink()


def packed(array: object) -> dict:
    """An array as text: its type, its shape, and its bytes, compressed."""
    data = base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def summary(rows: list, timing: dict | None, why: str) -> str:
    """What came out, in a few lines."""
    lines = []
    for row in rows:
        apart = "another shape or type" if row["snr_db"] is None else f"SNR {row['snr_db']:.1f} dB"
        steps = f", at most {row['steps']} step(s) apart" if row["steps"] else ""
        lines.append(f"output {row['name']}: {'equal' if row['snr_db'] == math.inf else apart + steps}")
    if timing is None:
        return "\n".join([*lines, f"No latency: {why}"])
    medians = [_median(one["samples_ns"]) / 1e6 for one in timing["openings"]]
    spread = f"openings from {min(medians):.3f} to {max(medians):.3f} ms"
    used, runs = [[one[name] for one in timing["openings"]] for name in ("energy_mj", "samples_ns")]
    energy = timing["openings"][-1]["counter"]
    if None not in used:
        energy = f"{sum(used) / sum(map(len, runs)):.3f} mJ per run, by {energy}"
    return "\n".join([*lines, f"latency: {_median(medians):.3f} ms; {spread}", f"energy: {energy}"])


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Everything from the hashes to the file of results; what came out, in words."""
    deadline = time.monotonic() + options.limit
    manifest, bundle, contents = checked_files(folder)
    np, runtime, about = needed()
    file = COMPILED if options.delegate and COMPILED in contents else MODEL
    target = (manifest["model"]["compiled_for"] if file == COMPILED else "") or (
        Path(options.delegate).stem if options.delegate else "cpu"
    )
    inputs, expected = arrays_of(np, contents[INPUTS]), arrays_of(np, contents[EXPECTED])
    trial = options.out.with_name(f".{options.out.name}.trial")
    write(trial, "")  # a folder that takes no file is better known now than after the work
    trial.unlink()
    device = onboard.board(options.device, options.emulated)
    print(f"{manifest['model']['name']} on {device['name']}, {about['name']} {about['version']}, {target}")
    before = onboard.state()
    one = [array[0] for array in inputs]

    def opener() -> Model:
        return Model(runtime, contents[file], options, one)

    got = outputs_of(opener(), np, inputs, deadline)
    rows = differences(np, expected, got, manifest["model"]["outputs"])
    timing, why = None, ""
    if not agrees(rows, manifest["agreement"]):
        why = "the outputs are not those expected: a wrong answer has no speed."
    elif device["emulated"]:
        why = f"this is an emulation ({device['emulated']}), whose time says nothing about the device."
    else:
        timing = timed(opener, one, options, deadline)
    ran = {"file": file, "target": target, "threads": options.threads, "delegate": options.delegate}
    result = {
        "format": RESULTS_FORMAT,
        "bundle": bundle,
        "ran": {**ran, "delegate_options": dict(options.option)},
        "device": device,
        "runtime": about,
        "clock_resolution_ns": time.get_clock_info("perf_counter").resolution * 1e9,
        "outputs": [packed(array) for array in got],
        "timing": timing,
        "no_timing_because": why,
        "state": {"before": before, "after": onboard.state()},
    }
    write(options.out, json.dumps(result))
    return f"{summary(rows, timing, why)}\n{options.out} is written: take it back."


def _number(kind: type, low: float, high: float) -> object:
    def read(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return read


def _option(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


THREADS = min(4, os.cpu_count() or 1)
OPTIONS = (
    ("--device", str, "", "name of this board in the table; its own by default"),
    ("--delegate", str, "", "library that runs the model on an accelerator, such as libedgetpu.so.1"),
    ("--threads", _number(int, 1, 256), THREADS, f"of the CPU; {THREADS} by default"),
    ("--seconds", _number(float, 0.01, 3600), 10.0, "of timed runs; 10 by default"),
    ("--openings", _number(int, 3, 50), 5, "of the model; 5 by default"),
    ("--limit", _number(float, 1, 86400), 600.0, "seconds for everything; 600 by default"),
    ("--emulated", str, "", "the chip that is emulated here: no latency is taken"),
    ("--out", Path, Path("results.json"), "file to write; results.json by default"),
)


def main(arguments: list | None = None) -> int:
    """Run it; 0 when results were written, 1 when something is wrong, 130 when it was stopped."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a console may lack some letters
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.partition("\n")[0])
    for name, read, default, words in OPTIONS:
        parser.add_argument(name, type=read, default=default, help=words)
    parser.add_argument(
        "--option", type=_option, action="append", default=[], help="NAME=VALUE, of the delegate"
    )
    options = parser.parse_args(arguments)
    # One run of native code cannot be stopped from Python: this ends the process from outside of it.
    faulthandler.dump_traceback_later(2 * options.limit, exit=True)
    try:
        print(measure(options, Path(__file__).resolve().parent))
    except BoardError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Nothing was written, and nothing was changed.", file=sys.stderr)
        return 130
    finally:
        faulthandler.cancel_dump_traceback_later()
    return 0


if __name__ == "__main__":
    sys.exit(main())
