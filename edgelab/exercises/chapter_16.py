"""The checks of chapter 16: peak memory, what fits on a board, C source, a test of firmware, an NPU."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

# (bytes, first operator, last operator) of each tensor.
LIFETIMES = (
    (((3072, 0, 2), (2048, 0, 1), (1024, 1, 2), (40, 2, 2)), 6144),
    (((100, 0, 3), (500, 0, 1), (400, 1, 2), (50, 2, 3)), 1000),
    (((10, 0, 0), (20, 1, 1), (30, 2, 2)), 30),
)


@exercise(
    "16.1",
    tr("Peak, not sum"),
    hints=(
        tr("Memory is needed for the tensors that are alive at the same time. When is a tensor alive?"),
        tr("At operator i, those with first <= i <= last. Add up their sizes, for each i."),
        tr("max(sum(size for size, first, last in tensors if first <= i <= last) for i in range(...))"),
    ),
    read=tr("the section “Does it fit?” of this chapter"),
)
def check_peak(answer: Callable[[Sequence[tuple[int, int, int]]], int]) -> None:
    """Bytes of the tensors alive at the busiest operator."""
    for tensors, expected in LIFETIMES:
        got = answer(list(tensors))
        if got == expected:
            continue
        count = max(last for _, _, last in tensors) + 1
        exclusive = [sum(s for s, first, last in tensors if first <= i < last) for i in range(count)]
        known = {
            sum(size for size, _, _ in tensors): tr(
                "That is the sum of all: tensors that are dead by then give their memory back."
            ),
            max(exclusive): tr(
                "A tensor is still needed by the last operator that reads it: first <= i <= last."
            ),
            max(size for size, _, _ in tensors): tr(
                "That is the largest tensor; an operator needs its inputs and its output at the same time."
            ),
        }
        raise Mistake(
            tr(
                "of {tensors}, the peak is {expected} bytes, got {got}",
                tensors=list(tensors),
                expected=expected,
                got=got,
            ),
            known.get(got, ""),
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


@exercise(
    "16.2",
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
    for (ram, flash, model, arena, code, other, is_const), expected in BOARDS:
        got = answer(ram, flash, model, arena, code, other, is_const)
        if got == expected:
            continue
        if got not in ("fits", "RAM", "flash", "both"):
            hint = tr("Return one of 'fits', 'RAM', 'flash', 'both'.")
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


DATA = bytes([0, 255, 16, 84, 70, 76, 51, 7]) * 5


@exercise(
    "16.3",
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
    text = answer("net", DATA)
    if not isinstance(text, str):
        raise Mistake(tr("the source is text, got {kind}", kind=type(text).__name__), tr("Return a string."))
    match = re.search(r"([^;{}]*)\bnet\s*\[\s*\d*\s*\]\s*([^=;{}]*)=\s*\{([^}]*)\}\s*;", text)
    if not match:
        raise Mistake(tr("there is no array net[] = {...};"), tr("unsigned char net[] = {0x00, ...};"))
    before, after, body = match.groups()
    if "const" not in before.split():
        raise Mistake(tr("the array is not const"), tr("Without const, start-up code copies it to RAM."))
    if "aligned" not in before + after and "alignas" not in before:
        raise Mistake(
            tr("the array is not aligned"),
            tr("Weights are read as 32-bit words: __attribute__((aligned(16)))."),
        )
    if not re.search(r"\b(unsigned\s+char|uint8_t)\b", before):
        raise Mistake(
            tr("the array's type is not unsigned char"),
            tr("A plain char or int8_t ends at 127, and 0xff is then another number."),
        )
    numbers = [part.strip() for part in body.split(",") if part.strip()]
    try:
        values = [int(number.rstrip("uU"), 0) for number in numbers]
    except ValueError:
        raise Mistake(
            tr("{numbers!r} is no number in C", numbers=numbers[0]),
            tr("Write each byte as 0x00 to 0xff, without quotes."),
        ) from None
    if values != list(DATA):
        hint = tr("Every byte, in order: none is a separator, and a 0 ends nothing.")
        raise Mistake(
            tr(
                "{count} bytes {data}... expected, got {got_count} {got}...",
                count=len(DATA),
                data=list(DATA)[:4],
                got_count=len(values),
                got=values[:4],
            ),
            hint,
        )
    length = re.search(r"\bnet_len\s*=\s*(\d+)", text[match.end() :])
    if not length or int(length[1]) != len(DATA):
        raise Mistake(
            tr("net_len = {count} is missing", count=len(DATA)),
            tr("The firmware cannot ask an array for its length."),
        )


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


@exercise(
    "16.4",
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
    for found, reference, steps, expected, hint in FIRMWARE:
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


# (npu, sram, flash) cycles of each layer.
LAYERS = (
    ([(14000, 5000, 1300), (4800, 4300, 640), (6700, 900, 43500), (22000, 4800, 176000)], 238300),
    ([(10, 20, 5), (30, 1, 2)], 50),
    ([(7, 7, 7)], 7),
)


@exercise(
    "16.5",
    tr("What limits the NPU"),
    hints=(
        tr("While the multipliers work, the next weights are already being fetched: the slower one decides."),
        tr("Of one layer, take the largest of the three. Layers run one after another."),
        tr("sum(max(layer) for layer in layers)"),
    ),
    read=tr("the section “An NPU beside the core” of this chapter"),
)
def check_cycles(answer: Callable[[Sequence[tuple[int, int, int]]], int]) -> None:
    """Cycles of a network from those of its layers' multipliers and memories."""
    for layers, expected in LAYERS:
        got = answer(list(layers))
        if got == expected:
            continue
        columns = list(zip(*layers, strict=True))
        known = {
            sum(map(sum, layers)): tr("Multiplying and fetching overlap: the times do not add up."),
            sum(columns[0]): tr("Those are the multipliers alone; layer 3 waits for its weights."),
            max(map(sum, columns)): tr(
                "What limits differs from layer to layer: the largest of each layer, then the sum."
            ),
            max(map(max, layers)): tr("That is the slowest layer; the others run too."),
        }
        raise Mistake(
            tr(
                "of {layers}, {expected:,} cycles, got {got}", layers=list(layers), expected=expected, got=got
            ),
            known.get(got, ""),
        )
