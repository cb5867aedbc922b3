"""What Prometheus reads at /metrics: a registry of its own, filled from the state at each reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Numbers of one application.

    Args:
        state: gives what `Application.state` gives.
    """

    def __init__(self, state: Callable[[], dict[str, Any]]) -> None:
        self._state, self._registry = state, CollectorRegistry()
        self._registry.register(self)
        self._latency = Histogram(
            "edgelab_latency_seconds",
            "From a frame's capture until its picture was published.",
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._inference = Histogram(
            "edgelab_inference_seconds",
            "The model's time for a frame.",
            buckets=BUCKETS_S,
            registry=self._registry,
        )

    def count_frame(self, latency_ms: float, inference_ms: float) -> None:
        """Note one frame."""
        self._latency.observe(latency_ms / 1e3)
        self._inference.observe(inference_ms / 1e3)

    def describe(self) -> Iterator[Metric]:
        """Nothing: so the registry asks for no state when this is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All numbers that are states rather than sums of frames."""
        state = self._state()
        source, history = state["source"], state["history"]
        yield _gauge("edgelab_up", "1 while frames come.", source["status"] == "running")
        yield _gauge("edgelab_frames_per_second", "Over the last frames.", source["fps"])
        yield _counter("edgelab_frames", "Frames that went all the way.", source["frames"])
        yield _counter("edgelab_frames_dropped", "Frames skipped for newer ones.", source["dropped"])
        yield _counter("edgelab_source_opened", "Times that the source was opened.", source["opened"])
        yield _gauge("edgelab_viewers", "Who watches the live view.", state["viewers"])
        yield _counter("edgelab_alarms", "Alarms told since the start.", state["alarms"])
        yield _gauge("edgelab_history_writing", "0 while the disk takes nothing.", history["is_writing"])
        yield _gauge("edgelab_history_in_memory", "What waits to be written.", history["in_memory"])
        yield _counter("edgelab_history_lost", "What could not be written.", history["lost"])
        yield _gauge("edgelab_memory_bytes", "Resident memory of the process.", state["memory_bytes"])
        waiting = GaugeMetricFamily(
            "edgelab_alarms_waiting", "Alarms that a receiver does not have.", labels=["receiver"]
        )
        delivered = CounterMetricFamily(
            "edgelab_alarms_delivered", "Alarms that a receiver has.", labels=["receiver"]
        )
        for name, one in state["receivers"].items():
            waiting.add_metric([name], one["waiting"])
            delivered.add_metric([name], one["delivered"])
        yield waiting
        yield delivered

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=float(value))


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=float(value))
