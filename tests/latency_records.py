"""A latency with its interval, as a record."""

from __future__ import annotations

from edgelab.results import Result, Samples


def latency(value, half_width=0.0, **what):
    samples = Samples(100, value, value, value, value - half_width, value + half_width)
    return Result("latency", value, model="net", samples=samples, **what)
