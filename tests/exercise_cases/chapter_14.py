"""Chapter 14: right answers, and the mistakes that students make, each with words of the hint it must get."""

import json

import numpy as np


def mean_gradient(gradients, counts):
    total = sum(counts)
    return [
        sum(count / total * part for count, part in zip(counts, parts, strict=True))
        for parts in zip(*gradients, strict=True)
    ]


def reduce_scatter(parts):
    workers = len(parts)
    for number in range(workers - 1):
        for worker in range(workers):
            part = (worker - number) % workers
            parts[(worker + 1) % workers, part] += parts[worker, part]
    return parts


def all_gather(parts):
    workers = len(parts)
    for number in range(workers - 1):
        for worker in range(workers):
            part = (worker + 1 - number) % workers
            parts[(worker + 1) % workers, part] = parts[worker, part]
    return parts


def cluster_settings(addresses):
    return [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}})
        for number in range(len(addresses))
    ]


def should_stop(values, others):
    epoch = len(values) - 1
    there = [other[epoch] for other in others if len(other) > epoch]
    return len(there) >= 4 and max(values) < np.median(there)


def schedule(stages, micro):
    table = np.full((stages, micro + stages - 1), -1)
    for stage in range(stages):
        table[stage, stage : stage + micro] = np.arange(micro)
    return table


def best_cut(macs):
    def longer_stage(place):
        return max(sum(macs[:place]), sum(macs[place:]))

    return min(range(1, len(macs)), key=longer_stage)


SOLUTIONS = {
    "14.1": mean_gradient,
    "14.2": reduce_scatter,
    "14.3": all_gather,
    "14.4": cluster_settings,
    "14.5": should_stop,
    "14.6": schedule,
    "14.7": best_cut,
}


def by_average(gradients, counts):
    return [np.average(np.stack(parts), axis=0, weights=counts) for parts in zip(*gradients, strict=True)]


def picture_by_picture(gradients, counts):
    found = []
    for number in range(len(gradients[0])):
        alike = [gradients[worker][number] for worker, count in enumerate(counts) for _ in range(count)]
        found.append(np.mean(alike, axis=0))
    return found


def running(gradients, counts):
    total, seen = [np.zeros_like(part) for part in gradients[0]], 0
    for parts, count in zip(gradients, counts, strict=True):
        seen += count
        total = [old + (new - old) * count / seen for old, new in zip(total, parts, strict=True)]
    return tuple(total)


def plain_mean(gradients, counts):
    return [np.mean(parts, axis=0) for parts in zip(*gradients, strict=True)]


def mail(parts, first, rounds, adds, step=1):
    """All letters of a round are written before one is opened."""
    parts, workers = parts.copy(), len(parts)
    for number in range(rounds):
        letters = [
            (
                (w + step) % workers,
                (w + first - number) % workers,
                parts[w, (w + first - number) % workers].copy(),
            )
            for w in range(workers)
        ]
        for worker, part, values in letters:
            parts[worker, part] = parts[worker, part] + values if adds else values
    return parts


def partial_sums(parts):
    """What a ring leaves, worked out part by part: worker k + d holds the sum over workers k to k + d."""
    workers, found = len(parts), parts.copy()
    for part in range(workers):
        for distance in range(workers):
            members = [(part + d) % workers for d in range(distance + 1)]
            found[(part + distance) % workers, part] = parts[members, part].sum(axis=0)
    return found


def as_lists(parts):
    rows, workers = [[list(part) for part in row] for row in parts.tolist()], len(parts)
    for number in range(workers - 1):
        for worker in range(workers - 1, -1, -1):
            part, after = (worker - number) % workers, (worker + 1) % workers
            rows[after][part] = [a + b for a, b in zip(rows[after][part], rows[worker][part], strict=True)]
    return rows


def every_second(parts):
    workers = len(parts)
    whole = np.stack([parts[part - 1, part] for part in range(workers)])
    return np.broadcast_to(whole, parts.shape)


def by_owner(parts):
    found = parts.copy()
    for owner in range(len(parts)):
        found[:, (owner + 1) % len(parts)] = parts[owner, (owner + 1) % len(parts)]
    return found


def with_copies(addresses):
    found = []
    for number, _ in enumerate(addresses):
        task = {"index": number, "type": "worker"}
        found.append(json.dumps({"task": task, "cluster": {"worker": list(addresses)}}, indent=2))
    return found


def by_formatting(addresses):
    listed = ", ".join(f'"{address}"' for address in addresses)
    return tuple(
        f'{{"cluster": {{"worker": [{listed}]}}, "task": {{"type": "worker", "index": {number}}}}}'
        for number in range(len(addresses))
    )


def sorted_middle(values, others):
    there = sorted(other[len(values) - 1] for other in others if len(other) >= len(values))
    if len(there) < 4:
        return False
    middle = (there[(len(there) - 1) // 2] + there[len(there) // 2]) / 2
    return all(value < middle for value in values)


def with_padding(values, others):
    column = np.array([(list(other) + [np.nan] * 9)[len(values) - 1] for other in others], float)
    column = column[~np.isnan(column)]
    return np.bool_(column.size > 3 and np.max(values) < np.median(column))


def with_statistics(values, others):
    import statistics

    there = [other[len(values) - 1] for other in others if len(other) >= len(values)]
    return bool(len(there) > 3 and statistics.median(there) > max(values))


def by_subtraction(stages, micro):
    part = np.arange(micro + stages - 1) - np.arange(stages)[:, np.newaxis]
    return np.where((part < 0) | (part >= micro), -1, part)


def tick_by_tick(stages, micro):
    table, row = [], [-1] * stages
    for tick in range(micro + stages - 1):
        row = [tick if tick < micro else -1, *row[:-1]]
        table.append(row)
    return np.array(table).T


def rolled(stages, micro):
    first = np.array([*range(micro), *[-1] * (stages - 1)])
    return [np.roll(first, stage).tolist() for stage in range(stages)]


def cut_by_loop(macs):
    best, least, done = 0, float("inf"), 0
    for number, work in enumerate(macs[:-1], 1):
        done += work
        if max(done, sum(macs) - done) < least:
            best, least = number, max(done, sum(macs) - done)
    return best


def cut_by_arrays(macs):
    first = np.cumsum(macs)
    return np.argmin(np.maximum(first, first[-1] - first)[:-1]) + 1


def cut_by_sorting(macs):
    return sorted((abs(sum(macs[:place]) - sum(macs[place:])), place) for place in range(1, len(macs)))[0][1]


def cut_last_of_equals(macs):
    return min(range(len(macs) - 1, 0, -1), key=lambda place: max(sum(macs[:place]), sum(macs[place:])))


def cut_at_half_of_the_work(macs):
    done = 0
    for number, work in enumerate(macs, 1):
        done += work
        if 2 * done >= sum(macs):
            return number
    return len(macs)


def cut_before_the_largest(macs):
    return max(1, max(range(len(macs)), key=macs.__getitem__))


def rule(compare, least=4):
    def answer(values, others):
        there = [other[len(values) - 1] for other in others if len(other) >= len(values)]
        return bool(len(there) >= least and compare(values, there, others))

    return answer


def task_of(**changes):
    return lambda addresses: [
        json.dumps({**json.loads(text), "task": {**json.loads(text)["task"], **changes}})
        for text in cluster_settings(addresses)
    ]


ALSO_RIGHT = (
    ("14.1", by_average),
    ("14.1", picture_by_picture),
    ("14.1", running),
    ("14.2", lambda parts: mail(parts, 0, len(parts) - 1, adds=True)),
    ("14.2", partial_sums),
    ("14.2", as_lists),
    ("14.3", lambda parts: mail(parts, 1, len(parts) - 1, adds=False)),
    ("14.3", every_second),
    ("14.3", by_owner),
    ("14.4", with_copies),
    ("14.4", by_formatting),
    ("14.4", lambda addresses: [text.replace(" ", "") for text in cluster_settings(addresses)]),
    ("14.5", sorted_middle),
    ("14.5", with_padding),
    ("14.5", with_statistics),
    ("14.6", by_subtraction),
    ("14.6", tick_by_tick),
    ("14.6", rolled),
    ("14.7", cut_by_loop),
    ("14.7", cut_by_arrays),
    ("14.7", cut_by_sorting),
)

WRONG = (
    ("14.1", plain_mean, "a worker with few pictures say as much"),
    ("14.1", lambda g, counts: [np.sum(p, axis=0) for p in zip(*g, strict=True)], "the steps would grow"),
    (
        "14.1",
        lambda g, counts: [sum(counts) * part for part in mean_gradient(g, counts)],
        "number of all pictures",
    ),
    ("14.1", lambda g, counts: g[0][:1], "not one for each worker"),
    ("14.1", lambda g, counts: [part.ravel() for part in mean_gradient(g, counts)], "the weight's own shape"),
    ("14.1", lambda g, counts: np.concatenate([p.ravel() for p in g[0]]), "not one for each worker"),
    ("14.2", lambda parts: mail(parts, 0, len(parts) - 1, adds=False), "not put in place"),
    ("14.2", lambda parts: mail(parts, 0, len(parts), adds=True), "one round too many"),
    ("14.2", lambda parts: mail(parts, 0, max(len(parts) - 2, 0), adds=True), "one round too few"),
    ("14.2", lambda parts: mail(parts, 0, len(parts) - 1, adds=True, step=-1), "the other way"),
    ("14.2", lambda parts: np.broadcast_to(parts.sum(axis=0), parts.shape), "one whole part only"),
    ("14.2", lambda parts: parts.sum(axis=0), "as it is after the last round"),
    ("14.3", lambda parts: mail(parts, 1, len(parts) - 1, adds=True), "do not add"),
    ("14.3", lambda parts: mail(parts, 1, max(len(parts) - 2, 0), adds=False), "one round too few"),
    ("14.3", lambda parts: mail(parts, 0, len(parts) - 1, adds=False), "that it has whole"),
    ("14.3", lambda parts: np.broadcast_to(parts.sum(axis=0), parts.shape), "Part k is whole"),
    ("14.3", lambda parts: parts[0], "as it is after the last round"),
    ("14.4", task_of(index=0), "its place among the addresses"),
    ("14.4", task_of(type="chief"), "its place among the addresses"),
    ("14.4", lambda addresses: [json.loads(text) for text in cluster_settings(addresses)], "use json.dumps"),
    (
        "14.4",
        lambda addresses: [str(json.loads(text)) for text in cluster_settings(addresses)],
        "use json.dumps",
    ),
    ("14.4", lambda addresses: cluster_settings(addresses)[0], "one text for each worker"),
    ("14.4", lambda addresses: [cluster_settings([a])[0] for a in addresses], "all addresses"),
    ("14.5", rule(lambda v, there, _: max(v) > np.median(there)), "the bad ones"),
    ("14.5", rule(lambda v, there, _: v[-1] < np.median(there)), "not its last value"),
    ("14.5", rule(lambda v, there, _: max(v) <= np.median(there)), "goes on"),
    ("14.5", rule(lambda v, there, _: max(v) < np.mean(there)), "moves a mean"),
    ("14.5", rule(lambda v, _, others: max(v) < np.median([o[-1] for o in others])), "not with their ends"),
    ("14.5", rule(lambda v, there, _: max(v) < np.median(there), least=1), "no judges"),
    ("14.5", lambda values, others: "stop", "True or False"),
    ("14.6", lambda stages, micro: np.maximum(schedule(stages, micro), 0), "0 is the first part"),
    ("14.6", lambda stages, micro: schedule(stages, micro)[:, :micro], "until the last part has left"),
    ("14.6", lambda stages, micro: schedule(stages, micro)[::-1], "is the first row"),
    ("14.6", lambda s, m: schedule(s, m) + (schedule(s, m) >= 0), "counted from 0"),
    (
        "14.6",
        lambda stages, micro: schedule(1, micro + stages - 1) + np.zeros((stages, 1), int),
        "one tick after",
    ),
    ("14.7", lambda macs: len(macs) // 2, "not half of the work"),
    ("14.7", lambda macs: best_cut(macs) - 1, "Count from 1"),
    ("14.7", cut_last_of_equals, "take the first"),
    ("14.7", cut_at_half_of_the_work, "Do not stop at half"),
    ("14.7", lambda macs: cut_at_half_of_the_work(macs) - 1, "Do not stop at half"),
    ("14.7", cut_before_the_largest, "can be had"),
    ("14.7", lambda macs: 1, "can be had"),
    ("14.7", lambda macs: len(macs), "Each stage needs an operator"),
    ("14.7", lambda macs: (best_cut(macs), sum(macs)), "one whole number"),
    ("14.7", lambda macs: best_cut(macs) / len(macs), "one whole number"),
)

SURVIVORS = (("14.3", "for number in range(workers + 1):", "more rounds copy what is there already"),)
