"""Chapter 10: right answers, and the mistakes that students make, each with words of the hint it must get."""

import contextlib
import queue as queues
import threading
import time
from collections import Counter, deque

import numpy as np


def square(box, margin, side=max, ends=2, middle=True):
    left, top, right, bottom = box
    length = side(right - left, bottom - top) * (1 + ends * margin)
    if not middle:
        return left, top, left + length, top + length
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - length / 2, y - length / 2, x + length / 2, y + length / 2


def stretched(box, margin):
    left, top, right, bottom = box
    x, y = margin * (right - left), margin * (bottom - top)
    return left - x, top - y, right + x, bottom + y


def whole_middle(box, margin):
    """Integer division, right where the sums of the edges are even."""
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (1 + 2 * margin) / 2
    x, y = (left + right) // 2, (top + bottom) // 2
    return x - half, y - half, x + half, y + half


def square_by_arrays(box, margin):
    edges = np.array(box, float).reshape(2, 2)
    reach = (0.5 + margin) * np.ptp(edges, axis=0).max()
    return np.concatenate([edges.mean(axis=0) - reach, edges.mean(axis=0) + reach])


def square_by_growing(box, margin):
    left, top, right, bottom = map(np.float64, box)
    side = max(right - left, bottom - top)
    wider, taller = (side - (right - left)) / 2, (side - (bottom - top)) / 2
    more = margin * side
    return [left - wider - more, top - taller - more, right + wider + more, bottom + taller + more]


def plain_fps(times_s, window):
    """As long as there are two frames with time between."""
    recent = times_s[-window:]
    return (len(recent) - 1) / (recent[-1] - recent[0])


def rolling_fps(times_s, window):
    recent = times_s[-window:]
    if len(recent) < 2 or recent[-1] == recent[0]:
        return 0.0
    return (len(recent) - 1) / (recent[-1] - recent[0])


def fps_by_gaps(times_s, window):
    gaps = np.diff(np.array(times_s, float)[-window:])
    return 1 / gaps.mean() if gaps.size and gaps.sum() > 0 else 0


def fps_by_deque(times_s, window):
    recent = deque(times_s, maxlen=window)
    span_s = recent[-1] - recent[0] if recent else 0.0
    return np.float64(len(recent) - 1) / span_s if span_s else np.float64(0)


def fps_by_try(times_s, window):
    try:
        return plain_fps(times_s, window)
    except (ZeroDivisionError, IndexError):
        return 0


def best_fps(stages_ms, cores):
    times = list(stages_ms.values())
    return 1000 / max(max(times), sum(times) / cores)


def best_by_rates(stages_ms, cores):
    rates = [1000 / time for time in stages_ms.values()]
    return min(min(rates), cores / sum(1 / rate for rate in rates))


def best_by_arrays(stages_ms, cores):
    times_s = np.array(list(stages_ms.values())) / 1000
    return 1 / np.maximum(times_s.max(), times_s.sum() / cores)


def best_by_loops(stages_ms, cores):
    longest = total = 0
    for name in stages_ms:
        longest, total = max(longest, stages_ms[name]), total + stages_ms[name]
    return 1e3 / (longest if longest * cores > total else total / cores)


def offer_by_slices(queue, frame, capacity):
    kept = [*queue, frame][-capacity:]
    dropped = len(queue) + 1 - len(kept)
    queue.clear()
    queue.extend(kept)
    return np.int64(dropped)


def offer_after(queue, frame, capacity):
    queue.append(frame)
    too_many = max(0, len(queue) - capacity)
    for _ in range(too_many):
        queue.popleft()
    return too_many


def offer_in_place(queue, frame, capacity):
    before = len(queue)
    queue += [frame]
    while len(queue) > capacity:
        del queue[0]
    return before + 1 - len(queue)


def channel(
    capacity, order="popleft", wake="notify_all", put_wakes=True, again=True, leftover=True, waits=True
):
    frames, changed, is_closed = deque(), threading.Condition(), False

    def put(frame):
        with changed:
            dropped = offer(frames, frame, capacity)
            if put_wakes:
                changed.notify() if again else changed.notify_all()
            return dropped

    def get():
        with changed:
            while waits and not frames and not is_closed:
                changed.wait()
                if not again:
                    break
            if not frames or (is_closed and not leftover):
                return None
            return getattr(frames, order)()

    def close():
        nonlocal is_closed
        with changed:
            is_closed = True
            getattr(changed, wake)()

    return put, get, close


def channel_by_wait_for(capacity):
    state = {"frames": [], "closed": False}
    changed = threading.Condition(threading.Lock())

    def put(frame):
        with changed:
            state["frames"].append(frame)
            dropped = max(0, len(state["frames"]) - capacity)
            del state["frames"][:dropped]
            changed.notify_all()
        return dropped

    def get():
        with changed:
            changed.wait_for(lambda: state["frames"] or state["closed"])
            return state["frames"].pop(0) if state["frames"] else None

    def close():
        with changed:
            state["closed"] = True
            changed.notify_all()

    return [put, get, close]


def channel_by_polling(capacity):
    """Waits in slices, as programs do that want to be interrupted."""
    frames, lock, ended = deque(), threading.Lock(), threading.Event()

    def put(frame):
        with lock:
            return offer(frames, frame, capacity)

    def get():
        while True:
            is_ended = ended.is_set()
            with lock:
                if frames:
                    return frames.popleft()
            if is_ended:
                return None
            time.sleep(0.001)

    return put, get, ended.set


class OwnChannel:
    def __init__(self, capacity):
        self.frames, self.changed, self.is_closed = deque(maxlen=capacity), threading.Condition(), False

    def put(self, frame):
        with self.changed:
            dropped = int(len(self.frames) == self.frames.maxlen)
            self.frames.append(frame)
            self.changed.notify()
        return dropped

    def get(self):
        with self.changed:
            while not (self.frames or self.is_closed):
                self.changed.wait(0.1)
            return self.frames.popleft() if self.frames else None

    def close(self):
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()


def channel_of_a_class(capacity):
    made = OwnChannel(capacity)
    return made.put, made.get, made.close


def sleeps_with_the_lock(capacity):
    frames, lock, ended = deque(), threading.Lock(), threading.Event()

    def put(frame):
        with lock:
            return offer(frames, frame, capacity)

    def get():
        with lock:
            while not frames and not ended.is_set():
                time.sleep(0.01)
            return frames.popleft() if frames else None

    return put, get, ended.set


def refusing_channel(capacity):
    """Python's own queue refuses the newest when it is full."""
    waiting = queues.Queue(capacity)

    def put(frame):
        try:
            waiting.put_nowait(frame)
        except queues.Full:
            return 1
        return 0

    return put, waiting.get, lambda: None


def stage(get, work, put, close):
    try:
        while (frame := get()) is not None:
            put(work(frame))
    finally:
        close()


def stage_by_iter(get, work, put, close):
    try:
        for frame in iter(get, None):
            put(work(frame))
    finally:
        close()


def stage_by_flag(get, work, put, close):
    running = True
    try:
        while running:
            frame = get()
            if frame is None:
                running = False
            else:
                made = work(frame)
                put(made)
    except Exception:
        close()
        raise
    close()


def stage_by_recursion(get, work, put, close):
    try:
        frame = get()
        if frame is None:
            return
        put(work(frame))
        stage(get, work, put, lambda: None)
    finally:
        close()


def stage_without_finally(get, work, put, close):
    while (frame := get()) is not None:
        put(work(frame))
    close()


def channel_that_blocks(capacity):
    waiting = queues.Queue(capacity)
    return waiting.put, waiting.get, lambda: waiting.put(None)


def stage_that_skips(get, work, put, close):
    while (frame := get()) is not None:
        with contextlib.suppress(Exception):
            put(work(frame))
    close()


def stage_that_hides(get, work, put, close):
    with contextlib.suppress(Exception):
        stage_without_finally(get, work, put, lambda: None)
    close()


def offer(queue, frame, capacity):
    dropped = 0
    while len(queue) >= capacity:
        queue.popleft()
        dropped += 1
    queue.append(frame)
    return dropped


def steady(labels, window):
    return [Counter(labels[max(0, i - window + 1) : i + 1]).most_common(1)[0][0] for i in range(len(labels))]


def bounded(queue, frame, capacity):
    """A deque of its own with maxlen: the queue that was passed stays as it is."""
    queue = deque(queue, maxlen=capacity)
    queue.append(frame)
    return 0


def refuses_new(queue, frame, capacity):
    if len(queue) >= capacity:
        return 1
    queue.append(frame)
    return 0


def drops_newest_waiting(queue, frame, capacity):
    dropped = 0
    while len(queue) >= capacity:
        queue.pop()
        dropped += 1
    queue.append(frame)
    return dropped


def grows(queue, frame, capacity):
    queue.append(frame)
    return 0


def drops_once(queue, frame, capacity):
    dropped = int(len(queue) >= capacity)
    if dropped:
        queue.popleft()
    queue.append(frame)
    return dropped


def returns_nothing(queue, frame, capacity):
    offer(queue, frame, capacity)


def last_wins_a_tie(labels, window):
    chosen = []
    for index in range(len(labels)):
        counts = Counter(labels[max(0, index - window + 1) : index + 1])
        chosen.append(max(reversed(counts), key=counts.get))
    return chosen


def steady_by_arrays(labels, window):
    names = np.array(labels)
    parts = [names[max(0, i + 1 - window) : i + 1] for i in range(len(names))]
    return np.array([np.unique(part)[np.unique(part, return_counts=True)[1].argmax()] for part in parts])


def steady_by_deque(labels, window):
    recent, chosen = deque(maxlen=window), []
    for label in labels:
        recent.append(label)
        chosen.append(max(set(recent), key=list(recent).count))
    return tuple(chosen)


SOLUTIONS = {
    "10.1": square,
    "10.2": rolling_fps,
    "10.3": best_fps,
    "10.4": offer,
    "10.5": channel,
    "10.6": stage,
    "10.7": steady,
}
ALSO_RIGHT = (
    ("10.1", square_by_arrays),
    ("10.1", square_by_growing),
    ("10.1", lambda box, margin: map(np.float32, square(box, margin))),
    ("10.2", fps_by_gaps),
    ("10.2", fps_by_deque),
    ("10.2", fps_by_try),
    ("10.3", best_by_rates),
    ("10.3", best_by_arrays),
    ("10.3", best_by_loops),
    ("10.4", offer_by_slices),
    ("10.4", offer_after),
    ("10.4", offer_in_place),
    ("10.5", channel_by_wait_for),
    ("10.5", channel_by_polling),
    ("10.5", channel_of_a_class),
    ("10.6", stage_by_iter),
    ("10.6", stage_by_flag),
    ("10.6", stage_by_recursion),
    ("10.7", last_wins_a_tie),
    ("10.7", steady_by_arrays),
    ("10.7", steady_by_deque),
)

WRONG = (
    ("10.1", stretched, "no square"),
    ("10.1", lambda box, margin: square(box, margin, middle=False), "must be the middle of the box"),
    ("10.1", lambda box, margin: square(box, margin, side=min), "Take the longer side"),
    ("10.1", lambda box, margin: square(box, margin, ends=1), "so twice"),
    ("10.1", lambda box, margin: square(box, margin)[:2], "Return four numbers"),
    ("10.2", lambda t, n: len(t[-n:]) / (t[-n:][-1] - t[-n:][0]), "fence posts"),
    ("10.2", lambda t, n: np.mean(1 / np.diff(t[-n:])), "favours the quick"),
    ("10.2", lambda t, n: (len(t) - 1) / (t[-1] - t[0]), "since the start"),
    ("10.2", lambda t, n: (t[-n:][-1] - t[-n:][0]) / (len(t[-n:]) - 1), "turn it round"),
    ("10.2", lambda t, n: "30 FPS", "got '30 FPS'"),
    ("10.2", lambda t, n: rolling_fps(t, n + 1), "one frame more"),
    ("10.1", whole_middle, "divide with /"),
    ("10.1", lambda box, margin: (92.0, 62.0, 148.0, 118.0), "must be the middle of the box"),
    ("10.2", plain_fps, "there is no rate yet"),
    ("10.2", lambda t, n: 1 / (t[-1] - t[-2]), "got 9.9999"),
    ("10.3", lambda s, c: {2: 166.66666666666666, 1: 83.33333333333333}[c], "in line"),
    ("10.3", lambda s, c: 1000 / max(s.values()), "tighter one"),
    ("10.3", lambda s, c: 1000 * c / sum(s.values()), "cannot be split"),
    ("10.3", lambda s, c: 1000 / sum(s.values()), "one loop"),
    ("10.3", lambda s, c: best_fps(s, c) / 1000, "milliseconds"),
    ("10.4", grows, "beyond its capacity"),
    ("10.4", refuses_new, "newest frame was refused"),
    ("10.4", drops_newest_waiting, "popleft"),
    ("10.4", drops_once, "until there is room"),
    ("10.4", returns_nothing, "also when it is 0"),
    ("10.4", bounded, "newest frame was refused"),
    ("10.7", lambda labels, n: labels, "as they were"),
    ("10.7", lambda labels, n: [Counter(labels).most_common(1)[0][0]] * len(labels), "too steady"),
    ("10.7", lambda labels, n: steady(labels, n)[n - 1 :], "need a label too"),
    (
        "10.7",
        lambda labels, n: [
            Counter(labels[max(0, i - n // 2) : i + n // 2 + 1]).most_common(1)[0][0]
            for i in range(len(labels))
        ],
        "future",
    ),
    ("10.7", lambda labels, n: steady(labels, n) if len(labels) == 11 else ["?"] * len(labels), "too steady"),
    ("10.5", lambda capacity: channel(capacity)[0], "return put, get, close"),
    ("10.5", refusing_channel, "comes first: popleft"),
    ("10.5", lambda capacity: channel(capacity, order="pop"), "comes first: popleft"),
    ("10.5", lambda capacity: channel(capacity + 1), "make room as in exercise"),
    ("10.5", lambda capacity: channel(capacity, leftover=False), "given out first"),
    ("10.5", lambda capacity: channel(capacity, waits=False), "get waits until"),
    ("10.5", lambda capacity: channel(capacity, put_wakes=False), "put must notify"),
    ("10.5", lambda capacity: channel(capacity, again=False), "with while, not with if"),
    ("10.5", lambda capacity: channel(capacity, wake="notify"), "notify_all"),
    ("10.5", lambda capacity: (*channel(capacity)[:2], lambda: None), "it must not wait"),
    ("10.5", sleeps_with_the_lock, "lets go of the lock"),
    ("10.5", channel_that_blocks, "put never waits"),
    ("10.6", lambda get, work, put, close: [put(work(frame)) for frame in iter(get, None)], "Nobody tells"),
    ("10.6", stage_without_finally, "in a finally"),
    ("10.6", stage_that_hides, "Do not catch the exception"),
    ("10.6", stage_that_skips, "Do not catch the exception"),
    ("10.6", lambda get, work, put, close: stage(lambda: get() or None, work, put, close), "is not None"),
    (
        "10.6",
        lambda get, work, put, close: stage(get, lambda frame: frame, lambda f: put([f]), close),
        "Put what work",
    ),
    ("10.6", lambda get, work, put, close: stage(get, work, put, lambda: [close(), close()]), "comes once"),
)
