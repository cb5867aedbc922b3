"""Rockchip's NPUs: compiled by the vendor's compiler, run on a board, or else in the vendor's simulator.

The compiler lives in an environment of its own (`make rknn`) and works in a process and a temporary folder of
its own: it drops files where it stands, and on some models it dies. Its simulator cannot load a `.rknn` file,
only what it has just built; so what a file was built from is kept under the file's hash, and opening it here
builds it again.
"""

from __future__ import annotations

import hashlib
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import environment, graph, quantization
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts
from edgelab.runtime import Availability, Placement, TensorSpec
from edgelab.targets import foreign_onnx, onnx_model
from edgelab.targets.base import Compiled
from edgelab.targets.rknn.engine import START_LIMIT_S, Engine, Recipe, described, storage
from edgelab.targets.rknn.log import layer_rows, parse_log, placement_of
from edgelab.targets.rknn.session import RknnSession, adb_servers, end_adb
from edgelab.texts import tr

# NPU cores by platform, from the feature lists of Rockchip's data sheets.
CORES = {"rk3588": 3, "rk3576": 2, "rk3568": 1, "rk3566": 1, "rv1106": 1}
PRECISIONS = ("int8", "fp16")
INT8_ONLY = ("rv1106",)
WHERE = ("auto", "board", "simulator")


class RknnTarget:
    """Rockchip's NPU: RK3588, RK3576, RK3568, RK3566 or RV1106.

    Args:
        platform: the chip, in lower case.
        precision: "int8" (Rockchip's w8a8, needs calibration images) or "fp16".
        core: NPU core to run on, from 0; or several from 0 on, such as `(0, 1, 2)`, which compute each
            inference together; None lets the runtime choose an idle one. Counts on a board only.
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
        core: int | tuple[int, ...] | None = None,
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
        self.core = _checked_core(core, platform)
        if precision == "fp16" and platform in INT8_ONLY:
            raise InputError(
                tr("{platform} computes in int8 only.", platform=platform), fix=tr('use precision="int8"')
            )
        self.platform, self.precision, self.where = platform, precision, where
        if (mean is None) != (std is None):
            raise InputError(tr("mean and std belong together."), fix=tr("give both, or neither"))
        self.mean, self.std = (tuple(map(float, values)) if values else None for values in (mean, std))

    @property
    def core_mask(self) -> int:
        """The cores as Rockchip's runtime takes them, a bit each; 0 is its `NPU_CORE_AUTO`."""
        if self.core is None:
            return 0
        return sum(1 << core for core in (self.core if isinstance(self.core, tuple) else (self.core,)))

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
        """Compile a float `.tflite` file, through ONNX, or an `.onnx` file.

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
        if not layer_rows(rows):
            raise TargetError(
                tr("Rockchip's compiler printed no table of layers."),
                why=tr("its log has another form than that of the version this course was made with"),
                fix=tr("rm -rf .venv-rknn, then make rknn: that installs the version it knows"),
            )
        recipe.save(_recipe_path(content))
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(content)
        duration_s = time.perf_counter() - started
        return Compiled(Path(out), self.name, rows, placement_of(rows), duration_s, len(content))

    def _recipe(self, model: Path, calibration: np.ndarray | None) -> Recipe:
        model = foreign_onnx.taken(model)
        found = graph.read(model)
        _refuse(found, model.name)
        inputs, outputs = (
            tuple(quantization.tensor_spec(found.tensors[index]) for index in side)
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
        if foreign_onnx.is_onnx(model):
            onnx = foreign_onnx.channels_first(model)
        else:
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
        platform, inputs, outputs = described(content)
        runtime = self._runtime()
        python, before = (_toolkit(), adb_servers()) if runtime == "adb" else (Path(sys.executable), None)
        engine = Engine(python)
        try:
            path = engine.folder / "model.rknn"
            with storage(path):
                path.write_bytes(content)
            engine.ask("load", START_LIMIT_S, path=str(path), runtime=runtime)
            return RknnSession(
                engine,
                (inputs, outputs),
                device=platform.upper() + _named(self.core),
                provenance="measured",
                placement=placement,
                start={
                    "platform": platform if runtime == "adb" else None,
                    "core_mask": self.core_mask or None,
                },
                adb_before=before,
            )
        except BaseException:
            engine.close()
            if before is not None:
                end_adb(except_for=before)
            raise

    def _session(self, engine: Engine, recipe: Recipe, **about: Any) -> RknnSession:
        try:
            engine.build(recipe)
            return RknnSession(engine, (recipe.inputs, recipe.outputs), start={}, **about)
        except BaseException:
            engine.close()
            raise


def _checked_core(core: int | tuple[int, ...] | None, platform: str) -> int | tuple[int, ...] | None:
    if isinstance(core, tuple):
        # The runtime knows NPU_CORE_0_1 and NPU_CORE_0_1_2 alone (rknn_core_mask in Rockchip's rknn_api.h).
        if len(core) >= 2 and core == tuple(range(len(core))) and len(core) <= CORES[platform]:
            return core
        raise InputError(
            tr("{platform} cannot join the NPU cores {cores}.", platform=platform, cores=core),
            why=tr(
                "its runtime joins two or more cores, from core 0 on; the chip has {cores}",
                cores=CORES[platform],
            ),
            fix=tr("core=(0, 1) or core=(0, 1, 2) on an RK3588; core=0 for one core"),
        )
    if core is not None and not 0 <= core < CORES[platform]:
        raise InputError(
            tr("{platform} has no NPU core {core}.", platform=platform, core=core),
            fix=tr("it has {cores}, numbered from 0", cores=CORES[platform]),
        )
    return core


def _named(core: int | tuple[int, ...] | None) -> str:
    if core is None:
        return ""
    return f", cores {', '.join(map(str, core))}" if isinstance(core, tuple) else f", core {core}"


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
