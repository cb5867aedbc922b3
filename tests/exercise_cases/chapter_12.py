"""Chapter 12: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np


def fold(kernel, gamma, beta, mean, variance, epsilon):
    gain = gamma / np.sqrt(variance + epsilon)
    return kernel * gain, beta - mean * gain


def peak(steps, size_bytes):
    first, last = {}, {}
    for position, (reads, writes) in enumerate(steps):
        for tensor in (*reads, *writes):
            first.setdefault(tensor, position)
            last[tensor] = position
    alive = [[t for t in first if first[t] <= p <= last[t]] for p in range(len(steps))]
    return max(sum(size_bytes[tensor] for tensor in tensors) for tensors in alive)


def placed(reads, supported):
    result = []
    for own, parents in zip(supported, reads, strict=True):
        result.append(own and all(result[parent] for parent in parents))
    return result


def speed_up(times_ms, accelerated, factor):
    after = sum(time / factor if fast else time for time, fast in zip(times_ms, accelerated, strict=True))
    return sum(times_ms) / after


SOLUTIONS = {"12.1": fold, "12.2": peak, "12.3": placed, "12.4": speed_up}


def with_gain(gain, bias=lambda beta, mean, gain: beta - mean * gain):
    def answer(kernel, gamma, beta, mean, variance, epsilon):
        found = gain(gamma, variance, epsilon)
        return kernel * found, bias(beta, mean, found.ravel())

    return answer


def right_gain(gamma, variance, epsilon):
    return gamma / np.sqrt(variance + epsilon)


def around(steps, size_bytes):
    return max(sum(size_bytes[t] for t in (*reads, *writes)) for reads, writes in steps)


def cut_in_order(reads, supported):
    return [all(supported[: index + 1]) for index in range(len(supported))]


def direct_parents(reads, supported):
    return [own and all(supported[p] for p in row) for own, row in zip(supported, reads, strict=True)]


def share(accelerated):
    return sum(accelerated) / len(accelerated)


WRONG = (
    ("12.1", with_gain(lambda g, v, e: g / np.sqrt(v)), "epsilon is added before the root"),
    ("12.1", with_gain(lambda g, v, e: g / (v + e)), "square root of the variance"),
    ("12.1", with_gain(lambda g, v, e: g / (np.sqrt(v) + e)), "under the root"),
    ("12.1", with_gain(lambda g, v, e: 1 / np.sqrt(v + e)), "gamma is missing"),
    ("12.1", with_gain(lambda g, v, e: right_gain(g, v, e)[:, None]), "the last axis"),
    ("12.1", with_gain(right_gain, lambda beta, mean, gain: beta + mean * gain), "minus, not plus"),
    ("12.1", with_gain(right_gain, lambda beta, mean, gain: beta - mean), "scaled as well"),
    ("12.1", with_gain(right_gain, lambda beta, mean, gain: beta), "not been subtracted"),
    ("12.1", lambda kernel, *_: kernel, "Return two arrays"),
    ("12.2", lambda steps, size_bytes: sum(size_bytes.values()), "the sum of all tensors"),
    ("12.2", around, "think of a shortcut"),
    ("12.2", lambda steps, size_bytes: max(size_bytes.values()), "at the same time"),
    ("12.3", lambda reads, supported: supported, "So Vela does it"),
    ("12.3", direct_parents, "ask where it landed"),
    ("12.3", cut_in_order, "another branch goes on"),
    ("12.4", lambda times, fast, factor: sum(times) / speed_up(times, fast, factor), "time after"),
    ("12.4", lambda times, fast, factor: 1 / speed_up(times, fast, factor), "turn it round"),
    ("12.4", lambda times, fast, factor: factor, "Only the part"),
    ("12.4", lambda times, fast, factor: share(fast) * factor, "weigh them"),
    ("12.4", lambda times, fast, factor: 1 / (1 - share(fast) + share(fast) / factor), "weigh them"),
    ("12.4", lambda times, fast, factor: 0.9 * factor, "still takes its time"),
    ("12.4", lambda times, fast, factor: sum(times) / times[-1], "takes some time too"),
)
