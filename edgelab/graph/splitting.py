"""A model cut into two `.tflite` files, one after the other: for two threads, chips or machines."""

from __future__ import annotations

from edgelab.errors import InputError
from edgelab.graph.editing import prefix
from edgelab.graph.packing import packed, unpacked
from edgelab.graph.reading import read
from edgelab.graph.records import Graph
from edgelab.texts import tr


def cut_points(found: Graph) -> tuple[int, ...]:
    """Operators after which one tensor goes on to the rest of a model, and nothing else does.

    Args:
        found: as `read` gives it, without control flow.

    Returns:
        Their indices, rising. At a branch of the network, such as within a residual block, there is none.
    """
    points = []
    for last, operator in enumerate(found.operators[:-1]):
        before, after = found.operators[: last + 1], found.operators[last + 1 :]
        needed = {index for later in after for index in later.inputs} | set(found.outputs)
        made = {index for earlier in before for index in earlier.outputs} | set(found.inputs)
        if needed & made == {operator.outputs[0]}:
            points.append(last)
    return tuple(points)


def split(model: bytes, last_operator: int) -> tuple[bytes, bytes]:
    """Two files: what the first gives is what the second takes, bit by bit.

    Args:
        model: the content of a `.tflite` file.
        last_operator: the last one of the first file, one of `cut_points`.

    Returns:
        The contents of two `.tflite` files.

    Raises:
        ModelError: not a whole TFLite model, or one with control flow.
        InputError: more than one tensor would have to go on.
    """
    first, found = prefix(model, last_operator), read(model)
    points = cut_points(found)
    if last_operator not in points:
        raise InputError(
            tr("The model cannot be split after operator {last_operator}.", last_operator=last_operator),
            why=tr("a split hands on one tensor; at a branch of the network there are more"),
            fix=tr("choose one of {points}", points=", ".join(map(str, points)))
            if points
            else tr("choose a model that is a chain somewhere"),
        )
    whole = unpacked(model)
    rest = whole.subgraphs[0]
    rest.operators = rest.operators[last_operator + 1 :]
    rest.inputs = [found.operators[last_operator].outputs[0]]
    whole.signatureDefs = None  # they name an input that is one no longer
    used = {
        rest.tensors[index].buffer for operator in rest.operators for index in operator.inputs if index >= 0
    }
    for index, stored in enumerate(whole.buffers):
        if index not in used:
            stored.data = None
    return first, packed(whole)
