"""The whole report, made and kept as plain data."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgelab import benchmark, graph
from edgelab.errors import EdgelabError
from edgelab.report import advice as advising
from edgelab.report import saturation
from edgelab.report import smells as smelling
from edgelab.report import trials as trying
from edgelab.report.advice import Advice
from edgelab.report.smells import Smell
from edgelab.report.subject import Pictures, Subject, open_subject
from edgelab.report.trials import Estimated, Memory, Trial

PROFILE_COLUMNS = ("kind", "operators", "total_us", "share")


@dataclass(frozen=True, repr=False)
class Report:
    """What was found out about a model.

    Attributes:
        subject: the model.
        tried_on: the pictures or noise, in words.
        smells, advice, trials, estimates, memory: see their classes.
        profile: measured µs per kind of operator on this CPU: (kind, operators, µs, share); empty where it
            cannot be profiled.
    """

    subject: Subject
    tried_on: str
    smells: tuple[Smell, ...]
    advice: tuple[Advice, ...]
    trials: tuple[Trial, ...]
    estimates: tuple[Estimated, ...]
    memory: tuple[Memory, ...]
    profile: tuple[tuple[str, int, float, float], ...]

    @property
    def graph(self) -> graph.Graph:
        """Of the file described."""
        return self.subject.graph

    def value(self, metric: str, of: str = "") -> float | None:
        """One number of the report, as `requirements` name it; None where it is not known."""
        own = {
            "size_bytes": self.graph.size_bytes,
            "parameters": self.graph.parameter_count,
            "macs": self.graph.macs,
            "weight_bytes": self.graph.weight_bytes,
            "peak_activation_bytes": self.graph.peak_activation_bytes,
        }
        if metric in own:
            return float(own[metric])
        trial = next((one for one in self.trials if one.target == of), None)
        if metric == "placement":
            return trial and trial.accelerated
        estimated = next((one for one in self.estimates if one.device == of), None)
        if metric == "latency_ms" and (trial is None or trial.latency_ms is None) and estimated:
            return estimated.latency_ms
        return trial and getattr(trial, metric)

    def __str__(self) -> str:
        lines = [f"{self.subject.name}: {self.graph}", *self.subject.notes]
        for one in self.trials:
            facts = [one.placement]
            if one.latency_ms is not None:
                facts.append(f"{one.latency_ms:.3g} ms measured")
            if one.snr_db is not None:
                facts.append(f"SNR {one.snr_db:.1f} dB {one.provenance}")
            text = ", ".join(filter(None, facts)) or one.note
            lines.append(f"  {one.target:12} {text}")
        for one in self.estimates:
            if one.latency_ms is not None:
                far = ", extrapolated" if one.is_extrapolated else ""
                lines.append(
                    f"  {one.device:12} {one.latency_ms:.3g} ms estimated "
                    f"[{one.low_ms:.3g}, {one.high_ms:.3g}]{far}"
                )
        lines += [f"{number}. {one.action}: {one.gain}" for number, one in enumerate(self.advice, 1)]
        return "\n".join(lines)

    __repr__ = __str__

    def as_json(self) -> dict[str, Any]:
        """Everything as values of JSON; what is infinite or unknown is null."""
        found = self.graph
        return _finite({
            "model": self.subject.name,
            "kind": self.subject.kind,
            "notes": self.subject.notes,
            "tried_on": self.tried_on,
            "operators": found.operator_counts,
            **{name: self.value(name) for name in (
                "size_bytes", "parameters", "macs", "weight_bytes", "peak_activation_bytes")},
            "inputs": specs_in_words(found, found.inputs),
            "outputs": specs_in_words(found, found.outputs),
            **{name: [asdict(one) for one in getattr(self, name)] for name in (
                "smells", "advice", "trials", "estimates", "memory")},
            "profile": [dict(zip(PROFILE_COLUMNS, row, strict=True)) for row in self.profile],
        })  # fmt: skip


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def specs_in_words(found: graph.Graph, indices: tuple[int, ...]) -> list[str]:
    """Name, type, shape (-1 where open) and quantization of tensors, in words."""
    rows = []
    for index in indices:
        tensor = found.tensors[index]
        shape = [-1 if axis in tensor.open_axes else size for axis, size in enumerate(tensor.shape)]
        text = f"{tensor.name}: {tensor.dtype} {shape}"
        if tensor.is_quantized:
            text += f", scale {tensor.scale:.6g}, zero point {tensor.zero_point}"
        rows.append(text)
    return rows


def make(
    model: Path,
    *,
    images: Path | None = None,
    labels: Path | None = None,
    only: Collection[str] = (),
    progress: bool = False,
    **onnx_options: Sequence[float] | None,
) -> tuple[Report, Pictures]:
    """Look at a model from all sides.

    Args:
        model: a `.tflite`, `.onnx`, `.keras` or `.h5` file, or the folder of a SavedModel.
        images: folder or archive of pictures to try it on; None for noise.
        labels: text file, one class per line.
        only: names of the targets to ask; none means all.
        progress: show a progress bar.
        **onnx_options: `input_shape`, `mean` and `std` of an ONNX model, as for `open_subject`.

    Raises:
        ModelError: it cannot be read or converted.
        DataError, InputError: pictures or labels that cannot be used.
    """
    subject, pictures = open_subject(Path(model), images, labels, **onnx_options)
    found = smelling.smells(subject.graph) + saturation.saturated(subject, pictures)
    report = Report(
        subject=subject,
        tried_on=pictures.source,
        smells=found,
        advice=advising.advice(subject, found),
        trials=trying.trials(subject, pictures, only=only, progress=progress),
        estimates=trying.estimates(subject),
        memory=trying.memory(subject),
        profile=_profile(subject),
    )
    return report, pictures


def _profile(subject: Subject) -> tuple[tuple[str, int, float, float], ...]:
    try:
        rows = benchmark.operator_profile(subject.main, runs=20).by_kind()
    except EdgelabError:
        return ()
    columns = (rows[name] for name in PROFILE_COLUMNS)
    return tuple(
        (str(kind), int(count), float(total), float(share))
        for kind, count, total, share in zip(*columns, strict=True)
    )
