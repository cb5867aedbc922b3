"""Arm's Ethos-U: NPUs beside a Cortex-M, fed by the Vela compiler.

Vela takes an int8 `.tflite` file and gives one in which all that the NPU takes is a single operator,
`ethos-u`. It also counts cycles, by a model of the NPU and its memories: that is a simulation, not a
measurement. To run the result one needs a board, or Arm's simulator of one.
"""

from __future__ import annotations

import csv
import re
import sys
import tempfile
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts, child
from edgelab.runtime import Availability, Placement
from edgelab.targets.base import Compiled
from edgelab.targets.ethosu.log import Estimate, csv_rows, layer_row
from edgelab.texts import tr

# Family: multipliers (8 bits, per cycle) it is built with, and the system and memory mode that Vela takes
# when none is named. They are in Vela's own Arm/vela.ini.
FAMILIES = {
    "ethos-u55": ((32, 64, 128, 256), "Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ((256, 512), "Ethos_U65_High_End", "Dedicated_Sram"),
    "ethos-u85": ((128, 256, 512, 1024, 2048), "Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
}
ACCELERATORS = tuple(f"{family}-{macs}" for family, (sizes, _, _) in FAMILIES.items() for macs in sizes)
COMMAND = (sys.executable, "-m", "ethosu.vela")
TIME_LIMIT_S = 300.0
NPU_OPERATOR = "ethos-u"
WARNING = re.compile(
    r"operator: (?P<operator>\S+), ofm: '(?P<tensor>[^']*)'\s*\n\s*Reason: (?P<reason>[^\n]+)"
    r"(?:\n[ \t]*(?P<rule>(?!Warning|Network|Tensor)\S[^\n]*))?"
)


class EthosUTarget:
    """An Ethos-U of a certain size, in a certain system.

    Args:
        accelerator: one of `ACCELERATORS`, such as "ethos-u55-128": the family, and its multipliers.
        system_config: clock and memories: a section of Vela's Arm/vela.ini. None for the family's default.
        memory_mode: which memory holds what: another such section. None for the family's default.
    """

    name = "ethosu"
    takes = "int8"
    suffix = ".tflite"

    def __init__(
        self,
        accelerator: str = "ethos-u55-128",
        system_config: str | None = None,
        memory_mode: str | None = None,
    ) -> None:
        if accelerator not in ACCELERATORS:
            raise InputError(
                tr("There is no accelerator {accelerator!r}.", accelerator=accelerator),
                fix=tr("choose from {accelerators}", accelerators=", ".join(ACCELERATORS)),
            )
        family = accelerator.rsplit("-", 1)[0]
        _, default_system, default_mode = FAMILIES[family]
        self.accelerator = accelerator
        self.system_config = system_config or default_system
        self.memory_mode = memory_mode or default_mode
        own = f"Ethos_{family[-3:].upper()}"
        if self.system_config.startswith("Ethos_") and not self.system_config.startswith(own):
            raise InputError(
                tr(
                    "{system_config} is not a system of {accelerator}.",
                    system_config=self.system_config,
                    accelerator=accelerator,
                ),
                why=tr("Vela would accept it and count the cycles of a chip that cannot be built"),
                fix=tr("use a system whose name begins with {own}", own=own),
            )

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration, and Vela's version."""
        return {
            "accelerator": self.accelerator,
            "system_config": self.system_config,
            "memory_mode": self.memory_mode,
            "vela": _version(),
        }

    def probe(self) -> Availability:
        """Whether Vela is installed; running needs a board or Arm's simulator, which we cannot drive."""
        version = _version()
        if version:
            return Availability(
                can_compile=True,
                can_run=False,
                detail=tr("Vela {version}; no Ethos-U here", version=version),
                why_it_matters=tr("Vela's cycles are an estimate; a board or Arm's simulator runs the model"),
                fix=tr(
                    "run the compiled model in firmware, on a board or on the Corstone-300 FVP "
                    "(developer.arm.com, Fixed Virtual Platforms)"
                ),
            )
        return Availability(
            can_compile=False,
            can_run=False,
            detail=tr("Vela is not installed"),
            why_it_matters=tr("without it nobody tells what an Ethos-U takes, and how many cycles it needs"),
            fix=tr('pip install -e ".[targets]"'),
        )

    def compile(self, model: Path, out: Path, *, calibration: np.ndarray | None = None) -> Compiled:
        """Compile with Vela, in a folder of its own and within a time limit.

        A model of which the NPU takes nothing is no error: its placement says so, and why.

        Returns:
            The compiled model. `log_rows` holds Vela's figures of the network, then one row per layer; read
            them with `estimate` and `layers`.

        Raises:
            ModelError: the model cannot be read.
            TargetError: Vela is missing, crashes, hangs, or writes what cannot be read.
            StorageError: `out` cannot be written.
        """
        model = Path(model)
        before = graph.read(model)
        if not _version():
            missing = self.probe()
            raise TargetError(tr("Vela is not here."), why=missing.why_it_matters, fix=missing.fix)
        with tempfile.TemporaryDirectory(prefix="vela-") as name:
            folder = Path(name)
            (folder / "model.tflite").write_bytes(model.read_bytes())
            finished = child.run(self._command(), folder=folder, time_limit_s=TIME_LIMIT_S)
            if finished.returncode != 0:
                raise _failed(finished, model)
            compiled, rows = self._read(folder / "out", finished)
        placement = _placement(before, compiled, finished.stdout, model)
        with artifacts.atomic_path(out) as temporary:
            temporary.write_bytes(compiled)
        whole = Estimate(**{key: value for key, value in rows[0].items() if key != "row"})
        left = placement.total - placement.accelerated
        note = (
            f"Vela {_version()}'s estimate for {self.accelerator} at {whole.clock_hz / 1e6:.0f} MHz, "
            f"{self.system_config}, {self.memory_mode}"
        ) + (f"; without the {left} operators left on the CPU" if left else "")
        return Compiled(
            path=Path(out),
            target=self.name,
            log_rows=tuple(rows),
            placement=placement,
            duration_s=finished.duration_s,
            size_bytes=len(compiled),
            vendor_latency_ms=whole.latency_ms if whole.cycles else None,
            vendor_note=note if whole.cycles else "",
        )

    def open(self, model: Path | Compiled) -> None:
        """There is nothing here that runs an Ethos-U.

        Raises:
            TargetError: always; says what is needed.
        """
        path = Path(model.path if isinstance(model, Compiled) else model)
        raise TargetError(
            tr(
                "{path} cannot be run here: there is no {accelerator}.",
                path=path.name,
                accelerator=self.accelerator,
            ),
            why=tr(
                "its operator ethos-u is a stream of commands for the NPU, which no interpreter on a "
                "computer understands"
            ),
            fix=tr(
                "link it into firmware (edgelab.targets.micro.firmware.c_array) for a board with an Ethos-U, "
                "or for Arm's Corstone-300 FVP, a simulator that is free after accepting its "
                "licence; its accuracy is that of the int8 model, which the CPU tells"
            ),
        )

    def _command(self) -> list[str]:
        return [
            *COMMAND,
            "model.tflite",
            "--accelerator-config",
            self.accelerator,
            "--config",
            "Arm/vela.ini",
            "--system-config",
            self.system_config,
            "--memory-mode",
            self.memory_mode,
            "--output-dir",
            "out",
            "--verbose-performance",
        ]

    def _read(self, folder: Path, finished: child.Finished) -> tuple[bytes, list[dict[str, Any]]]:
        """The compiled model and Vela's tables."""
        try:
            compiled = (folder / "model_vela.tflite").read_bytes()
            [summary] = csv_rows(next(folder.glob("model_summary_*.csv")))
            layers = [layer_row(row) for row in csv_rows(folder / "model_per-layer.csv")]
            whole = self._whole(summary)
        except (OSError, StopIteration, KeyError, ValueError, TypeError, csv.Error) as error:
            raise TargetError(
                tr("Vela ended without an error, but its result cannot be read."),
                why=tr(
                    "{kind}: {error}. It printed: {tail}",
                    kind=type(error).__name__,
                    error=error,
                    tail=finished.tail or tr("nothing"),
                ),
                fix=tr('install it again: pip install --force-reinstall "ethos-u-vela>=5.2,<6"'),
            ) from error
        return compiled, [{"row": "network", **asdict(whole)}, *layers]

    def _whole(self, row: dict[str, str]) -> Estimate:
        def count(*names: str) -> int:
            return round(sum(float(row[name]) for name in names))

        return Estimate(
            accelerator=self.accelerator,
            system_config=self.system_config,
            memory_mode=self.memory_mode,
            clock_hz=float(row["core_clock"]),
            cycles=count("cycles_total"),
            npu_cycles=count("cycles_npu"),
            sram_cycles=count("cycles_sram_access"),
            dram_cycles=count("cycles_dram_access"),
            flash_cycles=count("cycles_on_chip_flash_access", "cycles_off_chip_flash_access"),
            sram_bytes=round(1024 * float(row["sram_memory_used"])),
            dram_bytes=round(1024 * float(row["dram_memory_used"])),
            flash_bytes=round(
                1024 * (float(row["on_chip_flash_memory_used"]) + float(row["off_chip_flash_memory_used"]))
            ),
            macs=count("nn_macs"),
        )


def _version() -> str:
    try:
        return metadata.version("ethos-u-vela")
    except metadata.PackageNotFoundError:
        return ""


def _placement(before: graph.Graph, compiled: bytes, log: str, model: Path) -> Placement:
    """Which of the model's operators are still there, beside the NPU's, and what Vela said about each.

    Vela's own count is of its internal operations, of which one operator may become many.
    """
    try:
        after = graph.read(compiled)
    except ModelError as error:
        raise TargetError(
            tr("What Vela made of {model} is no model.", model=model.name),
            why=error.why,
            fix=tr("install Vela again"),
        ) from error
    reasons = {
        match["tensor"]: match["reason"].strip().rstrip(".")
        + (f": {match['rule'].strip()}" if match["rule"] else "")
        for match in WARNING.finditer(log)
    }
    left = [operator for operator in after.operators if operator.name != NPU_OPERATOR]
    why = tuple((operator.name, _reason(after, operator, reasons)) for operator in left)
    return Placement(len(before.operators) - len(left), len(before.operators), why)


def _reason(after: graph.Graph, operator: graph.Operator, reasons: dict[str, str]) -> str:
    for index in operator.outputs:
        if after.tensors[index].name in reasons:
            return reasons[after.tensors[index].name]
    return "Vela gives no reason"


def _failed(finished: child.Finished, model: Path) -> TargetError:
    why = finished.tail or tr("it said nothing")
    refused = re.search(
        r"(?:Cli|Config)OptionError: '?(?:Error: )?(.+?)'?\s*$", finished.stderr, re.MULTILINE
    )
    if refused:
        what, why = tr("Vela refuses this configuration."), refused[1]
        fix = tr("`vela --list-configs Arm/vela.ini` lists the systems and memory modes")
    elif re.search(r"No module named|ImportError", finished.stderr):
        what = tr("Vela is installed in part only.")
        fix = tr('pip install --force-reinstall "ethos-u-vela>=5.2,<6"')
    else:
        what = tr(
            "Vela crashed on {model} (exit code {returncode}).",
            model=model.name,
            returncode=finished.returncode,
        )
        fix = tr(
            "convert the model again; if that does not help, it holds something this version cannot take"
        )
    return TargetError(what, why=why, fix=fix)
