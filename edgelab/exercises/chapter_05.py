"""The checks of chapter 5: what the Edge TPU keeps of a graph, its log, what does not fit on the chip."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

ROOM = 8 * 2**20

# (whether the Edge TPU has it, the operators it reads from), in the order of the file.
GRAPHS = (
    ([(True, []), (True, [0]), (True, [1])], [0, 1, 2], tr("a chain without a culprit")),
    ([(True, []), (False, [0]), (True, [1]), (True, [2])], [0], tr("a chain with a culprit second")),
    ([(False, []), (True, [0])], [], tr("a chain that begins with the culprit")),
    (
        [(True, []), (False, [0]), (True, [1]), (True, [0]), (True, [3])],
        [0, 3, 4],
        tr("two branches, the culprit in the first"),
    ),
    (
        [(True, []), (False, [0]), (True, [0]), (True, [1, 2]), (True, [3])],
        [0, 2],
        tr("two branches that meet again, the culprit in one"),
    ),
)

LOGS = (
    (
        "Operator                       Count      Status\n\n"
        "CONV_2D                        12         Mapped to Edge TPU\n"
        "SOFTMAX                        1          Mapped to Edge TPU\n",
        (13, 13),
    ),
    (
        "Operator                       Count      Status\n\n"
        "CONV_2D                        20         Mapped to Edge TPU\n"
        "CONV_2D                        4          More than one subgraph is not supported\n"
        "QUANTIZE                       1          Operation is otherwise supported, but not mapped due to "
        "some unspecified limitation\n"
        "HARD_SWISH                     2          Operation not supported\n",
        (20, 27),
    ),
)


def _in_file_order(graph: Sequence) -> list[int]:
    kept = []
    for index, (has, _) in enumerate(graph):
        if not has:
            break
        kept.append(index)
    return kept


@exercise(
    "05.1",
    tr("What the Edge TPU keeps"),
    hints=(
        tr("Walk through the operators in order. One is kept when the chip has it and all it reads is kept."),
        tr(
            "Operators that read nothing (an empty list) stand at the start: only the first condition counts."
        ),
        tr(
            "kept = []; for i, (has, reads) in enumerate(operators): if has and all(r in kept "
            "for r in reads): kept.append(i)"
        ),
    ),
    read=tr("the section “One part, from the start” of this chapter"),
)
def check_kept(answer: Callable[[list], list[int]]) -> None:
    """Indices of the operators on the Edge TPU."""
    for graph, expected, what in GRAPHS:
        got = answer([(has, list(reads)) for has, reads in graph])
        if isinstance(got, int):
            raise Mistake(
                tr("a list of indices is asked for, got {got}", got=got),
                tr("Return the list, not its length."),
            )
        if sorted(got) == expected:
            continue
        if sorted(got) == [index for index, (has, _) in enumerate(graph) if has]:
            hint = tr("An operator that the chip has is lost too when it stands behind one that it lacks.")
        elif sorted(got) == _in_file_order(graph):
            hint = tr("Not everything later in the file is lost: only what depends on the culprit.")
        elif sorted(got) == [
            i for i, (has, reads) in enumerate(graph) if has and all(graph[r][0] for r in reads)
        ]:
            hint = tr(
                "The one before may itself be lost: ask whether it was kept, not whether the chip has it."
            )
        else:
            hint = ""
        raise Mistake(
            # Note: {what} is a graph, such as “a chain without a culprit”.
            tr("{what}: {expected} are kept, got {got}", what=what, expected=expected, got=sorted(got)),
            hint,
        )


@exercise(
    "05.2",
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
    for text, expected in LOGS:
        lines = [line.split(maxsplit=2) for line in text.splitlines()[2:]]
        got = tuple(int(number) for number in answer(text))
        if got == expected:
            continue
        loose = sum(int(count) for _, count, status in lines if "mapped" in status.lower())
        known = {
            expected[::-1]: tr("Mapped first, then all."),
            (sum(status == "Mapped to Edge TPU" for *_, status in lines), len(lines)): (
                tr("A line stands for as many operators as its count says.")
            ),
            (
                loose,
                expected[1],
            ): tr("'… but not mapped due to …' holds the word mapped too: compare the whole status."),
            (expected[0], expected[0]): tr("The operators on the CPU belong to all of them."),
        }
        raise Mistake(
            tr(
                "{mapped} of {total} operators are mapped, got {got}",
                mapped=expected[0],
                total=expected[1],
                got=got,
            ),
            known.get(got, ""),
        )


def _streamed(sizes: Sequence[int], room: int) -> list[int]:
    streamed = []
    for size in sizes:
        kept = min(size, room)
        room -= kept
        streamed.append(size - kept)
    return streamed


@exercise(
    "05.3",
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
    cases = (
        ([3 * 2**20], ROOM, [0]),
        ([25_600_000], ROOM, [25_600_000 - ROOM]),
        ([6 * 2**20, 5 * 2**20], ROOM, [0, 3 * 2**20]),
        ([9 * 2**20, 2**20, 100], ROOM, [2**20, 2**20, 100]),
        ([1200, 700], 1000, [200, 700]),
    )
    for sizes, room, expected in cases:
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
