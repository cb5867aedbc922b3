"""TensorFlow Lite Micro: a model in the memory of a microcontroller, run on this computer.

The interpreter is the one that firmware links, with its portable kernels, so results are those of the chip.
Its time is not: nothing here is timed. All of it runs in a child process, since an arena that is too small
may end the process, as it would the firmware.

Results equal those of LiteRT's reference kernels bit for bit, but for two operators. FULLY_CONNECTED brings
the 32-bit sum back to 8 bits in two rounded steps here and in one there: where it lies next to the border
between two codes (about one value in 2,000, int8), its output differs by one step. The LSTM was seen to
differ by up to two steps. Tests show both.
"""

from __future__ import annotations

import html
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgelab.machine import artifacts, child
from edgelab import graph
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine.hardware import processor_name
from edgelab.runtime import Availability, ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.base import Compiled
from edgelab.targets.cpu.target import trial_input
from edgelab.targets.micro.worker import QUESTION_MARK
from edgelab.texts import tr

STEP_BYTES = 16  # the allocator aligns to it: a finer search would find nothing
TIME_LIMIT_S = 60.0
CHILD = (sys.executable, "-m", "edgelab.targets.micro.worker")
RECORD_LINE = re.compile(
    r"'(?P<part>[^']+)' used (?P<used>\d+) bytes .*requested (?P<requested>\d+) bytes for (?P<count>\d+)"
)
TOTAL_LINE = re.compile(r"Arena allocation (?P<part>total|head|tail) (?P<used>\d+) bytes")
NO_MEMORY = re.compile(r"Failed to (?:resize|allocate)|[Mm]issing: \d+|arena|Unable to allocate", re.ASCII)
# Method names of MicroMutableOpResolver that do not follow from the operator's name.
RESOLVER_NAMES = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "ethos-u": "EthosU",
    "TFLite_Detection_PostProcess": "DetectionPostprocess",
}


@dataclass(frozen=True)
class Attempt:
    """One try to run a model in an arena of a given size.

    Attributes:
        arena_bytes: the size.
        outcome: "runs", "refused" (the allocator said no), or "crashed" (the process died).
        detail: the last words of the allocator.
    """

    arena_bytes: int
    outcome: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.arena_bytes:,} bytes: {self.outcome}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Arena:
    """The memory a model needs while it runs.

    Attributes:
        smallest_bytes: the smallest arena in which it runs and gives the same output as in a large one, to
            `STEP_BYTES`.
        head_bytes: activations and scratch buffers, which share one area; the same on any chip.
        tail_bytes: what stays for good: structures, pointers, multipliers of each channel. It holds pointers,
            so a chip of 32 bits needs less than this computer of 64.
        parts: the tail's record: (what, bytes, how many).
        attempts: the sizes that were tried, in order.
    """

    smallest_bytes: int
    head_bytes: int
    tail_bytes: int
    parts: tuple[tuple[str, int, int], ...]
    attempts: tuple[Attempt, ...]

    def __str__(self) -> str:
        return (
            f"smallest arena {self.smallest_bytes:,} bytes: head {self.head_bytes:,}, "
            f"tail {self.tail_bytes:,} ({len(self.attempts)} tries)"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<li>{html.escape(part)}: {used:,} bytes, {count}</li>" for part, used, count in self.parts
        )
        return f"<p>{self}</p><ul>{rows}</ul>"


@dataclass(frozen=True)
class CArray:
    """A model as C source.

    Attributes:
        header, source: the two files.
        name: of the array; its length is `NAME_len`.
        size_bytes: of the model.
    """

    header: Path
    source: Path
    name: str
    size_bytes: int


class _Child(ClosesAtEnd):
    """A child that is started when it is needed, and again after it died."""

    def __init__(self, model: Path) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="micro-")
        self.model, self.worker = model, None

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Its answer.

        Raises:
            TargetError: it died, hangs or cannot be started.
            _RefusedError: the interpreter said no, with its words.
        """
        if self.worker is None:
            self.worker = child.Worker(CHILD, folder=Path(self.folder.name), name="TensorFlow Lite Micro")
        try:
            answer = self.worker.ask({"do": do, **request}, TIME_LIMIT_S)
        except BaseException:
            self.worker = None
            raise
        if "error" in answer:
            words = _words(self.worker.last_words())
            raise _RefusedError(answer["error"], words)
        return answer

    def load(self, arena_bytes: int, counts: tuple[int, int]) -> dict[str, Any]:
        return self.ask(
            "open",
            model=str(self.model),
            arena_bytes=arena_bytes,
            input_count=counts[0],
            output_count=counts[1],
        )

    def run(self, inputs: tuple[np.ndarray, ...], output_count: int) -> tuple[np.ndarray, ...]:
        folder = Path(self.folder.name)
        for index, array in enumerate(inputs):
            np.save(folder / f"input{index}.npy", array)
        self.ask("run", folder=str(folder))
        return tuple(np.load(folder / f"output{index}.npy") for index in range(output_count))

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None
        self.folder.cleanup()


class _RefusedError(Exception):
    """The interpreter's no: what Python saw, and what the native code wrote."""

    def __init__(self, error: str, words: str) -> None:
        super().__init__(error)
        self.error, self.words = error, words


def _words(stderr: str) -> str:
    """What the native code wrote on the last question, as one line."""
    lines = stderr.rsplit(QUESTION_MARK, 1)[-1].splitlines()
    return "; ".join(line.strip() for line in lines if line.strip())


class MicroSession(ClosesAtEnd):
    """A model in an arena, in a child process. Made by `MicroTarget.open`."""

    target = "micro"
    provenance = "simulated"  # the results are the chip's, the time is not
    placement: Placement | None = None
    fault = ""

    def __init__(self, model: Path, arena_bytes: int | None) -> None:
        found = _checked(model)
        _require()
        self.arena_bytes = arena_bytes or _generous(found)
        self._child = _Child(model.resolve())
        try:
            specs = self._child.load(self.arena_bytes, (len(found.inputs), len(found.outputs)))
        except BaseException as error:
            self._child.close()
            if isinstance(error, (_RefusedError, TargetError)):
                raise _explained(error, model, found, self.arena_bytes) from error
            raise
        self.inputs = _specs(specs["inputs"], found, found.inputs)
        self.outputs = _specs(specs["outputs"], found, found.outputs)
        self.device = f"microcontroller, imitated on {processor_name()}"
        self.runtime_version = f"tflite-micro {metadata.version('tflite-micro')}"
        self._model, self._graph = model, found

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference, on arrays of exactly the shapes and types in `inputs`.

        Raises:
            InputError: wrong count, shape or type.
            ModelError, TargetError: the model fails, or the session is closed.
        """
        if self._child is None:
            raise ModelError(
                tr("This session is closed."), fix=tr("open the model again: targets.get('micro').open(path)")
            )
        check_inputs(self.inputs, inputs)
        try:
            return self._child.run(inputs, len(self.outputs))
        except (_RefusedError, TargetError) as error:
            self.close()
            raise _explained(error, self._model, self._graph, self.arena_bytes) from error

    def close(self) -> None:
        """End the child. A second call does nothing."""
        if self._child is not None:
            self._child.close()
            self._child = None


class MicroTarget:
    """TensorFlow Lite Micro with its portable kernels.

    Args:
        arena_size_bytes: memory for everything but the model; None for plenty.
    """

    name = "micro"
    takes = "int8"
    suffix = ".tflite"

    def __init__(self, arena_size_bytes: int | None = None) -> None:
        if arena_size_bytes is not None:
            _check_size(arena_size_bytes)
        self.arena_size_bytes = arena_size_bytes

    @property
    def settings(self) -> dict[str, Any]:
        """The arena, and the version."""
        return {"arena_size_bytes": self.arena_size_bytes, "tflite_micro": _version()}

    def probe(self) -> Availability:
        """Whether the interpreter is installed; there are wheels for Linux on x86-64 alone."""
        version = _version()
        if version:
            return Availability(
                True, True, tr("tflite-micro {version}, on this computer", version=version), is_simulated=True
            )
        fits = sys.platform == "linux" and platform.machine() == "x86_64"
        return Availability(
            can_compile=False,
            can_run=False,
            detail=tr("tflite-micro is not installed"),
            why_it_matters=tr("without it nobody tells how much memory a model needs on a microcontroller"),
            fix=tr('pip install -e ".[targets]"')
            if fits
            else tr("wheels exist only for Linux on x86-64: use such a machine, WSL or a container"),
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Copy the model, after it has run: a microcontroller reads the `.tflite` file as it is.

        `log_rows` holds the allocator's record, the smallest arena first.

        Raises:
            ModelError: corrupt, of unknown size, or with operators that the runtime lacks.
            TargetError: the runtime is missing, or `arena_size_bytes` is too small.
            StorageError: `out` cannot be written.
        """
        started = time.perf_counter()
        found = _checked(Path(model))
        if self.arena_size_bytes:
            self.open(model).close()  # does it fit?
        arena = smallest_arena(Path(model))
        content = Path(model).read_bytes()
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        rows = [
            {"part": "smallest arena", "bytes": arena.smallest_bytes, "count": 1},
            {"part": "head", "bytes": arena.head_bytes, "count": 1},
            {"part": "tail", "bytes": arena.tail_bytes, "count": 1},
            *({"part": part, "bytes": used, "count": count} for part, used, count in arena.parts),
        ]
        total = len(found.operators)
        duration_s = time.perf_counter() - started
        return Compiled(Path(out), self.name, tuple(rows), Placement(total, total), duration_s, len(content))

    def open(self, model: Path | Compiled) -> MicroSession:
        """Load a model into an arena, in a child process.

        Raises:
            ModelError: missing, corrupt, of unknown size, or with operators that the runtime lacks.
            TargetError: the runtime is missing, or the arena is too small.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        return MicroSession(path, self.arena_size_bytes)


def _check_size(arena_bytes: int) -> None:
    if arena_bytes < STEP_BYTES:
        raise InputError(
            tr("An arena of {arena_bytes} bytes holds nothing.", arena_bytes=arena_bytes),
            fix=tr("give {step_bytes} or more", step_bytes=STEP_BYTES),
        )


def _version() -> str:
    try:
        return metadata.version("tflite-micro")
    except metadata.PackageNotFoundError:
        return ""


def _require() -> None:
    availability = MicroTarget().probe()
    if not availability.can_run:
        raise TargetError(
            tr("TensorFlow Lite Micro is not here."), why=availability.why_it_matters, fix=availability.fix
        )


def _checked(model: Path) -> graph.Graph:
    """The model's graph, when a microcontroller could hold it at all.

    Raises:
        ModelError: unreadable, or with a dimension that is only known when it runs. The runtime would take
            that as 1 and give an answer.
    """
    found = graph.read(model)
    dynamic = [found.tensors[i] for i in found.inputs if found.tensors[i].is_dynamic]
    if dynamic:
        raise ModelError(
            tr("{model} has an input of unknown size: {tensor}.", model=model.name, tensor=dynamic[0].name),
            why=tr("the arena is planned once, before the first inference, so every dimension must be known"),
            fix=tr("convert a model whose Input has a shape and batch_size=1"),
        )
    return found


def _generous(found: graph.Graph) -> int:
    """An arena that no model should fail in: four times all it could need."""
    return 2**20 + 4 * (found.size_bytes + all_tensors_bytes(found))


def _specs(answers: list[dict[str, Any]], found: graph.Graph, indices: tuple[int, ...]) -> tuple:
    return tuple(
        TensorSpec(
            found.tensors[index].name,
            tuple(answer["shape"]),
            np.dtype(answer["dtype"]),
            answer["scale"],
            answer["zero_point"],
        )
        for index, answer in zip(indices, answers, strict=True)
    )


def _explained(error: Exception, model: Path, found: graph.Graph, arena_bytes: int) -> Exception:
    """The error a student should see in place of the interpreter's."""
    if isinstance(error, TargetError):  # it died
        return TargetError(
            tr(
                "TensorFlow Lite Micro died of {model} in an arena of {arena_bytes:,} bytes.",
                model=model.name,
                arena_bytes=arena_bytes,
            ),
            why=_words(error.why) or error.what,
            fix=tr(
                "give it a larger arena, or none; edgelab.targets.micro.target.smallest_arena finds what it needs"
            ),
        )
    if "ImportError" in error.error or "ModuleNotFoundError" in error.error:
        return TargetError(
            tr("TensorFlow Lite Micro cannot be loaded."),
            why=error.error,
            fix=tr('install it again: pip install --force-reinstall "tflite-micro>=0.dev20261001"'),
        )
    missing = re.search(r"Didn't find op for builtin opcode '(\w+)'", error.words)
    if missing or "custom op" in error.words.lower():
        name = missing.group(1) if missing else tr("a custom operator")
        return ModelError(
            tr(
                "{model} cannot run on TensorFlow Lite Micro: it has no operator {name}.",
                model=model.name,
                name=name,
            ),
            why=tr("the model needs {operators}", operators=", ".join(found.operator_counts)),
            fix=tr("replace it by operators that MicroMutableOpResolver offers, or write that kernel"),
        )
    if NO_MEMORY.search(error.words):
        return TargetError(
            tr(
                "{model} does not fit into an arena of {arena_bytes:,} bytes.",
                model=model.name,
                arena_bytes=arena_bytes,
            ),
            why=error.words,
            fix=tr("give it a larger one; edgelab.targets.micro.target.smallest_arena finds the smallest"),
        )
    if "Hybrid" in error.words:
        return ModelError(
            tr("{model} cannot run on TensorFlow Lite Micro.", model=model.name),
            why=tr(
                "its weights are 8-bit integers and its activations are not of the same kind: {words}",
                words=error.words,
            ),
            fix=tr('convert it with mode "int8", so that everything is int8'),
        )
    return ModelError(
        tr("{model} cannot run on TensorFlow Lite Micro.", model=model.name),
        why=error.words or error.error,
        fix=tr('convert it with mode "int8"; the message names the operator that refuses'),
    )


# ---- memory


def all_tensors_bytes(found: graph.Graph) -> int:
    """All activations together, as if none shared memory with another: what the arena does *not* need."""
    return sum(tensor.size_bytes for tensor in found.tensors if not tensor.is_constant)


def attempts(model: Path, sizes: Iterable[int]) -> tuple[Attempt, ...]:
    """Run a model once in an arena of each size, in a child process that may die of it.

    Args:
        model: a `.tflite` file.
        sizes: in bytes, `STEP_BYTES` or more.

    Raises:
        InputError: a size below `STEP_BYTES`.
        ModelError: the file cannot be read.
        TargetError: the runtime is missing.
    """
    sizes = tuple(sizes)
    for size in sizes:
        _check_size(size)
    found = _checked(Path(model))
    _require()
    with _Child(Path(model).resolve()) as process:
        return tuple(_attempt(process, found, size)[0] for size in sizes)


def _attempt(
    process: _Child, found: graph.Graph, arena_bytes: int
) -> tuple[Attempt, tuple[np.ndarray, ...] | None]:
    """The try, and the output where it ran."""
    counts = len(found.inputs), len(found.outputs)
    try:
        specs = _specs(process.load(arena_bytes, counts)["inputs"], found, found.inputs)
        output = process.run(tuple(map(trial_input, specs)), counts[1])
    except _RefusedError as error:
        return Attempt(arena_bytes, "refused", error.words or error.error), None
    except TargetError as error:
        return Attempt(arena_bytes, "crashed", _words(error.why) or error.what), None
    return Attempt(arena_bytes, "runs"), output


def smallest_arena(model: Path) -> Arena:
    """Find the smallest arena in which a model runs, by bisection in child processes.

    The allocator's own record, taken in a large arena, is the first guess; sizes around it are tried, and an
    output that differs from the large arena's counts as a failure.

    Args:
        model: a `.tflite` file.

    Returns:
        The smallest size, a multiple of `STEP_BYTES`: with `STEP_BYTES` less it does not run.

    Raises:
        ModelError: unreadable, of unknown size, or it cannot run in any arena.
        TargetError: the runtime is missing.
    """
    model = Path(model)
    found = _checked(model)
    _require()
    tried: list[Attempt] = []
    with _Child(model.resolve()) as process:
        plenty = _generous(found)
        try:
            specs = _specs(
                process.load(plenty, (len(found.inputs), len(found.outputs)))["inputs"], found, found.inputs
            )
            expected = process.run(tuple(map(trial_input, specs)), len(found.outputs))
            record = process.ask("record")["text"]
        except (_RefusedError, TargetError) as error:
            raise _explained(error, model, found, plenty) from error
        totals = {match["part"]: int(match["used"]) for match in TOTAL_LINE.finditer(record)}
        if set(totals) != {"total", "head", "tail"}:
            raise TargetError(
                tr("The allocator's record cannot be read."),
                why=record[:200] or tr("it is empty"),
                fix=tr("use the tested version: pip install --force-reinstall tflite-micro"),
            )

        def runs(steps: int) -> bool:
            attempt, output = _attempt(process, found, steps * STEP_BYTES)
            tried.append(attempt)
            return output is not None and all(map(np.array_equal, output, expected))

        smallest = _smallest(runs, -(-totals["total"] // STEP_BYTES))
    parts = tuple(
        (match["part"], int(match["used"]), int(match["count"])) for match in RECORD_LINE.finditer(record)
    )
    return Arena(smallest * STEP_BYTES, totals["head"], totals["tail"], parts, tuple(tried))


def _smallest(runs: Callable[[int], bool], guess: int) -> int:
    """The smallest number that `runs`, searched from a guess outwards, then by bisection."""
    width = 1
    if runs(guess):
        high, low = guess, guess - width
        while low > 0 and runs(low):
            width *= 2
            high, low = low, max(0, low - width)
    else:
        low, high = guess, guess + width
        while not runs(high):
            width *= 2
            low, high = high, high + width
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(middle) else (middle, high)
    return high


# ---- firmware


def resolver_name(operator: str) -> str:
    """The name that MicroMutableOpResolver gives to an operator: "Conv2D" for CONV_2D."""
    words = (word.capitalize() for word in operator.split("_"))
    return RESOLVER_NAMES.get(operator, "".join("2D" if word == "2d" else word for word in words))


def op_resolver(model: Path) -> str:
    """The C++ that registers the operators of a model and no others: each costs flash.

    Args:
        model: a `.tflite` file.

    Raises:
        ModelError: it cannot be read.
    """
    found = graph.read(model)
    kinds = {
        (operator.name, operator.is_custom)
        for part in (found, *found.branches)
        for operator in part.operators
    }
    lines = [f"static tflite::MicroMutableOpResolver<{len(kinds)}> resolver;"]
    for name, is_custom in sorted(kinds):
        known = not is_custom or name in RESOLVER_NAMES
        call = f"Add{resolver_name(name)}()" if known else f'AddCustom("{name}", Register_YOUR_KERNEL())'
        lines.append(f"resolver.{call};")
    return "\n".join(lines) + "\n"


def c_array(model: Path, folder: Path, name: str = "model_data") -> CArray:
    """Write a model as C source, for a firmware project to compile.

    `const` keeps it in flash; without it, start-up code copies it to RAM. It is aligned to 16 bytes, because
    the weights are read in place as 32-bit words.

    Args:
        model: a `.tflite` file.
        folder: where `NAME.h` and `NAME.c` go.
        name: of the array, a C identifier.

    Returns:
        Where they are. The array is `NAME`, its length in bytes `NAME_len`.

    Raises:
        InputError: `name` is no C identifier.
        ModelError: the model cannot be read.
        StorageError: the folder cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise InputError(
            tr("{name!r} cannot name a C array.", name=name),
            fix=tr("use letters, digits and _, not beginning with a digit"),
        )
    graph.read(model)
    content = Path(model).read_bytes()
    guard = f"{name.upper()}_H_"
    header = (
        f"#ifndef {guard}\n#define {guard}\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"extern const unsigned char {name}[];\nextern const unsigned int {name}_len;\n\n"
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif  /* {guard} */\n"
    )
    rows = (content[start : start + 12] for start in range(0, len(content), 12))
    body = "".join("  " + "".join(f"0x{byte:02x}, " for byte in row).rstrip() + "\n" for row in rows)
    source = (
        f'/* {Path(model).name}, {len(content)} bytes */\n#include "{name}.h"\n\n'
        "#if defined(_MSC_VER)\n#define ALIGNED __declspec(align(16))\n"
        "#else\n#define ALIGNED __attribute__((aligned(16)))\n#endif\n\n"
        f"ALIGNED const unsigned char {name}[] = {{\n{body}}};\n"
        f"const unsigned int {name}_len = {len(content)}u;\n"
    )
    files = Path(folder) / f"{name}.h", Path(folder) / f"{name}.c"
    for path, text in zip(files, (header, source), strict=True):
        with artifacts.atomic_path(path) as temporary:
            temporary.write_text(text, encoding="ascii", errors="replace", newline="\n")
    return CArray(*files, name, len(content))
