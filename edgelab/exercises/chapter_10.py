"""The checks of chapter 10: the square to cut out, frame rates, a queue between threads, a steady label."""

from __future__ import annotations

import math
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgelab.exercises import queue_checks
from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

# Thirty frames at 30 FPS, a pause of one second, then frames at 10 FPS.
TIMES_S = np.concatenate([np.arange(30) / 30, 2.0 + np.arange(20) / 10])
STAGES_MS = {"capture": 2.0, "preprocess": 6.0, "infer": 3.0, "draw": 1.0}
LABELS = ["ring", "ring", "star", "ring", "ring", "cross", "cross", "ring", "cross", "cross", "cross"]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _close(got: Any, expected: float) -> bool:
    return _is_number(got) and math.isclose(float(got), expected, rel_tol=1e-6, abs_tol=1e-9)


# (left, top, right, bottom), margin -> the square around it.
SQUARES = (
    (((100, 80, 140, 100), 0.2), (92.0, 62.0, 148.0, 118.0)),
    (((60, 40, 80, 100), 0.0), (40.0, 40.0, 100.0, 100.0)),
    (((10, 20, 50, 60), 0.5), (-10.0, 0.0, 70.0, 80.0)),
    (((11, 20, 34, 61), 0.1), (-2.1, 15.9, 47.1, 65.1)),  # its middle is no whole number
)


def _square_around(box: tuple[int, ...], margin: float) -> tuple[float, ...]:
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (1 + 2 * margin) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half, y - half, x + half, y + half


def _box(seed: int) -> tuple[tuple[tuple[int, ...], float], tuple[float, ...]]:
    rng = random.Random(seed)
    left, top = rng.randint(0, 200), rng.randint(0, 150)
    box = (left, top, left + rng.randint(5, 99), top + rng.randint(5, 99))
    margin = rng.choice((0.0, 0.05, 0.2, 0.35))
    return (box, margin), _square_around(box, margin)


@exercise(
    "10.1",
    tr("Cut for the model"),
    hints=(
        tr("Two numbers first: the middle of the box, and half the side of the square."),
        tr("The side is the longer side of the box, and margin * longer at each of its two ends."),
        tr(
            "half = max(right - left, bottom - top) * (1 + 2 * margin) / 2; the middle is ((left + right) "
            "/ 2, (top + bottom) / 2); return x - half, y - half, x + half, y + half"
        ),
    ),
    read=tr("the section “What the model must see” of this chapter"),
)
def check_square(answer: Callable[[tuple, float], Sequence[float]]) -> None:
    """Edges of the square around a box, with a margin at each end."""
    for (box, margin), expected in (*SQUARES, *map(_box, range(12))):
        got = answer(box, margin)
        edges = tuple(float(edge) for edge in got)
        if len(edges) != 4 or not np.allclose(edges, expected):
            raise Mistake(
                tr(
                    "around {box} with a margin of {margin} the square is {expected}, got {got}",
                    box=box,
                    margin=margin,
                    expected=expected,
                    got=edges,
                ),
                _square_hint(edges, box, margin),
            )


def _square_hint(edges: tuple[float, ...], box: tuple, margin: float) -> str:
    if len(edges) != 4:
        return tr("Return four numbers: left, top, right, bottom.")
    left, top, right, bottom = edges
    longer, shorter = max(box[2] - box[0], box[3] - box[1]), min(box[2] - box[0], box[3] - box[1])
    if not math.isclose(right - left, bottom - top):
        return tr("That is no square: the model would see the object stretched.")
    middle = (box[0] + box[2], box[1] + box[3])
    if not np.allclose((left + right, top + bottom), middle):
        if np.allclose((left + right) // 2, middle[0] // 2) and np.allclose(
            (top + bottom) // 2, middle[1] // 2
        ):
            return tr("The middle may be between two pixels: divide with /, not with //.")
        return tr("The middle of the square must be the middle of the box.")
    if math.isclose(right - left, shorter * (1 + 2 * margin)):
        return tr("Take the longer side: with the shorter one, the ends of the object are cut off.")
    if math.isclose(right - left, longer * (1 + margin)):
        return tr("The margin is added at each end, so twice.")
    return ""


@exercise(
    "10.2",
    tr("A rolling frame rate"),
    hints=(
        tr("Look at the last `window` times only: times_s[-window:]."),
        tr("Between n points in time lie n - 1 frame intervals."),
        tr("recent = times_s[-window:]; return (len(recent) - 1) / (recent[-1] - recent[0])"),
    ),
    read=tr("the section “A frame rate that follows” of this chapter"),
)
def check_rolling_fps(answer: Callable[[Sequence[float], int], float]) -> None:
    """Frames per second over the last `window` frames, from the times at which frames were shown."""
    for count, window in ((30, 10), (50, 20), (50, 50), (5, 30), (2, 30), (2, 2)):
        times_s = TIMES_S[:count].tolist()
        recent = times_s[-window:]
        expected = (len(recent) - 1) / (recent[-1] - recent[0])
        got = answer(times_s, window)
        if not _close(got, expected):
            raise Mistake(
                tr(
                    "over the last {window} of {count} frames the rate is {expected:.4g} FPS, got {got!r}",
                    window=window,
                    count=count,
                    expected=expected,
                    got=got,
                ),
                _fps_hint(got, times_s, window),
            )
    for times_s, window in (([0.5], 30), ([], 30), ([0.1, 0.2, 0.3], 1), ([0.4, 0.4], 30)):
        try:
            got = answer(times_s, window)
        except (ZeroDivisionError, IndexError) as error:
            got = type(error).__name__
        if not _close(got, 0.0):
            raise Mistake(
                tr(
                    "frames at {times_s} s, window {window}: 0 expected, got {got!r}",
                    times_s=times_s,
                    window=window,
                    got=got,
                ),
                tr("With fewer than two frames, or no time between them, there is no rate yet: return 0."),
            )


def _fps_hint(got: Any, times_s: list[float], window: int) -> str:
    recent = np.array(times_s[-window:])
    span_s = recent[-1] - recent[0]
    if _close(got, len(recent) / span_s):
        return tr("Count intervals, not frames: ten fence posts have nine gaps.")
    if _close(got, float(np.mean(1 / np.diff(recent)))):
        return tr(
            "The mean of the rates favours the quick frames: one slow frame takes as long as many quick ones."
        )
    if _close(got, (len(times_s) - 1) / (times_s[-1] - times_s[0])):
        return tr("That is the rate since the start; only the last `window` frames should count.")
    longer = times_s[-window - 1 :]
    if _close(got, (len(longer) - 1) / (longer[-1] - longer[0])):
        return tr("That is one frame more than `window`: times_s[-window:] are the last `window` ones.")
    if _close(got, span_s / (len(recent) - 1)):
        return tr("That is seconds per frame: turn it round.")
    return ""


@exercise(
    "10.3",
    tr("The best that overlapping can do"),
    hints=(
        tr("Two limits hold at once: no stage can be skipped, and the cores share all the work."),
        tr(
            "Frames cannot come faster than one per max(stage times), nor than one per sum(stage "
            "times) / cores."
        ),
        tr("interval_ms = max(max(times), sum(times) / cores); the frame rate is 1000 / interval_ms."),
    ),
    read=tr("the section “Overlap the stages” of this chapter"),
)
def check_best_fps(answer: Callable[[Mapping[str, float], int], float]) -> None:
    """Highest frame rate of overlapped stages on a number of cores, from the stage times in ms."""
    rng = random.Random(103)
    unseen = [
        ({name: rng.uniform(1, 20) for name in "abcdef"[: rng.randint(1, 6)]}, rng.randint(1, 4))
        for _ in range(12)
    ]
    for stages_ms, cores in (
        (STAGES_MS, 2), (STAGES_MS, 1), (STAGES_MS, 4), ({"a": 5.0, "b": 5.0}, 2), *unseen,
    ):  # fmt: skip
        times = list(stages_ms.values())
        expected = 1000 / max(max(times), sum(times) / cores)
        got = answer(dict(stages_ms), cores)
        if not _close(got, expected):
            raise Mistake(
                tr(
                    "stages of {times} ms on {cores} core(s) give at most {expected:.4g} FPS, got {got!r}",
                    times=", ".join(f"{t:g}" for t in times),
                    cores=cores,
                    expected=expected,
                    got=got,
                ),
                _best_fps_hint(got, times, cores),
            )


def _best_fps_hint(got: Any, times: list[float], cores: int) -> str:
    if _close(got, 1000 / max(times)):
        return tr(
            "The longest stage is one limit; but with few cores the sum of all work is the tighter one."
        )
    if _close(got, 1000 / (sum(times) / cores)):
        return tr(
            "Sharing the work among the cores is one limit; but one stage cannot be split between two cores."
        )
    if _close(got, 1000 / sum(times)):
        return tr("That is the rate of one loop: one stage after the other.")
    if _is_number(got) and _close(float(got) * 1000, 1000 / max(max(times), sum(times) / cores)):
        return tr("The stages are in milliseconds: 1000 of them make a second.")
    return ""


@exercise(
    "10.4",
    tr("Drop the oldest"),
    hints=(
        tr("Make room first, then append: queue.popleft() takes away the oldest."),
        tr("Count every frame you take away, and return the count; most of the time it is 0."),
        tr(
            "dropped = 0; while len(queue) >= capacity: queue.popleft(); dropped += 1; then "
            "queue.append(frame) and return dropped."
        ),
    ),
    read=tr("the section “When frames come too fast” of this chapter"),
)
def check_offer(answer: Callable[[deque, Any, int], int]) -> None:
    """Append a frame to a bounded queue, dropping the oldest where there is no room; return how many."""
    for capacity in (1, 3):
        queue: deque[int] = deque()
        for frame in range(6):
            dropped = answer(queue, frame, capacity)
            expected = list(range(max(0, frame + 1 - capacity), frame + 1))
            if list(queue) != expected:
                raise Mistake(
                    tr(
                        "capacity {capacity}: after frame {frame} the queue should be {expected}, it is "
                        "{queue}",
                        capacity=capacity,
                        frame=frame,
                        expected=expected,
                        queue=list(queue),
                    ),
                    _offer_hint(list(queue), frame, capacity),
                )
            must_drop = int(frame >= capacity)
            if dropped != must_drop or isinstance(dropped, bool):
                raise Mistake(
                    tr(
                        "capacity {capacity}: frame {frame} drops {must_drop}, but {dropped!r} was returned",
                        capacity=capacity,
                        frame=frame,
                        must_drop=must_drop,
                        dropped=dropped,
                    ),
                    tr("Return the number of dropped frames of this call, also when it is 0."),
                )
    queue = deque([1, 2, 3, 4])
    if answer(queue, 5, 2) != 3 or list(queue) != [4, 5]:
        raise Mistake(
            tr(
                "a queue of 4 offered one more at capacity 2 should keep [4, 5] and drop 3, it is {queue}",
                queue=list(queue),
            ),
            tr("The capacity may have been lowered meanwhile: drop until there is room, not once."),
        )


def _offer_hint(queue: list[int], frame: int, capacity: int) -> str:
    if len(queue) > capacity:
        return tr("The queue grew beyond its capacity: make room before you append.")
    if frame not in queue:
        return tr("The newest frame was refused. For a live picture it is the old ones that are worthless.")
    if len(queue) == capacity and queue[0] == 0:
        return tr("The frame before was dropped; take the oldest one: popleft(), not pop().")
    return ""


def channel(capacity: int) -> tuple[Callable[[Any], int], Callable[[], Any], Callable[[], None]]:
    """put, get and close of a queue between two threads; what is full drops its oldest frame."""
    frames: deque[Any] = deque()
    changed = threading.Condition()
    is_closed = False

    def put(frame: Any) -> int:
        dropped = 0
        with changed:
            while len(frames) >= capacity:
                frames.popleft()
                dropped += 1
            frames.append(frame)
            changed.notify()
        return dropped

    def get() -> Any:
        with changed:
            while not frames and not is_closed:
                changed.wait()
            return frames.popleft() if frames else None

    def close() -> None:
        nonlocal is_closed
        with changed:
            is_closed = True
            changed.notify_all()

    return put, get, close


def stage(
    get: Callable[[], Any], work: Callable[[Any], Any], put: Callable[[Any], Any], close: Callable[[], None]
) -> None:
    """Take, work, hand on until nothing comes any more; then tell those behind, whatever has happened."""
    try:
        while (frame := get()) is not None:
            put(work(frame))
    finally:
        close()


@exercise(
    "10.5",
    tr("A queue between threads"),
    hints=(
        tr("changed = threading.Condition(); in each of the three functions: with changed: ..."),
        tr("get: while not frames and not is_closed: changed.wait(). Whoever changes something notifies."),
        tr("close: nonlocal is_closed; with changed: is_closed = True; changed.notify_all()"),
    ),
    read=tr("the section “Your own pipeline” of this chapter, and threading.Condition in Python's manual"),
)
def check_channel(answer: Callable[[int], Sequence[Callable[..., Any]]]) -> None:
    """put, get and close: bounded, in order, oldest dropped, and nobody waits for ever."""
    queue_checks.check_channel(answer)


@exercise(
    "10.6",
    tr("One stage of a pipeline"),
    hints=(
        tr("Take with get() until it gives None; put what work makes of each frame."),
        tr("while (frame := get()) is not None: put(work(frame))"),
        tr("try: the loop; finally: close(). So the stage behind ends, too, whatever has happened."),
    ),
    read=tr("the section “Your own pipeline” of this chapter"),
)
def check_stage(answer: Callable[..., None]) -> None:
    """Takes until None, hands on in order, closes once: also when the work fails."""
    queue_checks.check_stage(answer)


@exercise(
    "10.7",
    tr("A steady label"),
    hints=(
        tr("For frame i, look at labels[max(0, i - window + 1) : i + 1]: this frame and those before it."),
        tr(
            "collections.Counter(recent).most_common(1)[0][0] is the most frequent; on a tie it "
            "gives the one that came first."
        ),
        tr(
            "return [Counter(labels[max(0, i - window + 1) : i + 1]).most_common(1)[0][0] for i "
            "in range(len(labels))]"
        ),
    ),
    read=tr("the section “How often is it right?” of this chapter"),
)
def check_steady(answer: Callable[[Sequence[Any], int], Sequence[Any]]) -> None:
    """For each frame the most frequent label among the last `window` ones, the frame itself included."""
    rng = random.Random(107)
    unseen = [rng.choices(("ring", "star", "cross"), k=20 + window) for window in range(9)]
    for window, labels in ((1, LABELS), (3, LABELS), (5, LABELS), *enumerate(unseen, 1)):
        expected = [_most_frequent(labels[max(0, i - window + 1) : i + 1]) for i in range(len(labels))]
        got = list(answer(list(labels), window))
        if len(got) != len(labels):
            raise Mistake(
                tr("{count} labels must give {count}, got {got}", count=len(labels), got=len(got)),
                tr("The first frames have fewer before them, but they need a label too."),
            )
        for index, (label, allowed) in enumerate(zip(got, expected, strict=True)):
            if label not in allowed:
                raise Mistake(
                    tr(
                        "window {window}: frame {index} should be {allowed}, got {label!r}",
                        window=window,
                        index=index,
                        allowed=" / ".join(sorted(allowed)),
                        label=label,
                    ),
                    _steady_hint(labels, got, window),
                )


def _most_frequent(labels: list[str]) -> set[str]:
    counts = Counter(labels)
    return {label for label, count in counts.items() if count == max(counts.values())}


def _steady_hint(labels: list[str], got: list[str], window: int) -> str:
    if got == labels:
        return tr("The labels came back as they were: count within the window.")
    half = window // 2
    centred = [_most_frequent(labels[max(0, i - half) : i + half + 1]) for i in range(len(labels))]
    if window > 1 and all(label in allowed for label, allowed in zip(got, centred, strict=True)):
        return tr("A live video cannot look into the future: use this frame and those before it.")
    if len(set(got)) == 1:
        return tr("One label for the whole video is too steady: only the last `window` frames may vote.")
    return ""
