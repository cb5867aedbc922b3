"""Vela's report, parsed: its estimate of the whole, and a row per layer."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.targets.base import Compiled

if TYPE_CHECKING:
    import pandas as pd

# Column of Vela's table for each layer -> our name.
LAYER_COLUMNS = {
    "Original Operator": "operator",
    "NNG Operator": "npu_operator",
    "Target": "runs_on",
    "Op Cycles": "cycles",
    "NPU": "npu_cycles",
    "SRAM AC": "sram_cycles",
    "DRAM AC": "dram_cycles",
    "OnFlash AC": "on_chip_flash_cycles",
    "OffFlash AC": "off_chip_flash_cycles",
    "MAC Count": "macs",
    "Util% (MAC)": "utilisation_percent",
    "Staging Usage": "sram_bytes",
    "Name": "name",
}
TEXT_COLUMNS = ("operator", "npu_operator", "runs_on", "name")


@dataclass(frozen=True)
class Estimate:
    """What Vela says about the whole network; every figure comes from its model of the NPU.

    Attributes:
        accelerator, system_config, memory_mode: what it was compiled for.
        clock_hz: of the NPU, in that system.
        cycles: of one inference.
        npu_cycles: while the multipliers work; a layer takes as long as the slowest of all.
        sram_cycles, dram_cycles, flash_cycles: while these memories are read or written.
        sram_bytes, dram_bytes, flash_bytes: of them that the network fills.
        macs: multiply-accumulates on the NPU.
    """

    accelerator: str
    system_config: str
    memory_mode: str
    clock_hz: float
    cycles: int
    npu_cycles: int
    sram_cycles: int
    dram_cycles: int
    flash_cycles: int
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    macs: int

    @property
    def latency_ms(self) -> float:
        """Time of one inference on the NPU at its clock; operators left on the CPU are not in it."""
        return 1e3 * self.cycles / self.clock_hz

    @property
    def utilisation(self) -> float:
        """Part of all multiplications that could have been done in this time, 0 to 1."""
        multipliers = int(self.accelerator.rsplit("-", 1)[1])
        return self.macs / (self.cycles * multipliers) if self.cycles else 0.0

    def __str__(self) -> str:
        return (
            f"{self.accelerator}, {self.system_config}, {self.memory_mode}: {self.cycles:,} cycles, "
            f"{self.latency_ms:.2f} ms at {self.clock_hz / 1e6:.0f} MHz, {self.utilisation:.0%} of the "
            f"multipliers used, SRAM {self.sram_bytes / 1e3:.1f} kB"
        )


def estimate(compiled: Compiled) -> Estimate:
    """Vela's figures for the whole network."""
    return Estimate(**{key: value for key, value in compiled.log_rows[0].items() if key != "row"})


def layers(compiled: Compiled) -> pd.DataFrame:
    """Vela's table: one row per operation on the NPU, in order; one operator may become many."""
    import pandas as pd

    columns = list(LAYER_COLUMNS.values())
    return pd.DataFrame([row for row in compiled.log_rows if row["row"] == "layer"], columns=columns)


def csv_rows(path: Path) -> list[dict[str, str]]:
    """A file of the report: one dictionary per row."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def layer_row(row: dict[str, str]) -> dict[str, Any]:
    """A row of the report on layers, under our names and with numbers as floats."""
    named = {name: row[column] for column, name in LAYER_COLUMNS.items()}
    return {"row": "layer"} | {
        name: value if name in TEXT_COLUMNS else float(value) for name, value in named.items()
    }
