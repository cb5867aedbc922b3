"""What every figure of the course must keep to, so that all can read it; `findings` names what does not."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

TEXT_CONTRAST, MARK_CONTRAST = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11
SMALLEST_POINTS = 6.9  # when the figure is as wide as a page
PAGE_INCHES = 8.5
PIXELS_APART = 2  # texts' boxes are a little larger than their letters


def findings(figure: Figure) -> list[str]:
    """What a reader would trip over, one sentence each."""
    FigureCanvasAgg(figure)
    texts = drawn_texts(figure)
    return [
        *small_texts(figure, texts),
        *pale_texts(figure, texts),
        *pale_marks(figure, texts),
        *overlapping_texts(texts),
        *covered_data(figure),
        *axes_without_labels(figure, texts),
        *told_by_colour_alone(figure),
    ]


def drawn_texts(figure: Figure) -> list[Text]:
    """Every text that drawing the figure really draws."""
    drawn: dict[int, Text] = {}
    draw = Text.draw

    def record(text: Text, renderer: RendererAgg, *args: object, **kwargs: object) -> None:
        if text.get_visible() and text.get_text().strip():
            drawn[id(text)] = text
        draw(text, renderer, *args, **kwargs)

    with mock.patch.object(Text, "draw", record):
        figure.canvas.draw()
    return list(drawn.values())


def watch(folder: str) -> None:
    """Judge every figure that this process shows by `display.figure`, and note the findings in `folder`."""
    from edgelab import display

    show, show_header = display.figure, display.header
    chapter = "unknown"

    def header(notebook: str) -> None:
        nonlocal chapter
        chapter = notebook
        (Path(folder) / f"{chapter}.jsonl").unlink(missing_ok=True)
        show_header(notebook)

    def figure(fig: Figure, alt: str, caption: str = "") -> None:
        show(fig, alt, caption)
        try:
            found = findings(fig)
        except Exception as error:  # the chapter must not notice
            found = [f"not judged: {error!r}"]
        with (Path(folder) / f"{chapter}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"chapter": chapter, "alt": alt, "findings": found}) + "\n")

    display.figure, display.header = figure, header


def small_texts(figure: Figure, texts: Iterable[Text]) -> list[str]:
    shrinks = min(1.0, PAGE_INCHES / figure.get_tightbbox().width)
    return [
        f"small: {text.get_text()!r} has {text.get_fontsize() * shrinks:.1f} points on a page"
        for text in texts
        if text.get_fontsize() * shrinks < SMALLEST_POINTS
    ]


def contrast(one: Iterable[float], other: Iterable[float]) -> float:
    """The ratio of two colours' luminances, 1 to 21 (WCAG 2.2)."""

    def luminance(colour: Iterable[float]) -> float:
        rgb = np.asarray(list(colour)[:3])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def pale_texts(figure: Figure, texts: Iterable[Text]) -> list[str]:
    with mock.patch.object(RendererAgg, "draw_text", lambda *args, **kwargs: None):
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    figure.canvas.draw()
    found = []
    for text in texts:
        box = text.get_window_extent()
        top, bottom = pixels.shape[0] - box.y1, pixels.shape[0] - box.y0
        behind = pixels[max(0, int(top)) : int(bottom) + 1, max(0, int(box.x0)) : int(box.x1) + 1]
        if not behind.size:
            continue  # beyond the figure, where bbox_inches="tight" adds white
        colours, counts = np.unique(behind.reshape(-1, 3), axis=0, return_counts=True)
        ground = colours[counts.argmax()] / 255
        alpha = 1.0 if text.get_alpha() is None else text.get_alpha()
        colour = alpha * np.array(to_rgb(text.get_color())) + (1 - alpha) * ground
        ratio = contrast(colour, ground)
        if ratio < TEXT_CONTRAST:
            found.append(f"pale: {text.get_text()!r} has a contrast of {ratio:.1f}")
    return found


def pale_marks(figure: Figure, texts: Iterable[Text]) -> list[str]:
    """Lines, bars and points that hardly stand out from the ground. An edge is enough, and so is a name."""
    middles = [text.get_window_extent().get_points().mean(axis=0) for text in texts]
    found = []
    for axes in figure.axes:
        if axes.images:
            continue  # pictures have many grounds
        ground = np.array(axes.get_facecolor()[:3])
        for artist in (*axes.lines, *axes.patches, *axes.collections):
            ratios = [contrast(_over(colour, ground), ground) for colour in _colours(artist)]
            if not artist.get_visible() or not ratios or max(ratios) >= MARK_CONTRAST or _is_band(artist):
                continue
            if not any(artist.get_window_extent().contains(*middle) for middle in middles):
                found.append(
                    f"pale: {type(artist).__name__} {artist.get_label()!r}, contrast {max(ratios):.1f}"
                )
    return sorted(set(found))


def _is_band(artist: Artist) -> bool:
    """Whether it tints a part of the ground from one side of the axes to the other."""
    if not isinstance(artist, Rectangle):
        return False
    box, axes = artist.get_window_extent(), artist.axes.get_window_extent()
    return box.height >= axes.height - 1 or box.width >= axes.width - 1


def _over(colour: np.ndarray, ground: np.ndarray) -> np.ndarray:
    return colour[3] * colour[:3] + (1 - colour[3]) * ground


def _colours(artist: Artist) -> list[np.ndarray]:
    """What a mark is drawn with, as RGBA: strokes and fill."""
    if isinstance(artist, Line2D):
        marked = artist.get_marker() not in ("None", None, "", " ")
        drawn = [artist.get_color()] if artist.get_linestyle() != "None" else []
        drawn += [artist.get_markerfacecolor(), artist.get_markeredgecolor()] if marked else []
        return [np.array(to_rgba(colour, artist.get_alpha())) for colour in drawn]
    stroked = np.max(artist.get_linewidth()) > 0
    fills = np.atleast_2d(artist.get_facecolor())
    strokes = np.atleast_2d(artist.get_edgecolor()) if stroked else np.empty((0, 4))
    return [colour for colour in (*fills[:1], *strokes[:1]) if len(colour) == 4]


def _boxes(texts: Iterable[Text]) -> list[tuple[str, Bbox]]:
    return [(text.get_text(), text.get_window_extent()) for text in texts if text.get_rotation() % 90 == 0]


def overlapping_texts(texts: Iterable[Text]) -> list[str]:
    found = []
    for (one, box), (other, second) in itertools.combinations(_boxes(texts), 2):
        both = Bbox.intersection(box, second)
        if both is not None and both.width > PIXELS_APART and both.height > PIXELS_APART:
            found.append(f"overlap: {one!r} and {other!r}")
    return found


def covered_data(figure: Figure) -> list[str]:
    """Legends that lie on what they explain."""
    found = []
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is None or not legend.get_visible():
            continue
        box = legend.get_frame().get_window_extent()
        points = [_pixels_of(artist) for artist in (*axes.lines, *axes.collections)]
        inside = sum(int(box.contains(x, y)) for some in points for x, y in some)
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_height() > 0]
        hit = [bar for bar in bars if _overlap(box, bar.get_window_extent())]
        if inside or hit:
            found.append(f"covered: the legend lies on {inside} points and {len(hit)} bars")
    return found


def _overlap(one: Bbox, other: Bbox) -> bool:
    both = Bbox.intersection(one, other)
    return both is not None and both.width > PIXELS_APART and both.height > PIXELS_APART


def _pixels_of(artist: Line2D | PathCollection) -> np.ndarray:
    """Points of a curve, with those between them, or of a scatter, in pixels; a straight line only guides."""
    if isinstance(artist, Line2D):
        points = artist.get_transform().transform(artist.get_xydata())
        if len(points) > 2 and artist.get_linestyle() != "None":
            steps = np.linspace(0, 1, 20)[:, None]
            points = np.concatenate([a + (b - a) * steps for a, b in itertools.pairwise(points)])
        return points
    if isinstance(artist, PathCollection):
        return artist.get_offset_transform().transform(artist.get_offsets())
    return np.empty((0, 2))


def axes_without_labels(figure: Figure, texts: list[Text]) -> list[str]:
    drawn = {id(text) for text in texts}
    found = []
    for axes in figure.axes:
        if not axes.axison:
            continue
        for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            ticks = [label for label in axis.get_ticklabels() if id(label) in drawn]
            if not _is_a_scale(axis, ticks):
                continue
            siblings = getattr(axes, f"get_shared_{name}_axes")().get_siblings(axes)
            labels = [getattr(other, f"{name}axis").label.get_text() for other in siblings]
            labels.append(
                getattr(figure, f"_sup{name}label") and getattr(figure, f"_sup{name}label").get_text()
            )
            if not any(labels):
                found.append(f"no label: {name} axis of {axes.get_title() or 'the figure'!r}")
    return found


def _is_a_scale(axis: Axis, ticks: list[Text]) -> bool:
    """Whether its ticks are numbers: names explain themselves."""
    return any(re.search(r"^[−-]?[\d.,]+$|10\^", tick.get_text()) for tick in ticks)


def told_by_colour_alone(figure: Figure) -> list[str]:
    found = []
    legends = [part for part in figure.findobj(Legend) if part.get_visible()]
    for legend in legends:
        entries = list(zip(legend.legend_handles, legend.get_texts(), strict=True))
        for (one, name), (other, second) in itertools.combinations(entries, 2):
            if _look(one) == _look(other) and contrast(_colour(one), _colour(other)) < MARK_CONTRAST:
                found.append(f"colour alone: {name.get_text()!r} and {second.get_text()!r}")
    return found


def _look(handle: object) -> tuple:
    """What a handle shows besides its colour."""
    if isinstance(handle, Line2D):
        return (
            "line",
            str(handle._dash_pattern if handle.get_linestyle() != "None" else None),
            str(handle.get_marker()),
        )
    if isinstance(handle, Patch):
        return ("patch", handle.get_hatch())
    if isinstance(handle, PathCollection):
        return ("points", handle.get_paths()[0].vertices.tobytes())
    return (type(handle).__name__,)


def _colour(handle: object) -> tuple[float, ...]:
    if isinstance(handle, Line2D):
        return to_rgb(
            handle.get_color() if handle.get_linestyle() != "None" else handle.get_markerfacecolor()
        )
    colour = handle.get_facecolor()
    return tuple(np.atleast_2d(colour)[0][:3]) if len(np.atleast_2d(colour)) else (0, 0, 0)
