"""Chapter 9: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np


def summary(samples_ms, batch_size):
    return {
        "median_ms": np.median(samples_ms),
        "p95_ms": np.percentile(samples_ms, 95),
        "images_per_s": batch_size * len(samples_ms) / (samples_ms.sum() / 1000),
    }


def verdict(low, high):
    return "faster" if low > 1 else "slower" if high < 1 else "tie"


def best_batch(latency_ms, budget_ms):
    fitting = [batch for batch in latency_ms if latency_ms[batch] <= budget_ms]
    return max(fitting, key=lambda batch: batch / latency_ms[batch], default=0)


def amdahl(share, factor):
    return 1 / ((1 - share) + share / factor)


def left_out_errors(needs, published_ms):
    errors = []
    for i in range(len(needs)):
        cost = np.median(np.delete(published_ms, i) / np.delete(needs, i))
        errors.append(100 * (cost * needs[i] / published_ms[i] - 1))
    return np.array(errors)


def peeking(needs, published_ms):
    return 100 * (np.median(published_ms / needs) * needs / published_ms - 1)


SOLUTIONS = {"09.1": summary, "09.3": verdict, "09.2": best_batch, "09.4": amdahl, "09.5": left_out_errors}


def with_the_mean(needs, published_ms):
    others = [np.delete(published_ms, i) / np.delete(needs, i) for i in range(len(needs))]
    return 100 * (np.mean(others, axis=1) * needs / published_ms - 1)


def strictly_below(latency_ms, budget_ms):
    return best_batch({batch: time for batch, time in latency_ms.items() if time < budget_ms}, budget_ms)


def with_field(name, function):
    def answer(samples_ms, batch_size):
        return {**summary(samples_ms, batch_size), name: function(samples_ms, batch_size)}

    return answer


WRONG = (
    ("09.1", with_field("median_ms", lambda samples, batch: samples.mean()), "That is the mean"),
    ("09.1", with_field("p95_ms", lambda samples, batch: np.percentile(samples, 0.95)), "not 0.95"),
    ("09.1", with_field("p95_ms", lambda samples, batch: samples.max()), "slowest run of all"),
    (
        "09.1",
        with_field("images_per_s", lambda samples, batch: 1e3 * batch / np.median(samples)),
        "their time passed too",
    ),
    ("09.1", with_field("images_per_s", lambda samples, batch: 1e3 / samples.mean()), "batch_size images"),
    ("09.1", with_field("images_per_s", lambda samples, batch: batch / samples.mean()), "milliseconds"),
    ("09.1", lambda samples, batch: {"median_ms": 2.0}, "three keys"),
    ("09.1", with_field("median_ms", lambda samples, batch: "fast"), "got 'fast'"),
    ("09.3", lambda low, high: "faster" if (low + high) / 2 > 1 else "slower", "holds 1"),
    ("09.3", lambda low, high: "slower" if low > 1 else "faster" if high < 1 else "tie", "old time by new"),
    ("09.3", lambda low, high: "faster" if low > 1.05 else "slower" if high < 1 else "tie", "no tie"),
    ("09.2", lambda table, budget: max(table, key=lambda batch: batch / table[batch]), "wait longer"),
    (
        "09.2",
        lambda table, budget: max((b for b in table if table[b] <= budget), default=0),
        "does more images per second",
    ),
    ("09.2", lambda table, budget: min(table, key=table.get), "does more images per second"),
    ("09.2", lambda table, budget: best_batch(table, budget) or 1, "wait longer"),
    ("09.4", lambda share, factor: share * factor, "takes time too"),
    ("09.4", lambda share, factor: (1 - share) + share / factor, "inverse"),
    ("09.4", lambda share, factor: 1 + share * (factor - 1), "Times add up"),
    ("09.5", peeking, "peeking"),
    ("09.5", lambda needs, times: np.abs(left_out_errors(needs, times)), "Keep the sign"),
    ("09.5", lambda needs, times: left_out_errors(needs, times) / 100, "times 100"),
    (
        "09.5",
        lambda needs, times: 100 * (1 / (left_out_errors(needs, times) / 100 + 1) - 1),
        "not the other way",
    ),
    ("09.5", lambda needs, times: -left_out_errors(needs, times), "positive error"),
    ("09.5", lambda needs, times: left_out_errors(needs, times).mean(), "One error for each"),
    ("09.5", with_the_mean, "median"),
    ("09.2", strictly_below, "equal to the budget"),
    ("09.4", lambda share, factor: share / 0, "ZeroDivisionError"),
)
