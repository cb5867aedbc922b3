"""What a machine can do for a model, and where the model runs: availability and placement."""

from __future__ import annotations

import html
from dataclasses import dataclass


@dataclass(frozen=True)
class Availability:
    """What a target can do on this machine, and how to fix what it cannot.

    Attributes:
        can_compile: the toolchain that prepares a model is here.
        can_run: a device, or the vendor's simulator, is here.
        detail: what was found.
        why_it_matters: what one loses without it.
        fix: the command or page that fixes it; empty when nothing is missing.
        is_simulated: running means in a simulator here, not on the device.
    """

    can_compile: bool
    can_run: bool
    detail: str
    why_it_matters: str = ""
    fix: str = ""
    is_simulated: bool = False

    def __str__(self) -> str:
        status = f"compile: {'yes' if self.can_compile else 'no'}, run: {'yes' if self.can_run else 'no'}"
        return f"{status} ({self.detail})" + (f"\nWhat to do: {self.fix}" if self.fix else "")


@dataclass(frozen=True)
class Placement:
    """How many operators run on the accelerator, and why the others do not.

    Attributes:
        accelerated: operators on the accelerator.
        total: operators in the model.
        reasons: (operator, reason) for each that stays on the CPU.
    """

    accelerated: int
    total: int
    reasons: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.accelerated} of {self.total} operators"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<li><code>{html.escape(operator)}</code>: {html.escape(reason)}</li>"
            for operator, reason in self.reasons
        )
        return f"<p>{self} on the accelerator</p>" + (f"<ul>{rows}</ul>" if rows else "")
