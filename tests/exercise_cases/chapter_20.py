"""Chapter 20: right answers, and the mistakes that students make, each with words of the hint it must get."""

import itertools

import numpy as np

from edgelab.exercises import chapter_20

SOLUTIONS = {
    "20.1": chapter_20.how_fed,
    "20.2": chapter_20.how_answered,
    "20.3": chapter_20.how_made,
    "20.4": chapter_20.how_fast,
    "20.5": chapter_20.diagnose,
    "20.6": chapter_20.share_of_peak,
}


def fed_one_by_one(case):
    pixels, fed = case["pixels"].tolist(), case["fed"].tolist()
    if pixels == fed:
        return None
    if max(np.ravel(fed)) in (0, 1):
        return ["scaling", "fed.npy"]
    if np.flip(case["pixels"], axis=3).tolist() == fed:
        return "bgr", "fed.npy"
    planes = np.moveaxis(case["pixels"], 3, 1)
    return ("planes" if planes.ravel().tolist() == np.ravel(fed).tolist() else "resize"), "fed.npy"


def fed_by_difference(case):
    pixels, fed = case["pixels"].astype(int), case["fed"].astype(int)
    if not (pixels - fed).any():
        return None
    if (fed < 2).all():
        return "scaling", "fed.npy"
    if not (pixels[:, :, :, [2, 1, 0]] - fed).any():
        return "bgr", "fed.npy"
    count, height, width, channels = fed.shape
    back = fed.reshape(count, channels, height, width).transpose(0, 2, 3, 1)
    return ("resize" if (back - pixels).any() else "planes"), "fed.npy"


def fed_by_bytes(case):
    fed = case["fed"]
    if fed.tobytes() == case["pixels"].tobytes():
        return None
    if np.unique(fed).max() <= 1:
        return "scaling", "fed.npy"
    for cause, axes in (("bgr", None), ("planes", (0, 3, 1, 2))):
        made = case["pixels"][..., ::-1] if axes is None else case["pixels"].transpose(axes)
        if np.ascontiguousarray(made).tobytes() == fed.tobytes():
            return cause, "fed.npy"
    return "resize", "fed.npy"


def answered_by_largest(case):
    apart = np.ptp([case["outputs"], case["reference"]], axis=0) > 0.03125
    if 2 * apart.any(axis=1).sum() > len(apart):
        return ("no_batch" if (case["outputs"] % 1).any() else "truncated"), "outputs.npy"
    if case["labels"] != case["classes"]:
        return "labels", "labels.txt"


def answered_by_rows(case):
    pairs = zip(case["outputs"], case["reference"], strict=True)
    if sum(max(abs(a - b)) <= 1 / 32 for a, b in pairs) >= len(case["outputs"]) / 2:
        return None if tuple(case["labels"]) == tuple(case["classes"]) else ["labels", "labels.txt"]
    is_whole = all(float(value).is_integer() for value in case["outputs"].ravel())
    return "truncated" if is_whole else "no_batch", "outputs.npy"


def answered_by_rounding(case):
    outputs = np.asarray(case["outputs"])
    near = np.isclose(outputs, case["reference"], rtol=0, atol=2**-5).all(axis=1)
    if np.median(near) == 0:
        return ("truncated" if (np.rint(outputs) == outputs).all() else "no_batch"), "outputs.npy"
    same = len(case["labels"]) == len(case["classes"]) and all(
        map(str.__eq__, case["labels"], case["classes"])
    )
    return None if same else ("labels", "labels.txt")


def rough(pictures):
    values = np.asarray(pictures, np.float64)
    return np.mean(np.abs(values[:, :, 1:] - values[:, :, :-1]))


def made_by_comparing(case):
    if case["digest"] != case["released_digest"]:
        return ["stale_model", "release.json"]
    times = rough(case["calibration"]) / rough(case["pixels"])
    if not 0.5 <= times <= 2:
        return "calibration", "calibration.npz"
    for one, other in itertools.product(case["pixels"], case["calibration"]):
        if (one == other).all():
            return "leak", "calibration.npz"
    return None


def made_by_sets(case):
    if case["digest"] != case["released_digest"]:
        return "stale_model", "release.json"
    larger, smaller = sorted((rough(case["calibration"]), rough(case["pixels"])), reverse=True)
    if larger > 2 * smaller:
        return "calibration", "calibration.npz"
    tested, made = ({bytes(one) for one in case[name]} for name in ("pixels", "calibration"))
    return ("leak", "calibration.npz") if tested & made else None


def made_by_rows(case):
    names = {"stale_model": "release.json", "calibration": "calibration.npz", "leak": "calibration.npz"}
    flat = [case[name].reshape(len(case[name]), -1) for name in ("pixels", "calibration")]
    ratio = np.log2(rough(case["calibration"]) / rough(case["pixels"]))
    found = {
        "stale_model": case["digest"] != case["released_digest"],
        "calibration": abs(ratio) > 1,
        "leak": (flat[0][:, np.newaxis] == flat[1]).all(axis=2).any(),
    }
    return next(((cause, names[cause]) for cause, holds in found.items() if holds), None)


def fast_by_cross_product(case):
    if case["placed"][0] * case["promised_placed"][1] < case["promised_placed"][0] * case["placed"][1]:
        return "float_islands", "model.tflite"
    if 10 * min(case["clocks_mhz"]) < 9 * max(case["clocks_mhz"]):
        return "throttled", "device.log"
    if min(case["latencies_ms"]) / 2 > case["promised_ms"]:
        return "fallback", "device.log"
    return None


def fast_by_sorting(case):
    share, promised = (now / of for now, of in (case["placed"], case["promised_placed"]))
    clocks, latencies = np.sort(case["clocks_mhz"]), np.sort(case["latencies_ms"])
    found = None
    if latencies[0] > 2 * case["promised_ms"]:
        found = "fallback", "device.log"
    if clocks[0] < 0.9 * clocks[-1]:
        found = "throttled", "device.log"
    return ("float_islands", "model.tflite") if share < promised else found


def fast_by_any(case):
    placed, promised = case["placed"], case["promised_placed"]
    if (
        placed[0] / placed[1] != promised[0] / promised[1]
        and placed[0] / placed[1] < promised[0] / promised[1]
    ):
        return ["float_islands", "model.tflite"]
    if np.any(case["clocks_mhz"] < 0.9 * np.max(case["clocks_mhz"])):
        return "throttled", "device.log"
    return ("fallback", "device.log") if np.all(case["latencies_ms"] > 2 * case["promised_ms"]) else None


def diagnosed_lazily(case, steps):
    return next(filter(None, (step(case) for step in steps)), ("healthy", ""))


def diagnosed_by_index(case, steps):
    for number in range(len(steps)):
        found = steps[number](case)
        if found is not None:
            return found
    return ("healthy", "")


def diagnosed_by_recursion(case, steps):
    if not steps:
        return ["healthy", ""]
    return steps[0](case) or diagnosed_by_recursion(case, steps[1:])


def share_by_cycles(macs, seconds, clock_ghz, macs_per_cycle):
    cycles = seconds * clock_ghz * 10**9
    return np.float64(macs) / (cycles * macs_per_cycle)


ALSO_RIGHT = (
    ("20.1", fed_one_by_one),
    ("20.1", fed_by_difference),
    ("20.1", fed_by_bytes),
    ("20.2", answered_by_largest),
    ("20.2", answered_by_rows),
    ("20.2", answered_by_rounding),
    ("20.3", made_by_comparing),
    ("20.3", made_by_sets),
    ("20.3", made_by_rows),
    ("20.4", fast_by_cross_product),
    ("20.4", fast_by_sorting),
    ("20.4", fast_by_any),
    ("20.5", diagnosed_lazily),
    ("20.5", diagnosed_by_index),
    ("20.5", diagnosed_by_recursion),
    ("20.6", lambda m, s, c, w: (2 * m / s) / (2 * c * 1e9 * w)),
    ("20.6", lambda m, s, c, w: m / (s * c * w) / 1e9),
    ("20.6", share_by_cycles),
)  # fmt: skip


def changed(function, **causes):
    """The same answers with some causes in place of others; `healthy` stands for None."""

    def answer(case):
        found = function(case)
        cause = found[0] if found else "healthy"
        if cause not in causes:
            return found
        return causes[cause] if not isinstance(causes[cause], str) else (causes[cause], found[1])

    return answer


def fed_without_order(case):
    """Dark pictures are taken for scaled ones."""
    if np.array_equal(case["fed"], case["pixels"]):
        return None
    return ("scaling", "fed.npy") if case["fed"].max() < 10 else chapter_20.how_fed(case)


def fed_by_mean(case):
    near = abs(case["fed"].astype(float).mean() - case["pixels"].mean()) < 1e-9
    return None if near else chapter_20.how_fed(case)


def planes_by_transpose(case):
    if np.array_equal(case["fed"], case["pixels"].transpose(0, 2, 1, 3)):
        return "planes", "fed.npy"
    return chapter_20.how_fed(case)


def labels_first(case):
    return ("labels", "labels.txt") if case["labels"] != case["classes"] else chapter_20.how_answered(case)


def answered_exactly(case):
    if np.array_equal(case["outputs"], case["reference"]):
        return chapter_20.how_answered(case)
    return chapter_20.how_answered(case) or ("no_batch", "outputs.npy")


def any_row(case):
    if (np.abs(case["outputs"] - case["reference"]) > 1 / 32).any():
        return chapter_20.how_answered(case) or ("no_batch", "outputs.npy")
    return chapter_20.how_answered(case)


def whole_by_size(case):
    found = chapter_20.how_answered(case)
    return ("truncated", "outputs.npy") if found and found[0] == "no_batch" else found


def made_by_range(case):
    if case["calibration"].max() < case["pixels"].max():
        return "calibration", "calibration.npz"
    return chapter_20.how_made(case)


def leak_first(case):
    seen = {one.tobytes() for one in case["calibration"]}
    if any(one.tobytes() in seen for one in case["pixels"]):
        return "leak", "calibration.npz"
    return chapter_20.how_made(case)


def made_always_stale(case):
    return chapter_20.how_made(case) or ("stale_model", "release.json")


def fast_by_median(case):
    found = chapter_20.how_fast(case)
    slow = np.median(case["latencies_ms"]) > 2 * case["promised_ms"]
    return found or (("fallback", "device.log") if slow else None)


def fast_by_count(case):
    if case["placed"][1] != case["promised_placed"][1]:
        return "float_islands", "model.tflite"
    return chapter_20.how_fast(case)


def any_fall(case):
    found = chapter_20.how_fast(case)
    return found or (("throttled", "device.log") if np.ptp(case["clocks_mhz"]) else None)


def asks_all(case, steps):
    findings = [step(case) for step in steps]
    return next((one for one in findings if one), ("healthy", ""))


def last_finding(case, steps):
    for step in reversed(steps):
        if found := step(case):
            return found
    return "healthy", ""


WRONG = (
    ("20.1", fed_without_order, "It is dark, and not scaled"),
    ("20.1", fed_by_mean, "Some pixels differ here"),
    ("20.1", planes_by_transpose, "Only the same bytes in another order"),
    ("20.1", changed(chapter_20.how_fed, planes="resize"), "for what nothing else explains"),
    ("20.1", changed(chapter_20.how_fed, resize="bgr"), "in reverse"),
    ("20.1", changed(chapter_20.how_fed, bgr=("bgr", "device.log")), "The table of causes tells"),
    ("20.1", changed(chapter_20.how_fed, bgr="bgr", scaling=7), "Return a pair of two texts"),
    ("20.2", labels_first, "the outputs come first"),
    ("20.2", answered_exactly, "At most half of these"),
    ("20.2", any_row, "At most half of these"),
    ("20.2", whole_by_size, "These outputs are no whole numbers"),
    ("20.2", changed(chapter_20.how_answered, labels=None), "Compare both"),
    ("20.2", changed(chapter_20.how_answered, labels=("labels", "x.txt")), "The table of causes tells"),
    ("20.3", made_by_range, "at most twice, and at least half"),
    ("20.3", leak_first, "or another cause comes first"),
    ("20.3", made_always_stale, "The two digests are the same"),
    ("20.3", changed(chapter_20.how_made, leak=None), "Three things can be wrong"),
    ("20.4", fast_by_median, "Its fastest line takes at most twice"),
    ("20.4", fast_by_count, "as large a share here"),
    ("20.4", any_fall, "nine tenths of the highest"),
    ("20.4", changed(chapter_20.how_fast, fallback=None), "Three things can be slow"),
    ("20.5", asks_all, "it may have nothing to compare"),
    ("20.5", last_finding, "Ask the steps in their order"),
    ("20.5", lambda case, steps: chapter_20.diagnose(case, steps)[0], "cause and file."),
    ("20.5", lambda case, steps: next(filter(None, (step(case) for step in steps)), None), "the pair is"),
    ("20.6", lambda m, s, c, w: 2 * m / s / (c * 1e9 * w), "two operations on one side"),
    ("20.6", lambda m, s, c, w: m / s / (2 * c * 1e9 * w), "two operations a multiply-add"),
    ("20.6", lambda m, s, c, w: m / s / (c * w), "10⁹ cycles per second"),
    ("20.6", lambda m, s, c, w: 100 * m / s / (c * 1e9 * w), "percent come when it is shown"),
    ("20.6", lambda m, s, c, w: c * 1e9 * w * s / m, "not the other way round"),
)  # fmt: skip

SURVIVORS = ()
