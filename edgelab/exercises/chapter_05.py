"""The checks of chapter 5: the rule for one operator, the one part, limits, a log, what does not fit.

`why_not`, `kept` and `beyond_limit` are the course's own answers: later cells go on with them where those of
a student do not pass yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

Operator = dict[str, Any]
ROOM = 8 * 2**20
EIGHT_BIT = ("int8", "uint8")
CONVERSIONS = ("QUANTIZE", "CAST")
LARGEST_RESIZE = 8
SUPPORTED = ("ADD", "CONV_2D", "QUANTIZE", "RESHAPE", "RESIZE_BILINEAR", "SOFTMAX")
LACKING = ("LEAKY_RELU", "HARD_SWISH", "GELU", "NEG")


def reasons_for(operator: Operator, supported: Sequence[str]) -> set[str]:
    """Every reason that keeps one operator from the Edge TPU; none when it has it.

    Args:
        operator: its name, and `flows`: what goes in and comes out, each with dtype, shape, fixed and scaled.
        supported: names of the operators that the Edge TPU has.
    """
    flows = operator["flows"]
    found = {
        "shape": any(
            not tensor["fixed"] or any(size > 1 for size in tensor["shape"][:-3]) for tensor in flows
        ),
        "type": any(tensor["dtype"] not in EIGHT_BIT for tensor in flows),
        "scale": any(not tensor["scaled"] for tensor in flows),
        "operator": operator["name"] not in supported,
    }
    return {reason for reason, holds in found.items() if holds}


def why_not(operator: Operator, supported: Sequence[str]) -> str:
    """The first of an operator's reasons in the order of the lesson; empty when the Edge TPU has it."""
    found = reasons_for(operator, supported)
    return next((reason for reason in ("shape", "type", "scale", "operator") if reason in found), "")


def kept(operators: Sequence[Operator], reasons: Sequence[str]) -> list[int]:
    """Places of the operators in the one part on the Edge TPU.

    Args:
        operators: in the order of the file, each with its name and `reads`: places of those it reads from.
        reasons: for each why it cannot run there by itself; empty when it can.
    """
    lost: set[int] = set()
    found = []
    for place, (operator, reason) in enumerate(zip(operators, reasons, strict=True)):
        at_the_start = operator["name"] in CONVERSIONS and not operator["reads"]
        if any(read in lost for read in operator["reads"]):
            lost.add(place)
        elif not reason:
            found.append(place)
        elif not at_the_start:
            lost.add(place)
    return found


def beyond_limit(operator: Operator) -> bool:
    """Whether an operator goes beyond its limitation in the table: two of the rules there."""
    before, after = operator["flows"][0]["shape"], operator["flows"][-1]["shape"]
    if operator["name"] == "SOFTMAX":
        return any(size > 1 for size in before[:-1])
    if operator["name"].startswith("RESIZE"):
        return max(after[1] / before[1], after[2] / before[2]) > LARGEST_RESIZE
    return False


def _tensor(shape: Sequence[int] = (1, 8, 8, 4), **changed: Any) -> dict[str, Any]:
    return {"dtype": "int8", "shape": tuple(shape), "fixed": True, "scaled": True} | changed


def _rule_cases() -> Iterator[tuple[Operator, str]]:
    """Operators of all kinds, with what a student overlooks who gets them wrong."""
    fault = {
        "fixed": ({"fixed": False}, tr("Its shape is not fixed: a dimension is left open.")),
        "batch": ({"shape": (2, 8, 8, 4)}, tr("Only the last three dimensions may be above 1.")),
        "five": ({"shape": (1, 3, 8, 8, 4)}, tr("Only the last three dimensions may be above 1.")),
        "float": ({"dtype": "float32"}, tr("int8 and uint8 are the only types that the chip computes with.")),
        "wide": ({"dtype": "int16"}, tr("int8 and uint8 are the only types that the chip computes with.")),
        "scale": ({"scaled": False}, tr("An 8-bit number without a scale stands for nothing.")),
    }
    good = tr("Everything about this operator is allowed.")
    generator = random.Random(5)
    for name in (*SUPPORTED, "CONCATENATION"):
        supported = name != "CONCATENATION"
        note = good if supported else tr("Its name is not in `supported`.")
        yield {"name": name, "flows": [_tensor(), _tensor((1, 10), dtype="uint8"), _tensor((3, 2, 1))]}, note
    for name in LACKING:
        yield {"name": name, "flows": [_tensor(), _tensor()]}, tr("Its name is not in `supported`.")
    for changed, note in fault.values():
        for place in range(3):  # the fault may be in what goes in or in what comes out
            flows = [_tensor((1, generator.randrange(2, 9), 1)) for _ in range(3)]
            flows[place] = _tensor(**changed)
            yield {"name": generator.choice(SUPPORTED), "flows": flows}, note
    yield {"name": "CONV_2D", "flows": [_tensor((5,)), _tensor((7, 6, 5)), _tensor((1, 1, 9, 9, 9))]}, good


@exercise(
    "05.1",
    tr("The rule for one operator"),
    hints=(
        tr("Look at each tensor in operator['flows']: its shape, its type, its scale. Return at the first."),
        tr("tensor['shape'][:-3] are the dimensions before the last three: none of them may be above 1."),
        tr(
            "for tensor in operator['flows']: if not tensor['fixed'] or any(size > 1 for size in "
            "tensor['shape'][:-3]): return 'shape'; …; at the end the name: in supported or not"
        ),
    ),
    read=tr("the section “N of M” of this chapter"),
)
def check_why_not(answer: Callable[[Operator, list[str]], str]) -> None:
    """Why the Edge TPU does not have an operator, in one word."""
    for operator, note in _rule_cases():
        possible = reasons_for(operator, SUPPORTED) or {""}
        flows = [dict(tensor) for tensor in operator["flows"]]
        got = answer({"name": operator["name"], "reads": [], "flows": flows}, list(SUPPORTED))
        if not isinstance(got, str):
            raise Mistake(
                tr("one word is asked for, or the empty text, got {got!r}", got=got),
                tr("Return the word itself: 'shape', 'type', 'scale', 'operator' or ''."),
            )
        if got in possible:
            continue
        raise Mistake(
            tr(
                "{name} with {flows} gives {expected!r}, got {got!r}",
                name=operator["name"],
                flows=[tuple(tensor.values()) for tensor in operator["flows"]],
                expected=min(possible),
                got=got,
            ),
            note,
        )


def _random_graph(generator: random.Random) -> tuple[list[Operator], list[str]]:
    """Operators that read from one or two earlier ones; a third of them cannot run on the chip."""
    operators, reasons = [], []
    for place in range(generator.randrange(3, 9)):
        first = generator.random() < 0.2
        reads = (
            sorted({generator.randrange(place) for _ in range(generator.choice((1, 1, 2)))}) if place else []
        )
        name = generator.choice(("CONV_2D", "ADD", "QUANTIZE", "CAST"))
        operators.append({"name": name, "reads": [] if first else reads})
        reasons.append(generator.choice(("", "", "type" if name in CONVERSIONS else "operator")))
    return operators, reasons


def _chain(*rows: tuple[str, list[int], str]) -> tuple[list[Operator], list[str]]:
    operators = [{"name": name, "reads": reads} for name, reads, _ in rows]
    return operators, [reason for *_, reason in rows]


def _graphs() -> Iterator[tuple[list[Operator], list[str], str]]:
    lost_too = tr("An operator that the chip has is lost too when it comes after one that it lacks.")
    branch = tr("Not everything later in the file is lost: only what depends on the culprit.")
    again = tr("The one before may itself be lost: ask whether it was kept, not whether the chip has it.")
    start = tr("A conversion that reads from no operator stays on the CPU, and takes nothing with it.")
    conv = "CONV_2D"
    shown = (
        ((conv, [], ""), (conv, [0], ""), (conv, [1], "")),
        ((conv, [], ""), ("GELU", [0], "operator"), (conv, [1], "")),
    )
    for rows in shown:
        yield *_chain(*rows), lost_too
    yield *_chain((conv, [], ""), ("GELU", [0], "operator"), (conv, [1], ""), (conv, [2], "")), again
    yield *_chain((conv, [], ""), ("GELU", [0], "operator"), (conv, [0], ""), ("ADD", [1, 2], "")), branch
    yield *_chain(("QUANTIZE", [], "type"), (conv, [0], ""), ("DEQUANTIZE", [1], "type")), start
    yield *_chain(("CAST", [], "type"), ("QUANTIZE", [], "type"), ("ADD", [0, 1], "")), start
    inside = tr("Only a conversion at the start is free: this one reads from another operator.")
    yield *_chain((conv, [], ""), ("QUANTIZE", [0], "type"), (conv, [1], "")), inside
    other = tr("Only QUANTIZE and CAST are free at the start, no other operator.")
    yield *_chain((conv, [], "shape"), (conv, [0], "")), other
    generator = random.Random(52)
    for _ in range(60):
        yield *_random_graph(generator), ""


@exercise(
    "05.2",
    tr("One part, from the start"),
    hints=(
        tr("Walk through the operators in order, and note the places of those that are lost."),
        tr("It is lost when one that it reads from is lost, or when it has a reason of its own."),
        tr(
            "if any(read in lost for read in operator['reads']): lost.add(place); elif not reason: "
            "found.append(place); elif it is no conversion at the start: lost.add(place)"
        ),
    ),
    read=tr("the section “One part, from the start” of this chapter"),
)
def check_kept(answer: Callable[[list[Operator], list[str]], list[int]]) -> None:
    """Places of the operators on the Edge TPU."""
    for operators, reasons, note in _graphs():
        expected = kept(operators, reasons)
        copies = [{"name": row["name"], "reads": list(row["reads"]), "flows": []} for row in operators]
        got = answer(copies, list(reasons))
        if isinstance(got, int):
            raise Mistake(
                tr("a list of places is asked for, got {got}", got=got),
                tr("Return the list, not its length."),
            )
        places = sorted(int(place) for place in got)
        if places == expected:
            continue
        rows = [(row["name"], row["reads"], reason) for row, reason in zip(operators, reasons, strict=True)]
        raise Mistake(
            tr(
                "of {rows} the places {expected} are kept, got {got}",
                rows=rows,
                expected=expected,
                got=places,
            ),
            note,
        )


def _limit_cases() -> Iterator[tuple[Operator, str]]:
    def of(name: str, *shapes: Sequence[int]) -> Operator:
        return {"name": name, "flows": [_tensor(shape) for shape in shapes]}

    vector = tr("A softmax is taken of one vector: all dimensions but the last are 1.")
    exact = tr("By 8 is still exact: only more than that is beyond the limit.")
    both = tr("Height and width may grow differently: the larger factor decides.")
    out = tr("Compare the output with the input: the first of flows goes in, the last comes out.")
    other = tr("The two limits are those of SOFTMAX and of RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR.")
    yield of("SOFTMAX", (1, 10), (1, 10)), vector
    yield of("SOFTMAX", (1, 4, 4, 8), (1, 4, 4, 8)), vector
    yield of("SOFTMAX", (1, 1, 3, 1), (1, 1, 3, 1)), vector
    yield of("SOFTMAX", (1, 1, 1, 900), (1, 1, 1, 900)), vector
    yield of("SOFTMAX", (1, 2, 1, 4), (1, 2, 1, 4)), vector
    generator = random.Random(53)
    for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        for factor, note in ((2, exact), (7, exact), (8, exact), (9, exact), (16, exact)):
            side = generator.randrange(2, 9)
            yield of(name, (1, side, side, 4), (1, side * factor, side * factor, 4)), note
        yield of(name, (1, 3, 5, 4), (1, 30, 5, 4)), both
        yield of(name, (1, 3, 5, 4), (1, 3, 50, 4)), both
        yield of(name, (1, 2, 5, 4), (1, 17, 40, 4)), both
        yield of(name, (1, 4, 2, 4), (1, 32, 17, 4)), both
        yield of(name, (1, 90, 90, 4), (1, 9, 9, 4)), out
        yield of(name, (1, 2, 2, 4), (2,), (1, 32, 32, 4)), out  # the size may be computed, and flow in
    for name in ("CONV_2D", "TRANSPOSE_CONV", "RESHAPE"):
        yield of(name, (1, 2, 2, 8), (1, 40, 40, 8)), other
    yield of("RESHAPE", (1, 2, 2, 8), (1, 32)), other


@exercise(
    "05.3",
    tr("Two limits"),
    hints=(
        tr(
            "operator['flows'][0] is what goes in, operator['flows'][-1] what comes out: compare "
            "their shapes."
        ),
        tr("A picture's shape is (1, height, width, channels): compare places 1 and 2 of both shapes."),
        tr(
            "SOFTMAX: any(size > 1 for size in before[:-1]); RESIZE…: max(after[1] / before[1], "
            "after[2] / before[2]) > 8; everything else: False"
        ),
    ),
    read=tr("the section “One part, from the start” of this chapter"),
)
def check_beyond_limit(answer: Callable[[Operator], bool]) -> None:
    """Whether an operator goes beyond its limitation."""
    for operator, note in _limit_cases():
        expected = beyond_limit(operator)
        flows = [dict(tensor) for tensor in operator["flows"]]
        got = answer({"name": operator["name"], "reads": [], "flows": flows})
        if isinstance(got, str) or got is None:
            raise Mistake(tr("True or False is asked for, got {got!r}", got=got))
        if bool(got) == expected:
            continue
        shapes = [tensor["shape"] for tensor in operator["flows"]]
        raise Mistake(
            tr(
                "{name} from {before} to {after} gives {expected}, got {got}",
                name=operator["name"],
                before=shapes[0],
                after=shapes[-1],
                expected=expected,
                got=bool(got),
            ),
            note,
        )


HEADING = "Operator                       Count      Status\n\n"
MAPPED = "Mapped to Edge TPU"
# What the compiler says of operators that it leaves to the CPU; several of the lines hold the word “mapped”.
STATUSES = """Operator Count Status
More than one subgraph is not supported
Operation is otherwise supported, but not mapped due to some unspecified limitation
Operation not supported
Operation is working on an unsupported data type
Tensor has unsupported rank (up to 3 innermost dimensions mapped)
Not Mapped to Edge TPU: the compiler ran out of time
Mapped to Edge TPU in an earlier version only""".splitlines()[1:]
NAMES = ("CONV_2D", "PosenetDecoderOp", "SOFTMAX", "unidirectional_lstm", "custom-op", "ADD", "QUANTIZE")


def _logs() -> Iterator[str]:
    generator, statuses = random.Random(54), (*[MAPPED] * 4, *STATUSES)
    logs = [[("CONV_2D", 12, MAPPED), ("SOFTMAX", 1, MAPPED)]]
    for count in (4, 6, 8, 10, 1, 2, 5):
        logs.append(
            [
                (generator.choice(NAMES), generator.randrange(1, 40), generator.choice(statuses))
                for _ in range(count)
            ]
        )
    for lines in logs:
        yield HEADING + "".join(f"{name:<31}{number:<11}{status}\n" for name, number, status in lines)


@exercise(
    "05.4",
    tr("Read a log"),
    hints=(
        tr("A line of the table is: operator, count, status. The count is the second word."),
        tr(
            "Only the status 'Mapped to Edge TPU' counts as mapped; every other text is some "
            "reason for the CPU."
        ),
        tr("name, count, status = line.split(maxsplit=2)"),
    ),
    read=tr("the section “What the compiler prints” of this chapter"),
)
def check_log(answer: Callable[[str], tuple[int, int]]) -> None:
    """Operators mapped, and operators in all."""
    for text in _logs():
        lines = [line.split(maxsplit=2) for line in text.splitlines()[2:]]
        total = sum(int(count) for _, count, _ in lines)
        expected = (sum(int(count) for _, count, status in lines if status == MAPPED), total)
        got = tuple(int(number) for number in answer(text))
        if got == expected:
            continue
        loose = {
            sum(int(count) for _, count, status in lines if test(status))
            for test in (
                lambda status: "mapped" in status.lower(),
                lambda status: "Mapped" in status,
                lambda status: MAPPED in status,
                lambda status: status.startswith("Mapped"),
            )
        }
        hint = ""
        if got == expected[::-1]:
            hint = tr("Mapped first, then all.")
        elif got[1:] == (len(lines),) != (total,):
            hint = tr("A line stands for as many operators as its count says.")
        elif got[1:] == (total,) and got[0] in loose:
            hint = tr("'… but not mapped due to …' holds the word mapped too: compare the whole status.")
        elif got == (expected[0], expected[0]):
            hint = tr("The operators on the CPU belong to all of them.")
        raise Mistake(
            tr(
                "{mapped} of {total} operators are mapped, got {got}",
                mapped=expected[0],
                total=expected[1],
                got=got,
            ),
            hint,
        )


def _streamed(sizes: Sequence[int], room: int) -> list[int]:
    streamed = []
    for size in sizes:
        on_chip = min(size, room)
        room -= on_chip
        streamed.append(size - on_chip)
    return streamed


def _stream_cases() -> Iterator[tuple[list[int], int]]:
    yield from (
        ([3 * 2**20], ROOM),
        ([25_600_000], ROOM),
        ([6 * 2**20, 5 * 2**20], ROOM),
        ([9 * 2**20, 2**20, 100], ROOM),
        ([1200, 700], 1000),
    )
    generator = random.Random(55)
    for count in (1, 2, 3, 4, 5):
        room = generator.randrange(1000, 9000)
        yield [generator.randrange(1, room) for _ in range(count)], room


@exercise(
    "05.5",
    tr("What has to stream"),
    hints=(
        tr("Keep track of the room that is left. A model takes what it needs of it, and streams the rest."),
        tr("kept = min(size, room), then room -= kept: the next model finds less."),
        tr("for size in sizes: kept = min(size, room); room -= kept; streamed.append(size - kept)"),
    ),
    read=tr("the section “Eight mebibytes” of this chapter"),
)
def check_streamed(answer: Callable[[list[int], int], list[int]]) -> None:
    """Bytes that each of several models, compiled together, sends anew for every inference."""
    for sizes, room in _stream_cases():
        expected = _streamed(sizes, room)
        got = [int(value) for value in answer(list(sizes), room)]
        if got == expected:
            continue
        if got == [max(0, size - room) for size in sizes]:
            hint = tr("They share the room: what the first one takes, the second does not find.")
        elif got == [size - room for size in sizes] or any(value < 0 for value in got):
            hint = tr("A model that fits streams nothing, not less than nothing.")
        elif got == [size - rest for size, rest in zip(sizes, expected, strict=True)]:
            hint = tr("These are the bytes that stay on the chip; asked for are the others.")
        elif got == [size if size > room else 0 for size in sizes]:
            hint = tr("A model that is too large keeps what fits on the chip: only the rest of it streams.")
        elif got == _streamed(sizes, ROOM):
            hint = tr("The room is the second argument.")
        else:
            hint = ""
        raise Mistake(
            tr(
                "models of {sizes} bytes with room for {room} stream {expected}, got {got}",
                sizes=sizes,
                room=room,
                expected=expected,
                got=got,
            ),
            hint,
        )
