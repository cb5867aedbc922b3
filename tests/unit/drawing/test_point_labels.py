import itertools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgelab.drawing import point_labels


def labelled(points, names):
    figure = Figure(figsize=(8, 5))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    areas = np.full(len(points), 60.0)
    axes.scatter(*points.T, s=areas)
    point_labels.add(axes, points, names, areas)
    figure.canvas.draw()
    return axes, [text for text in axes.texts if text.get_text()]


def test_names_hide_neither_each_other_nor_points_and_stay_inside():
    points = np.random.default_rng(0).normal((0.5, 0.5), 0.03, (12, 2))
    names = [f"model {number}" for number in range(12)]
    axes, labels = labelled(points, names)
    assert [label.get_text() for label in labels] == names
    boxes = [label.get_window_extent() for label in labels]
    assert not [
        pair for pair in itertools.combinations(boxes, 2) if pair[0].shrunk(0.9, 0.9).overlaps(pair[1])
    ]
    pixels = axes.transData.transform(points)
    assert not [box for box in boxes if any(box.contains(*pixel) for pixel in pixels)]
    inside = axes.get_window_extent()
    assert all(inside.contains(*box.min) and inside.contains(*box.max) for box in boxes)
    assert sum(text.arrow_patch is not None for text in axes.texts) > 0  # in a crowd some stand far away


def test_a_lonely_point_has_its_name_beside_it_without_a_line():
    axes, (label,) = labelled(np.array([[0.5, 0.5]]), ["alone"])
    assert list(axes.texts) == [label]
    left = axes.transData.transform((0.5, 0.5))[0]
    assert 0 < label.get_window_extent().x0 - left < 12
