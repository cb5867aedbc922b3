"""The decision tree: which question to ask of a deployment, in which order, and where each answer leads.

It follows the data from the start of the app to its answers, then asks what was promised, and last how fast
it is. So the first place where two things differ that should be the same is the cause, not what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgelab.diagnosis.causes import CAUSES, HEALTHY, Cause
from edgelab.diagnosis.evidence import Evidence
from edgelab.texts import tr

SLOWER = 2.0  # times as long as promised, at best
MOST_TIMES = 2.0  # as rough as the pictures that are fed, or half
LEAST_CLOCK = 0.9  # of the highest
TOLERANCE = 1 / 32  # of a probability: a few steps of 8 bits


@dataclass(frozen=True)
class Question:
    """One question, and the cause where its answer is yes.

    Attributes:
        text: the question.
        tool: with what it is answered.
        cause: where yes leads.
        problem: of the five that every guide to troubleshooting lists: 1 does not run on the accelerator,
            2 too slow, 3 out of memory, 4 accuracy falls, 5 device not found.
        holds: answers it.
    """

    text: str
    tool: str
    cause: Cause
    problem: int
    holds: Callable[[Evidence], bool]


@dataclass(frozen=True)
class Finding:
    """Where the tree leads.

    Attributes:
        cause: a name of `CAUSES`, or `HEALTHY`.
        evidence: the file that shows it; empty when nothing is wrong.
        asked: the questions on the way.
    """

    cause: str
    evidence: str
    asked: tuple[Question, ...]


def _started(case: Evidence) -> bool:
    return len(case.fed) > 0


def _as_it_should(case: Evidence) -> bool:
    return _started(case) and np.array_equal(case.fed, case.pixels)


def _scaled(case: Evidence) -> bool:
    return _started(case) and case.fed.max() <= 1 < case.pixels.max()


def _reversed(case: Evidence) -> bool:
    return _started(case) and not _as_it_should(case) and np.array_equal(case.fed, case.pixels[..., ::-1])


def _in_planes(case: Evidence) -> bool:
    return _started(case) and np.array_equal(case.fed, planes(case.pixels))


def planes(pixels: np.ndarray) -> np.ndarray:
    """The bytes of `[N, H, W, C]` with channels first, taken for what they are not."""
    return pixels.transpose(0, 3, 1, 2).reshape(pixels.shape)


def _otherwise_fed(case: Evidence) -> bool:
    known = (_as_it_should, _scaled, _reversed, _in_planes)
    return _started(case) and not any(holds(case) for holds in known)


def _differ(case: Evidence) -> bool:
    """In most pictures: in a few, other kernels round otherwise."""
    if not _started(case) or case.reference.shape != case.outputs.shape:
        return False
    return bool((np.abs(case.reference - case.outputs).max(axis=1) > TOLERANCE).mean() > 0.5)


def _cut(case: Evidence) -> bool:
    return _differ(case) and np.array_equal(case.outputs, np.floor(case.outputs))


def _repeated(case: Evidence) -> bool:
    same = (case.outputs[1:] == case.outputs[:-1]).all(axis=1)
    return _differ(case) and not _cut(case) and bool(same.mean() > 0.5)


def _seen(case: Evidence) -> bool:
    kept = {one.tobytes() for one in case.calibration}
    return any(one.tobytes() in kept for one in case.pixels)


def roughness(pictures: np.ndarray) -> float:
    """The mean difference between neighbours in a row, without its sign: of uint8 `[N, H, W, 3]`."""
    return float(np.abs(np.diff(pictures.astype(float), axis=2)).mean())


def _other_kind(case: Evidence) -> bool:
    times = roughness(case.calibration) / max(roughness(case.pixels), 1e-9)
    return not 1 / MOST_TIMES <= times <= MOST_TIMES


def _hot(case: Evidence) -> bool:
    return _started(case) and bool(case.clocks_mhz.min() < LEAST_CLOCK * case.clocks_mhz.max())


def _slow(case: Evidence) -> bool:
    return _started(case) and not _hot(case) and bool(case.latencies_ms.min() > SLOWER * case.promised_ms)


def _fewer_placed(case: Evidence) -> bool:
    (now, of), (promised, total) = case.placed, case.promised_placed
    return _started(case) and now * total < promised * of


def _questions() -> tuple[Question, ...]:
    rows = (
        (tr("No answers, and the log misses an operator's version?"), "device.log", "old_runtime", 1,
         lambda case: not _started(case) and "version" in case.log and "op" in case.log),
        (tr("No answers, and the log misses a library?"), "device.log", "no_device", 5,
         lambda case: not _started(case) and "libedgetpu" in case.log),
        (tr("Is no value that was fed above 1, while pixels are?"), "np.load", "scaling", 4, _scaled),
        (tr("Are the fed pixels right once red and blue are exchanged?"), "np.load", "bgr", 4, _reversed),
        (tr("Are the fed pixels right once channels come last?"), "np.load", "planes", 4, _in_planes),
        (tr("Do the fed pixels differ in yet another way?"), "np.load", "resize", 4, _otherwise_fed),
        (tr("Same input, other outputs: are they whole numbers?"), "verification", "truncated", 4, _cut),
        (tr("Same input, other outputs: are they repeated?"), "verification", "no_batch", 4, _repeated),
        (tr("Do the labels differ from the released classes?"), "labels.txt", "labels", 4,
         lambda case: list(case.labels) != list(case.classes)),
        (tr("Is the file another than the released one?"), "sha256", "stale_model", 4,
         lambda case: case.digest != case.released_digest),
        (tr("Was it calibrated with much rougher or smoother pictures?"), "report", "calibration", 4,
         _other_kind),
        (tr("Are pictures of the test among those it was made with?"), "np.load", "leak", 4, _seen),
        (tr("Does the accelerator take fewer operators than promised?"), "report", "float_islands", 1,
         _fewer_placed),
        (tr("Does the clock fall?"), "device.log", "throttled", 2, _hot),
        (tr("Is it slower than promised from the first line on?"), "device.log", "fallback", 2, _slow),
    )  # fmt: skip
    return tuple(
        Question(text, tool, CAUSES[cause], problem, holds) for text, tool, cause, problem, holds in rows
    )


QUESTIONS = _questions()


def follow(case: Evidence) -> Finding:
    """Ask the questions in order; the first yes is the cause."""
    for number, question in enumerate(QUESTIONS, 1):
        if question.holds(case):
            return Finding(question.cause.name, question.cause.evidence, QUESTIONS[:number])
    return Finding(HEALTHY, "", QUESTIONS)
