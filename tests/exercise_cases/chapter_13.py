"""Chapter 13: right answers, and the mistakes that students make, each with words of the hint it must get."""

from collections import OrderedDict

import numpy as np


def arrivals(rate_per_s, uniforms):
    return np.cumsum(-np.log(1 - uniforms) / rate_per_s)


def open_loop(due_s, work, clock, sleep):
    start, latencies_s = clock(), []
    for number, due in enumerate(due_s):
        sleep(max(0, start + due - clock()))
        work(number)
        latencies_s.append(clock() - start - due)
    return latencies_s


def highest_rate(latencies_ms, limit_ms, percent=99):
    best = 0
    for rate in sorted(latencies_ms):
        if np.percentile(latencies_ms[rate], percent) > limit_ms:
            break
        best = rate
    return best


def choose_threshold(confidence, small_right, large_right, thresholds, least):
    for threshold in thresholds:
        if np.where(confidence >= threshold, small_right, large_right).mean() >= least:
            return threshold
    return thresholds[-1]


def warm_models(load, budget_bytes):
    kept = {}

    def get(name):
        model, size = kept.pop(name) if name in kept else load(name)
        kept[name] = model, size
        while sum(size for _, size in kept.values()) > budget_bytes:
            del kept[next(iter(kept))]
        return model

    return get


def tile_spans(length, tile, halo):
    spans = []
    for first in range(0, length, tile):
        end = min(first + tile, length)
        spans.append((max(0, first - halo), min(length, end + halo), first, end))
    return spans


SOLUTIONS = {
    "13.1": arrivals,
    "13.2": open_loop,
    "13.3": highest_rate,
    "13.4": choose_threshold,
    "13.5": warm_models,
    "13.6": tile_spans,
}


def one_after_the_other(rate_per_s, uniforms):
    now, times = 0.0, []
    for uniform in uniforms:
        now -= np.log1p(-uniform) / rate_per_s
        times.append(now)
    return times


def turned_round(rate_per_s, uniforms):
    return np.cumsum(-np.log(uniforms)) / rate_per_s


def by_quantile(rate, uniforms):
    return np.log(1 / (1 - uniforms)).cumsum() / rate


def absolute_times(due_s, work, clock, sleep):
    begin = clock()
    moments = [begin + due for due in due_s]
    answers = np.zeros(len(moments))
    for index in range(len(moments)):
        if moments[index] > clock():
            sleep(moments[index] - clock() if moments[index] > clock() else 0)
        work(index)
        answers[index] = clock() - moments[index]
    return answers


def in_short_naps(due_s, work, clock, sleep):
    start, found = clock(), []
    for number in range(len(due_s)):
        while clock() - start < due_s[number]:
            sleep(0.00005)
        work(number)
        found.append(clock() - (start + due_s[number]))
    return np.array(found)


def busy_waiting(due_s, work, clock, sleep):
    start, found = clock(), []
    for number, due in enumerate(due_s[:]):
        while clock() < start + due:
            pass
        work(number)
        found += [clock() - start - due]
    return tuple(found)


def with_a_list(latencies_ms, limit_ms):
    rates = np.array(sorted(latencies_ms))
    worst = np.array([np.quantile(latencies_ms[rate], 0.99) for rate in rates])
    broken = np.flatnonzero(worst > limit_ms)
    within = rates[: broken[0]] if len(broken) else rates
    return float(within[-1]) if len(within) else 0


def downwards(latencies_ms, limit_ms):
    best = None
    for rate in sorted(latencies_ms, reverse=True):
        if np.percentile(latencies_ms[rate], 99) > limit_ms:
            best = None
        elif best is None:
            best = rate
    return best or 0.0


def by_counting(latencies_ms, limit_ms):
    good = 0
    for rate, values in sorted(latencies_ms.items()):
        if not np.percentile(values, 99.0) <= limit_ms:
            return good
        good = rate
    return good


def every_accuracy(confidence, small_right, large_right, thresholds, least):
    sure = confidence[None] >= np.array(thresholds)[:, None]
    accuracies = np.mean(np.where(sure, small_right, large_right), axis=1)
    return thresholds[int(np.argmax(accuracies >= least))] if (accuracies >= least).any() else thresholds[-1]


def by_sums(confidence, small_right, large_right, thresholds, least):
    for threshold in thresholds:
        unsure = confidence < threshold
        right = np.sum(small_right & ~unsure) + np.sum(large_right & unsure)
        if right / len(confidence) >= least:
            break
    return threshold


def picture_by_picture(confidence, small, large, thresholds, least):
    for threshold in thresholds:
        answers = [s if c >= threshold else g for c, s, g in zip(confidence, small, large, strict=True)]
        if sum(answers) / len(answers) >= least:
            return float(threshold)
    return max(thresholds)


def ordered(load, budget_bytes):
    kept = OrderedDict()

    def get(name):
        if name in kept:
            kept.move_to_end(name)
            return kept[name][0]
        kept[name] = load(name)
        model = kept[name][0]
        while kept and sum(entry[1] for entry in kept.values()) > budget_bytes:
            kept.popitem(last=False)
        return model

    return get


def with_a_counter(load, budget_bytes):
    models, sizes, used, now = {}, {}, {}, 0

    def get(name):
        nonlocal now
        now += 1
        if name not in models:
            models[name], sizes[name] = load(name)
        used[name], answer = now, models[name]
        while sum(sizes[one] for one in models) > budget_bytes:
            del models[min(models, key=used.get)]
        return answer

    return get


def two_lists(load, budget_bytes):
    names, entries = [], []

    def get(name):
        entry = entries.pop(names.index(name)) if name in names else load(name)
        if name in names:
            names.remove(name)
        names.append(name)
        entries.append(entry)
        while sum(size for _, size in entries) > budget_bytes:
            names.pop(0)
            entries.pop(0)
        return entry[0]

    return get


def counted_tiles(length, tile, halo):
    return [
        [max(n * tile - halo, 0), min((n + 1) * tile + halo, length), n * tile, min((n + 1) * tile, length)]
        for n in range((length + tile - 1) // tile)
    ]


def with_while(length, tile, halo):
    first, spans = 0, []
    while first < length:
        end = first + tile if first + tile < length else length
        low = first - halo if first > halo else 0
        spans.append((low, end + halo if end + halo < length else length, first, end))
        first = end
    return spans


def with_numpy(length, tile, halo):
    firsts = np.arange(0, length, tile)
    ends = np.minimum(firsts + tile, length)
    return np.stack([np.maximum(firsts - halo, 0), np.minimum(ends + halo, length), firsts, ends], axis=1)


def from_when_it_was_sent(due_s, work, clock, sleep):
    start, found = clock(), []
    for number, due in enumerate(due_s):
        sleep(max(0, start + due - clock()))
        sent = clock()
        work(number)
        found.append(clock() - sent)
    return found


def waiting_alone(due_s, work, clock, sleep):
    start, found = clock(), []
    for number, due in enumerate(due_s):
        sleep(max(0, start + due - clock()))
        found.append(clock() - start - due)
        work(number)
    return found


def closed_loop(due_s, work, clock, sleep):
    found = []
    for number, gap in enumerate(np.diff(due_s, prepend=0)):
        sleep(gap)
        sent = clock()
        work(number)
        found.append(clock() - sent)
    return found


def at_once(due_s, work, clock, sleep):
    start, found = clock(), []
    for number, due in enumerate(due_s):
        work(number)
        found.append(clock() - start - due)
    return found


def changed(answer, change):
    return lambda *arguments: change(answer(*arguments))


def never_stops(latencies_ms, limit_ms):
    within = [rate for rate in latencies_ms if np.percentile(latencies_ms[rate], 99) <= limit_ms]
    return max(within) if within else 0


def first_in_first_out(load, budget_bytes):
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = load(name)
        model = kept[name][0]
        while sum(size for _, size in kept.values()) > budget_bytes:
            del kept[next(iter(kept))]
        return model

    return get


def keeps_all(load, budget_bytes):
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = load(name)
        return kept[name][0]

    return get


def no_halo_before(length, tile, halo):
    return [(first, min(length, end + halo), first, end) for *_, first, end in tile_spans(length, tile, halo)]


ALSO_RIGHT = (
    ("13.1", one_after_the_other),
    ("13.1", turned_round),
    ("13.1", by_quantile),
    ("13.2", absolute_times),
    ("13.2", in_short_naps),
    ("13.2", busy_waiting),
    ("13.3", with_a_list),
    ("13.3", downwards),
    ("13.3", by_counting),
    ("13.4", every_accuracy),
    ("13.4", by_sums),
    ("13.4", picture_by_picture),
    ("13.5", ordered),
    ("13.5", with_a_counter),
    ("13.5", two_lists),
    ("13.6", counted_tiles),
    ("13.6", with_while),
    ("13.6", with_numpy),
)

WRONG = (
    ("13.1", lambda rate, u: -np.log(1 - u) / rate, "all gaps before it are over"),
    ("13.1", lambda rate, u: np.cumsum(-np.log(1 - u) * rate), "divide by the rate"),
    ("13.1", lambda rate, u: np.cumsum(np.log(1 - u) / rate), "mind the sign"),
    ("13.1", lambda rate, u: np.cumsum(u / rate), "have a longest one"),
    ("13.1", lambda rate, u: np.arange(1, len(u) + 1) / rate, "like clockwork"),
    ("13.1", lambda rate, u: np.cumsum(-np.log(1 - u) / rate)[-1], "one time for each random number"),
    ("13.2", from_when_it_was_sent, "a user also waits"),
    ("13.2", waiting_alone, "the waiting alone"),
    ("13.2", closed_loop, "begin at once"),
    ("13.2", at_once, "before coming"),
    ("13.2", changed(open_loop, lambda found: [1e3 * one for one in found]), "Return seconds here"),
    ("13.2", changed(open_loop, np.mean), "one latency for each request"),
    ("13.2", lambda due, work, clock, sleep: open_loop(due[:-1], work, clock, sleep), "0, 1, 2"),
    ("13.3", never_stops, "even if it looks good"),
    ("13.3", lambda found, limit: highest_rate(found, limit, 50), "one request in a hundred"),
    ("13.3", lambda found, limit: highest_rate(found, limit, 100), "not the slowest"),
    ("13.3", lambda found, limit: highest_rate(found, limit) or min(found), "not even the lowest"),
    ("13.3", lambda found, limit: float(np.percentile(found[min(found)], 99)), "not a latency"),
    ("13.4", lambda c, s, g, t, least: choose_threshold(c, g, s, t, least), "where it is sure"),
    ("13.4", lambda c, s, g, t, least: choose_threshold(c, s, g, t[::-1], least), "A lower threshold"),
    ("13.4", lambda c, s, g, t, least: choose_threshold(c, s, g, t, least - 0.1), "right too seldom"),
    ("13.4", lambda c, s, g, t, least: choose_threshold(c, s, g, t, least) / 2, "that were handed in"),
    ("13.5", lambda load, budget: lambda name: load(name)[0], "Every request loads"),
    ("13.5", keeps_all, "Nothing is ever dropped"),
    ("13.5", first_in_first_out, "it should be the one *used*"),
    ("13.5", lambda load, budget: warm_models(load, budget - 1), "what fits exactly"),
    ("13.5", lambda load, budget: lambda name: load(name), "returns the model alone"),
    ("13.5", lambda load, budget: warm_models(load, budget)("a"), "without calling it"),
    ("13.6", lambda n, tile, halo: tile_spans(n - tile, tile, halo), "the last may be smaller"),
    ("13.6", lambda n, tile, halo: [(f - halo, e + halo, f, e) for *_, f, e in tile_spans(n, tile, halo)],
     "no pixels beyond"),
    ("13.6", lambda n, tile, halo: [(a, b, f, f + tile) for a, b, f, _ in tile_spans(n, tile, halo)],
     "ends with the picture"),
    ("13.6", lambda n, tile, halo: [(f, e, a, b) for a, b, f, e in tile_spans(n, tile, halo)],
     "then what counts"),
    ("13.6", no_halo_before, "on both sides"),
    ("13.6", lambda n, tile, halo: [span[:2] for span in tile_spans(n, tile, halo)], "Four numbers a tile"),
)  # fmt: skip

SURVIVORS = ()
