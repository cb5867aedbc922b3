"""Rockchip's NPUs: compiled by the vendor's compiler, run on a board, or else in the vendor's simulator.

The compiler lives in an environment of its own (`make rknn`) and works in a process and a temporary folder of
its own: it drops files where it stands, and on some models it dies. Its simulator cannot load a `.rknn` file,
only what it has just built; so what a file was built from is kept under the file's hash, and opening it here
builds it again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from edgelab.machine import artifacts, child, hardware
from edgelab import environment, graph
from edgelab.targets import onnx_model
from edgelab.errors import EdgelabError, InputError, ModelError, TargetError
from edgelab.runtime import Availability, ClosesAtEnd, Placement, TensorSpec, check_inputs
from edgelab.targets.base import Compiled
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd

# NPU cores by platform, from the feature lists of Rockchip's data sheets.
CORES = {"rk3588": 3, "rk3576": 2, "rk3568": 1, "rk3566": 1, "rv1106": 1}
PRECISIONS = ("int8", "fp16")
INT8_ONLY = ("rv1106",)
WHERE = ("auto", "board", "simulator")
WORKER = Path(__file__).with_name("rknn_worker.py")
LOG = "log.txt"
BUILD_LIMIT_S, START_LIMIT_S, RUN_LIMIT_S = 600.0, 60.0, 60.0
DESCRIPTION = "edgelab-rknn "  # begins the text in a .rknn file that tells what the model takes and gives
ENDS = ("InputOperator", "OutputOperator")  # rows of the table that compute nothing
NO_REASON = "Rockchip's compiler put it there, and gives no reason"

_PREFIX = re.compile(r"^D RKNN: \[[\d:.]*\] ?(.*)$")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LAYER = re.compile(
    r"(?P<id>\d+)\s+(?P<operator>\S+)\s+(?P<dtype>\S+)\s+(?P<unit>NPU|CPU|GPU)\s+(?P<inputs>\S+)\s+"
    r"(?P<output>\S+)\s+(?P<ddr>\d+)/(?P<npu>\d+)/(?P<total>\d+)\s+(?:\d+%\s+)?(?P<moved>[\d.]+)\s*(?P<name>.*)"
)
_MEMORY = re.compile(r"Total (Internal|Weight) Memory Size: ([\d.]+)KB")
_ERROR = re.compile(r"\[(?P<operator>\w+)\] (?P<name>\S+)\s+(?P<figures>(?:[\d.]+ \| [\d.]+\s*){2})$")


def parse_log(text: str) -> tuple[dict[str, Any], ...]:
    """The compiler's own table of layers, and the memory they need, from its verbose log.

    Args:
        text: the log; lines that are none of these are skipped.

    Returns:
        One row per layer: kind "layer", id, operator, dtype, unit ("NPU", "CPU" or "GPU"), output shape,
        ddr_cycles (to move the data), npu_cycles (to compute), cycles (the larger of them; 0 where the
        compiler does not count), moved_bytes, name. Then one of kind "memory": internal_bytes of
        activations, weight_bytes.
    """
    rows: list[dict[str, Any]] = []
    memory = {}
    for line in text.replace("\r", "\n").split("\n"):
        found = _PREFIX.match(_COLOUR.sub("", line))
        if not found:
            continue
        content = found[1].strip()
        if "Network Layer Information Table" in content:
            rows = []  # the compiler may print it for every attempt: the last one counts
        elif layer := _LAYER.fullmatch(content):
            rows.append(_layer_row(layer))
        elif size := _MEMORY.fullmatch(content):
            memory[f"{size[1].lower()}_bytes"] = round(float(size[2]) * 1024)
    return (*rows, *([{"kind": "memory", **memory}] if memory else []))


def _layer_row(found: re.Match[str]) -> dict[str, Any]:
    return {
        "kind": "layer",
        "id": int(found["id"]),
        "operator": found["operator"],
        "dtype": found["dtype"],
        "unit": found["unit"],
        "output_shape": found["output"],
        "ddr_cycles": int(found["ddr"]),
        "npu_cycles": int(found["npu"]),
        "cycles": int(found["total"]),
        "moved_bytes": round(float(found["moved"]) * 1024),
        "name": found["name"].strip(),
    }


def parse_errors(text: str) -> tuple[dict[str, Any], ...]:
    """Rows of the toolkit's accuracy analysis: how far each layer is from the same in float.

    Returns:
        operator, name, cosine (with the errors of all layers before), own_cosine (fed with exact inputs).
        Layers that were fused into the next have no figures and no row.
    """
    rows = []
    for line in text.splitlines():
        found = _ERROR.fullmatch(_COLOUR.sub("", line).strip())
        if found:
            cosine, _, own, _ = map(float, re.findall(r"[\d.]+", found["figures"]))
            row = {"operator": found["operator"], "name": found["name"], "cosine": cosine, "own_cosine": own}
            rows.append(row)
    return tuple(rows)


def layers(compiled: Compiled) -> pd.DataFrame:
    """The compiler's table of layers as a frame, without the rows that only name inputs and outputs."""
    import pandas as pd

    return pd.DataFrame(_layers(compiled.log_rows)).drop(columns="kind").set_index("id")


def memory_bytes(compiled: Compiled) -> dict[str, int]:
    """Bytes of activations ("internal") and weights on the device, by the compiler's log."""
    found = next((row for row in compiled.log_rows if row["kind"] == "memory"), {})
    return {name: found[f"{name}_bytes"] for name in ("internal", "weight") if f"{name}_bytes" in found}


def _layers(rows: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == "layer" and row["operator"] not in ENDS]


def _placement(rows: tuple[dict[str, Any], ...]) -> Placement:
    computing = _layers(rows)
    left = [row for row in computing if row["unit"] != "NPU"]
    reasons = tuple(
        (f"{row['operator']} ({row['id']})", f"on the {row['unit']}: {NO_REASON}") for row in left
    )
    return Placement(len(computing) - len(left), len(computing), reasons)


@dataclass(frozen=True)
class Recipe:
    """What a `.rknn` file is built from.

    Attributes:
        onnx: the float model's content, images as `[1, C, H, W]`.
        calibration: uint8 `[N, H, W, C]`; None for fp16.
        platform: such as "rk3588".
        mean, std: per channel, subtracted and divided by before the model; None for nothing.
        inputs, outputs: of the model, images as `[1, H, W, C]`.
    """

    onnx: bytes
    calibration: np.ndarray | None
    platform: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def description(self) -> str:
        """Inputs, outputs and platform as text, for the file itself: a board needs no more."""
        about = {"platform": self.platform}
        for name in ("inputs", "outputs"):
            about[name] = [[spec.name, list(spec.shape), str(spec.dtype)] for spec in getattr(self, name)]
        return DESCRIPTION + json.dumps(about)

    def save(self, path: Path) -> None:
        """Write it whole, or not at all."""
        settings = json.dumps([self.description, self.mean, self.std])
        images = {} if self.calibration is None else {"calibration": self.calibration}
        with artifacts.atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, onnx=np.frombuffer(self.onnx, np.uint8), settings=settings, **images)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            description, mean, std = json.loads(str(stored["settings"]))
            platform, inputs, outputs = _described(description.encode())
            calibration = stored.get("calibration")
            content = stored["onnx"].tobytes()
        mean, std = (tuple(values) if values else None for values in (mean, std))
        return cls(content, calibration, platform, mean, std, inputs, outputs)


def _described(content: bytes) -> tuple[str, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Platform, inputs and outputs, from the description in a `.rknn` file."""
    start = content.find(DESCRIPTION.encode())
    if start < 0:
        raise ModelError(
            tr("The .rknn file does not tell what it takes."),
            why=tr("it was not compiled by edgelab, or it is damaged"),
            fix=tr("compile the .tflite file again: targets.get('rknn').compile(model, out)"),
        )
    text = content[start + len(DESCRIPTION) : start + len(DESCRIPTION) + 65536]
    about, _ = json.JSONDecoder().raw_decode(text.decode("utf-8", errors="replace"))
    inputs, outputs = (
        tuple(TensorSpec(name, tuple(shape), np.dtype(dtype)) for name, shape, dtype in about[side])
        for side in ("inputs", "outputs")
    )
    return about["platform"], inputs, outputs


class Engine(ClosesAtEnd):
    """Rockchip's software in a process and a temporary folder of its own; both go when it is closed.

    Args:
        python: of the environment that holds it.

    Raises:
        TargetError: it cannot be started.
    """

    def __init__(self, python: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgelab-rknn-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        try:
            # -I: a folder that is searched for packages would let our modules pass for the toolkit's.
            command = [python, "-I", WORKER]
            self._worker = child.Worker(
                command,
                folder=self.folder,
                name="Rockchip's toolkit",
                environment={"TMPDIR": str(self.folder)},
            )
        except TargetError:
            self._folder.cleanup()
            raise

    @property
    def log(self) -> str:
        """All that it printed so far."""
        return hardware.text_of(self.folder / LOG)

    def ask(self, what: str, time_limit_s: float, **details: Any) -> dict[str, Any]:
        """Have one step done; a failure is raised as what it is.

        Raises:
            ModelError: the toolkit refuses the model.
            StorageError: the disk is full.
            TargetError: the toolkit died, hung, or is broken.
        """
        try:
            answer = self._worker.ask({"do": what, **details}, time_limit_s)
        except TargetError as error:
            why = "\n".join(filter(None, (error.why, _said(self.log))))
            raise TargetError(error.what, why=why, fix=error.fix) from error
        if "failure" in answer:
            raise self._failed(what, answer)
        return answer

    def _failed(self, what: str, answer: Mapping[str, Any]) -> EdgelabError:
        detail = child.last_lines(answer["detail"], 1)
        if answer["errno"] == errno.ENOSPC or "No space left" in answer["detail"]:
            return artifacts.storage_error(OSError(errno.ENOSPC, detail), self.folder / "model")
        if answer["failure"] in ("ImportError", "ModuleNotFoundError"):
            return TargetError(
                tr("Rockchip's toolkit is only half installed."),
                why=detail,
                fix=tr("rm -rf .venv-rknn, then make rknn"),
            )
        if what in ("build", "export"):
            return ModelError(
                tr("Rockchip's compiler refuses the model."),
                why=f"{detail}\n{_said(self.log)}".strip(),
                fix=tr("look in its log for the operator; edgelab.graph shows where it stands in the model"),
            )
        return TargetError(
            # Note: {what} is a step, such as 'build'.
            tr("Rockchip's toolkit failed at {what!r}.", what=what),
            why=f"{detail}\n{_said(self.log)}".strip(),
            fix=tr("open it again"),
        )

    def build(self, recipe: Recipe) -> float:
        """Compile; gives the seconds that it took by itself, without loading the toolkit."""
        onnx = self.folder / "model.onnx"
        with _storage(onnx):
            onnx.write_bytes(recipe.onnx)
            details = {"onnx": str(onnx), "platform": recipe.platform, "description": recipe.description}
            if recipe.calibration is not None:
                details["calibration"] = str(self.folder / "calibration.npy")
                np.save(details["calibration"], _channels_first(recipe.calibration).astype(np.float32))
        return self.ask("build", BUILD_LIMIT_S, mean=recipe.mean, std=recipe.std, **details)["build_s"]

    def close(self) -> None:
        """End it and remove its folder. A second call does nothing."""
        self._worker.close()
        self._folder.cleanup()


@contextlib.contextmanager
def _storage(path: Path):
    try:
        yield
    except OSError as error:
        raise artifacts.storage_error(error, path) from error


def _said(log: str) -> str:
    """The lines of the toolkit's log that look like errors, or else its last one."""
    lines = [_COLOUR.sub("", line).strip() for line in log.replace("\r", "\n").splitlines()]
    errors = [line for line in lines if line.startswith("E ") or "Error:" in line]
    return "\n".join(list(dict.fromkeys(errors))[-3:]) or child.last_lines("\n".join(lines), 1)


def _channels_first(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.ndim == 4 else images


class RknnSession(ClosesAtEnd):
    """A model in Rockchip's runtime or simulator. Made by `RknnTarget.open`; for one thread at a time."""

    target = "rknn"
    fault = ""

    def __init__(
        self,
        engine: Engine,
        specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
        *,
        device: str,
        provenance: str,
        placement: Placement | None,
        start: Mapping[str, Any],
        adb_before: frozenset[int] | None = None,
    ) -> None:
        self.inputs, self.outputs = specs
        self._engine = engine
        self._shared = []
        for index, spec in enumerate(self.inputs):
            shape = _channels_first(np.empty(spec.shape, np.uint8)).shape
            path = engine.folder / f"input-{index}.npy"
            self._shared.append(np.lib.format.open_memmap(path, "w+", spec.dtype, shape))
        self._paths = [str(array.filename) for array in self._shared]
        engine.ask("start", START_LIMIT_S, inputs=self._paths, **start)
        self.device, self.provenance, self.placement = device, provenance, placement
        self.runtime_version = environment.rknn_version()
        self._adb = adb_before

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """One inference.

        Args:
            *inputs: one array for each of `self.inputs`; images `[1, H, W, C]`, turned round within.

        Returns:
            One float32 array for each of `self.outputs`.

        Raises:
            InputError: wrong count, shape or type.
            TargetError: the session is closed, the toolkit died, or the board is gone.
        """
        if not self._shared:
            raise TargetError(tr("This session is closed."), fix=tr("open the model again"))
        check_inputs(self.inputs, inputs)
        for shared, array in zip(self._shared, inputs, strict=True):
            shared[...] = _channels_first(array)
        answer = self._engine.ask("run", RUN_LIMIT_S, out="output-")
        found = [np.load(self._engine.folder / f"output-{i}.npy") for i in range(len(answer["outputs"]))]
        return tuple(one.reshape(spec.shape) for one, spec in zip(found, self.outputs, strict=True))

    def layer_errors(self, image: np.ndarray) -> pd.DataFrame:
        """The toolkit's accuracy analysis: how far each layer is from float, on one image.

        Args:
            image: as for `run`, or uint8.

        Returns:
            As `parse_errors`, a frame.

        Raises:
            TargetError: not in the simulator, or it failed.
        """
        import pandas as pd

        if self.provenance != "simulated":
            raise TargetError(
                tr("Layers are analysed in the simulator."), fix=tr('RknnTarget(where="simulator")')
            )
        [shared] = self._shared
        shared[...] = _channels_first(np.asarray(image).reshape(self.inputs[0].shape))
        shared.flush()
        return pd.DataFrame(
            parse_errors(self._engine.ask("analyse", BUILD_LIMIT_S, inputs=self._paths)["text"])
        )

    def close(self) -> None:
        """Free the model and the device. A second call does nothing."""
        self._shared = []
        self._engine.close()
        if self._adb is not None:
            _end_adb(except_for=self._adb)
            self._adb = None

    def __repr__(self) -> str:
        return f"<RKNN session: {self.device}, {self.placement}>"


def _adb_servers() -> frozenset[int]:
    """Process ids of adb servers; the toolkit starts one and leaves it behind."""
    return frozenset(p.pid for p in psutil.process_iter(["name"]) if p.info["name"] in ("adb", "adb.exe"))


def _end_adb(except_for: frozenset[int]) -> None:
    for pid in _adb_servers() - except_for:
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).kill()


class RknnTarget:
    """Rockchip's NPU: RK3588, RK3576, RK3568, RK3566 or RV1106.

    Args:
        platform: the chip, in lower case.
        precision: "int8" (Rockchip's w8a8, needs calibration images) or "fp16".
        core: NPU core to run on, from 0; None lets the runtime choose. Counts on a board only.
        mean, std: what the runtime subtracts and divides by before the model, per channel. The course's
            models do that themselves: leave them out.
        where: "auto" runs on a board when there is one, else in the simulator; or say which.
    """

    name = "rknn"
    takes = "float32"
    suffix = ".rknn"

    def __init__(
        self,
        platform: str = "rk3588",
        precision: str = "int8",
        core: int | None = None,
        *,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        where: str = "auto",
    ) -> None:
        for value, allowed in ((platform, tuple(CORES)), (precision, PRECISIONS), (where, WHERE)):
            if value not in allowed:
                raise InputError(
                    tr("RKNN: {value!r} is not known.", value=value),
                    fix=tr("choose from {allowed}", allowed=", ".join(allowed)),
                )
        if core is not None and not 0 <= core < CORES[platform]:
            raise InputError(
                tr("{platform} has no NPU core {core}.", platform=platform, core=core),
                fix=tr("it has {cores}, numbered from 0", cores=CORES[platform]),
            )
        if precision == "fp16" and platform in INT8_ONLY:
            raise InputError(
                tr("{platform} computes in int8 only.", platform=platform), fix=tr('use precision="int8"')
            )
        self.platform, self.precision, self.core, self.where = platform, precision, core, where
        if (mean is None) != (std is None):
            raise InputError(tr("mean and std belong together."), fix=tr("give both, or neither"))
        self.mean, self.std = (tuple(map(float, values)) if values else None for values in (mean, std))

    @property
    def settings(self) -> dict[str, Any]:
        """Platform, precision, preprocessing, and the toolkit's version."""
        return {
            "platform": self.platform,
            "precision": self.precision,
            "mean": self.mean,
            "std": self.std,
            "toolkit": environment.rknn_version(),
        }

    def probe(self) -> Availability:
        """Whether the compiler, and with it the simulator, or a board is here."""
        toolkit, board = environment.rknn_toolkit(), environment.rknn_board()
        can_compile = environment.rknn_python() is not None
        on_board = environment.has_rknn_lite() and board.status == environment.OK
        detail = f"{toolkit.detail}; {board.detail}"
        is_simulated = can_compile and not on_board and board.status != environment.OK
        if is_simulated:
            detail = tr("{toolkit}, with the simulator; {board}", toolkit=toolkit.detail, board=board.detail)
        return Availability(
            can_compile, can_compile or on_board, detail, toolkit.why, toolkit.fix, is_simulated
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Compile a float `.tflite` file, through ONNX.

        Args:
            model: float32.
            out: the `.rknn` file to write.
            calibration: uint8 `[N, H, W, C]` from the training set, for int8.

        Returns:
            Its log rows are the vendor's table of layers (`parse_log`). There is no vendor latency: the
            compiler counts cycles of an ideal NPU, far fewer than boards take, and leaves layers out.

        Raises:
            InputError: calibration images are missing or have another shape.
            ModelError: quantized already, of dynamic shape, corrupt, or refused by the compiler.
            TargetError: the toolkit is missing, broken, died or hung.
            StorageError: the disk is full.
        """
        python = _toolkit()
        recipe = self._recipe(Path(model), calibration)
        started = time.perf_counter()
        with Engine(python) as engine:
            engine.build(recipe)
            made = engine.folder / "model.rknn"
            engine.ask("export", START_LIMIT_S, path=str(made))
            rows = parse_log(engine.log)
            content = made.read_bytes()
        if not _layers(rows):
            raise TargetError(
                tr("Rockchip's compiler printed no table of layers."),
                why=tr("its log has another form than that of the version this course was made with"),
                fix=tr("rm -rf .venv-rknn, then make rknn: that installs the version it knows"),
            )
        recipe.save(_recipe_path(content))
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        duration_s = time.perf_counter() - started
        return Compiled(Path(out), self.name, rows, _placement(rows), duration_s, len(content))

    def _recipe(self, model: Path, calibration: np.ndarray | None) -> Recipe:
        found = graph.read(model)
        _refuse(found, model.name)
        inputs, outputs = (
            tuple(
                TensorSpec(found.tensors[i].name, found.tensors[i].shape, np.dtype(found.tensors[i].dtype))
                for i in side
            )
            for side in (found.inputs, found.outputs)
        )
        images = None
        if self.precision == "int8":
            if len(inputs) != 1:
                raise ModelError(
                    tr("{model} has {count} inputs.", model=model.name, count=len(inputs)),
                    why=tr("calibration feeds one image at a time"),
                    fix=tr('join the inputs, or use precision="fp16"'),
                )
            images = _checked_images(calibration, inputs[0])
        onnx = onnx_model.from_tflite(model, channels_first=True).read_bytes()
        return Recipe(onnx, images, self.platform, self.mean, self.std, inputs, outputs)

    def open(self, model: Path | Compiled) -> RknnSession:
        """Load a compiled model: on a board if there is one, else build it again for the simulator (seconds).

        Args:
            model: a `.rknn` file, or what `compile` gave.

        Raises:
            ModelError: missing, damaged, or for the simulator: compiled on another machine.
            TargetError: neither toolkit nor board, or one of them fails.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(
                tr("Cannot read {path}.", path=path), why=str(error), fix=tr("compile the model again")
            ) from error
        placement = model.placement if isinstance(model, Compiled) else None
        if self._runtime() == "simulator":
            return self._simulate(content, path.name, placement)
        return self._on_board(content, placement)

    def _runtime(self) -> str:
        if self.where != "simulator" and environment.rknn_board().status == environment.OK:
            return "lite" if environment.has_rknn_lite() else "adb"
        if self.where == "board":
            found = environment.rknn_board()
            raise TargetError(tr("No Rockchip board is here."), why=found.detail, fix=found.fix)
        return "simulator"

    def _simulate(self, content: bytes, name: str, placement: Placement | None) -> RknnSession:
        python = _toolkit()
        if not content.startswith(b"RKNN"):
            raise ModelError(tr("{name} is not a .rknn file.", name=name), fix=tr("compile the .tflite file"))
        stored = _recipe_path(content)
        if not stored.exists():
            raise ModelError(
                tr("{name} cannot be simulated here.", name=name),
                why=tr(
                    "the simulator runs only what it has just built; what this file was built from is "
                    "not in {folder}",
                    folder=stored.parent,
                ),
                fix=tr("compile the .tflite file again on this machine, or run this one on a board"),
            )
        try:
            recipe = Recipe.load(stored)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ModelError(
                tr("What {name} was built from cannot be read.", name=name),
                why=tr("{file} is damaged: {error}", file=stored.name, error=error),
                fix=tr("delete both files and compile the model again"),
            ) from error
        return self._session(
            Engine(python),
            recipe,
            device=f"{recipe.platform.upper()} (simulator)",
            provenance="simulated",
            placement=placement,
        )

    def _on_board(self, content: bytes, placement: Placement | None) -> RknnSession:
        platform, inputs, outputs = _described(content)
        runtime = self._runtime()
        python, before = (_toolkit(), _adb_servers()) if runtime == "adb" else (Path(sys.executable), None)
        core = "" if self.core is None else f", core {self.core}"
        engine = Engine(python)
        try:
            path = engine.folder / "model.rknn"
            with _storage(path):
                path.write_bytes(content)
            engine.ask("load", START_LIMIT_S, path=str(path), runtime=runtime)
            return RknnSession(
                engine,
                (inputs, outputs),
                device=f"{platform.upper()}{core}",
                provenance="measured",
                placement=placement,
                start={
                    "platform": platform if runtime == "adb" else None,
                    "core_mask": None if self.core is None else 1 << self.core,
                },
                adb_before=before,
            )
        except BaseException:
            engine.close()
            if before is not None:
                _end_adb(except_for=before)
            raise

    def _session(self, engine: Engine, recipe: Recipe, **about: Any) -> RknnSession:
        try:
            engine.build(recipe)
            return RknnSession(engine, (recipe.inputs, recipe.outputs), start={}, **about)
        except BaseException:
            engine.close()
            raise


def _toolkit() -> Path:
    python = environment.rknn_python()
    if python is None:
        found = environment.rknn_toolkit()
        raise TargetError(tr("Rockchip's compiler is not here."), why=found.detail, fix=found.fix)
    return python


def _recipe_path(content: bytes) -> Path:
    key = hashlib.sha256(content).hexdigest()[:16]
    return artifacts.artifacts_dir() / "rknn" / f"{key}.npz"


def _refuse(found: graph.Graph, name: str) -> None:
    """What the route through ONNX cannot take, before minutes are spent on it."""
    quantized = [tensor.name for tensor in found.tensors if tensor.scales]
    if quantized:
        raise ModelError(
            tr(
                "{name} is quantized already, at least in part ({count} tensors).",
                name=name,
                count=len(quantized),
            ),
            why=tr("Rockchip's compiler quantizes by itself, from a float model and calibration images"),
            fix=tr('start from the float model: chain.converted("float32")'),
        )
    if any(tensor.is_dynamic for tensor in found.tensors):
        raise ModelError(
            tr("{name} has a dimension that is left open.", name=name),
            why=tr("the NPU's commands are laid out for one size"),
            fix=tr("convert it with a batch size of 1: quantization.convert does"),
        )


def _checked_images(calibration: np.ndarray | None, spec: TensorSpec) -> np.ndarray:
    images = None if calibration is None else np.asarray(calibration)
    fits = images is not None and images.dtype == np.uint8 and images.shape[1:] == spec.shape[1:]
    if not fits or len(images) == 0:
        got = tr("none") if images is None else f"{images.dtype} {list(images.shape)}"
        raise InputError(
            tr(
                "Calibration images: expected uint8 [N, {expected}], got {got}.",
                expected=", ".join(map(str, spec.shape[1:])),
                got=got,
            ),
            why=tr(
                "the ranges of the activations are only known from running the model on typical raw pixels"
            ),
            fix=tr("pass dataset.calibration_images(200), drawn from the training images; channels last"),
        )
    return images
