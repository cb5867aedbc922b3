"""Chapter 10: right answers, and the mistakes that students make, each with words of the hint it must get."""

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


def rolling_fps(times_s, window):
    recent = times_s[-window:]
    return (len(recent) - 1) / (recent[-1] - recent[0])


def best_fps(stages_ms, cores):
    times = list(stages_ms.values())
    return 1000 / max(max(times), sum(times) / cores)


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


SOLUTIONS = {"10.1": square, "10.2": rolling_fps, "10.3": best_fps, "10.4": offer, "10.5": steady}
ALSO_RIGHT = (("10.5", last_wins_a_tie),)

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
    ("10.5", lambda labels, n: labels, "as they were"),
    ("10.5", lambda labels, n: [Counter(labels).most_common(1)[0][0]] * len(labels), "too steady"),
    ("10.5", lambda labels, n: steady(labels, n)[n - 1 :], "need a label too"),
    (
        "10.5",
        lambda labels, n: [
            Counter(labels[max(0, i - n // 2) : i + n // 2 + 1]).most_common(1)[0][0]
            for i in range(len(labels))
        ],
        "future",
    ),
)
