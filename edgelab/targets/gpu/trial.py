"""What a trial of a model on the GPU tells: the same samples on both processors, and LiteRT's log parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgelab import graph
from edgelab.runtime import TensorSpec

SAMPLES = 8
VERDICT_MARK = "verdict "
COUNTS = re.compile(
    r"^(?P<gpu>\d+|No) operations will run on the GPU, and (?:the remaining|all) (?P<cpu>\d+) operations",
    re.MULTILINE,
)
UNSUPPORTED = re.compile(
    r"not supported by GPU delegate:\n(?P<rows>.*?)\n(?:\d+|No) operations will", re.DOTALL
)
COMPLAINT = re.compile(
    r"^(?:[EF]\d{4} [\d:.]+ +\d+ |ERROR: )(?:[\w.]+:\d+\] )?(?P<text>\w.{8,})", re.MULTILINE
)


@dataclass(frozen=True)
class Verdict:
    """What a child process found out about a model on a GPU.

    Attributes:
        status: "runs" or "refused" (the runtime said why).
        detail: the runtime's message.
        error: root mean square of the difference from the CPU's outputs, relative to theirs; of the worst.
        left_on_cpu: operators that the GPU does not take, by LiteRT's own count.
        counted: operators in that count; 0 where LiteRT did not count, since the GPU takes all.
        reasons: (operator, reason) for each kind that the GPU does not take.
        parts: pieces that the GPU runs, with operators on the CPU between them.
        complaints: what the GPU library wrote in its log as errors.
        duration_s: of the trial: compiling for the GPU, and the samples on both.
    """

    status: str
    detail: str = ""
    error: float = 0.0
    left_on_cpu: int = 0
    counted: int = 0
    reasons: tuple[tuple[str, str], ...] = ()
    parts: int = 0
    complaints: tuple[str, ...] = ()
    duration_s: float = 0.0


def sample_inputs(specs: tuple[TensorSpec, ...], count: int = SAMPLES) -> Iterator[tuple[np.ndarray, ...]]:
    """Inputs to compare on: black, white, then tinted noise of growing contrast; zeros for indices.

    Args:
        specs: of the model's inputs; values are pixels, 0 to 255.
        count: how many.
    """
    rng = np.random.default_rng(0)
    for number in range(count):
        arrays = []
        for spec in specs:
            if spec.dtype not in (np.uint8, np.int8, np.float32):
                arrays.append(np.zeros(spec.shape, spec.dtype))
                continue
            tint = rng.uniform(0, 255, spec.shape[-1:])
            noise = rng.uniform(-128, 128, spec.shape) * number / count
            pixels = (
                np.clip(tint + noise, 0, 255).round() if number > 1 else np.full(spec.shape, 255.0 * number)
            )
            arrays.append(spec.quantize(pixels) if spec.is_quantized else pixels.astype(spec.dtype))
        yield tuple(arrays)


def difference(reference: np.ndarray, found: np.ndarray) -> float:
    """Root mean square of the difference, relative to the reference's; infinite where only one is finite.

    Args:
        reference: real numbers, any shape.
        found: the same shape.
    """
    reference, found = np.asarray(reference, np.float64), np.asarray(found, np.float64)
    finite = np.isfinite(reference)
    if not np.isfinite(found[finite]).all() or (~finite).all():
        return float("inf")
    size = float(np.sqrt(np.mean(reference[finite] ** 2)))
    error = float(np.sqrt(np.mean((found[finite] - reference[finite]) ** 2)))
    return error / size if size > 0 else (0.0 if error == 0 else float("inf"))


def verdict_of(record: dict[str, Any]) -> Verdict:
    """The verdict that a record kept as JSON stands for."""
    reasons = tuple((operator, reason) for operator, reason in record["reasons"])
    return Verdict(**record | {"reasons": reasons, "complaints": tuple(record["complaints"])})


def read_log(text: str, complaints: tuple[str, ...]) -> dict[str, Any]:
    """What LiteRT's log tells about placement."""
    counts, unsupported = COUNTS.search(text), UNSUPPORTED.search(text)
    rows = (row.partition(": ") for row in (unsupported["rows"].splitlines() if unsupported else []))
    # Behind the sentence stands the tensor's name, another for each operator of a kind.
    reasons = dict.fromkeys((operator, reason.partition(". ")[0].strip(". ")) for operator, _, reason in rows)
    on_gpu, on_cpu = (int(counts[key]) if counts and counts[key] != "No" else 0 for key in ("gpu", "cpu"))
    return {
        "left_on_cpu": on_cpu,
        "counted": on_gpu + on_cpu,
        "reasons": tuple(reasons),
        "parts": text.count("Initializing WebGPU-based API from graph"),
        "complaints": tuple(text for text in complaints if not text.startswith("Following operations")),
    }


def in_file_order(
    described: graph.Graph, kind: str, names: list[str], details: dict[str, dict], buffers: list[Any]
) -> tuple[tuple[TensorSpec, ...], list[Any]]:
    """Specs and buffers of a model's inputs or outputs, in the file's order; a signature may have another."""
    by_tensor = {
        details[name]["index"]: (details[name], buffer) for name, buffer in zip(names, buffers, strict=True)
    }
    specs, ordered = [], []
    for index in getattr(described, kind):
        tensor = described.tensors[index]
        entry, buffer = by_tensor[index]
        shape = tuple(int(size) for size in entry["shape"])
        specs.append(
            TensorSpec(tensor.name, shape, np.dtype(entry["dtype"]), tensor.scale, tensor.zero_point)
        )
        ordered.append(buffer)
    return tuple(specs), ordered
