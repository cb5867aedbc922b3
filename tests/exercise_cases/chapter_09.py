"""Chapter 9: right answers, and the mistakes that students make, each with words of the hint it must get."""

import math
import statistics
import time

import numpy as np


def time_calls(call, count, clock):
    times_ms = np.empty(count)
    for index in range(count):
        started = clock()
        call()
        times_ms[index] = 1000 * (clock() - started)
    return times_ms


def steady_after(times_ms, window, gain):
    best = np.inf
    for start in range(1, len(times_ms) - window, window):
        median = np.median(times_ms[start : start + window])
        if median > (1 - gain) * best:
            return start + window
        best = median
    return len(times_ms)


def repetition_interval(medians_ms, t):
    logs = np.log(medians_ms)
    reach = t * np.std(logs, ddof=1) * np.sqrt(2 / len(logs))
    return np.exp(logs.mean()), np.exp(logs.mean() - reach), np.exp(logs.mean() + reach)


def best_batch(latency_ms, budget_ms):
    fitting = [batch for batch in latency_ms if latency_ms[batch] <= budget_ms]
    return max(fitting, key=lambda batch: batch / latency_ms[batch], default=0)


def verdict(low, high, margin):
    if low > 1:
        return "faster"
    if high < 1:
        return "slower"
    return "tie" if 1 / (1 + margin) < low and high < 1 + margin else "no difference shown"


def left_out_errors(needs, published_ms):
    errors = []
    for i in range(len(needs)):
        cost = np.median(np.delete(published_ms, i) / np.delete(needs, i))
        errors.append(100 * (cost * needs[i] / published_ms[i] - 1))
    return np.array(errors)


SOLUTIONS = {
    "09.1": time_calls,
    "09.2": steady_after,
    "09.3": repetition_interval,
    "09.4": best_batch,
    "09.5": verdict,
    "09.6": left_out_errors,
}


def times_in_a_list(call, count, clock):
    found = []
    while len(found) < count:
        before = clock()
        call()
        after = clock()
        found.append((after - before) * 1e3)
    return found


def times_by_marks(call, count, clock):
    marks = [clock()]
    for _ in range(count):
        call()
        marks.append(clock())
    return np.diff(marks) * 1000


def times_by_generator(call, count, clock):
    def once():
        started = clock()
        return (call(), clock())[1] - started

    return tuple(np.float64(1000) * once() for _ in range(count))


def steady_in_a_while(times_ms, window, gain):
    start, best = 1, float("inf")
    while start < len(times_ms) - window:
        chunk = sorted(float(value) for value in times_ms[start : start + window])
        middle = statistics.median(chunk)
        if middle / best > 1 - gain:
            return start + window
        best, start = min(best, middle), start + window
    return len(times_ms)


def steady_by_rows(times_ms, window, gain):
    rows = max(0, (len(times_ms) - 2) // window)
    medians = np.median(np.reshape(times_ms[1 : 1 + rows * window], (rows, window)), axis=1)
    stops = np.flatnonzero(medians[1:] > (1 - gain) * medians[:-1])
    return np.int64(1 + (stops[0] + 2) * window) if len(stops) else len(times_ms)


def steady_with_full_windows(times_ms, window, gain):
    medians = []
    for start in range(1, len(times_ms) - window + 1, window):
        medians.append(np.percentile(times_ms[start : start + window], 50))
        if len(medians) > 1 and medians[-1] > min(medians[:-1]) * (1 - gain):
            return start + window
    return len(times_ms)


def repetition_by_variance(medians_ms, t):
    logs = [math.log(value) for value in medians_ms]
    reach = t * math.sqrt(2 * statistics.variance(logs) / len(logs))
    centre = statistics.fmean(logs)
    return [math.exp(centre), math.exp(centre - reach), math.exp(centre + reach)]


def repetition_by_factor(medians_ms, t):
    value = np.prod(medians_ms) ** (1 / len(medians_ms))
    factor = np.exp(np.float64(2) ** 0.5 * t * np.log(medians_ms).std(ddof=1) / len(medians_ms) ** 0.5)
    return value, value / factor, value * factor


def repetition_as_array(medians_ms, t):
    logs = np.log2(medians_ms)
    deviation = np.sqrt(np.sum((logs - logs.mean()) ** 2) / (len(logs) - 1))
    reach = t * deviation * np.sqrt(1 / len(logs) + 1 / len(logs))
    return 2 ** np.array([logs.mean(), logs.mean() - reach, logs.mean() + reach])


def batch_in_a_loop(latency_ms, budget_ms):
    best, most = 0, 0.0
    for batch, latency in latency_ms.items():
        if not latency > budget_ms and 1000 * batch / latency > most:
            best, most = batch, 1000 * batch / latency
    return best


def batch_by_arrays(latency_ms, budget_ms):
    sizes, times = np.array(list(latency_ms)), np.array(list(latency_ms.values()))
    rates = np.where(times <= budget_ms, sizes / times, -1.0)
    return sizes[rates.argmax()] if rates.max() > 0 else 0


def batch_by_time_per_image(latency_ms, budget_ms):
    fitting = {batch: ms / batch for batch, ms in latency_ms.items() if ms <= budget_ms}
    return min(fitting, key=fitting.get) if fitting else 0


def verdict_by_product(low, high, margin):
    if low <= 1 <= high:
        return "tie" if low * (1 + margin) > 1 and high - 1 < margin else "no difference shown"
    return "faster" if low > 1 else "slower"


def verdict_by_logarithms(low, high, margin):
    if math.log(low) > 0 or math.log(high) < 0:
        return ["slower", "faster"][low > 1]
    inside = max(-math.log(low), math.log(high)) < math.log(1 + margin)
    return ("no difference shown", "tie")[inside]


def verdict_last_first(low, high, margin):
    answer = "no difference shown"
    if high < 1 + margin and 1 / low < 1 + margin:
        answer = "tie"
    if high < 1:
        answer = "slower"
    if low > 1:
        answer = "faster"
    return answer


def left_out_by_masks(needs, published_ms):
    others = ~np.eye(len(needs), dtype=bool)
    costs = [np.median((published_ms / needs)[mask]) for mask in others]
    return np.float64(100) * (costs * needs - published_ms) / published_ms


def left_out_as_list(needs, published_ms):
    ratios = [float(p) / float(n) for p, n in zip(published_ms, needs, strict=True)]
    costs = [statistics.median(ratios[:i] + ratios[i + 1 :]) for i in range(len(ratios))]
    return [100 * cost / ratio - 100 for cost, ratio in zip(costs, ratios, strict=True)]


def left_out_by_percentile(needs, published_ms):
    costs = np.array([np.percentile(np.delete(published_ms / needs, i), 50) for i in range(len(needs))])
    return (costs * needs / published_ms - 1) * 100


ALSO_RIGHT = (
    ("09.1", times_in_a_list),
    ("09.1", times_by_marks),
    ("09.1", times_by_generator),
    ("09.2", steady_in_a_while),
    ("09.2", steady_by_rows),
    ("09.2", steady_with_full_windows),
    ("09.3", repetition_by_variance),
    ("09.3", repetition_by_factor),
    ("09.3", repetition_as_array),
    ("09.4", batch_in_a_loop),
    ("09.4", batch_by_arrays),
    ("09.4", batch_by_time_per_image),
    ("09.5", verdict_by_product),
    ("09.5", verdict_by_logarithms),
    ("09.5", verdict_last_first),
    ("09.6", left_out_by_masks),
    ("09.6", left_out_as_list),
    ("09.6", left_out_by_percentile),
)


def by_the_mean(call, count, clock):
    started = clock()
    for _ in range(count):
        call()
    return np.full(count, 1000 * (clock() - started) / count)


def running_on(call, count, clock):
    started, found = clock(), []
    for _ in range(count):
        call()
        found.append(1000 * (clock() - started))
    return found


def warmed_up(call, count, clock):
    call()
    return time_calls(call, count, clock)


def own_clock(call, count, clock):
    return time_calls(call, count, time.perf_counter)


def steady_from_the_first(times_ms, window, gain):
    return steady_after(times_ms[1:], window, gain)


def steady_by_mean(times_ms, window, gain):
    best = np.inf
    for start in range(1, len(times_ms) - window, window):
        mean = np.mean(times_ms[start : start + window])
        if mean > (1 - gain) * best:
            return start + window
        best = mean
    return len(times_ms)


def steady_start(times_ms, window, gain):
    found = steady_after(times_ms, window, gain)
    return found - window if found < len(times_ms) else found


def never_is_minus_one(times_ms, window, gain):
    found = steady_after(times_ms, window, gain)
    return -1 if found == len(times_ms) else found


def stretched(factor):
    def answer(medians_ms, t):
        return repetition_interval(medians_ms, factor(t, len(medians_ms)))

    return answer


def of_plain_times(medians_ms, t):
    centre, reach = medians_ms.mean(), t * np.std(medians_ms, ddof=1) * np.sqrt(2 / len(medians_ms))
    return centre, centre - reach, centre + reach


def strictly_below(latency_ms, budget_ms):
    return best_batch({batch: ms for batch, ms in latency_ms.items() if ms < budget_ms}, budget_ms)


def old_verdict(low, high, margin):
    return "faster" if low > 1 else "slower" if high < 1 else "tie"


def fixed_margin(low, high, margin):
    return verdict(low, high, 0.05)


def never_a_tie(low, high, margin):
    return verdict(low, high, 0.0)


def tie_first(low, high, margin):
    return "tie" if 1 / (1 + margin) < low and high < 1 + margin else verdict(low, high, margin)


def peeking(needs, published_ms):
    return 100 * (np.median(published_ms / needs) * needs / published_ms - 1)


def with_the_mean(needs, published_ms):
    others = [np.delete(published_ms, i) / np.delete(needs, i) for i in range(len(needs))]
    return 100 * (np.mean(others, axis=1) * needs / published_ms - 1)


WRONG = (
    ("09.1", by_the_mean, "hides the slow calls"),
    ("09.1", running_on, "run on"),
    ("09.1", warmed_up, "none before and none after"),
    ("09.1", own_clock, "that is handed in"),
    ("09.1", lambda *given: time_calls(*given) / 1000, "times 1000"),
    ("09.1", lambda *given: time_calls(*given).sum(), "every single call"),
    ("09.2", steady_from_the_first, "start at call 1"),
    ("09.2", steady_by_mean, "moves a mean"),
    ("09.2", steady_start, "return its end"),
    ("09.2", lambda times_ms, window, gain: steady_after(times_ms, window, 0.0), "use gain"),
    ("09.2", lambda times_ms, window, gain: steady_after(times_ms, 10, 0.02), "not always 10"),
    ("09.2", never_is_minus_one, "all calls go"),
    ("09.3", stretched(lambda t, count: t / math.sqrt(2)), "A repetition varies, too"),
    ("09.3", stretched(lambda t, count: t * math.sqrt((count - 1) / count)), "needs ddof=1"),
    ("09.3", stretched(lambda t, count: 1.96), "not 1.96"),
    ("09.3", stretched(lambda t, count: t * math.sqrt(count / 2)), "varies less than one"),
    ("09.3", lambda *given: np.log(repetition_interval(*given)), "turns them back"),
    ("09.3", of_plain_times, "Delays multiply"),
    ("09.3", lambda *given: np.array(repetition_interval(*given))[[0, 2, 1]], "before the upper one"),
    ("09.3", lambda *given: repetition_interval(*given)[0], "Return value, low, high"),
    ("09.4", lambda table, budget: max(table, key=lambda batch: batch / table[batch]), "wait longer"),
    (
        "09.4",
        lambda table, budget: max((b for b in table if table[b] <= budget), default=0),
        "does more images per second",
    ),
    ("09.4", lambda table, budget: min(table, key=table.get), "does more images per second"),
    ("09.4", lambda table, budget: best_batch(table, budget) or 1, "wait longer"),
    ("09.4", strictly_below, "equal to the budget"),
    ("09.5", old_verdict, "leaves room"),
    ("09.5", fixed_margin, "leaves room"),
    ("09.5", never_a_tie, "for practical purposes"),
    ("09.5", tie_first, "however close"),
    ("09.5", lambda low, high, m: "faster" if (low + high) / 2 > 1 else "slower", "both are possible"),
    ("09.5", lambda low, high, m: verdict(1 / high, 1 / low, m), "old time by new time"),
    ("09.5", lambda low, high, m: {"faster": "quick"}.get(verdict(low, high, m), "quick"), "however close"),
    ("09.6", peeking, "peeking"),
    ("09.6", lambda needs, times: np.abs(left_out_errors(needs, times)), "Keep the sign"),
    ("09.6", lambda needs, times: left_out_errors(needs, times) / 100, "times 100"),
    (
        "09.6",
        lambda needs, times: 100 * (1 / (left_out_errors(needs, times) / 100 + 1) - 1),
        "not the other way",
    ),
    ("09.6", lambda needs, times: -left_out_errors(needs, times), "positive error"),
    ("09.6", lambda needs, times: left_out_errors(needs, times).mean(), "One error for each"),
    ("09.6", with_the_mean, "median"),
)

SURVIVORS = [
    (
        "09.2",
        "if median >= (1 - gain) * best:",
        "a gain of exactly that much is both: medians of times never hit it",
    ),
]
