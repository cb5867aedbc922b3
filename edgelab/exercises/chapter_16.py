"""The checks of chapter 16: a memory plan in four steps, what fits on a board, C source, firmware tested."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from edgelab.exercises import c_source
from edgelab.exercises.registry import Mistake, exercise
from edgelab.graph import Graph, Operator, Tensor
from edgelab.texts import tr

Block = tuple[int, int, int]  # bytes, first and last operator


def lifetimes(model: Graph) -> dict[int, tuple[int, int]]:
    """The first and the last operator that need each activation, by the tensor's index."""
    first: dict[int, int] = dict.fromkeys(model.inputs, 0)
    last: dict[int, int] = {}
    for operator in model.operators:
        for index in (*operator.inputs, *operator.outputs):
            if index >= 0 and not model.tensors[index].is_constant:
                first[index] = first.get(index, operator.index)
                last[index] = operator.index
    last |= dict.fromkeys(model.outputs, model.operators[-1].index)
    return {index: (first[index], last[index]) for index in last}


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
    """An offset for each block, the largest first; of equal ones the earlier, where TFLM takes the later."""
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


def _graph(seed: int, count: int = 7) -> Graph:
    """A network of `count` operators at random: shortcuts, weights, a missing bias, a result nobody reads.

    Its second input is read late, and one of its outputs is computed early.
    """
    rng = random.Random(seed)
    constant: list[bool] = []

    def tensor(*, is_constant: bool = False) -> int:
        constant.append(is_constant)
        return len(constant) - 1

    inputs = (tensor(), tensor())
    known, operators = [inputs[0]], []
    for index in range(count):
        reads = [known[-1], *rng.sample(known, k=min(len(known), rng.randint(0, 2)))]
        if index == count // 2:
            reads.append(inputs[1])
        reads.append(tensor(is_constant=True) if rng.random() < 0.6 else -1)
        writes = [tensor() for _ in range(1 + (index % 3 == 1))]
        known.append(writes[0])
        operators.append(Operator(index, "CONV_2D", 1, tuple(reads), tuple(writes), 0, {}, is_custom=False))
    sizes = rng.sample(range(16, 4000, 16), len(constant))
    tensors = tuple(
        Tensor(index, f"t{index}", (size,), "int8", (), (), 0, is_weight, False, (), False, size, index + 1)
        for index, (size, is_weight) in enumerate(zip(sizes, constant, strict=True))
    )
    return Graph(tuple(operators), tensors, inputs, (known[2], known[-1]), "", 0)


@exercise(
    "16.1",
    tr("How long a tensor lives"),
    hints=(
        tr(
            "Go through the operators in order. The first that names a tensor begins its life; which ends it?"
        ),
        tr("Every later operator that names it moves its end: found[index] = (first, operator.index)."),
        tr("Inputs of the model begin at 0, whoever reads them; its outputs end at the last operator."),
    ),
    read=tr("the section “A plan for the arena” of this chapter"),
)
def check_lifetimes(answer: Callable[[Graph], Mapping[int, Sequence[int]]]) -> None:
    """First and last operator of each activation, by the tensor's index."""
    for seed in range(5):
        model = _graph(seed, count=5 + seed)
        got = answer(model)
        if not isinstance(got, Mapping):
            raise Mistake(
                tr("a dict is expected, got {kind}", kind=type(got).__name__),
                tr("Return {index: (first, last), ...}."),
            )
        spans = {int(index): tuple(int(position) for position in span) for index, span in got.items()}
        expected = lifetimes(model)
        for index in sorted(spans.keys() | expected.keys()):
            if spans.get(index) != expected.get(index):
                raise Mistake(
                    tr(
                        "{count} operators, tensor {index}: {expected} expected, got {got}",
                        count=len(model.operators),
                        index=index,
                        expected=expected.get(index),
                        got=spans.get(index),
                    ),
                    _lifetime_hint(model, index, spans.get(index), expected.get(index)),
                )


def _lifetime_hint(
    model: Graph, index: int, got: tuple[int, ...] | None, expected: tuple[int, int] | None
) -> str:
    if index < 0:
        return tr("-1 is no tensor: it stands for an optional input that is missing.")
    if expected is None:
        return tr("Weights are in flash: skip what is_constant.")
    if got is None:
        return tr("Whatever an operator reads or writes needs a place, also a result that nobody reads.")
    if index in model.inputs and got[0] != expected[0]:
        return tr("The model's inputs are filled before operator 0 runs, whichever operator reads them.")
    if index in model.outputs and got[-1] != expected[1]:
        return tr("The model's outputs are collected at the end: they must last until the last operator.")
    if got[-1] < expected[1]:
        return tr("A later operator reads it as well, past a shortcut: the last reader counts.")
    return ""


def _blocks(seed: int, count: int) -> list[Block]:
    """Blocks of different sizes, so that the order by size leaves no choice."""
    rng = random.Random(seed)
    spans = [sorted(rng.choices(range(count), k=2)) for _ in range(count)]
    return [(size, *span) for size, span in zip(rng.sample(range(1, 500), count), spans, strict=True)]


# Bytes, first operator, last operator: the example of the statement, a shortcut, lives of one operator each.
EXAMPLE: list[Block] = [(3072, 0, 2), (2048, 0, 1), (1024, 1, 2), (40, 2, 2)]
LIVES = (EXAMPLE, [(100, 0, 3), (500, 0, 1), (400, 1, 2), (50, 2, 3)], [(10, 0, 0), (20, 1, 1), (30, 2, 2)])


@exercise(
    "16.2",
    tr("Peak, not sum"),
    hints=(
        tr("Memory is needed for the tensors that are alive at the same time. When is a tensor alive?"),
        tr("At operator i, those with first <= i <= last. Add up their sizes, for each i."),
        tr("max(sum(size for size, first, last in blocks if first <= i <= last) for i in range(...))"),
    ),
    read=tr("the section “A plan for the arena” of this chapter"),
)
def check_peak(answer: Callable[[Sequence[Block]], int]) -> None:
    """Bytes of the tensors alive at the busiest operator."""
    for blocks in (*LIVES, *(_blocks(seed, 6 + seed) for seed in range(6))):
        got, expected = answer(list(blocks)), peak_bytes(blocks)
        if got == expected:
            continue
        count = max(last for _, _, last in blocks) + 1
        exclusive = [sum(s for s, first, last in blocks if first <= i < last) for i in range(count)]
        known = {
            sum(size for size, _, _ in blocks): tr(
                "That is the sum of all: tensors that are dead by then give their memory back."
            ),
            max(exclusive): tr(
                "A tensor is still needed by the last operator that reads it: first <= i <= last."
            ),
            max(size for size, _, _ in blocks): tr(
                "That is the largest tensor; an operator needs its inputs and its output at the same time."
            ),
        }
        raise Mistake(
            tr(
                "of {blocks}, the peak is {expected} bytes, got {got}",
                blocks=blocks,
                expected=expected,
                got=got,
            ),
            next((text for value, text in known.items() if value == got), ""),
        )


def _taken(seed: int) -> tuple[int, list[tuple[int, int]]]:
    """A size, and places in no order. Some reach over others: those are not alive together."""
    rng = random.Random(seed)
    return rng.randint(1, 9), [(rng.randint(0, 40), rng.randint(1, 9)) for _ in range(rng.randint(1, 6))]


PLACES: tuple[tuple[int, list[tuple[int, int]]], ...] = (
    (5, []),
    (3, [(5, 2)]),
    (4, [(8, 4), (0, 4)]),
    (5, [(8, 4), (0, 4)]),
    (2, [(0, 10), (1, 3)]),
)


@exercise(
    "16.3",
    tr("The lowest free place"),
    hints=(
        tr("Sort the taken places by offset, and begin with start = 0."),
        tr("If the new block ends before the next place begins, it fits. If not, go on behind that place."),
        tr(
            "for offset, length in sorted(taken): stop if start + size <= offset, else "
            "start = max(start, offset + length)"
        ),
    ),
    read=tr("the section “A plan for the arena” of this chapter"),
)
def check_place(answer: Callable[[int, Sequence[tuple[int, int]]], int]) -> None:
    """The lowest offset at which a block overlaps nothing."""
    for size, taken in (*PLACES, *map(_taken, range(60))):
        got, expected = answer(size, list(taken)), lowest_offset(size, taken)
        if got == expected:
            continue
        raise Mistake(
            tr(
                "{size} bytes beside {taken}: offset {expected} expected, got {got!r}",
                size=size,
                taken=sorted(taken),
                expected=expected,
                got=got,
            ),
            _place_hint(size, taken, got, expected),
        )


def _place_hint(size: int, taken: Sequence[tuple[int, int]], got: object, expected: int) -> str:
    if not isinstance(got, int | np.integer) or isinstance(got, bool):
        return tr("Return one whole number of bytes.")
    if got < 0:
        return tr("The arena begins at offset 0.")
    hit = [(offset, length) for offset, length in taken if got < offset + length and offset < got + size]
    if hit and got in [offset + length for offset, length in taken]:
        return tr("A place may reach over the next one: go on behind the highest end so far, with max.")
    if hit:
        return tr("That overlaps the place (offset, bytes) {place}.", place=hit[0])
    if expected + size in [offset for offset, _ in taken]:
        return tr("A gap of exactly that size is large enough: <=, not <.")
    if got == max(offset + length for offset, length in taken):
        return tr("That is above everything: look for a gap below, from offset 0 on.")
    return ""


@exercise(
    "16.4",
    tr("Plan the arena"),
    hints=(
        tr("Go through the numbers of the blocks, the largest block first: sorted(..., key=...)."),
        tr(
            "Two blocks are alive together when each begins no later than the other ends: "
            "first <= other_last and other_first <= last."
        ),
        tr(
            "Of those that are placed already and alive together with this one, list (offset, size); ask "
            "lowest_offset(size, taken), note the answer, and return the offsets in the order of the blocks."
        ),
    ),
    read=tr("the section “A plan for the arena” of this chapter"),
)
def check_plan(answer: Callable[..., Sequence[int]]) -> None:
    """Offsets without overlap, in an arena no larger than that of the greedy plan."""
    for blocks in (*(_blocks(100 + seed, 5 + seed // 2) for seed in range(16)), *LIVES):
        got = answer(list(blocks), lowest_offset)
        offsets = [int(offset) for offset in got]
        if len(offsets) != len(blocks):
            raise Mistake(
                tr("{count} blocks need {count} offsets, got {got}", count=len(blocks), got=len(offsets)),
                tr("Return a list: the offset of block 0, of block 1, and so on."),
            )
        _refuse_overlap(blocks, offsets)
        allowed = _arena_bytes(blocks, plan(blocks))
        needed = _arena_bytes(blocks, offsets)
        if needed > allowed:
            raise Mistake(
                tr(
                    "{blocks} fit into {allowed} bytes, this plan needs {needed}",
                    blocks=blocks,
                    allowed=allowed,
                    needed=needed,
                ),
                tr(
                    "Place the largest block first, each as low as it can go: blocks that are never alive "
                    "together may share bytes."
                ),
            )


def _arena_bytes(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    return max(offset + size for offset, (size, _, _) in zip(offsets, blocks, strict=True))


def _refuse_overlap(blocks: Sequence[Block], offsets: Sequence[int]) -> None:
    """Raise a Mistake for a block below 0, or two that are alive together in the same bytes."""
    if min(offsets) < 0:
        raise Mistake(tr("an offset is {offset}", offset=min(offsets)), tr("The arena begins at offset 0."))
    placed = [(block, offset) for block, offset in zip(blocks, offsets, strict=True)]
    overlaps = []
    for number, (block, offset) in enumerate(placed):
        for other, other_offset in placed[:number]:
            shared_operators = min(block[2], other[2]) - max(block[1], other[1]) + 1
            shared_bytes = min(offset + block[0], other_offset + other[0]) - max(offset, other_offset)
            if shared_operators > 0 and shared_bytes > 0:
                overlaps.append((shared_operators, block, offset, other, other_offset))
    if overlaps:
        longest, block, offset, other, other_offset = max(overlaps, key=lambda found: found[0])
        raise Mistake(
            tr(
                "blocks {block} and {other}, both alive at operator {now}, overlap: offsets {offset} and "
                "{other_offset}",
                block=block,
                other=other,
                now=max(block[1], other[1]),
                offset=offset,
                other_offset=other_offset,
            ),
            tr("One ends with the operator that the other begins with: both are needed there, <=.")
            if longest == 1
            else tr("Blocks that are alive together must lie apart."),
        )


BOARDS = (
    # board RAM, board flash, model, arena, code, other RAM, is_const -> what is missing
    ((256_000, 1_000_000, 650_000, 134_000, 60_000, 30_000, True), "fits"),
    ((128_000, 1_000_000, 650_000, 134_000, 60_000, 30_000, True), "RAM"),
    ((150_000, 1_000_000, 650_000, 134_000, 60_000, 30_000, True), "RAM"),
    ((256_000, 680_000, 650_000, 134_000, 60_000, 30_000, True), "flash"),
    ((80_000, 512_000, 650_000, 134_000, 60_000, 30_000, True), "both"),
    ((640_000, 1_000_000, 650_000, 134_000, 60_000, 30_000, False), "RAM"),
    ((1_000_000, 1_000_000, 650_000, 134_000, 60_000, 30_000, False), "fits"),
)


def _boards() -> list[tuple[tuple[int | bool, ...], str]]:
    """Boards that have just enough, a byte too little, or plenty."""
    rng, cases = random.Random(165), []
    for _ in range(40):
        model, arena, code, other = (rng.randrange(10_000, 400_000) for _ in range(4))
        is_const = rng.random() < 0.5
        spare_ram, spare_flash = rng.choices((-1, 0, 50_000), k=2)
        ram = arena + other + (0 if is_const else model) + spare_ram
        lack = {(False, False): "fits", (True, False): "RAM", (False, True): "flash", (True, True): "both"}
        missing = lack[spare_ram < 0, spare_flash < 0]
        cases.append(((ram, model + code + spare_flash, model, arena, code, other, is_const), missing))
    return cases


@exercise(
    "16.5",
    tr("Does it fit?"),
    hints=(
        tr("In flash lie the program and the model; in RAM the arena, and what else the program needs."),
        tr("An array that is not const lies in flash *and* in RAM: start-up code copies it."),
        tr("needed_ram = arena + other + (0 if is_const else model); needed_flash = model + code"),
    ),
    read=tr("the sections “Does it fit?” and “Into the firmware” of this chapter"),
)
def check_fits(answer: Callable[..., str]) -> None:
    """What a board lacks: nothing ("fits"), "RAM", "flash" or "both"."""
    for (ram, flash, model, arena, code, other, is_const), expected in (*BOARDS, *_boards()):
        got = answer(ram, flash, model, arena, code, other, is_const)
        if got == expected:
            continue
        if got not in ("fits", "RAM", "flash", "both"):
            hint = tr("Return one of 'fits', 'RAM', 'flash', 'both'.")
        elif expected == "fits" and (flash == model + code or ram == arena + other + model * (not is_const)):
            hint = tr("Exactly as much as is needed is enough.")
        elif not is_const:
            hint = tr("Not const: the model is copied to RAM, and stays in flash too.")
        elif expected == "RAM" and arena <= ram < arena + other:
            hint = tr("The arena is not alone in RAM: stack, buffers and drivers need theirs.")
        elif expected == "flash" and model <= flash < model + code:
            hint = tr("The model is not alone in flash: the program needs its part.")
        elif expected == "fits" and got in ("RAM", "both"):
            hint = tr("A const model is read where it lies, in flash: it needs no RAM.")
        else:
            hint = ""
        raise Mistake(
            tr(
                "RAM {ram:,}, flash {flash:,}, model {model:,} ({const}), arena {arena:,}, code {code:,}, "
                "other RAM {other:,}: {expected!r}, got {got!r}",
                ram=ram,
                flash=flash,
                model=model,
                const="const" if is_const else tr("not const"),
                arena=arena,
                code=code,
                other=other,
                expected=expected,
                got=got,
            ),
            hint,
        )


MODELS = (
    ("net", bytes([0, 255, 16, 84, 70, 76, 51, 7]) * 5),
    ("model_7", random.Random(166).randbytes(300)),
    ("n", bytes(1)),
)


@exercise(
    "16.6",
    tr("A model as C"),
    hints=(
        tr(
            "The line begins with what makes it stay in flash, then what aligns it, then the "
            "type and the name."
        ),
        tr('", ".join(f"0x{byte:02x}" for byte in data) gives the bytes.'),
        tr('f"__attribute__((aligned(16))) const unsigned char {name}[] = {{{bytes}}};"'),
    ),
    read=tr("the section “Into the firmware” of this chapter"),
)
def check_c_source(answer: Callable[[str, bytes], str]) -> None:
    """C source of a model: const, aligned, complete, with its length."""
    for name, data in MODELS:
        text = answer(name, data)
        if not isinstance(text, str):
            raise Mistake(
                tr("the source is text, got {kind}", kind=type(text).__name__), tr("Return a string.")
            )
        c_source.refuse_wrong(name, data, text)


# Codes found, codes expected, steps allowed, whether that passes, and what who is wrong here has missed.
FIRMWARE = (
    ([7, 250, 0], [7, 250, 0], 0, True, tr("A difference of exactly `steps` is allowed: <=, not <.")),
    ([3, 9], [4, 9], 1, True, tr("uint8 wraps around: 3 - 4 is 255. Turn both into wider integers first.")),
    ([9, 4], [9, 3], 0, False, tr("With steps=0 one code that differs is too many.")),
    ([5, *[0] * 9], [0] * 10, 1, False, tr("One wrong code is enough: take the largest difference.")),
    ([0, 9], [5, 9], 1, False, tr("A code may also be too small: take the absolute difference.")),
    ([255, 1], [0, 1], 1, False, tr("In uint8, 0 - 255 is 1. Turn both into wider integers first.")),
    ([2, 2], [2], 0, False, tr("Compare the shapes first: numpy repeats the shorter array.")),
)


def _runs() -> list[tuple[np.ndarray, np.ndarray, int, bool, str]]:
    """Pictures of codes that differ by a few steps somewhere, or nowhere."""
    rng, cases = np.random.default_rng(167), []
    for largest in (0, 1, 2, 3):
        for steps in (0, 1, 2, 3):
            reference = rng.integers(4, 252, (3, 4))
            found = reference.copy()
            found[rng.integers(3), rng.integers(4)] += largest * rng.choice((-1, 1))
            cases.append((found, reference, steps, largest <= steps, ""))
    return cases


@exercise(
    "16.7",
    tr("A test for firmware"),
    hints=(
        tr("Both arrays are uint8. What does such an array give for 3 - 4?"),
        tr("Widen first, found.astype(int); then subtract, take absolute values, and look at the largest."),
        tr(
            "found.shape == reference.shape and "
            "np.abs(found.astype(int) - reference.astype(int)).max() <= steps"
        ),
    ),
    read=tr("the section “The same bits?” of this chapter"),
)
def check_same_codes(answer: Callable[[np.ndarray, np.ndarray, int], bool]) -> None:
    """Whether codes of firmware are those of the reference, up to a number of steps."""
    for found, reference, steps, expected, hint in (*FIRMWARE, *_runs()):
        got = answer(np.array(found, np.uint8), np.array(reference, np.uint8), steps)
        if not isinstance(got, bool | np.bool_):
            raise Mistake(tr("True or False expected, got {got!r}", got=got), tr("Return one truth value."))
        if got != expected:
            raise Mistake(
                tr(
                    "{found} beside {reference} with steps={steps}: {expected} expected, got {got}",
                    found=found,
                    reference=reference,
                    steps=steps,
                    expected=expected,
                    got=got,
                ),
                hint,
            )
