"""The checks of chapter 19: overlap, hits, average precision, pairs, identities, hysteresis, cameras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import numpy as np

from edgelab.detection import average_precision as expected_precision
from edgelab.detection import greedy_pairs
from edgelab.detection import iou as expected_iou
from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

PATIENCE = 10  # frames

# The reference answers: later cells use them where an exercise is not solved.


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Overlap of every box of `a` `[n, 4]` with every one of `b` `[m, 4]`: `[n, m]`, 0 to 1."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return shared / (area_a[:, None] + area_b - shared)


def hits(overlap: np.ndarray, least: float) -> np.ndarray:
    """Which detections hit an object: Booleans `[n]`.

    Args:
        overlap: `[n, m]`, best detection first.
        least: overlap that is a hit.
    """
    free, found = overlap.copy(), np.zeros(len(overlap), bool)
    for number, row in enumerate(free):
        if row.max(initial=0) >= least:
            found[number] = True
            free[:, row.argmax()] = 0
    return found


def average_precision(hit: np.ndarray, count: int) -> float:
    """Mean precision at 101 recalls.

    Args:
        hit: Booleans, best detection first.
        count: objects that are there.
    """
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    recall = np.cumsum(hit) / count
    wanted = np.linspace(0, 1, 101)
    return float(np.mean([precision[recall >= least].max(initial=0) for least in wanted]))


def pairs(overlap: np.ndarray, least: float) -> list[tuple[int, int]]:
    """(row, column) of the best overlap, then of the best among the others, down to `least`."""
    free, found = overlap.copy(), []
    while free.size and free.max() >= least:
        row, column = np.unravel_index(free.argmax(), free.shape)
        found.append((row, column))
        free[row] = free[:, column] = 0
    return found


def follow(tracks: dict, boxes: np.ndarray, found: list, new_id: int) -> dict:
    """The tracks after one more frame.

    Args:
        tracks: maps a number to (box, frames unseen), in the order of the rows of `found`.
        boxes: `[n, 4]` of the new frame.
        found: pairs (row of a track, number of a box).
        new_id: number of the first new track.
    """
    ids, seen, left = list(tracks), dict(found), {}
    for row, number in enumerate(ids):
        box, unseen = tracks[number]
        if row in seen:
            left[number] = (boxes[seen[row]], 0)
        elif unseen < PATIENCE:
            left[number] = (box, unseen + 1)
    for column in sorted(set(range(len(boxes))) - set(seen.values())):
        left[new_id] = (boxes[column], 0)
        new_id += 1
    return left


def settled(was: bool, depth: float, margin: float) -> bool:
    """Inside once deeper than `margin`, outside once farther out than that, else as it was."""
    if depth > margin:
        return True
    if depth < -margin:
        return False
    return was


def cameras(stage_ms: Mapping[str, float], on_chip: Set[str], rate: float, cores: int) -> int:
    """How many cameras an accelerator and some cores serve, if nothing ever waits.

    Args:
        stage_ms: milliseconds of each stage of one frame.
        on_chip: stages that take turns on the accelerator; all others share the cores.
        rate: frames of a camera per second.
        cores: of the processor.
    """
    busy_ms = [0.0, 0.0]  # of a core's and of the accelerator's second, that one camera takes
    for name, stage in stage_ms.items():
        busy_ms[name in on_chip] += rate * stage
    return int(min(1000 * cores / busy_ms[0], 1000 / busy_ms[1]))


def _boxes(seed: int, count: int) -> np.ndarray:
    """Boxes that overlap each other here and there, wider or higher than square."""
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(-20, 60, (count, 2)), rng.uniform(5, 50, (count, 2))
    return np.concatenate([corner, corner + side], axis=1)


@exercise(
    "19.1",
    tr("How far two boxes overlap"),
    hints=(
        tr("The shared part begins at the larger of both left (upper) edges, and ends at the smaller right."),
        tr("np.maximum(a[:, None, :2], b[None, :, :2]) has the first corner of every pair: shape [n, m, 2]."),
        tr("Clip its sides at 0 before you multiply; the union is both areas minus the shared one."),
    ),
    read=tr("the section “How good is it?” of this chapter"),
)
def check_iou(answer: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    """Intersection over union of every box of one set with every one of another."""
    for seed, (rows, columns) in enumerate(((1, 1), (4, 6), (5, 3))):
        a, b = _boxes(seed, rows), _boxes(100 + seed, columns)
        expected, got = expected_iou(a, b), np.asarray(answer(a.copy(), b.copy()), float)
        if got.shape == expected.shape and np.allclose(got, expected, atol=1e-9):
            continue
        raise Mistake(
            tr(
                "boxes {a} and {b}: expected {expected}, got {got}",
                a=a[0].round(1).tolist(),
                b=b[0].round(1).tolist(),
                expected=round(float(expected[0, 0]), 3),
                got=round(float(got.ravel()[0]), 3) if got.size else tr("nothing"),
            ),
            _iou_hint(a, b, expected, got),
        )


def _sides(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sides of the shared part, which may be negative `[n, m, 2]`, and both areas."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return high - low, area_a[:, None], area_b


def _iou_hint(a: np.ndarray, b: np.ndarray, expected: np.ndarray, got: np.ndarray) -> str:
    if got.shape != expected.shape:
        return tr("Every box of a with every box of b: the answer has the shape [n, m].")
    sides, area_a, area_b = _sides(a, b)
    shared = np.clip(sides, 0, None).prod(axis=2)
    if np.allclose(got, shared / (area_a + area_b), atol=1e-9):
        return tr("The shared part is in both areas: take it off once.")
    if np.allclose(got, shared / np.minimum(area_a, area_b), atol=1e-9):
        return tr("Divide by the union, not by the smaller box.")
    if got.min() < 0 or (got[expected == 0] > 0).any():
        return tr("Boxes that lie apart share nothing: clip each side at 0 before you multiply.")
    return ""


# Overlaps of three boxes (best first) with two objects, and others.
OVERLAPS = (
    np.array([[0.9, 0.1], [0.8, 0.7], [0.95, 0.2]]),
    np.array([[0.5], [0.6]]),
    np.array([[0.49, 0.3], [0.2, 0.55]]),
    np.empty((2, 0)),
    np.array([[0.6, 0.9], [0.1, 0.8], [0.7, 0.0]]),
    np.array([[0.75, 0.75, 0.0], [0.7, 0.1, 0.2], [0.1, 0.8, 0.6], [0.0, 0.0, 0.9], [0.9, 0.9, 0.9]]),
)


@exercise(
    "19.2",
    tr("Hits"),
    hints=(
        tr("Go through the detections from the best to the worst; each looks at the objects still free."),
        tr("overlap[number].argmax() is the object it overlaps most; after a hit that object is taken."),
        tr("Set the column of a taken object to 0: free[:, row.argmax()] = 0."),
    ),
    read=tr("the section “How good is it?” of this chapter"),
)
def check_hits(answer: Callable[[np.ndarray, float], np.ndarray]) -> None:
    """Which detections hit an object, if each object is hit once."""
    for overlap in OVERLAPS:
        for least in (0.5, 0.75):
            expected = hits(overlap, least)
            got = np.asarray(answer(overlap.copy(), least))
            if got.shape == expected.shape and np.array_equal(got.astype(bool), expected):
                continue
            raise Mistake(
                tr(
                    "overlaps {overlap}, at least {least}: expected {expected}, got {got}",
                    overlap=overlap.tolist(),
                    least=least,
                    expected=expected.tolist(),
                    got=got.tolist(),
                ),
                _hits_hint(overlap, least, expected, got),
            )


def _hits_hint(overlap: np.ndarray, least: float, expected: np.ndarray, got: np.ndarray) -> str:
    if got.shape != expected.shape:
        return tr("One answer for each detection, True or False.")
    best = overlap.max(axis=1, initial=0)
    if np.array_equal(got.astype(bool), best >= least):
        return tr("An object that was hit is taken: a second box on it is a false alarm.")
    if np.array_equal(got.astype(bool), hits(overlap, least + 1e-9)):
        return tr("An overlap of exactly least is a hit, too.")
    return tr("A detection takes the object it overlaps most of those that are still free.")


# Hits of detections, best first, and the number of objects.
CURVES = (
    ((1, 1, 0, 1), 4),
    ((0, 1, 1), 2),
    ((1, 0, 0, 0, 1, 1), 3),
    ((), 3),
    ((0, 0), 1),
    ((1,), 1),
    ((1, 0, 1, 1, 0, 0, 1, 0), 7),
)


@exercise(
    "19.3",
    tr("Average precision"),
    hints=(
        tr("np.cumsum(hit) says how many of the first 1, 2, 3 … detections hit."),
        tr("Precision divides it by 1, 2, 3 …; recall by count."),
        tr(
            "At each wanted recall take the highest precision among all places whose recall is at least that."
        ),
    ),
    read=tr("the section “How good is it?” of this chapter"),
)
def check_average_precision(answer: Callable[[np.ndarray, int], float]) -> None:
    """The mean of the precision at 101 recalls from 0 to 1."""
    for case, count in CURVES:
        hit = np.array(case, bool)
        expected = expected_precision(hit, -np.arange(len(hit)), count)
        got = answer(hit.copy(), count)
        if np.ndim(got) == 0 and abs(float(got) - expected) < 1e-6:
            continue
        raise Mistake(
            tr(
                "hits {case} of {count} objects: expected {expected:.4f}, got {got}",
                case=list(case),
                count=count,
                expected=expected,
                got=np.round(np.asarray(got, float), 4).tolist(),
            ),
            _precision_hint(hit, count, got),
        )


def _precision_hint(hit: np.ndarray, count: int, got: object) -> str:
    if np.ndim(got) != 0:
        return tr("Return one number, the mean.")
    right = np.cumsum(hit)
    precision, recall = right / np.arange(1, len(hit) + 1), right / count
    at = [np.flatnonzero(recall >= least) for least in np.linspace(0, 1, 101)]
    if len(hit) and np.isclose(float(got), np.mean([precision[i[0]] if len(i) else 0 for i in at])):
        return tr("Not the precision at that place, but the highest from there on.")
    reached = [precision[i].max() for i in at if len(i)]
    if reached and np.isclose(float(got), np.mean(reached)):
        return tr("A recall that is never reached counts as precision 0: it is part of the mean.")
    if len(hit) and hit.any() and np.isclose(float(got), precision[hit].mean()):
        return tr("This is the mean over the hits: take it over 101 recalls, so that misses count.")
    return ""


@exercise(
    "19.4",
    tr("Who belongs together"),
    hints=(
        tr("Take the largest overlap of the whole table; its row and its column are then used up."),
        tr("np.unravel_index(free.argmax(), free.shape) gives its row and column."),
        tr("while free.size and free.max() >= least: … free[row] = free[:, column] = 0."),
    ),
    read=tr("the section “Who is who” of this chapter"),
)
def check_pairs(answer: Callable[[np.ndarray, float], list]) -> None:
    """Pairs of a track and a box, the best overlap first."""
    tables = [np.random.default_rng(seed).random(shape).round(3) for seed, shape in enumerate(PAIRS)]
    for table in (*tables, np.zeros((2, 2)), np.array([[0.3]]), np.array([[0.7, 0.1], [0.9, 0.2]])):
        for least in (0.3, 0.6):
            expected = {tuple(map(int, pair)) for pair in greedy_pairs(table, least)}
            answered = answer(table.copy(), least)
            got = [tuple(map(int, pair)) for pair in answered]
            if set(got) == expected and len(got) == len(expected):
                continue
            raise Mistake(
                tr(
                    "overlaps {table}, at least {least}: expected {expected}, got {got}",
                    table=table.tolist(),
                    least=least,
                    expected=sorted(expected),
                    got=sorted(got),
                ),
                _pairs_hint(table, least, expected, got),
            )


PAIRS = ((2, 2), (3, 2), (2, 4), (4, 4), (5, 5), (0, 3), (3, 0))


def _pairs_hint(table: np.ndarray, least: float, expected: set, got: list) -> str:
    rows, columns = [pair[0] for pair in got], [pair[1] for pair in got]
    if len(set(rows)) < len(rows) or len(set(columns)) < len(columns):
        return tr("Each track and each box is used once.")
    if any(not (row < table.shape[0] and column < table.shape[1]) for row, column in got):
        return tr("A pair is (row, column): the track first.")
    if any(table[pair] < least for pair in got):
        return tr("Below least nobody belongs together.")
    if len(got) < len(expected):
        return tr("Some that belong together were not found: go on until nothing is left above least.")
    return tr("The best pair of the whole table comes first, and not the best of the first row.")


@exercise(
    "19.5",
    tr("Identities"),
    hints=(
        tr("Three cases: a track that was paired, a track that was not, a box that was not."),
        tr("dict(found) maps the row of a track to its box; list(tracks) has the numbers in that order."),
        tr("A paired track takes the box and 0; another its old box and unseen + 1; new ones count on."),
    ),
    read=tr("the section “Who is who” of this chapter"),
)
def check_follow(answer: Callable[[dict, np.ndarray, list, int], dict]) -> None:
    """The tracks after one more frame: seen again, waited for, given up, or new."""
    boxes = _boxes(7, 4)
    tracks = {3: (boxes[0] + 1, 4), 8: (boxes[1] + 2, PATIENCE), 5: (boxes[2], 0), 9: (boxes[3], 9)}
    cases = (
        (tracks, boxes, [(0, 2), (3, 1)], 20),
        (tracks, boxes[:1], [], 11),
        ({}, boxes, [], 0),
        (tracks, boxes[:0], [], 10),
        (tracks, boxes[:2], [(1, 0)], 10),
    )
    for given, new, found, new_id in cases:
        expected = follow(dict(given), new, found, new_id)
        got = answer(dict(given), new.copy(), list(found), new_id)
        if not isinstance(got, dict):
            raise Mistake(
                tr("got {kind}", kind=type(got).__name__), tr("Return a dictionary: number to (box, unseen).")
            )
        wrong = _wrong_track(expected, got, given, new_id)
        if wrong:
            raise Mistake(*wrong)


def _wrong_track(expected: dict, got: dict, given: dict, new_id: int) -> tuple[str, str] | None:
    said = tr(
        "tracks {given}, next number {new_id}: expected {expected}, got {got} (number: frames unseen)",
        given={number: unseen for number, (_, unseen) in given.items()},
        new_id=new_id,
        expected={int(number): int(value[1]) for number, value in expected.items()},
        got={int(number): int(value[1]) for number, value in got.items()},
    )
    if set(got) != set(expected):
        if (set(expected) - set(got)) & set(given):
            return said, tr("A track that is not seen is waited for, for `patience` frames at most.")
        if (set(got) - set(expected)) & set(given):
            return said, tr("Whoever was unseen for `patience` frames already is given up.")
        return said, tr("Each box without a track gets a number of its own: new_id, new_id + 1, …")
    for number, (box, unseen) in expected.items():
        if int(got[number][1]) != unseen:
            return said, tr("Seen again: unseen is 0. Not seen: one more than before.")
        if not np.allclose(got[number][0], box):
            return said + f"; {number}", tr(
                "Of a pair, the track takes the new box; unseen, it keeps its own."
            )
    return None


@exercise(
    "19.6",
    tr("Not twice"),
    hints=(
        tr("Deeper than margin: inside. Farther out than margin: outside. And between?"),
        tr("Between both, nothing has been decided: all stays as it was."),
        tr("if depth > margin: return True; if depth < -margin: return False; return was"),
    ),
    read=tr("the section “Events” of this chapter"),
)
def check_settled(answer: Callable[[bool, float, float], bool]) -> None:
    """Hysteresis: the new state from the old one and the distance from the border."""
    for was in (False, True):
        for depth, margin in ((5, 2), (1, 2), (2, 2), (-1, 2), (-2, 2), (-5, 2), (0.5, 0), (-0.5, 0), (0, 0)):
            expected, got = settled(was, depth, margin), answer(was, depth, margin)
            if isinstance(got, bool | np.bool_) and bool(got) == expected:
                continue
            hint = tr("Between the margins it stays as it was.")
            if not isinstance(got, bool | np.bool_):
                hint = tr("Return True or False.")
            elif depth < -margin:
                hint = tr("Outside lies at negative depth: below -margin.")
            elif depth > margin:
                hint = tr("Deeper than margin is inside, wherever it was before.")
            raise Mistake(
                tr(
                    "was {was}, depth {depth}, margin {margin}: expected {expected}, got {got}",
                    was=was,
                    depth=depth,
                    margin=margin,
                    expected=expected,
                    got=got,
                ),
                hint,
            )


# Milliseconds of each stage of one frame, those on the chip, frames per second, cores. The first two are so
# near a whole number of cameras that a second of 1001 ms would give one more.
LOADS = (
    ({"detect": 6.005, "decode": 1.0, "name": 4.0}, {"detect", "name"}, 25, 4),
    ({"decode": 5.004, "detect": 3.0, "draw": 3.0}, {"detect"}, 25, 2),
    ({"decode": 3.1, "detect": 2.3, "name": 1.7, "draw": 0.9}, {"detect", "name"}, 30, 1),
    ({"decode": 3.1, "detect": 22.3, "name": 18.7, "draw": 0.9}, {"detect", "name"}, 30, 8),
    ({"decode": 0.7, "detect": 13.0, "track": 0.4}, {"detect"}, 12.5, 2),
    ({"decode": 41.0, "detect": 3.0}, {"detect"}, 30, 1),
    ({"decode": 2.9, "detect": 2.9, "draw": 2.9}, {"detect"}, 10, 3),
)


@exercise(
    "19.7",
    tr("How many cameras?"),
    hints=(
        tr("One camera asks the chip for rate * chip_ms milliseconds in each second, which has 1000."),
        tr("All stages that are not on the chip share the cores, which have cores * 1000 milliseconds."),
        tr("int(min(1000 / (rate * chip_ms), cores * 1000 / (rate * cpu_ms)))"),
    ),
    read=tr("the section “At how many frames per second?” of this chapter"),
)
def check_cameras(answer: Callable[[Mapping[str, float], Set[str], float, int], int]) -> None:
    """The cameras that one chip and some cores serve, at best."""
    got = [answer(dict(stage_ms), set(on_chip), *rest) for stage_ms, on_chip, *rest in LOADS]
    for count, load in zip(got, LOADS, strict=True):
        expected = cameras(*load)
        is_whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
        if is_whole and count == expected:
            continue
        stage_ms, on_chip, rate, cores = load
        raise Mistake(
            tr(
                "{stages} (ms), on the chip {chip}, {rate} frames per second, {cores} cores: "
                "expected {expected}, got {got}",
                stages=stage_ms,
                chip=sorted(on_chip),
                rate=rate,
                cores=cores,
                expected=expected,
                got=repr(count)[:40],
            ),
            _cameras_hint(got) if is_whole else tr("Return one whole number: half a camera is not served."),
        )


def _cameras_hint(got: list[int]) -> str:
    # Of the milliseconds on chip and cores, those from frame to frame, the cores, and the longest stage.
    rules: tuple[tuple[Callable[..., float], str], ...] = (
        (lambda chip, cpu, t, n, _: min(t / chip, n * t / cpu) + 1, tr("Round down: half of one is none.")),
        (lambda chip, cpu, t, n, _: t / chip, tr("The cores may be full before the chip is.")),
        (lambda chip, cpu, t, n, _: n * t / cpu, tr("The chip may be full before the cores are.")),
        (lambda chip, cpu, t, n, _: t / (chip + cpu), tr("Chip and cores work at once: do not add them up.")),
        (lambda chip, cpu, t, n, _: min(t / chip, t / cpu), tr("Each core has its own 1000 ms a second.")),
        (lambda chip, cpu, t, n, longest: t / longest, tr("Stages on one chip take turns: add their times.")),
    )  # fmt: skip
    for rule, hint in rules:
        found = []
        for stage_ms, on_chip, rate, cores in LOADS:
            chip_ms = sum(stage_ms[name] for name in on_chip)
            cpu_ms = sum(stage_ms.values()) - chip_ms
            found.append(int(rule(chip_ms, cpu_ms, 1000 / rate, cores, max(stage_ms.values()))))
        if found == got:
            return hint
    return tr("Each camera gives rate frames in a second, and each frame passes all stages.")
