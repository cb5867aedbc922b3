"""Names beside the points of a scatter plot, where they hide neither a point nor each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

# Pixels from a marker's edge, in the order in which they are tried; a thin line leads to names further away.
DISTANCES, FARTHEST_WITHOUT_LINE = (3, 14, 26, 40, 56, 74, 94), 3
DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def add(axes: Axes, points: np.ndarray, names: Sequence[str], areas: np.ndarray, fontsize: float = 9) -> None:
    """Name every point. Limits, legend and layout must be settled; they stay as they are.

    Args:
        axes: where the points are drawn.
        points: shape [N, 2], in data coordinates.
        names: N texts.
        areas: shape [N], the markers' areas in points², as `scatter` takes them.
        fontsize: of the names, in points.
    """
    from matplotlib.transforms import Bbox

    figure = axes.get_figure()
    figure.canvas.draw()
    figure.set_layout_engine("none")
    centres = axes.transData.transform(points)
    radii = np.sqrt(areas) / 2 * figure.dpi / 72
    taken = [Bbox([centre - radius, centre + radius]) for centre, radius in zip(centres, radii, strict=True)]
    for name, point, centre, radius in zip(names, points, centres, radii, strict=True):
        label = axes.annotate(name, point, textcoords="offset pixels", xytext=(0, 0), fontsize=fontsize)
        size = np.array(label.get_window_extent().size)
        middle, needs_line = _free_place(centre, radius, size, taken, axes.get_window_extent())
        box = Bbox([middle - size / 2, middle + size / 2])
        taken.append(box)
        label.set(position=middle - centre, ha="center", va="center")
        if needs_line:
            end = np.clip(centre, box.min, box.max)
            line = {"arrowstyle": "-", "lw": 0.7, "color": "0.35", "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", point, textcoords="offset pixels", xytext=end - centre, arrowprops=line)


def _free_place(
    centre: np.ndarray, radius: float, size: np.ndarray, taken: Sequence[Bbox], inside: Bbox
) -> tuple[np.ndarray, bool]:
    """Where the middle of a name goes, in pixels, and whether a line must lead there."""
    from matplotlib.transforms import Bbox

    for distance, direction in itertools.product(DISTANCES, DIRECTIONS):
        middle = centre + np.array(direction) * (size / 2 + radius + distance)
        low, high = middle - size / 2, middle + size / 2
        is_inside = (low >= inside.min).all() and (high <= inside.max).all()
        if is_inside and not any(Bbox([low, high]).overlaps(other) for other in taken):
            return middle, distance > FARTHEST_WITHOUT_LINE
    return centre + np.array(DIRECTIONS[0]) * (size / 2 + radius), False  # no place is free: beside the point
