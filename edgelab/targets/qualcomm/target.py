"""The NPU of a Snapdragon: compiled here, ahead of time, and run on a phone.

LiteRT brings the compiler's driver, a program inside its wheel; the compiler itself is Qualcomm's, in
libraries with a licence of their own, which `make qualcomm` shows and asks for. What the NPU takes becomes
one operator, `DISPATCH_OP`, for each part of the model; the rest stays as it was, for the phone's CPU.
Nothing here runs the result: there is no latency, neither measured nor simulated.
"""

from __future__ import annotations

import importlib.util
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import environment, graph
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts, child
from edgelab.runtime import Availability
from edgelab.targets.base import Compiled
from edgelab.targets.qualcomm.log import errors, parse_log, placement_of
from edgelab.texts import tr

# The chips that LiteRT's `aot.vendors.qualcomm.target.SocModel` names: of phones, from the Snapdragon 888
# (SM8350) over the 8 Gen 1 to 3, 8 Elite (SM8750) and 8 Gen 5 to the 8 Elite Gen 5 (SM8850); and two of cars.
PLATFORMS = (
    "SM8350", "SM8450", "SM8475", "SM8550", "SM8650", "SM8750", "SM8845", "SM8850", "SA8255", "SA8295",
)  # fmt: skip
DRIVER, PLUGIN = "tools/apply_plugin_main", "vendors/qualcomm/compiler"  # in LiteRT's wheel
# LiteRT's plugin names this library, of a backend for low power, among those it needs, and calls it only
# where that backend is chosen. The package does not bring it: any of its libraries satisfies the loader.
UNUSED, STAND_IN = "libQnnLpai.so", "libQnnSystem.so"
NOT_LOADED, NO_MODEL = "Could not load shared library", "Failed to load model"
TIME_LIMIT_S = 300.0


class QualcommTarget:
    """The NPU of a Snapdragon.

    Args:
        platform: the chip, as Qualcomm numbers it: one of `PLATFORMS`. A compiled file is for this chip.
    """

    name = "qualcomm"
    takes = "int8"
    suffix = ".tflite"

    def __init__(self, platform: str = "SM8750") -> None:
        if platform not in PLATFORMS:
            raise InputError(
                tr("Qualcomm: there is no chip {platform!r}.", platform=platform),
                fix=tr("choose from {platforms}", platforms=", ".join(PLATFORMS)),
            )
        self.platform = platform

    @property
    def settings(self) -> dict[str, Any]:
        """The chip, and the versions of LiteRT and of Qualcomm's libraries."""
        return {
            "platform": self.platform,
            "litert": metadata.version("ai-edge-litert"),
            "libraries": environment.qualcomm_version(),
        }

    def probe(self) -> Availability:
        """Whether Qualcomm's libraries are here; the result runs on a phone only."""
        found = environment.qualcomm_compiler()
        if found.status != environment.OK:
            return Availability(False, False, found.detail, found.why, found.fix)
        if not (_litert() / DRIVER).exists():
            detail = tr(
                "{libraries}, but LiteRT's wheel for this system has no compiler", libraries=found.detail
            )
            return Availability(False, False, detail, found.why, tr("use x86-64 Linux, Docker or WSL 2"))
        return Availability(
            can_compile=True,
            can_run=False,
            detail=tr("{libraries}; no phone here", libraries=found.detail),
            why_it_matters=tr(
                "placement and sizes are known here; latency is not, before a phone has run it"
            ),
            fix=tr(
                "ship the compiled file in an Android app that opens it by LiteRT's CompiledModel with the "
                "NPU as accelerator, on a phone with this chip"
            ),
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Compile a `.tflite` file of any precision, in a process and a folder of its own.

        A model of which the NPU takes nothing is no error: its placement says so, and why.

        Returns:
            The compiled model. `log_rows` holds what the compiler says of the whole, then a row for each
            operator that it leaves to the CPU; `log.summary` reads them.

        Raises:
            ModelError: the model cannot be read, leaves a size open, or is refused by the compiler.
            TargetError: the compiler is missing, crashes, hangs, or writes what cannot be read.
            StorageError: `out` cannot be written.
        """
        model = Path(model)
        before = graph.read(model)
        if any(before.tensors[index].is_dynamic for index in before.inputs):
            raise ModelError(
                tr("{name} has a dimension that is left open.", name=model.name),
                why=tr("the NPU's program is laid out for one size; the compiler would take 1 for it"),
                fix=tr("convert the model for the size that the app uses: quantization.convert does"),
            )
        libraries = self._libraries()
        with tempfile.TemporaryDirectory(prefix="edgelab-qualcomm-") as name:
            folder = Path(name)
            (folder / "model.tflite").write_bytes(model.read_bytes())
            (folder / UNUSED).symlink_to(libraries / STAND_IN)
            finished = child.run(
                self._command(),
                folder=folder,
                time_limit_s=TIME_LIMIT_S,
                environment={"LD_LIBRARY_PATH": f"{libraries}:{_litert()}:{folder}", "TMPDIR": name},
            )
            made = folder / "out.tflite"
            if finished.returncode != 0 or not made.exists():
                raise _failed(finished, model)
            compiled = made.read_bytes()
        rows = parse_log(finished.stdout + finished.stderr)
        try:
            placement = placement_of(before, graph.read(compiled), rows)
        except (ModelError, ValueError) as error:
            raise TargetError(
                tr("Qualcomm's compiler ended without an error, but its result cannot be read."),
                why=str(error),
                fix=tr("make qualcomm installs the version that this course was made with"),
            ) from error
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(compiled)
        return Compiled(Path(out), self.name, rows, placement, finished.duration_s, len(compiled))

    def open(self, model: Path | Compiled) -> None:
        """There is nothing here that runs it.

        Raises:
            TargetError: always; says what is needed.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        raise TargetError(
            tr(
                "{path} cannot be run here: it is made for the NPU of an {platform}.",
                path=path.name,
                platform=self.platform,
            ),
            why=tr("its operators DISPATCH_OP hold programs for that NPU, and only a phone has one"),
            fix=tr(
                "open it on a phone with that chip, by LiteRT's CompiledModel with the NPU as accelerator; "
                "for its accuracy before that, run the file that it was compiled from on the CPU"
            ),
        )

    def _libraries(self) -> Path:
        libraries, available = environment.qualcomm_libraries(), self.probe()
        if libraries is None or not available.can_compile:
            raise TargetError(tr("Qualcomm's compiler is not here."), why=available.detail, fix=available.fix)
        return libraries

    def _command(self) -> list[str | Path]:
        return [
            _litert() / DRIVER,
            "--cmd=apply",
            "--model=model.tflite",
            "--o=out.tflite",
            "--soc_manufacturer=Qualcomm",
            f"--soc_model={self.platform}",
            f"--libs={_litert() / PLUGIN}",
            "--err=--",
        ]


def _litert() -> Path:
    """The folder of LiteRT's package, which is not imported for that."""
    return Path(importlib.util.find_spec("ai_edge_litert").origin).parent


def _failed(finished: child.Finished, model: Path) -> ModelError | TargetError:
    printed = finished.stdout + finished.stderr
    why = errors(printed) or finished.tail or tr("it said nothing")
    if NO_MODEL in printed:
        return ModelError(
            tr("Qualcomm's compiler does not take {model}.", model=model.name),
            why=why,
            fix=tr("the reason names what it cannot take; edgelab.graph shows where that is in the model"),
        )
    if NOT_LOADED in printed:
        return TargetError(
            tr("Qualcomm's libraries cannot be loaded."),
            why=why,
            fix=tr("make qualcomm, which fetches them again"),
        )
    return TargetError(
        tr(
            "Qualcomm's compiler failed on {model} (exit code {returncode}).",
            model=model.name,
            returncode=finished.returncode,
        ),
        why=why,
        fix=tr("convert the model again; if that does not help, it holds what this version cannot take"),
    )
