"""A model in the browser against the same model on the CPU, on the same inputs, before any time is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edgelab import graph
from edgelab.runtime import Session, TensorSpec
from edgelab.targets.gpu.trial import difference, sample_inputs
from edgelab.targets.web.session import WebSession
from edgelab.texts import tr

SAMPLES = 8
# The largest difference from the CPU that counts as rounding, relative to the outputs' size (both root mean
# square). Integers have no tolerance: on the same integer arithmetic they are the same, bit for bit.
# A network with integer weights alone ("dynamic range") quantizes what flows while it runs, to 127 steps a
# layer: a value that rounds otherwise is carried on.
TOLERANCES = {"float32": 1e-3, "float16": 5e-2, "dynamic_range": 5e-2}


@dataclass(frozen=True)
class Parity:
    """How the browser's outputs compare with the CPU's.

    Attributes:
        count: inputs compared.
        error: root mean square of the difference, relative to the CPU's; of the worst input and output.
        max_abs: the largest difference of two real values.
        steps: the largest difference in quantization steps; None where no output is quantized.
        same_largest: share of the inputs whose largest value of the first output is in the same place; None
            where it has but one value.
        is_exact: whether all outputs are equal, bit for bit.
        tolerance: the `error` that would count as rounding; 0 where the outputs are integers.
    """

    count: int
    error: float
    max_abs: float
    steps: int | None
    same_largest: float | None
    is_exact: bool
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether they are the same, as far as rounding allows."""
        return self.is_exact or (self.steps is None and self.error <= self.tolerance)

    @property
    def fault(self) -> str:
        """Why the results are wrong, or ""."""
        if self.agrees:
            return ""
        if self.steps is not None:
            return tr(
                "on {count} inputs they differ from the CPU's by up to {steps} quantization steps; "
                "integers have to be the same",
                count=self.count,
                steps=self.steps,
            )
        return tr(
            "on {count} inputs they differ from the CPU's by {error:.2%} of their size; "
            "up to {tolerance:.1%} would be rounding",
            count=self.count,
            error=self.error,
            tolerance=self.tolerance,
        )

    def __str__(self) -> str:
        if self.is_exact:
            text = tr("equal to the CPU's, bit for bit, on {count} inputs", count=self.count)
        elif self.steps is not None:
            text = tr(
                "up to {steps} quantization steps from the CPU's, on {count} inputs",
                steps=self.steps,
                count=self.count,
            )
        else:
            text = tr(
                "at most {max_abs:.2g} from the CPU's, {error:.2g} of their size, on {count} inputs",
                max_abs=self.max_abs,
                error=self.error,
                count=self.count,
            )
        if self.same_largest is None:
            return text
        return text + tr("; same largest output for {share:.0%}", share=self.same_largest)


def compare(
    session: WebSession,
    reference: Session,
    rows: Iterable[tuple[np.ndarray, ...]] | None = None,
    *,
    tolerance: float = TOLERANCES["float32"],
) -> Parity:
    """Run the same inputs in both.

    Args:
        session: in the browser.
        reference: the same file on the CPU.
        rows: inputs; drawn ones by default.
        tolerance: see `tolerance_for`.

    Raises:
        ModelError, TargetError: the browser fails.
    """
    rows = list(sample_inputs(session.inputs, SAMPLES) if rows is None else rows)
    want = [reference.run(*row) for row in rows]
    return judge(session.outputs, want, session.run_all(rows), tolerance=tolerance)


def tolerance_for(described: graph.Graph, precision: str) -> float:
    """The error that counts as rounding.

    Args:
        described: the model's file.
        precision: "float32", or "float16" where the GPU was asked to compute with 16 bits.
    """
    quantized = [tensor for tensor in described.tensors if tensor.is_quantized]
    is_dynamic = bool(quantized) and all(tensor.is_constant for tensor in quantized)
    return max(TOLERANCES[precision], TOLERANCES["dynamic_range"] if is_dynamic else 0.0)


def judge(
    specs: tuple[TensorSpec, ...],
    want: list[tuple[np.ndarray, ...]],
    have: list[tuple[np.ndarray, ...]],
    *,
    tolerance: float,
) -> Parity:
    """How outputs differ from those of a reference.

    Args:
        specs: of the outputs.
        want, have: for each input the outputs, of the reference and of the candidate.
        tolerance: for outputs that are no integers.
    """
    error = max_abs = 0.0
    steps: int | None = None
    is_exact, same = True, []
    for wanted, found in zip(want, have, strict=True):
        for spec, a, b in zip(specs, wanted, found, strict=True):
            is_exact &= a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
            if np.issubdtype(spec.dtype, np.integer):
                apart = np.abs(a.astype(np.int64) - b.astype(np.int64))
                steps = max(steps or 0, int(apart.max(initial=0)))
            real_a, real_b = spec.dequantize(a), spec.dequantize(b)
            error = max(error, difference(real_a, real_b))
            gap = np.abs(real_a.astype(np.float64) - real_b.astype(np.float64)).max(initial=0.0)
            max_abs = max(max_abs, float(gap) if np.isfinite(gap) else float("inf"))
        if wanted[0].size > 1:
            same.append(wanted[0].argmax() == found[0].argmax())
    share = float(np.mean(same)) if same else None
    return Parity(len(want), error, max_abs, steps, share, is_exact, 0.0 if steps is not None else tolerance)
