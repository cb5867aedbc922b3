"""The checks of chapter 20: a diagnosis in four steps, their order, and the share of a processor's peak.

Deployments are made up here, of small pictures and random answers. A step takes a case, a dictionary, and
returns the cause and the file that shows it, or None where nothing is wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

Case = dict[str, Any]
Found = tuple[str, str] | None
CLASSES = ["circle", "square", "star", "ring"]
SHAPE = (16, 8, 8, 3)


def how_started(case: Case) -> Found:
    """The first step: did the app start?"""
    if len(case["fed"]):
        return None
    return ("old_runtime" if "version" in case["log"] else "no_device"), "device.log"


def how_fed(case: Case) -> Found:
    """The second step: did the device feed the pixels that it should?"""
    pixels, fed = case["pixels"], case["fed"]
    if np.array_equal(fed, pixels):
        return None
    planes = pixels.transpose(0, 3, 1, 2).reshape(pixels.shape)
    known = {"bgr": pixels[..., ::-1], "planes": planes}
    same = [cause for cause, wrong in known.items() if np.array_equal(fed, wrong)]
    return ("scaling" if fed.max() <= 1 else same[0] if same else "resize"), "fed.npy"


def how_answered(case: Case) -> Found:
    """The third step: did it read the outputs, and name them, as it should?"""
    outputs = case["outputs"]
    differs = np.abs(outputs - case["reference"]).max(axis=1) > 1 / 32
    if differs.mean() > 0.5:
        whole = np.array_equal(outputs, np.floor(outputs))
        return ("truncated" if whole else "no_batch"), "outputs.npy"
    return None if case["labels"] == case["classes"] else ("labels", "labels.txt")


def roughness(pictures: np.ndarray) -> float:
    """The mean difference between neighbours in a row, without its sign."""
    return float(np.abs(np.diff(pictures.astype(float), axis=2)).mean())


def how_made(case: Case) -> Found:
    """The fourth step: is it the released file, made with the right pictures, and tested with others?"""
    if case["digest"] != case["released_digest"]:
        return "stale_model", "release.json"
    made, tested = case["calibration"], case["pixels"]
    times = roughness(made) / roughness(tested)
    if times > 2 or times < 0.5:
        return "calibration", "calibration.npz"
    seen = {one.tobytes() for one in made}
    return ("leak", "calibration.npz") if any(one.tobytes() in seen for one in tested) else None


def how_fast(case: Case) -> Found:
    """The fifth step: does it run where it should, as fast as promised?"""
    (now, of), (promised, total) = case["placed"], case["promised_placed"]
    clocks = case["clocks_mhz"]
    if now / of < promised / total:
        return "float_islands", "model.tflite"
    if clocks.min() < 0.9 * clocks.max():
        return "throttled", "device.log"
    return ("fallback", "device.log") if case["latencies_ms"].min() > 2 * case["promised_ms"] else None


def diagnose(case: Case, steps: Sequence[Callable[[Case], Found]]) -> tuple[str, str]:
    """What the first step finds that finds something; the rest is not asked."""
    for step in steps:
        if found := step(case):
            return found
    return "healthy", ""


def share_of_peak(macs: int, seconds: float, clock_ghz: float, macs_per_cycle: int) -> float:
    """The part of a core's peak that so many multiply-adds in so many seconds are."""
    return macs / seconds / (clock_ghz * 1e9 * macs_per_cycle)


def _healthy(seed: int) -> Case:
    """A case in which nothing is wrong."""
    rng = np.random.default_rng(seed)
    pixels, made = (_pictures(rng, SHAPE), _pictures(rng, (24, *SHAPE[1:])))
    reference = _softmax(rng.normal(0, 3, (SHAPE[0], len(CLASSES))))
    digest = hashlib.sha256(str(seed).encode()).hexdigest()
    return {
        "name": f"case-{seed}",
        "log": "runtime 2.3.1, model.tflite 471 kB",
        "pixels": pixels,
        "fed": pixels.copy(),
        "reference": reference,
        "outputs": (reference + rng.uniform(-0.01, 0.01, reference.shape)).astype(np.float32),
        "labels": list(CLASSES),
        "classes": list(CLASSES),
        "digest": digest,
        "released_digest": digest,
        "calibration": made,
        "placed": (66, 66),
        "promised_placed": (66, 66),
        "latencies_ms": rng.uniform(1.0, 1.9, 40),
        "clocks_mhz": np.full(40, 1800),
        "promised_ms": 1.0,
    }


def _pictures(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Smooth slopes of brightness with some noise, as real pictures have; from 0 to 255."""
    slope = (
        rng.uniform(5, 25, (shape[0], 1, 1, shape[3]))
        * np.arange(shape[2])[np.newaxis, np.newaxis, :, np.newaxis]
    )
    values = slope + rng.uniform(0, 10, shape)
    values[:, 0, 0, 0], values[:, -1, -1, 1] = 0, 255
    return np.clip(values, 0, 255).astype(np.uint8)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _asked(
    answer: Callable[[Case], Any], case: Case, expected: Found, what: str, hints: dict[Any, str]
) -> None:
    """One case put to an answer; `hints` explain a wrong cause that is given in place of the right one."""
    got = answer({name: value.copy() if hasattr(value, "copy") else value for name, value in case.items()})
    if got is None or got == expected:
        if got != expected:
            raise Mistake(
                # Note: {what} is a case, such as “a picture in BGR”.
                tr("{what}: nothing was found, expected {expected}", what=what, expected=expected),
                hints.get(None, tr("Return the cause and the file, as a pair of texts.")),
            )
        return
    if not (isinstance(got, (tuple, list)) and len(got) == 2 and all(isinstance(one, str) for one in got)):
        raise Mistake(
            # Note: {what} is a case, such as “a picture in BGR”.
            tr("{what}: got {got!r}", what=what, got=got),
            tr("Return a pair of two texts: the cause and the file that shows it; or None."),
        )
    if tuple(got) == expected:
        return
    if expected and got[0] == expected[0]:
        raise Mistake(
            # Note: {what} is a case, such as “a picture in BGR”.
            tr("{what}: the cause is right, and {file!r} does not show it", what=what, file=got[1]),
            tr("The table of causes tells which file shows which."),
        )
    raise Mistake(
        # Note: {what} is a case, such as “a picture in BGR”.
        tr("{what}: got {got}, expected {expected}", what=what, got=got[0], expected=expected or tr("None")),
        hints.get(got[0], "") if expected is None or got[0] in hints else "",
    )


@exercise(
    "20.1",
    tr("What was fed"),
    hints=(
        tr("Make what the device might have fed from the right pixels, and compare with np.array_equal."),
        tr("pixels[..., ::-1] exchanges red and blue; pixels.transpose(0, 3, 1, 2) puts channels first."),
        tr("Planes, read in their old shape: pixels.transpose(0, 3, 1, 2).reshape(pixels.shape)."),
    ),
    read=tr("the section “Follow the data” of this chapter"),
)
def check_fed(answer: Callable[[Case], Any]) -> None:
    """What was done to the pixels."""
    for seed, cause, change in _feedings():
        case = _healthy(seed)
        case["fed"] = change(case["pixels"])
        hints = {
            "scaling": tr("It is dark, and not scaled: scaled pixels are 0 or 1, no more."),
            "resize": tr("That is left for what nothing else explains."),
            "bgr": tr("Exchanged channels hold the same values in each pixel, in reverse."),
            "planes": tr("Only the same bytes in another order are planes."),
            None: tr("Some pixels differ here: None is for pixels that are all the same."),
        }
        found = (cause, "fed.npy") if cause else None
        _asked(answer, case, found, tr("case {seed}", seed=seed), hints)


def _feedings() -> Iterator[tuple[int, str, Callable[[np.ndarray], np.ndarray]]]:
    """Seed, cause, and what the device does to the pixels."""
    yield 1, "", np.copy
    yield 2, "scaling", lambda pixels: (pixels / 255).astype(np.uint8)
    yield 3, "bgr", lambda pixels: pixels[..., ::-1].copy()
    yield 4, "planes", lambda pixels: pixels.transpose(0, 3, 1, 2).reshape(pixels.shape)
    yield 5, "resize", lambda pixels: np.roll(pixels, 1, axis=1)
    yield 6, "resize", lambda pixels: pixels // 86  # dark: 0, 1 and 2
    yield 7, "resize", lambda pixels: pixels.transpose(0, 2, 1, 3).copy()
    yield 8, "resize", _one_pixel_off


def _one_pixel_off(pixels: np.ndarray) -> np.ndarray:
    changed = pixels.copy()
    changed[-1, -1, -1, -1] ^= 1
    return changed


@exercise(
    "20.2",
    tr("What was answered"),
    hints=(
        tr("np.abs(outputs - reference).max(axis=1) is how far each picture's answers are apart at most."),
        tr("Whole numbers do not change when they are rounded down: np.floor."),
        tr("Outputs first; only where they agree do the labels count: two lists are compared with ==."),
    ),
    read=tr("the section “Follow the data” of this chapter"),
)
def check_answered(answer: Callable[[Case], Any]) -> None:
    """What was done to the outputs and the labels."""
    for seed, found, changes in _answerings():
        case = _healthy(seed)
        case |= changes(case)
        hints = {
            "truncated": tr("These outputs are no whole numbers."),
            "no_batch": tr(
                "At most half of these answers differ by more than rounding, or they are whole numbers."
            ),
            "labels": tr("Where outputs and labels are both wrong, the outputs come first."),
            None: tr("Compare both: outputs with the reference, labels with the classes, in their order."),
        }
        _asked(answer, case, found, tr("case {seed}", seed=seed), hints)


def _answerings() -> Iterator[tuple[int, Found, Callable[[Case], Case]]]:
    def cut(case: Case) -> Case:
        return {"outputs": np.floor(case["reference"])}

    def repeated(case: Case) -> Case:
        return {"outputs": case["reference"][np.arange(SHAPE[0]) // 8 * 8]}

    def moved(case: Case, step: float, rows: int) -> Case:
        """The first rows changed in one value; all are multiples of 1/64, so that sums are exact."""
        reference = (np.round(case["reference"] * 64) / 64).astype(np.float32)
        outputs = reference.copy()
        outputs[:rows, 0] += np.float32(step)
        return {"reference": reference, "outputs": outputs}

    yield 11, None, lambda case: {}
    yield 12, ("truncated", "outputs.npy"), cut
    yield 13, ("no_batch", "outputs.npy"), repeated
    yield 14, ("labels", "labels.txt"), lambda case: {"labels": ["background", *CLASSES]}
    yield 15, ("labels", "labels.txt"), lambda case: {"labels": [*CLASSES[1:], CLASSES[0]]}
    yield 16, ("truncated", "outputs.npy"), lambda case: cut(case) | {"labels": CLASSES[1:]}
    yield 17, ("no_batch", "outputs.npy"), lambda case: moved(case, 0.05, SHAPE[0])
    yield 18, None, lambda case: moved(case, 1 / 32, SHAPE[0])
    yield 19, None, lambda case: moved(case, 0.4, SHAPE[0] // 2)
    yield 20, ("no_batch", "outputs.npy"), lambda case: moved(case, 0.4, SHAPE[0] // 2 + 1)


@exercise(
    "20.3",
    tr("How it was made"),
    hints=(
        tr("Begin with the two digests. Then compare how rough both sets of pictures are."),
        tr("roughness(made) / roughness(tested): above 2, or below 0.5, it is another kind of picture."),
        tr("Pictures as bytes, one.tobytes(), can be kept in a set; is one of the tested in it?"),
    ),
    read=tr("the section “How it was made” of this chapter"),
)
def check_made(answer: Callable[[Case], Any]) -> None:
    """Which file it is, which pictures set its ranges, and which tested it."""
    for seed, found, changes in _makings():
        case = _healthy(seed)
        case |= changes(case)
        hints = {
            "calibration": tr("These pictures are at most twice, and at least half, as rough."),
            "leak": tr(
                "No picture of the test is among those it was made with, or another cause comes first."
            ),
            "stale_model": tr("The two digests are the same here."),
            None: tr("Three things can be wrong: the file, the kind of pictures, a picture in both sets."),
        }
        _asked(answer, case, found, tr("case {seed}", seed=seed), hints)


def _makings() -> Iterator[tuple[int, Found, Callable[[Case], Case]]]:
    calibration, leak = ("calibration", "calibration.npz"), ("leak", "calibration.npz")

    def stripes(case: Case, height: int, tested: int = 40) -> Case:
        made, pixels = np.zeros_like(case["calibration"]), np.zeros_like(case["pixels"])
        made[:, :, ::2], pixels[:, :, ::2] = height, tested
        return {"calibration": made, "pixels": pixels}

    def noise(case: Case) -> Case:
        rng = np.random.default_rng(99)
        return {"calibration": rng.integers(0, 256, case["calibration"].shape).astype(np.uint8)}

    def shared(case: Case) -> Case:
        made = case["calibration"].copy()
        made[-1] = case["pixels"][3]
        return {"calibration": made}

    yield 21, None, lambda case: {}
    yield 22, ("stale_model", "release.json"), lambda case: {"digest": "0" * 64} | shared(case)
    yield 23, calibration, noise
    yield 24, calibration, lambda case: {"calibration": case["calibration"] // 8}
    yield 25, leak, shared
    yield 26, None, lambda case: stripes(case, 80)
    yield 27, None, lambda case: stripes(case, 20)
    yield 28, calibration, lambda case: stripes(case, 81)
    yield 29, calibration, lambda case: stripes(case, 19)
    yield 30, leak, lambda case: stripes(case, 40)


@exercise(
    "20.4",
    tr("How fast it is"),
    hints=(
        tr("Compare the share that is placed, now / of, with the share that was promised."),
        tr("The clock: clocks.min() against 0.9 times clocks.max()."),
        tr("The fastest line of the log counts, latencies.min(): other programs can only make lines slower."),
    ),
    read=tr("the section “What was promised” of this chapter"),
)
def check_fast(answer: Callable[[Case], Any]) -> None:
    """Where it runs, how hot it gets, and how fast it is."""
    for seed, found, changes in _runs():
        case = _healthy(seed)
        case |= changes(case)
        hints = {
            "float_islands": tr("The accelerator takes as large a share here as was promised."),
            "throttled": tr("The clock hardly falls here: nine tenths of the highest are allowed."),
            "fallback": tr("Its fastest line takes at most twice what was promised, or its clock falls."),
            None: tr("Three things can be slow: a part on the CPU, a falling clock, the kernels."),
        }
        _asked(answer, case, found, tr("case {seed}", seed=seed), hints)


def _runs() -> Iterator[tuple[int, Found, Callable[[Case], Case]]]:
    islands, hot, slow = (
        ("float_islands", "model.tflite"),
        ("throttled", "device.log"),
        ("fallback", "device.log"),
    )

    def falling(lowest: int, highest: int = 2000) -> Callable[[Case], Case]:
        return lambda case: {"clocks_mhz": np.array([highest] * 30 + [lowest] * 10)}

    def taking(lowest_ms: float) -> Callable[[Case], Case]:
        return lambda case: {"latencies_ms": np.array([9.0, lowest_ms, 9.0] * 10)}

    yield 31, None, lambda case: {}
    yield 32, islands, lambda case: {"placed": (45, 78)}
    yield 33, None, lambda case: {"placed": (33, 44), "promised_placed": (45, 60)}
    yield 34, hot, falling(1000)
    yield 35, None, falling(1800)
    yield 36, hot, falling(1799)
    yield 37, slow, taking(7.0)
    yield 38, None, taking(2.0)
    yield 39, slow, taking(2.01)
    yield 40, hot, lambda case: falling(1000)(case) | taking(7.0)(case)
    yield 41, islands, lambda case: {"placed": (60, 66)} | falling(1000)(case) | taking(7.0)(case)
    yield 42, slow, lambda case: {"placed": (60, 66), "promised_placed": (10, 66)} | taking(30.0)(case)


SEQUENCES = (
    (None, ("bgr", "fed.npy"), "never"),
    (("no_device", "device.log"), "never"),
    (None, None, None, ("leak", "calibration.npz")),
    (None, None),
    (),
)


@exercise(
    "20.5",
    tr("One after the other"),
    hints=(
        tr("Go through the steps in their order, and return what the first finds."),
        tr("A step that finds nothing returns None, and None counts as false."),
        tr('After the loop: return "healthy", "".'),
    ),
    read=tr("the section “One after the other” of this chapter"),
)
def check_diagnose(answer: Callable[..., Any]) -> None:
    """The first cause that a step finds."""
    for findings in SEQUENCES:
        asked: list[int] = []
        steps = [_step(place, finding, asked) for place, finding in enumerate(findings)]
        expected = next((one for one in findings if one not in (None, "never")), ("healthy", ""))
        got = answer({"name": "case"}, steps)
        last = next((place for place, one in enumerate(findings) if one is not None), len(findings) - 1)
        words = ", ".join(str(one) for one in findings) or tr("nothing")
        what = tr("steps that find {findings}", findings=words)
        if asked != list(range(last + 1)):
            hint = tr("Ask the steps in their order, from the first, with the case.")
            if len(asked) > last + 1:
                hint = tr("After the first finding no other step is asked: it may have nothing to compare.")
            # Note: {what} is a case, such as “steps that find nothing”.
            raise Mistake(tr("{what}: the steps asked were {asked}", what=what, asked=asked), hint)
        if not isinstance(got, (tuple, list)) or tuple(got) != expected:
            hint = tr("Return what the step returned, cause and file.")
            if expected[0] == "healthy":
                hint = tr("Where no step finds anything, the pair is (“healthy”, “”).")
            # Note: {what} is a case, such as “steps that find nothing”.
            told = tr("{what}: got {got!r}, expected {expected}", what=what, got=got, expected=expected)
            raise Mistake(told, hint)


def _step(place: int, finding: Any, asked: list[int]) -> Callable[[Case], Any]:
    def step(case: Case) -> Any:
        if set(case) != {"name"}:
            raise ValueError(tr("each step takes the case"))
        asked.append(place)
        return finding

    return step


PEAKS = ((2_600_000, 0.5e-3, 2.5, 16), (150_000_000, 2e-3, 3.2, 32), (90_000_000, 0.25e-3, 3.0, 128))


@exercise(
    "20.6",
    tr("The share of the peak"),
    hints=(
        tr("The peak is what a core could do at most: cycles in a second times multiply-adds in a cycle."),
        tr("GHz are 10⁹ cycles in a second. Count multiply-adds on both sides, or operations on both."),
        tr("macs / seconds / (clock_ghz * 1e9 * macs_per_cycle)"),
    ),
    read=tr("the section “80 % of the peak” of this chapter"),
)
def check_share(answer: Callable[..., float]) -> None:
    """What was reached, as a part of what is possible."""
    for macs, seconds, clock_ghz, width in PEAKS:
        expected = share_of_peak(macs, seconds, clock_ghz, width)
        got = float(answer(macs, seconds, clock_ghz, width))
        if np.isclose(got, expected, rtol=1e-6):
            continue
        times = got / expected
        hint = ""
        if np.isclose(times, 2):
            hint = tr("A multiply-add is two operations on one side here, and one on the other.")
        elif np.isclose(times, 0.5):
            hint = tr("The peak has two operations a multiply-add here; what was reached has one.")
        elif np.isclose(times, 1e9):
            hint = tr("A clock in GHz is in 10⁹ cycles per second.")
        elif np.isclose(times, 100):
            hint = tr("A share lies from 0 to 1; percent come when it is shown.")
        elif np.isclose(got * expected, 1):
            hint = tr("What was reached is divided by what is possible, not the other way round.")
        raise Mistake(
            tr(
                "{macs} multiply-adds in {ms} ms at {clock} GHz, {width} a cycle: expected {expected:.3g}, "
                "got {got:.3g}",
                macs=macs,
                ms=1e3 * seconds,
                clock=clock_ghz,
                width=width,
                expected=expected,
                got=got,
            ),
            hint,
        )
