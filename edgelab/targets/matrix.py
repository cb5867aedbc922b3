"""What every target can do on this machine, what it could do with its hardware, and how to get there."""

from __future__ import annotations

import html
from dataclasses import dataclass

from edgelab import targets
from edgelab.runtime import Availability

# What compiles and runs a model for real, for each target.
HARDWARE = {
    "cpu": "any processor",
    "keras": "any processor, or an NVIDIA GPU by CUDA",
    "gpu": "any GPU: Vulkan on Linux and Windows, Metal on a Mac",
    "edgetpu": "Coral USB Accelerator, M.2 or PCIe card, Dev Board; the compiler on x86-64 Linux",
    "rknn": "board with RK3588, RK3576, RK3568, RK3566 or RV1106; the compiler on x86-64 Linux",
    "qualcomm": "phone with a Snapdragon 8 or 888; the compiler on x86-64 Linux",
    "tensorrt": "NVIDIA GPU with TensorRT, Jetson",
    "openvino": "Intel CPU, GPU or NPU; it runs on other processors too",
    "onnxruntime": "any processor",
    "ethosu": "microcontroller or SoC with Arm Ethos-U55, U65 or U85",
    "micro": "any microcontroller with the RAM; here its interpreter on x86-64 Linux",
    "coreml": "iPhone, iPad or Mac; the converter on a Mac or x86-64 Linux",
    "web": "any GPU, in Chromium, Chrome or Edge by WebGPU; any processor by WebAssembly",
}


@dataclass(frozen=True)
class Row:
    """One target.

    Attributes:
        name: of the target.
        availability: what its probe says of this machine.
        hardware: what it is made for.
    """

    name: str
    availability: Availability
    hardware: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Target, compiles here, runs here, with hardware, why, fix: as text."""
        found = self.availability
        why = "\n".join(filter(None, (found.detail, found.why_it_matters)))
        compiles = "yes" if found.can_compile else "no"
        runs = "no" if not found.can_run else "simulated" if found.is_simulated else "yes"
        return (self.name, compiles, runs, self.hardware, why, found.fix)


COLUMNS = ("target", "compiles here", "runs here", "with hardware", "why", "what to do")


@dataclass(frozen=True, repr=False)
class Matrix:
    """One row per target."""

    rows: tuple[Row, ...]

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = [f"{'target':{width}}  compiles here  runs here"]
        for row in self.rows:
            name, compiles, runs, hardware, why, fix = row.cells
            lines.append(f"{name:{width}}  {compiles:13}  {runs}")
            notes = {"with hardware": hardware, "why": why, "what to do": fix}
            for title, text in notes.items():
                for number, line in enumerate(text.splitlines()):
                    lines.append(f"{'':{width}}  {title + ':' if number == 0 else '':14} {line}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def line(tag: str, cells: tuple[str, ...]) -> str:
            inner = "".join(
                f'<{tag} style="text-align:left">{html.escape(cell).replace(chr(10), "<br>")}</{tag}>'
                for cell in cells
            )
            return f"<tr>{inner}</tr>"

        body = "".join(line("td", row.cells) for row in self.rows)
        return f"<table><thead>{line('th', COLUMNS)}</thead><tbody>{body}</tbody></table>"


def matrix() -> Matrix:
    """Probe every target; what is missing is a row, not an error."""
    return Matrix(tuple(Row(name, targets.get(name).probe(), HARDWARE[name]) for name in targets.names()))
