"""The Pareto plot."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from edgelab import results
from edgelab.results import Result

matplotlib.use("agg")


def test_pareto_front_is_what_no_other_point_beats():
    latency_ms = np.array([1.0, 2.0, 3.0, 1.0, 5.0])
    accuracy = np.array([0.7, 0.9, 0.8, 0.6, 0.95])
    assert results.pareto_front(latency_ms, accuracy).tolist() == [0, 1, 4]


def test_pareto_plot_draws_what_is_known_and_names_what_is_not():
    both = {"model": "net", "target": "cpu"}
    frame = results.to_frame(
        [
            Result("latency", 1, precision="int8", **both),
            Result("accuracy", 0.9, precision="int8", **both),
            Result("size", 1e6, precision="int8", **both),
            Result("latency", 2, precision="float32", **both),
            Result("accuracy", 0.92, precision="float32", **both),
            Result("latency", 3, precision="float16", **both),
        ]
    )
    fig = results.plot_pareto(frame)
    axes = fig.axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 2
    filled = [colour[3] for points in axes.collections for colour in points.get_facecolors()]
    assert sorted(filled) == [0.0, 0.8]  # float32 has no known size: hollow
    assert "float16 cpu" in axes.get_title(loc="left")
    assert {text.get_text() for text in axes.texts} == {"int8", "float32"}
    front = next(line for line in axes.lines if len(line.get_xdata()) == 2)
    assert front.get_ydata().tolist() == pytest.approx([90, 92])
    empty = results.plot_pareto(frame[frame["metric"] == "latency"])
    assert "No model" in empty.axes[0].texts[0].get_text()
    matplotlib.pyplot.close("all")
