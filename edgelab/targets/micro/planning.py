"""Where each activation goes in the arena: lifetimes, the peak, and the greedy plan of TFLM."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgelab import graph

# Bytes, and the first and the last operator that need them.
Block = tuple[int, int, int]


def lifetimes(model: graph.Graph) -> dict[int, tuple[int, int]]:
    """The first and the last operator that need each activation, by the tensor's index.

    An input of the model is there from operator 0, an output must last until the last operator. What the file
    holds (weights, shapes) needs no place.
    """
    first: dict[int, int] = dict.fromkeys(model.inputs, 0)
    last: dict[int, int] = {}
    for operator in model.operators:
        for index in (*operator.inputs, *operator.outputs):
            if index >= 0 and not model.tensors[index].is_constant:
                first.setdefault(index, operator.index)
                last[index] = operator.index
    last |= dict.fromkeys(model.outputs, model.operators[-1].index)
    return {index: (first[index], last[index]) for index in last}


def blocks(model: graph.Graph, step_bytes: int = 16) -> dict[int, Block]:
    """What must be placed, by the tensor's index: sizes as the allocator rounds them up."""
    return {
        index: (-(-model.tensors[index].size_bytes // step_bytes) * step_bytes, first, last)
        for index, (first, last) in sorted(lifetimes(model).items())
    }


def peak_bytes(blocks: Iterable[Block]) -> int:
    """Bytes of the blocks that are alive at the busiest operator: no plan needs less."""
    blocks = list(blocks)
    return max(sum(size for size, first, last in blocks if first <= now <= last) for _, now, _ in blocks)


def lowest_offset(size: int, taken: Iterable[tuple[int, int]]) -> int:
    """The lowest offset at which `size` bytes overlap nothing that is taken, as (offset, bytes)."""
    start = 0
    for offset, length in sorted(taken):
        if start + size <= offset:
            break
        start = max(start, offset + length)
    return start


def plan(blocks: Sequence[Block]) -> list[int]:
    """An offset for each block, the largest placed first, as `GreedyMemoryPlanner` of TFLM does.

    Blocks that are needed at the same time do not overlap. Of equal blocks, the earlier is placed first; TFLM
    places the later first.
    """
    placed: dict[int, int] = {}
    for number in sorted(range(len(blocks)), key=lambda number: -blocks[number][0]):
        size, first, last = blocks[number]
        taken = [
            (offset, blocks[other][0])
            for other, offset in placed.items()
            if blocks[other][1] <= last and first <= blocks[other][2]
        ]
        placed[number] = lowest_offset(size, taken)
    return [placed[number] for number in range(len(blocks))]
