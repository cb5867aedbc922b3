"""The checks of chapter 6: what runs on the NPU, the least time, a calibration set, more cores.

`coverage`, `choose` and `calibration_files` are the course's own answers: later cells go on with them where
those of a student do not pass yet.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

Score = Callable[[list[int]], float]
LISTED = "calibration.txt"


def coverage(ranges: np.ndarray, chosen: Sequence[int]) -> float:
    """How much of each tensor's range some pictures cover, 0 to 1, on average over the tensors.

    Args:
        ranges: `[pictures, tensors, 2]`, the smallest and the largest value of each tensor for each picture.
        chosen: numbers of pictures.
    """
    some = ranges[list(chosen)]
    width = some[:, :, 1].max(axis=0) - some[:, :, 0].min(axis=0)
    whole = ranges[:, :, 1].max(axis=0) - ranges[:, :, 0].min(axis=0)
    return float(np.mean(width / whole))


def choose(total: int, count: int, score: Score) -> list[int]:
    """Pictures one after the other, each the one that raises the score most.

    Args:
        total: pictures to choose from, numbered from 0.
        count: how many are wanted.
        score: of a list of numbers; larger is better.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        left = [number for number in range(total) if number not in chosen]
        chosen.append(max(left, key=lambda number: score([*chosen, number])))
    return chosen


def calibration_files(images: np.ndarray) -> dict[str, np.ndarray | str]:
    """The dataset of Rockchip's `build`: a file for each picture, and a list with the name of each in a line.

    Args:
        images: uint8 `[N, H, W, 3]`, raw pixels.

    Returns:
        What is in each file, by its name: `0.npy`, `1.npy` and so on, each float32 `[1, 3, H, W]`, and the
        text of `calibration.txt`.
    """
    planes = images.transpose(0, 3, 1, 2).astype(np.float32)
    files = {f"{number}.npy": planes[number : number + 1] for number in range(len(images))}
    return {**files, LISTED: "\n".join(files)}


# (operator, unit) of each row of a table, and what is to be found.
TABLES = (
    (
        (("InputOperator", "CPU"), ("ConvClip", "NPU"), ("ConvClip", "NPU"), ("Softmax", "CPU")),
        (2, 3),
    ),
    (
        (
            ("InputOperator", "CPU"),
            ("Conv", "NPU"),
            ("Sin", "CPU"),
            ("Conv", "NPU"),
            ("OutputOperator", "CPU"),
        ),
        (2, 3),
    ),
    ((("InputOperator", "CPU"), ("Conv", "NPU"), ("Add", "GPU"), ("OutputOperator", "CPU")), (1, 2)),
)


def _tables() -> Iterator[tuple[tuple[tuple[str, str], ...], tuple[int, int]]]:
    """The tables above, then others of all lengths and with both ends, one or none."""
    yield from TABLES
    generator = random.Random(61)
    for count in (1, 2, 5, 9, 20, 40):
        inner = [
            (
                generator.choice(("Conv", "Add", "Input", "Softmax")),
                generator.choice(("NPU", "NPU", "CPU", "GPU")),
            )
            for _ in range(count)
        ]
        ends = (("InputOperator", generator.choice(("CPU", "NPU"))), ("OutputOperator", "NPU"))
        table = [*ends[: generator.randrange(2)], *inner, *ends[2 - generator.randrange(2) :]]
        yield tuple(table), (sum(unit == "NPU" for _, unit in inner), count)


def _is_pair(got: object) -> bool:
    """Two numbers, however they are kept."""
    return isinstance(got, Sequence | np.ndarray) and not isinstance(got, str) and len(got) == 2


@exercise(
    "06.1",
    tr("N of M"),
    hints=(
        tr(
            "InputOperator and OutputOperator compute nothing: they only name where data comes "
            "in and goes out."
        ),
        tr(
            "Leave these two out first; then total is how many rows remain, and count those "
            "whose unit is 'NPU'."
        ),
        tr(
            "rows = [row for row in rows if row['operator'] not in ('InputOperator', "
            "'OutputOperator')]; return sum(row['unit'] == 'NPU' for row in rows), len(rows)"
        ),
    ),
    read=tr("the section “The vendor's own table” of this chapter"),
)
def check_placement(answer: Callable[[Sequence[dict[str, str]]], tuple[int, int]]) -> None:
    """Operators on the NPU, and operators in all, from the rows of the compiler's table."""
    for table, (on_npu, total) in _tables():
        got = answer([{"operator": operator, "unit": unit} for operator, unit in table])
        if not _is_pair(got):
            raise Mistake(tr("two numbers are asked for, got {got!r}", got=got), tr("return on_npu, total"))
        got = tuple(float(number) for number in got)
        if got == (on_npu, total):
            continue
        not_cpu = sum(unit != "CPU" for _, unit in table)
        known = {
            (on_npu, len(table)): tr("The rows that only name inputs and outputs count as operators here."),
            (total, on_npu): tr("The order is: on the NPU, then in all."),
            (not_cpu, total): tr("Not on the CPU is not the same as on the NPU: there is a GPU, too."),
        }
        names = ", ".join(
            tr("{operator} on {unit}", operator=operator, unit=unit) for operator, unit in table
        )
        raise Mistake(
            tr(
                "of {names}: {expected}, got {got}",
                names=names,
                expected=(on_npu, total),
                got=tuple(map(round, got)),
            ),
            known.get(got, ""),
        )


@exercise(
    "06.2",
    tr("The least time"),
    hints=(
        tr(
            "While a layer computes, the next data can be on its way: the slower of the two "
            "decides, per layer."
        ),
        tr("max(ddr, npu) for each layer, added up, is a number of cycles; cycles / hertz is seconds."),
        tr("1000 * sum(max(ddr, npu) for ddr, npu in layers) / clock_hz"),
    ),
    read=tr("the section “Cycles are not milliseconds” of this chapter"),
)
def check_least_time(answer: Callable[[Sequence[tuple[int, int]], float], float]) -> None:
    """Milliseconds, from (DDR cycles, NPU cycles) per layer and the clock."""
    visible = [(831, 4096), (2644, 2304), (7000, 1000), (500, 500)]
    generator = random.Random(62)
    unseen = [
        [(generator.randrange(1, 9000), generator.randrange(1, 9000)) for _ in range(count)]
        for count in (1, 9)
    ]
    for layers, clock_hz in ((visible, 1e9), (visible, 0.6e9), (unseen[0], 0.8e9), (unseen[1], 1e9)):
        pairs = [max(pair) for pair in layers]
        expected = 1000 * sum(pairs) / clock_hz
        got = float(answer(list(layers), clock_hz))
        if math.isclose(got, expected, rel_tol=1e-9):
            continue
        ddr, npu = (sum(pair[side] for pair in layers) for side in (0, 1))
        known = {
            1000 * (ddr + npu) / clock_hz: tr(
                "Moving and computing happen at the same time: the larger counts."
            ),
            1000 * max(ddr, npu) / clock_hz: tr(
                "The larger of the two sums: but each layer waits for its own."
            ),
            1000 * npu / clock_hz: tr("Some layers wait for memory longer than they compute."),
            expected / 1000: tr("That is seconds."),
            1000 * sum(pairs) / 1e9: tr("The clock is the second argument, not always 1 GHz."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-9)), "")
        raise Mistake(
            tr(
                "at {clock_ghz:g} GHz it is {expected:.6f} ms, got {got:.6f}",
                clock_ghz=clock_hz / 1e9,
                expected=expected,
                got=got,
            ),
            hint,
        )


def _all_ranges() -> Iterator[tuple[np.ndarray, list[int]]]:
    """Ranges of some tensors for some pictures, and a choice of pictures."""
    yield np.array([[[0.0, 6.0]], [[0.0, 3.0]]]), [1]
    yield np.array([[[-1.0, 1.0], [0.0, 2.0]], [[-3.0, 0.0], [1.0, 4.0]]]), [0]
    generator = np.random.default_rng(63)
    for pictures, tensors, count in ((3, 2, 1), (6, 3, 2), (9, 5, 4), (12, 4, 12)):
        middle = generator.normal(0, 5, (pictures, tensors, 1))
        width = generator.uniform(0.5, 4, (pictures, tensors, 1))
        chosen = generator.permutation(pictures)[:count].tolist()
        yield np.concatenate([middle - width, middle + width], axis=2), chosen


@exercise(
    "06.3",
    tr("Coverage"),
    hints=(
        tr("ranges[chosen] holds the chosen pictures only; the smallest of [:, :, 0] is where they begin."),
        tr("A tensor's width: the largest of [:, :, 1] minus the smallest of [:, :, 0], along axis 0."),
        tr("np.mean(width of the chosen / width of all)"),
    ),
    read=tr("the section “Calibration” of this chapter"),
)
def check_coverage(answer: Callable[[np.ndarray, list[int]], float]) -> None:
    """Part of the ranges that the chosen pictures cover."""
    for ranges, chosen in _all_ranges():
        expected, got = coverage(ranges, chosen), float(answer(ranges.copy(), list(chosen)))
        if math.isclose(got, expected, rel_tol=1e-6):
            continue
        some, every = ranges[chosen], ranges
        width = some[:, :, 1].max(axis=0) - some[:, :, 0].min(axis=0)
        whole = every[:, :, 1].max(axis=0) - every[:, :, 0].min(axis=0)
        known = {
            float(width.sum() / whole.sum()): tr(
                "Divide tensor by tensor, then average: a wide tensor counts no more than a narrow one."
            ),
            100 * expected: tr("A part is asked for, 0 to 1, not per cent."),
            float((width / whole).min()): tr("The average over the tensors is asked for, not the least."),
            float(np.mean((some[:, :, 1] - some[:, :, 0]).mean(axis=0) / whole)): tr(
                "The chosen pictures cover together: from the smallest of all to the largest of all."
            ),
            len(chosen) / len(ranges): tr("That is a part of the pictures, not of the ranges."),
            1 / expected: tr("The width of the chosen is divided by that of all."),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "pictures {chosen} of {count}, ranges of shape {shape}: {expected:.6g}, got {got:.6g}",
                chosen=chosen,
                count=len(ranges),
                shape=ranges.shape,
                expected=expected,
                got=got,
            ),
            hint,
        )


def _scores() -> Iterator[tuple[int, int, Score]]:
    """How many pictures there are, how many are wanted, and a score of a choice."""
    generator = random.Random(64)
    for total, count in ((3, 1), (4, 2), (6, 3), (8, 4), (9, 9)):
        sees = [frozenset(generator.sample(range(30), generator.randrange(1, 9))) for _ in range(total)]
        yield (
            total,
            count,
            lambda chosen, sees=sees: float(len(frozenset().union(*(sees[i] for i in chosen)))),
        )
    worth = [generator.uniform(-1, 0) for _ in range(7)]
    yield 7, 3, lambda chosen: sum(worth[number] for number in chosen)  # a score may be below 0


@exercise(
    "06.4",
    tr("Choose a calibration set"),
    hints=(
        tr("Begin with an empty list. In each round try every picture that is not in it yet."),
        tr("max(left, key=lambda number: score([*chosen, number])) is the picture that helps most."),
        tr("while len(chosen) < count: left = […]; chosen.append(max(left, key=…))"),
    ),
    read=tr("the section “Calibration” of this chapter"),
)
def check_choose(answer: Callable[[int, int, Score], list[int]]) -> None:
    """Greedy: each picture is the best one to add; of several equally good ones any will do."""
    for total, count, score in _scores():
        got = answer(total, count, score)
        if not isinstance(got, Sequence | np.ndarray):
            raise Mistake(tr("a list of numbers is asked for, got {got!r}", got=got))
        chosen = [int(number) for number in got]
        if len(chosen) != count or len(set(chosen)) != count or not set(chosen) <= set(range(total)):
            raise Mistake(
                tr(
                    "{count} of {total} pictures are wanted, got {chosen}",
                    count=count,
                    total=total,
                    chosen=chosen,
                ),
                tr("Each picture at most once, numbered from 0."),
            )
        for place, number in enumerate(chosen):
            before = chosen[:place]
            rest = [other for other in range(total) if other not in before]
            best = max(rest, key=lambda other: score([*before, other]))
            if score([*before, number]) < score([*before, best]) - 1e-9:
                raise Mistake(
                    tr(
                        "after {before} picture {best} gives {high:g}, picture {number} only {low:g}",
                        before=before,
                        best=best,
                        number=number,
                        high=score([*before, best]),
                        low=score([*before, number]),
                    ),
                    _greedy_hint(chosen, total, count, score),
                )


def _greedy_hint(chosen: list[int], total: int, count: int, score: Score) -> str:
    alone = sorted(range(total), key=lambda number: -score([number]))
    if chosen == list(range(count)):
        return tr("These are the first ones: ask the score.")
    if chosen == alone[:count]:
        return tr("Score a picture together with those chosen before: alone the best two may show the same.")
    return tr("In each round the largest score of the list with one more decides.")


@exercise(
    "06.5",
    tr("Calibration files for an NCHW model"),
    hints=(
        tr("The axes of an image change places: row, column, colour becomes colour, row, column."),
        tr(
            "image.transpose(2, 0, 1) takes axis 2, the colour, to the first place; reshape moves no axis. "
            "[np.newaxis] in front makes [1, 3, H, W] of it."
        ),
        tr(
            'for number, image in enumerate(images): files[f"{{number}}.npy"] = …; then the names, '
            "a line each, are the text of the list"
        ),
    ),
    read=tr("the section “Calibration” of this chapter"),
)
def check_files(answer: Callable[[np.ndarray], dict[str, np.ndarray | str]]) -> None:
    """uint8 `[N, H, W, 3]` as N files of float32 `[1, 3, H, W]`, raw pixels, and a list of their names."""
    generator = np.random.default_rng(6)
    for shape in ((2, 4, 5, 3), (1, 6, 6, 3), (3, 7, 2, 3)):
        images = generator.integers(0, 256, shape).astype(np.uint8)
        _check_layout(_listed(answer(images.copy()), len(images)), images)


def _listed(files: object, count: int) -> np.ndarray:
    """What the files of a list hold, one after the other."""
    if not isinstance(files, Mapping) or not isinstance(files.get(LISTED), str):
        got = sorted(map(str, files)) if isinstance(files, Mapping) else type(files).__name__
        raise Mistake(
            tr("a dict with the text of {name} is asked for, got {got}", name=repr(LISTED), got=got)
        )
    names = [line.strip() for line in files[LISTED].splitlines() if line.strip()]
    if len(set(names)) != count or len(names) != count:
        raise Mistake(
            tr("{count} images need {count} names, got {names}", count=count, names=names),
            tr("One image is one file, and its name is one line of the list."),
        )
    if missing := [name for name in names if name not in files]:
        raise Mistake(
            tr("listed and not there: {missing}", missing=missing),
            tr("The compiler looks for the name as it is in the list: write each with its .npy."),
        )
    arrays = [np.asarray(files[name]) for name in names]
    if wrong := [array.shape for array in arrays if array.ndim != 4 or len(array) != 1]:
        raise Mistake(
            tr("each file holds [1, 3, H, W], got {shape}", shape=wrong[0]),
            tr("The model takes a batch of one image: planes[np.newaxis]."),
        )
    return np.concatenate(arrays)


def _check_layout(got: np.ndarray, images: np.ndarray) -> None:
    expected, (_, height, width, _) = images.transpose(0, 3, 1, 2).astype(np.float32), images.shape
    if got.dtype != np.float32:
        raise Mistake(
            tr("float32 is asked for, got {kind}", kind=got.dtype), tr("End with .astype(np.float32).")
        )
    one, wanted = got.shape[1:], expected.shape[1:]
    if one != wanted:
        known = {
            (3, width, height): tr("Rows and columns have changed places, too: .T or a wrong order of axes."),
            (height, width, 3): tr("The colour is still the last axis: it comes before rows and columns."),
        }
        hint = known.get(one, "")
        raise Mistake(
            tr("expected the shape {expected}, got {got}", expected=(1, *wanted), got=(1, *one)), hint
        )
    if np.array_equal(got, expected):
        return
    if np.array_equal(got, images.reshape(expected.shape).astype(np.float32)):
        hint = tr("The shape is right and the pictures are scrambled: reshape moves no axis, transpose does.")
    elif np.allclose(got * 255, expected) or np.allclose(got * 127.5 + 127.5, expected, atol=1e-3):
        hint = tr("The model normalises by itself: give it raw pixels, 0 to 255.")
    elif np.array_equal(got, expected[:, ::-1]):
        hint = tr("Red and blue have changed places.")
    else:
        hint = ""
    raise Mistake(tr("the values are not those of the pictures in the new order of axes"), hint)


@exercise(
    "06.6",
    tr("More cores"),
    hints=(
        tr("Each image is on one core here, however many there are: when is the first answer ready?"),
        tr("The cores work in rounds; a round that is not full takes as long as a full one."),
        tr("return inference_ms, math.ceil(count / cores) * inference_ms"),
    ),
    read=tr("the section “One, two, three cores” of this chapter"),
)
def check_waiting(answer: Callable[[int, int, float], tuple[float, float]]) -> None:
    """Milliseconds until the first answer and until all, from the images, the cores and the time of one."""
    for count, cores, inference_ms in (
        (6, 1, 5.0),
        (6, 3, 5.0),
        (7, 3, 5.0),
        (2, 3, 4.0),
        (25, 4, 1.7),
        (9, 2, 3),
    ):
        rounds = math.ceil(count / cores)
        expected = (inference_ms, rounds * inference_ms)
        got = answer(count, cores, inference_ms)
        if not _is_pair(got):
            raise Mistake(
                tr("two numbers are asked for, got {got!r}", got=got), tr("return first_ms, all_ms")
            )
        got = tuple(float(number) for number in got)
        if np.allclose(got, expected):
            continue
        known = {
            (inference_ms / cores, expected[1]): tr(
                "More sessions make no image faster: here each image is on one core."
            ),
            (inference_ms, count * inference_ms / cores): tr(
                "No core takes a part of an image: the last round takes as long as a full one."
            ),
            (inference_ms, count * inference_ms): tr("That is one core: the cores work at the same time."),
            expected[::-1]: tr("The order is: the first answer, then all."),
        }
        hint = next((text for value, text in known.items() if np.allclose(got, value)), "")
        raise Mistake(
            tr(
                "{count} images, {cores} cores, {inference_ms:g} ms each: {expected}, got {got}",
                count=count,
                cores=cores,
                inference_ms=inference_ms,
                expected=expected,
                got=got,
            ),
            hint,
        )
