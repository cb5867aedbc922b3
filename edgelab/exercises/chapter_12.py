"""The checks of chapter 12: fold a BatchNorm, find the peak of memory, cut a graph, apply Amdahl's law."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

EPSILON = 1e-3  # large beside the smallest variance below: who forgets it is told apart


def _batch_norm() -> tuple[np.ndarray, ...]:
    """Kernel [3, 3, 5, 5] and the four vectors of a BatchNorm, none of them trivial."""
    rng = np.random.default_rng(12)
    kernel = rng.normal(size=(3, 3, 5, 5))
    gamma, beta, mean = rng.uniform(0.5, 2, 5), rng.normal(size=5), rng.normal(size=5)
    return kernel, gamma, beta, mean, np.array([0.002, 0.3, 1.0, 2.5, 9.0])


@exercise(
    "12.1",
    tr("Fold a BatchNorm into a convolution"),
    hints=(
        tr(
            "BatchNorm gives gamma * (conv - mean) / sqrt(variance + epsilon) + beta: which "
            "factor meets conv?"
        ),
        tr("gain = gamma / np.sqrt(variance + epsilon); the kernel's last axis is its output channel."),
        tr("return kernel * gain, beta - mean * gain"),
    ),
    read=tr("the section “Fusion” of this chapter"),
)
def check_fold(answer: Callable[..., tuple[np.ndarray, np.ndarray]]) -> None:
    """Kernel and bias of the one convolution that does the work of both."""
    kernel, gamma, beta, mean, variance = _batch_norm()
    gain = gamma / np.sqrt(variance + EPSILON)
    expected = kernel * gain, beta - mean * gain
    got = answer(kernel.copy(), gamma, beta, mean, variance, EPSILON)
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        raise Mistake(tr("a kernel and a bias are expected, in this order"), tr("Return two arrays."))
    folded, bias = (np.asarray(part, np.float64) for part in got)
    if folded.shape != kernel.shape:
        raise Mistake(
            tr("the kernel has shape {got}, expected {expected}", got=folded.shape, expected=kernel.shape),
            tr("It keeps its shape."),
        )
    if not np.allclose(folded, expected[0]):
        wrong = {
            tr("sqrt(variance) alone: epsilon is added before the root."): kernel * gamma / np.sqrt(variance),
            tr("Divide by the square root of the variance."): kernel * gamma / (variance + EPSILON),
            tr("epsilon belongs under the root."): kernel * gamma / (np.sqrt(variance) + EPSILON),
            tr("gamma is missing."): kernel / np.sqrt(variance + EPSILON),
            tr(
                "That scales the input channels; a BatchNorm has one gain per output channel, the last axis."
            ): (kernel * gain[:, np.newaxis]),
        }
        hint = next((text for text, value in wrong.items() if np.allclose(folded, value)), "")
        raise Mistake(
            tr(
                "the first weight is {got:.4f}, expected {expected:.4f}",
                got=folded.flat[0],
                expected=expected[0].flat[0],
            ),
            hint,
        )
    if bias.shape != beta.shape or not np.allclose(bias, expected[1]):
        wrong = {
            tr("The mean is subtracted: minus, not plus."): beta + mean * gain,
            tr("The mean is scaled as well, before beta is added."): beta - mean,
            tr("The mean has not been subtracted yet."): beta,
        }
        same = bias.shape == beta.shape
        hint = next((text for text, value in wrong.items() if same and np.allclose(bias, value)), "")
        raise Mistake(
            tr(
                "the bias is {got}, expected {expected}",
                got=np.round(bias, 3),
                expected=np.round(expected[1], 3),
            ),
            hint,
        )


# Reads and writes of each operator in order, by tensor, and the tensors' bytes. The second is a shortcut:
# tensor 1 waits for the last operator. In the third, tensor 0 is read again after a larger one is gone.
MEMORY_CASES: tuple[tuple[list[tuple[tuple[int, ...], tuple[int, ...]]], dict[int, int], int], ...] = (
    ([((0,), (1,)), ((1,), (2,)), ((2,), (3,))], {0: 30, 1: 80, 2: 50, 3: 10}, 130),
    ([((0,), (1,)), ((1,), (2,)), ((2,), (3,)), ((1, 3), (4,))], {0: 10, 1: 40, 2: 100, 3: 40, 4: 40}, 180),
    ([((0,), (1,)), ((1,), (2,)), ((2, 0), (3,))], {0: 64, 1: 256, 2: 16, 3: 64}, 336),
)


@exercise(
    "12.2",
    tr("Peak memory"),
    hints=(
        tr("A tensor lives from the first operator that reads or writes it to the last one that does."),
        tr(
            "Note the first and the last position of each tensor, then add up at each position what is alive."
        ),
        tr("max(sum(size_bytes[t] for t in first if first[t] <= p <= last[t]) for p in range(len(steps)))"),
    ),
    read=tr("the pitfall “the sum of all tensors” of this chapter"),
)
def check_peak(answer: Callable[[Sequence, Mapping[int, int]], int]) -> None:
    """Bytes of the tensors that are alive at the busiest operator."""
    for steps, size_bytes, expected in MEMORY_CASES:
        got = answer(list(steps), dict(size_bytes))
        if got == expected:
            continue
        around = max(sum(size_bytes[t] for t in (*reads, *writes)) for reads, writes in steps)
        if got == sum(size_bytes.values()):
            hint = tr(
                "That is the sum of all tensors: memory of a tensor that nobody reads any more is used again."
            )
        elif got == around:
            hint = tr(
                "A tensor that a later operator reads must wait, even while others run: think of a shortcut."
            )
        elif got == max(size_bytes.values()):
            hint = tr("An operator needs its inputs and its output at the same time.")
        else:
            hint = ""
        raise Mistake(
            tr(
                "the peak of {size_bytes} is {expected} bytes, got {got}",
                size_bytes=size_bytes,
                expected=expected,
                got=got,
            ),
            hint,
        )


# What each operator reads (the numbers of operators before it), whether the Edge TPU has it, and where it
# lands: a chain; two branches of which one breaks; a shortcut around the operator that breaks.
PLACEMENT_CASES = (
    ([[], [0], [1], [2], [3]], [True, True, False, True, True], [True, True, False, False, False]),
    ([[], [0], [0], [1], [2], [3, 4]], [True, False, True, True, True, True],
     [True, False, True, False, True, False]),
    ([[], [0], [1], [0, 2], [3]], [True, True, False, True, True], [True, True, False, False, False]),
)  # fmt: skip


@exercise(
    "12.3",
    tr("Where the Edge TPU stops"),
    hints=(
        tr("An operator is on the Edge TPU when it is supported and everything that it reads is there too."),
        tr("Go through the operators in order, and look up in your own result what the parents became."),
        tr("placed.append(supported[i] and all(placed[parent] for parent in reads[i]))"),
    ),
    read=tr("the section “One bad operator” of this chapter"),
)
def check_placed(answer: Callable[[Sequence[Sequence[int]], Sequence[bool]], Sequence[bool]]) -> None:
    """For each operator whether it lands on the Edge TPU."""
    for reads, supported, expected in PLACEMENT_CASES:
        got = [bool(value) for value in answer([list(row) for row in reads], list(supported))]
        if got == expected:
            continue
        in_order = [all(supported[: index + 1]) for index in range(len(supported))]
        direct = [
            own and all(supported[parent] for parent in parents)
            for own, parents in zip(supported, reads, strict=True)
        ]
        if got == supported:
            hint = tr(
                "So Vela does it. The Edge TPU has one part, which ends at the first operator it lacks."
            )
        elif got == direct:
            hint = tr("A parent may be supported and still be on the CPU: ask where it landed.")
        elif got == in_order:
            hint = tr(
                "Only what reads from that operator, directly or not, stays behind: another branch goes on."
            )
        else:
            hint = ""
        raise Mistake(
            tr(
                "with reads {reads} and supported {supported}: {expected}, got {got}",
                reads=reads,
                supported=supported,
                expected=expected,
                got=got,
            ),
            hint,
        )


@exercise(
    "12.4",
    tr("What N of M is worth"),
    hints=(
        tr(
            "The operators on the CPU take as long as before; the others take their time divided "
            "by the factor."
        ),
        tr("after = sum of the CPU's times + sum of the accelerator's times / factor."),
        tr("sum(times_ms) / sum(t / factor if fast else t for t, fast in zip(times_ms, accelerated))"),
    ),
    read=tr("the section “What N of M is worth” of this chapter, and Amdahl 1967"),
)
def check_amdahl(answer: Callable[[Sequence[float], Sequence[bool], float], float]) -> None:
    """How many times faster the whole model gets."""
    cases = (
        ([2.0, 6.0, 1.0, 1.0], [True, True, True, False], 5.0),
        ([1.0, 1.0, 8.0], [True, True, False], 20.0),
        ([3.0, 5.0], [True, True], 4.0),
        ([3.0, 5.0], [False, False], 4.0),
    )
    for times_ms, accelerated, factor in cases:
        pairs = list(zip(times_ms, accelerated, strict=True))
        before = sum(times_ms)
        fast = sum(time for time, on_it in pairs if on_it)
        after = before - fast + fast / factor
        got = float(answer(list(times_ms), list(accelerated), factor))
        if math.isclose(got, before / after, rel_tol=1e-6):
            continue
        count = sum(accelerated) / len(accelerated)
        known = {
            after: tr("That is the time after; the speed-up is the time before, divided by it."),
            after / before: tr("That is how much of the time is left: turn it round."),
            factor: tr("Only the part on the accelerator gets faster by the factor."),
            count * factor: tr("Operators are not alike: weigh them with their times."),
            1 / (1 - count + count / factor): tr("Operators are not alike: weigh them with their times."),
            fast / before * factor: tr("What stays on the CPU still takes its time."),
            before / (before - fast) if fast < before else math.inf: tr(
                "The accelerator takes some time too."
            ),
        }
        hint = next((text for value, text in known.items() if math.isclose(got, value, rel_tol=1e-6)), "")
        raise Mistake(
            tr(
                "times {times_ms} ms, {accelerated} of {count} operators {factor:g} times faster: "
                "{expected:.2f} times in all, got {got:.2f}",
                times_ms=times_ms,
                accelerated=sum(accelerated),
                count=len(accelerated),
                factor=factor,
                expected=before / after,
                got=got,
            ),
            hint,
        )
