"""A model's graph as a figure: operators as boxes, in the order in which data flows, and where each runs.

No program besides matplotlib is needed. Boxes stand in columns, read from top to bottom and then from left to
right, so that the seventy operators of a MobileNetV2 fit a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from edgelab.display import PALETTE
from edgelab.errors import InputError
from edgelab.graph import Graph
from edgelab.texts import tr

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Where an operator runs: colour and hatch of its box's edge, which carries the word as well.
PLACES = {"accelerator": (PALETTE[2], ""), "CPU": (PALETTE[1], "////"), "": ("#777777", "")}
BOX_WIDTH, BOX_HEIGHT, LANE, ROW, GUTTER = 2.3, 0.62, 2.45, 0.9, 0.57  # units of the drawing
TITLE, DETAIL = 0.21, 0.18  # letter heights
MOST_ROWS = 18
MOST_RUNS = 30  # a longer sequence of operators is counted, not told


@dataclass(frozen=True)
class Node:
    """One box.

    Attributes:
        title: what it does.
        detail: below it, smaller.
        parents: the nodes that it reads, by position; a negative one is an operator outside the drawing,
            -1 for number 0, -2 for number 1...
        place: a key of `PLACES`.
    """

    title: str
    detail: str
    parents: tuple[int, ...]
    place: str = ""


def draw(
    graph: Graph,
    *,
    start: int = 0,
    stop: int | None = None,
    places: Sequence[str] = (),
    rows: int = 12,
) -> tuple[Figure, str]:
    """Draw the operators of a `.tflite` graph.

    Args:
        graph: from `graph.read`.
        start: first operator that is drawn.
        stop: the one after the last; None for all.
        places: for each operator of the graph, "accelerator" or "CPU"; empty where that is not the question.
        rows: boxes in a column, at most 18.

    Returns:
        The figure and its alt text, ready for `display.figure`.

    Raises:
        InputError: no operators in that range, or another number of places than operators.
    """
    operators = graph.operators[start:stop]
    if not operators or start < 0:
        raise InputError(
            tr("There are no operators from {start} to {stop}.", start=start, stop=stop),
            why=tr("the graph has {count}", count=len(graph.operators)),
        )
    if places and (len(places) != len(graph.operators) or not set(places) <= set(PLACES)):
        raise InputError(
            tr(
                "{count} places for {operators} operators.", count=len(places), operators=len(graph.operators)
            ),
            why=tr('each operator has one: "accelerator" or "CPU"'),
        )
    written_by = {index: operator.index for operator in graph.operators for index in operator.outputs}
    nodes, positions = [], {}
    if start == 0:
        for index in graph.inputs:
            positions[index] = len(nodes)
            nodes.append(Node("input", _tensor_text(graph, index, ""), ()))
    for operator in operators:
        read = [index for index in operator.inputs if index in positions or index in written_by]
        parents = tuple(positions.get(index, -1 - written_by.get(index, 0)) for index in read)
        before = graph.tensors[read[0]].dtype if nodes and read else ""
        detail = _tensor_text(graph, operator.outputs[0], before) if operator.outputs else ""
        activation = operator.options.get("fused_activation_function", "NONE")
        detail = detail if activation == "NONE" else f"+ {activation}  {detail}"
        place = places[operator.index] if places else ""
        positions |= dict.fromkeys(operator.outputs, len(nodes))
        nodes.append(Node(f"{operator.index} {operator.name}", detail, parents, place))
    return _figure(nodes, rows), _alt(nodes, len(operators), len(graph.operators))


def draw_keras(
    model: keras.Model, *, start: int = 0, stop: int | None = None, rows: int = 12
) -> tuple[Figure, str]:
    """Draw the layers of a functional Keras model: the graph before conversion.

    Args:
        model: built, without layers that are used twice.
        start: first layer that is drawn.
        stop: the one after the last; None for all.
        rows: boxes in a column, at most 18.

    Returns:
        The figure and its alt text, ready for `display.figure`.

    Raises:
        InputError: no layers in that range.
    """
    layers = model.layers[start:stop]
    if not layers or start < 0:
        raise InputError(
            tr("There are no layers from {start} to {stop}.", start=start, stop=stop),
            why=tr("it has {count}", count=len(model.layers)),
        )
    numbers = {id(layer.output): number for number, layer in enumerate(model.layers)}
    nodes = []
    for layer in layers:
        kind = type(layer).__name__
        read = [] if kind == "InputLayer" else layer.input
        read = read if isinstance(read, list) else [read]
        parents = [numbers[id(tensor)] for tensor in read]
        parents = [number - start if number >= start else -1 - number for number in parents]
        shape = "×".join(str(size) for size in layer.output.shape[1:])
        nodes.append(Node(kind, shape, tuple(parents)))
    return _figure(nodes, rows), _alt(nodes, len(layers), len(model.layers), "layer")


def _tensor_text(graph: Graph, index: int, before: str) -> str:
    """Shape of one image's tensor, and its type where that is another than before."""
    tensor = graph.tensors[index]
    shape = "×".join(map(str, tensor.shape[1:] if len(tensor.shape) > 1 else tensor.shape)) or "scalar"
    return shape if tensor.dtype == before else f"{shape} {tensor.dtype}"


def _alt(nodes: list[Node], count: int, total: int, word: str = "operator") -> str:
    """The drawing in words: what follows what, which boxes are skipped over, and what runs on the CPU."""
    names = [_without_number(node.title) for node in nodes if node.title not in ("input", "InputLayer")]
    runs = [(name, len(list(group))) for name, group in groupby(names)]
    order = "in order"
    if len(runs) > MOST_RUNS:
        runs, order = Counter(names).most_common(), "by kind"
    sequence = ", ".join(name if times == 1 else f"{times} {name}" for name, times in runs)
    parts = [f"Graph of {count} of {total} {word}s, {order}: {sequence}."]
    skips = [
        f"{nodes[parent].title} to {node.title}"
        for position, node in enumerate(nodes)
        for parent in node.parents
        if 0 <= parent < position - 1
    ]
    if skips:
        parts.append(f"Connections that skip others: {'; '.join(skips)}.")
    if any(node.place for node in nodes):
        cpu = [node.title for node in nodes if node.place == "CPU"]
        drawn = sum(bool(node.place) for node in nodes)
        some = f"{len(cpu)} of {drawn} on the CPU: {', '.join(cpu)}."
        parts.append(some if cpu else "None of them is on the CPU.")
    return " ".join(parts)


def _without_number(title: str) -> str:
    number, _, name = title.partition(" ")
    return name if number.isdigit() else title


def _layers(nodes: list[Node]) -> list[int]:
    """Each node's row: one below the lowest of its parents. Its order in its row is that of the graph."""
    rows: list[int] = []
    for node in nodes:
        rows.append(1 + max((rows[parent] for parent in node.parents if parent >= 0), default=-1))
    return rows


def _positions(layers: list[int], rows: int) -> list[tuple[float, float]]:
    """Centre of each box, y downwards; `rows` layers to a column, boxes of one layer side by side."""
    taken: Counter[int] = Counter()
    lanes = []
    for layer in layers:
        lanes.append(taken[layer])
        taken[layer] += 1
    left, lefts = 0.0, []
    for column in range(max(layers) // rows + 1):
        lefts.append(left)
        widest = max(count for layer, count in taken.items() if layer // rows == column)
        left += widest * LANE + GUTTER
    return [
        (lefts[layer // rows] + lane * LANE + BOX_WIDTH / 2, (layer % rows) * ROW)
        for layer, lane in zip(layers, lanes, strict=True)
    ]


def _figure(nodes: list[Node], rows: int) -> Figure:
    import matplotlib.pyplot as plt

    rows = max(1, min(rows, MOST_ROWS))
    layers = _layers(nodes)
    centres = _positions(layers, rows)
    kinds = list(dict.fromkeys(node.place for node in nodes if node.place))
    width = max(max(x for x, _ in centres) + BOX_WIDTH / 2, len(kinds) * LANE) + GUTTER
    top = -BOX_HEIGHT / 2 - 0.35 - (0.4 if kinds else 0)
    bottom = max(y for _, y in centres) + BOX_HEIGHT / 2 + 0.2
    scale = min(0.8, 11 / width)  # wider than that, a page would shrink the letters anyway
    fig = plt.figure(figsize=(width * scale, (bottom - top) * scale))
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.2, width - 0.2), ylim=(bottom, top))
    axes.axis("off")
    points = 72 * scale  # of one unit of the drawing
    for child, node in enumerate(nodes):
        for parent in node.parents:
            if parent < 0:
                _edge_from_outside(axes, centres[child], -1 - parent, points)
            else:
                places = layers[parent], layers[child]
                _edge(axes, centres[parent], centres[child], places, rows)
    for node, centre in zip(nodes, centres, strict=True):
        _box(axes, node, *centre, points)
    for number, place in enumerate(kinds):
        _mark(axes, number * LANE, top + 0.05, 0.3, 0.22, place)
        axes.text(
            number * LANE + 0.4, top + 0.16, f"on the {place}", va="center", fontsize=TITLE * points * 0.9
        )
    return fig


def _mark(axes: Axes, x: float, y: float, width: float, height: float, place: str) -> None:
    """The sign of a place: filled or hatched, so that colour is not needed to tell them apart."""
    from matplotlib.patches import Rectangle

    colour, hatch = PLACES[place]
    face = "white" if hatch else colour
    axes.add_patch(Rectangle((x, y), width, height, facecolor=face, edgecolor=colour, hatch=hatch, lw=1))


def _box(axes: Axes, node: Node, x: float, y: float, points: float) -> None:
    """A white box with the mark on its left edge, so that letters never stand on a colour or a hatch."""
    from matplotlib.patches import Rectangle

    left, over, strip = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2, 0.16 if node.place else 0
    colour, _ = PLACES[node.place]
    axes.add_patch(
        Rectangle((left, over), BOX_WIDTH, BOX_HEIGHT, facecolor="white", edgecolor=colour, lw=1.2)
    )
    if node.place:
        _mark(axes, left, over, strip, BOX_HEIGHT, node.place)
    room, middle = BOX_WIDTH - strip - 0.06, x + strip / 2
    detail = f"{node.detail}  CPU" if node.place == "CPU" else node.detail
    for text, height, offset, colour in (
        (node.title, TITLE, -0.12, "#111111"),
        (detail, DETAIL, 0.15, "#333333"),
    ):
        size = min(height, room / (0.66 * max(1, len(text)))) * points  # a letter is 0.66 of its height wide
        axes.text(middle, y + offset, text, ha="center", va="center", fontsize=size, color=colour)


ARROW = {"arrowstyle": "-|>", "color": "#333333", "lw": 1.2, "shrinkA": 0, "shrinkB": 0}


def _edge_from_outside(axes: Axes, child: tuple[float, float], number: int, points: float) -> None:
    """A dashed arrow from an operator that is not drawn, with its number."""
    x, top = child[0] - BOX_WIDTH / 4, child[1] - BOX_HEIGHT / 2
    start = (x - BOX_WIDTH / 8, top - 0.18)
    axes.annotate("", (x, top), start, arrowprops=ARROW | {"linestyle": "--"})
    axes.text(start[0] - 0.05, start[1], f"from {number}", fontsize=0.15 * points, va="center", ha="right")


def _edge(
    axes: Axes,
    parent: tuple[float, float],
    child: tuple[float, float],
    layers: tuple[int, int],
    rows: int,
) -> None:
    """An arrow between boxes: straight down, in a bow around those between, or over to another column."""
    (from_x, from_y), (x, y) = parent, child
    same_column, is_next = layers[0] // rows == layers[1] // rows, layers[1] == layers[0] + 1
    above, right = y - BOX_HEIGHT / 2, from_x + BOX_WIDTH / 2
    if same_column and is_next:
        axes.annotate("", (x, above), (from_x, from_y + BOX_HEIGHT / 2), arrowprops=ARROW)
        return
    if same_column:
        span = y - from_y
        bow = GUTTER * min(0.75, 0.25 + 0.05 * span)  # a longer one stands out further
        arc = ARROW | {"connectionstyle": f"arc3,rad={-2 * bow / span}"}
        axes.annotate("", (x + BOX_WIDTH / 2, y - 0.1), (right, from_y + 0.1), arrowprops=arc)
        return
    if is_next:  # below the last box, up between the columns, into the first box from above
        below, gutter, over = from_y + BOX_HEIGHT / 2, x - BOX_WIDTH / 2 - GUTTER / 2, above - 0.22
        path = [(from_x, below), (from_x, below + 0.12), (gutter, below + 0.12), (gutter, over), (x, over)]
        end = (x, above)
    else:
        # Neighbours' lines stand apart.
        gutter, end = right + (0.2 + 0.15 * (layers[0] % 2)) * GUTTER, (x - BOX_WIDTH / 2, y)
        path = [(right, from_y), (gutter, from_y), (gutter, y)]
    axes.plot(*zip(*path, strict=True), "-", color="#333333", lw=1.2)
    axes.annotate("", end, path[-1], arrowprops=ARROW)
