"""One record per number: what was measured, on what, and where the number comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import numpy as np

from edgelab.errors import InputError
from edgelab.texts import tr

if TYPE_CHECKING:
    from edgelab.benchmark import Measurement

# The one unit each common metric is stored in, so that two chapters can never disagree about it.
UNITS = {
    "accuracy": "fraction",
    "agreement": "fraction",
    "latency": "ms",
    "throughput": "1/s",
    "size": "bytes",
    "peak_memory": "bytes",
    "energy": "mJ",
    "power": "W",
    "price": "USD",
    "peak_compute": "TOPS",
}
# Strongest evidence first: where a table has one place for two records, the first one is shown.
PROVENANCES = ("measured", "simulated", "published", "estimated")
PROVENANCE_GLYPHS = {"measured": "●", "simulated": "■", "published": "◆", "estimated": "▲"}
ROW_KEY = ["model", "precision", "target", "device", "dataset"]
MAIN_METRICS = ["accuracy", "latency", "size"]


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Samples:
    """The timings behind one value, in the value's unit.

    Attributes:
        n: how many there are.
        median, p05, p95: their 50th, 5th and 95th percentile.
        low, high: 95 % confidence interval of the median.
    """

    n: int
    median: float
    p05: float
    p95: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """One number and everything needed to trust it.

    Attributes:
        metric: what was determined, such as "latency" or "accuracy".
        value: the number, in `unit`.
        unit: filled in for the metrics in `UNITS`; accuracy is a fraction, 0 to 1.
        target: which runtime, such as "cpu" or "edgetpu".
        device: the chip or board.
        model: name of the network.
        precision: "float32", "int8", …
        dataset: what an accuracy was measured on.
        provenance: "measured" here, "simulated" by the vendor's tool, "estimated" by our model, "published".
        source: where a published number stands; else optional.
        runtime_version: name and version of what executed the model.
        samples: the timings behind the value.
        placement: "31 of 31 operators" on the accelerator.
        image_count: pictures behind an accuracy or an agreement, read from a source such as "200 test images"
            where it is not given; 0 where that is unknown.
        created: UTC time, ISO 8601.

    Raises:
        InputError: unknown provenance, a published number without source, a value that is not finite, or a
            unit that differs from the one in `UNITS`.
    """

    metric: str
    value: float
    unit: str = ""
    target: str = ""
    device: str = ""
    model: str = ""
    precision: str = ""
    dataset: str = ""
    provenance: str = "measured"
    source: str = ""
    runtime_version: str = ""
    samples: Samples | None = None
    placement: str = ""
    image_count: int = 0
    created: str = field(default_factory=_now)

    def __post_init__(self) -> None:
        if self.provenance not in PROVENANCES:
            raise InputError(
                tr("provenance is {provenance!r}.", provenance=self.provenance),
                why=tr("a number must say where it comes from"),
                fix=tr("use one of {provenances}", provenances=", ".join(PROVENANCES)),
            )
        if self.provenance == "published" and not self.source.strip():
            raise InputError(
                tr(
                    "The published {metric} of {model} has no source.",
                    metric=self.metric,
                    model=self.model or tr("a model"),
                ),
                why=tr("a figure that nobody can look up is a rumour"),
                fix=tr("give source=, the document and its version"),
            )
        if not np.isfinite(self.value):
            raise InputError(
                tr("{metric} is {value}.", metric=self.metric, value=self.value),
                why=tr("a record holds a finite number; what was not measured has no record"),
                fix=tr("leave the record out"),
            )
        known = UNITS.get(self.metric, self.unit)
        if self.unit and self.unit != known:
            raise InputError(
                tr("{metric} is given in {unit!r}.", metric=self.metric, unit=self.unit),
                why=tr(
                    "{metric} is always stored in {known!r}, so that values can be compared",
                    metric=self.metric,
                    known=known,
                ),
                fix=tr("convert the value to {known!r}, or leave unit out", known=known),
            )
        if not self.image_count and (told := re.match(r"(\d+) test images", self.source)):
            object.__setattr__(self, "image_count", int(told[1]))
        object.__setattr__(self, "unit", known)
        object.__setattr__(self, "value", float(self.value))

    def __str__(self) -> str:
        where = " ".join(part for part in (self.model, self.precision, self.target, self.device) if part)
        return f"{self.metric} of {where}: {format_value(self.value, self.unit)} ({self.provenance})"


def format_value(value: float, unit: str) -> str:
    """A number with its unit as people read it: 91.2 %, 1.29 ms, 0.62 MB."""
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    if unit == "bytes":
        return f"{value / 1e6:.2f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text}/s" if unit == "1/s" else f"{text} {unit}".strip()


def from_measurement(
    measurement: Measurement, *, model: str, precision: str, dataset: str = ""
) -> tuple[Result, ...]:
    """The records of one benchmark: latency, throughput, and energy where a counter was read.

    Args:
        measurement: from `benchmark.measure` or a row of `benchmark.compare`.
        model: the network's name.
        precision: of the file that ran, such as "int8".
        dataset: the data set the model belongs to, so that its records meet in one row of the table.

    Returns:
        Records ready for `append`.
    """
    common = {
        "target": measurement.target,
        "device": measurement.device,
        "model": model,
        "precision": precision,
        "dataset": dataset,
        "provenance": measurement.provenance,
        "runtime_version": measurement.runtime_version,
        "placement": str(measurement.placement or ""),
    }
    low, high = measurement.interval_ms
    samples = Samples(
        len(measurement.samples_ms),
        measurement.median_ms,
        measurement.p05_ms,
        measurement.p95_ms,
        low,
        high,
    )
    records = [
        Result("latency", measurement.median_ms, samples=samples, **common),
        Result("throughput", measurement.throughput_per_s, **common),
    ]
    if measurement.energy_mj is not None:
        records.append(Result("energy", measurement.energy_mj, **common))
    return tuple(records)
