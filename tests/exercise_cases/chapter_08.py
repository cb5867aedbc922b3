"""Chapter 8: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np


def quantize(real, scale, zero_point):
    return np.clip(np.rint(real / scale) + zero_point, 0, 255).astype(np.uint8)


def verdict(low, high, threshold):
    return "pass" if high < threshold else "fail" if low > threshold else "undecided"


def fall(snr_db):
    return int(np.argmin(np.diff(snr_db))) + 1


def f1(confusion, index):
    return 2 * confusion[index, index] / (confusion[index].sum() + confusion[:, index].sum())


SOLUTIONS = {"08.1": verdict, "08.2": quantize, "08.3": fall, "08.4": f1}


def truncates(real, scale, zero_point):
    return np.clip((real / scale + zero_point).astype(np.int64), 0, 255).astype(np.uint8)


def wraps(real, scale, zero_point):
    return (np.rint(real / scale) + zero_point).astype(np.int64).astype(np.uint8)


def forgets_zero_point(real, scale, zero_point):
    return np.clip(np.rint(real / scale), 0, 255).astype(np.uint8)


def multiplies(real, scale, zero_point):
    return np.clip(np.rint(real * scale) + zero_point, 0, 255).astype(np.uint8)


def stays_float(real, scale, zero_point):
    return np.clip(np.rint(real / scale) + zero_point, 0, 255)


def clips_first(real, scale, zero_point):
    return (np.clip(np.rint(real / scale), 0, 255) + zero_point).clip(0, 255).astype(np.uint8)


def needs_a_loss(low, high, threshold):
    return "undecided" if low < 0 < high else verdict(low, high, threshold)


def middle(low, high, threshold):
    return "pass" if (low + high) / 2 < threshold else "fail"


def optimist(low, high, threshold):
    return "pass" if low < threshold else "fail"


def absolute(low, high, threshold):
    return verdict(abs(low), abs(high), threshold)


def always_three(low, high, threshold):
    return verdict(low, high, 3.0)


def precision(confusion, index):
    return confusion[index, index] / confusion[:, index].sum()


def recall(confusion, index):
    return confusion[index, index] / confusion[index].sum()


WRONG = (
    ("08.2", truncates, "Round first"),
    ("08.2", wraps, "clip before the cast"),
    ("08.2", forgets_zero_point, "Where is the zero point?"),
    ("08.2", multiplies, "solve it for the code"),
    ("08.2", stays_float, "End with .astype(np.uint8)"),
    ("08.1", middle, "decides nothing"),
    ("08.1", optimist, "decides nothing"),
    ("08.1", absolute, "no absolute values"),
    ("08.1", always_three, "third argument"),
    ("08.3", lambda snr_db: int(np.argmin(snr_db)), "inherited"),
    ("08.3", lambda snr_db: int(np.argmin(np.diff(snr_db))), "one value less"),
    ("08.3", lambda snr_db: int(np.argmax(np.diff(snr_db))) + 1, "rises"),
    ("08.4", recall, "That is the recall"),
    ("08.4", precision, "That is the precision"),
    ("08.4", lambda m, c: (recall(m, c) + precision(m, c)) / 2, "harmonic"),
    ("08.4", lambda m, c: np.trace(m) / m.sum(), "all classes together"),
    ("08.4", lambda m, c: 100 * f1(m, c), "not a percentage"),
    ("08.1", needs_a_loss, "a tie is a pass"),
    ("08.2", clips_first, "before you clip"),
    ("08.3", lambda snr_db: int(np.argmin(np.diff(snr_db))) + 2, "from 0"),
)
