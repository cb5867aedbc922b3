"""The checks of chapter 14: gradients, the two halves of a ring, a cluster, a pruner, a pipeline, a cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr


def mean_gradient(gradients: Sequence[Sequence[np.ndarray]], counts: Sequence[int]) -> list[np.ndarray]:
    """The gradient of the mean loss of all pictures, from those of the workers' means.

    Args:
        gradients: for each worker, an array per weight.
        counts: how many pictures each worker had.
    """
    shares = [count / sum(counts) for count in counts]
    return [
        sum(share * part for share, part in zip(shares, parts, strict=True))
        for parts in zip(*gradients, strict=True)
    ]


def reduce_scatter(parts: np.ndarray) -> np.ndarray:
    """First half of the ring: afterwards worker w has the whole sum of part w + 1.

    Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".

    Args:
        parts: `[workers, workers, length]`: the vector of each worker, cut into as many parts as workers.
    """
    parts, workers = parts.copy(), len(parts)
    for number in range(workers - 1):
        for worker in range(workers):
            part = (worker - number) % workers
            parts[(worker + 1) % workers, part] += parts[worker, part]
    return parts


def all_gather(parts: np.ndarray) -> np.ndarray:
    """Second half of the ring: whole parts go round until all workers have them.

    Args:
        parts: `[workers, workers, length]`, as `reduce_scatter` leaves them.
    """
    parts, workers = parts.copy(), len(parts)
    for number in range(workers - 1):
        for worker in range(workers):
            part = (worker + 1 - number) % workers
            parts[(worker + 1) % workers, part] = parts[worker, part]
    return parts


def cluster_settings(addresses: Sequence[str]) -> list[str]:
    """For each worker the text of TF_CONFIG: everybody's address, and which of them it is."""
    return [
        json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": number}})
        for number in range(len(addresses))
    ]


LEAST = 4  # finished trials that a median needs


def should_stop(values: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Whether a trial is stopped: its best so far is below the median of the others at the same epoch.

    Golovin et al. 2017, "Google Vizier", the median stopping rule, as Optuna's `MedianPruner` has it.

    Args:
        values: what it reported, one value per epoch so far.
        others: all values of each finished trial.
    """
    epoch = len(values) - 1
    there = [other[epoch] for other in others if len(other) > epoch]
    return len(there) >= LEAST and max(values) < float(np.median(there))


def schedule(stages: int, micro: int) -> np.ndarray:
    """What each stage of a pipeline works on at each tick: the number of the part, or -1.

    Args:
        stages: in a row; a part takes one tick in each.
        micro: into how many parts the batch is cut.

    Returns:
        int `[stages, micro + stages - 1]`.
    """
    part = np.arange(micro + stages - 1) - np.arange(stages)[:, np.newaxis]
    return np.where((part >= 0) & (part < micro), part, -1)


def best_cut(macs: Sequence[int]) -> int:
    """Where to cut a network in two, so that the stage with more work has as little of it as it can.

    Args:
        macs: of each operator, in the order of execution.

    Returns:
        Operators of the first stage; of equally good cuts the first.
    """
    first = np.cumsum(macs)[:-1]
    return 1 + int(np.maximum(first, sum(macs) - first).argmin())


# Pictures of each worker, shapes of the weights.
SPLITS = (
    ((8, 8), ((3, 2), (4,))),
    ((30, 20, 10), ((2, 2, 3), (5,), (1,))),
    ((1, 7), ((6,),)),
    ((12,), ((2, 2),)),
)


@exercise(
    "14.1",
    tr("Gradients of shares"),
    hints=(
        tr("A worker with twice the pictures has twice the say: weight each gradient by its share."),
        tr("zip(*gradients) gives, for each weight, the arrays of all workers."),
        tr("For each weight: sum(count / total * part for count, part in zip(counts, parts))."),
    ),
    read=tr("the section “Two devices, one step” of this chapter"),
)
def check_mean(answer: Callable[..., list[np.ndarray]]) -> None:
    """The gradient of the whole batch, from those of its shares."""
    for seed, (counts, shapes) in enumerate(SPLITS):
        rng = np.random.default_rng(seed)
        gradients = [[rng.normal(size=shape) for shape in shapes] for _ in counts]
        got = answer([[part.copy() for part in parts] for parts in gradients], list(counts))
        what = tr("workers with {counts} pictures, {weights} weights", counts=counts, weights=len(shapes))
        if not isinstance(got, list | tuple) or len(got) != len(shapes):
            raise Mistake(
                what + ": " + tr("expected a list of {count} arrays", count=len(shapes)),
                tr("One array for each weight, not one for each worker."),
            )
        for number, expected in enumerate(mean_gradient(gradients, counts)):
            array = np.asarray(got[number])
            if array.shape != expected.shape:
                raise Mistake(
                    what
                    + ": "
                    + tr("weight {number} has the shape {shape}", number=number, shape=array.shape),
                    tr("The gradient of a weight has the weight's own shape."),
                )
            if not np.allclose(array, expected):
                raise Mistake(
                    what + ": " + tr("weight {number} is not the gradient of the whole batch", number=number),
                    _mean_hint([parts[number] for parts in gradients], counts, array),
                )


def _mean_hint(parts: list[np.ndarray], counts: Sequence[int], got: np.ndarray) -> str:
    if np.allclose(got, np.mean(parts, axis=0)):
        return tr("A plain mean lets a worker with few pictures say as much as one with many.")
    if np.allclose(got, np.sum(parts, axis=0)):
        return tr("This is the sum: with more workers the steps would grow.")
    if np.allclose(got, sum(count * part for count, part in zip(counts, parts, strict=True))):
        return tr("Divide by the number of all pictures.")
    return ""


RINGS = ((2, 3), (3, 2), (4, 1), (5, 4), (1, 2))  # workers, length of a part


def _as_parts(answer: object, parts: np.ndarray) -> np.ndarray:
    got = np.asarray(answer, np.float64) if answer is not None else np.empty(0)
    if got.shape != parts.shape:
        raise Mistake(
            tr("{workers} workers: expected the shape {shape}", workers=len(parts), shape=parts.shape),
            tr("Return the array of all workers' parts, as it is after the last round."),
        )
    return got


def _ring(parts: np.ndarray, first: int, rounds: int, *, adds: bool, step: int = 1) -> np.ndarray:
    """The state after some rounds in which worker w sends part (w + first - round) to worker w + step."""
    parts, workers = parts.copy(), len(parts)
    for number in range(rounds):
        sent = [parts[worker, (worker + first - number) % workers].copy() for worker in range(workers)]
        for worker, values in enumerate(sent):
            place = (worker + step) % workers, (worker + first - number) % workers
            parts[place] = parts[place] + values if adds else values
    return parts


@exercise(
    "14.2",
    tr("Round the ring, adding"),
    hints=(
        tr("Two loops: over the rounds, and in each over the workers; then one addition."),
        tr("The part that worker w sends in round r is (w - r) % workers; it lies in parts[w, that]."),
        tr("parts[(w + 1) % workers, part] += parts[w, part], for r in range(workers - 1)."),
    ),
    read=tr("the section “A ring” of this chapter"),
)
def check_reduce_scatter(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    """Each worker's parts after workers - 1 rounds of sending on and adding."""
    for seed, (workers, length) in enumerate(RINGS):
        parts = np.random.default_rng(10 + seed).normal(size=(workers, workers, length))
        got = _as_parts(answer(parts.copy()), parts)
        if np.allclose(got, reduce_scatter(parts)):
            continue
        hint = ""
        if np.allclose(got, _ring(parts, 0, workers - 1, adds=False)):
            hint = tr("What arrives is added, not put in place of what was there.")
        elif np.allclose(got, _ring(parts, 0, workers, adds=True)):
            hint = tr("That is one round too many: the last part comes back and is counted twice.")
        elif np.allclose(got, _ring(parts, 0, max(workers - 2, 0), adds=True)):
            hint = tr("That is one round too few: the sums lack a worker.")
        elif np.allclose(got, _ring(parts, 0, workers - 1, adds=True, step=-1)):
            hint = tr("This goes round the other way: worker w sends to worker w + 1.")
        elif np.allclose(got, parts.sum(axis=0)):
            hint = tr("Here all have everything; after this half each worker has one whole part only.")
        raise Mistake(tr("{workers} workers: other parts than a ring leaves", workers=workers), hint)


@exercise(
    "14.3",
    tr("Round the ring, copying"),
    hints=(
        tr("The same two loops; what arrives now replaces what was there."),
        tr("Worker w begins with part (w + 1) % workers; in round r it sends part (w + 1 - r) % workers."),
        tr("parts[(w + 1) % workers, part] = parts[w, part]"),
    ),
    read=tr("the section “A ring” of this chapter"),
)
def check_all_gather(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    """All workers have all whole parts."""
    for seed, (workers, length) in enumerate(RINGS):
        parts = np.random.default_rng(20 + seed).normal(size=(workers, workers, length))
        got = _as_parts(answer(parts.copy()), parts)
        whole = np.stack([parts[(part - 1) % workers, part] for part in range(workers)])
        if np.allclose(got, whole):
            continue
        hint = tr("Part k is whole at worker k - 1 at first; in the end all have just that.")
        if np.allclose(got, _ring(parts, 1, workers - 1, adds=True)):
            hint = tr("The parts are whole already: copy them, do not add.")
        elif np.allclose(got, _ring(parts, 1, max(workers - 2, 0), adds=False)):
            hint = tr("That is one round too few: the last worker still has an old part.")
        elif np.allclose(got, _ring(parts, 0, workers - 1, adds=False)):
            hint = tr("Worker w begins with the part that it has whole: w + 1.")
        raise Mistake(tr("{workers} workers: not all have the whole parts", workers=workers), hint)


CLUSTERS = (
    ("127.0.0.1:5001", "127.0.0.1:5002"),
    ("10.0.0.7:2222", "10.0.0.9:2222", "10.0.0.4:2223"),
    ("node-a:9000",),
)


@exercise(
    "14.4",
    tr("Who is who"),
    hints=(
        tr("All get the same cluster; only the index differs."),
        tr("json.dumps makes a text of a dictionary; str would write single quotes, which are no JSON."),
        tr(
            '{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}} for each number.'
        ),
    ),
    read=tr("the section “Two real processes” of this chapter"),
)
def check_cluster(answer: Callable[[list[str]], list[str]]) -> None:
    """A text of JSON for each worker."""
    for addresses in CLUSTERS:
        texts = answer(list(addresses))
        if not isinstance(texts, list | tuple) or len(texts) != len(addresses):
            raise Mistake(
                tr("{count} addresses: expected a list of as many texts", count=len(addresses)),
                tr("Return a list with one text for each worker."),
            )
        for number, text in enumerate(texts):
            _check_settings(number, text, addresses)


def _check_settings(number: int, text: object, addresses: Sequence[str]) -> None:
    what = tr("worker {number} of {count}", number=number, count=len(addresses))
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        raise Mistake(
            what + ": " + tr("{text} is no text of JSON", text=repr(text)[:60]),
            tr("An environment variable holds text: use json.dumps."),
        ) from None
    cluster = found.get("cluster", {}) if isinstance(found, dict) else {}
    task = found.get("task", {}) if isinstance(found, dict) else {}
    if cluster != {"worker": list(addresses)}:
        raise Mistake(
            what + ": " + tr("the cluster is {cluster}", cluster=cluster),
            tr('The cluster lists all addresses, in the same order for all, under "worker".'),
        )
    if task != {"type": "worker", "index": number}:
        raise Mistake(
            what + ": " + tr("the task is {task}", task=task),
            tr('The task says who this one is: "type" is "worker", "index" its place among the addresses.'),
        )


# Values so far, values of the finished trials, and whether it is stopped.
TRIALS = (
    ([0.2], [[0.3, 0.5], [0.4, 0.6], [0.25, 0.3], [0.1, 0.2]], True),
    ([0.35], [[0.3, 0.5], [0.4, 0.6], [0.25, 0.3], [0.1, 0.2]], False),
    ([0.45, 0.1], [[0.3, 0.4], [0.4, 0.6], [0.25, 0.3], [0.1, 0.2]], False),
    ([0.4, 0.3], [[0.9, 0.35], [0.9, 0.35], [0.9, 0.35], [0.9, 0.35], [0.9, 0.5]], False),
    ([0.1], [[0.3, 0.5], [0.4, 0.6], [0.25, 0.3]], False),
    ([0.1, 0.2], [[0.3], [0.4], [0.25, 0.5], [0.1, 0.4], [0.2, 0.4]], False),
    ([0.3], [[0.3, 0.5]] * 5, False),
    ([0.3], [[0.2], [0.2], [0.2], [0.2], [0.9]], False),
    ([0.3, 0.35], [[0.1, 0.5, 0.6], [0.2, 0.4, 0.5], [0.1, 0.4, 0.5], [0.1, 0.3, 0.5]], True),
    ([0.5], [[0.4, 0.9], [0.4, 0.9], [0.45, 0.9], [0.4, 0.9]], False),
    ([0.5], [], False),
    ([0.25], [[0.1], [0.2], [0.4], [0.5]], True),
)


@exercise(
    "14.5",
    tr("Stop a hopeless trial"),
    hints=(
        tr("Compare at the same epoch: what the others had when they were as far as this one."),
        tr("epoch = len(values) - 1; there = [other[epoch] for other in others if len(other) > epoch]"),
        tr("len(there) >= 4 and max(values) < np.median(there)"),
    ),
    read=tr("the section “Find good settings” of this chapter"),
)
def check_should_stop(answer: Callable[[list[float], list[list[float]]], bool]) -> None:
    """True where the best so far is below the median of the others at this epoch."""
    got = []
    for values, others, _ in TRIALS:
        verdict = answer(list(values), [list(other) for other in others])
        if not isinstance(verdict, bool | np.bool_):
            raise Mistake(
                tr("got {verdict}", verdict=repr(verdict)[:40]), tr("Return True or False for one trial.")
            )
        got.append(bool(verdict))
    for verdict, (values, others, expected) in zip(got, TRIALS, strict=True):
        if verdict == expected:
            continue
        raise Mistake(
            tr(
                "reported {values}, finished trials {others}: expected {expected}, got {verdict}",
                values=values,
                others=others,
                expected=expected,
                verdict=verdict,
            ),
            _stop_hint(got, values, others),
        )


def _stop_hint(got: list[bool], values: list[float], others: list[list[float]]) -> str:
    rules: tuple[tuple[Callable[..., bool], str], ...] = (
        (lambda v, there, _: not max(v) < np.median(there), tr("True stops the trial: the bad ones.")),
        (lambda v, there, _: max(v) > np.median(there), tr("True stops the trial: the bad ones.")),
        (lambda v, there, _: v[-1] < np.median(there), tr("Its best so far counts, not its last value.")),
        (lambda v, there, _: max(v) <= np.median(there), tr("One that equals the median goes on.")),
        (lambda v, there, _: max(v) < np.mean(there), tr("One lucky trial moves a mean: use the median.")),
        (lambda v, _, last: max(v) < np.median(last), tr("At the same epoch, not with their ends.")),
    )  # fmt: skip
    for rule, hint in rules:
        found = []
        for case, rest, _ in TRIALS:
            there = [other[len(case) - 1] for other in rest if len(other) >= len(case)]
            last = [other[-1] for other in rest]
            found.append(len(there) >= LEAST and bool(rule(case, there, last)))
        if found == got:
            return hint
    there = [other for other in others if len(other) >= len(values)]
    return tr("Fewer than four that came this far are no judges.") if len(there) < LEAST else ""


PIPELINES = ((2, 4), (3, 1), (4, 8), (1, 5), (5, 3))


@exercise(
    "14.6",
    tr("Who works when"),
    hints=(
        tr("Stage s gets part k at tick s + k."),
        tr("There are micro + stages - 1 ticks: the last part enters at micro - 1, and has stages to go."),
        tr("Begin with np.full((stages, micro + stages - 1), -1), then table[s, s + k] = k."),
    ),
    read=tr("the section “Stages” of this chapter"),
)
def check_schedule(answer: Callable[[int, int], np.ndarray]) -> None:
    """The number of the part at each stage and tick, -1 where a stage waits."""
    for stages, micro in PIPELINES:
        got, expected = np.asarray(answer(stages, micro)), schedule(stages, micro)
        what = tr("{stages} stages, {micro} parts", stages=stages, micro=micro)
        if got.shape != expected.shape:
            raise Mistake(
                what
                + ": "
                + tr("expected the shape {shape}, got {got}", shape=expected.shape, got=got.shape),
                tr("A row for each stage, a column for each tick until the last part has left."),
            )
        if np.array_equal(got, expected):
            continue
        hint = tr("A stage gets a part one tick after the stage before it.")
        if np.array_equal(got, np.where(expected < 0, 0, expected)):
            hint = tr("A stage that waits has -1; 0 is the first part.")
        elif np.array_equal(got, np.where(expected < 0, -1, expected + 1)):
            hint = tr("Parts are counted from 0.")
        elif np.array_equal(got, expected[::-1]):
            hint = tr("The first stage is the first row.")
        raise Mistake(what + ": " + tr("got {got}", got=got.tolist()), hint)


# MACs of networks: one that is a single large layer, ties, work at either end; then drawn ones.
NETWORKS = (
    (7, 0, 0),
    (0, 5, 0, 5, 0),
    (9, 1, 1, 1),
    (1, 1, 1, 9),
    (4, 4),
    (2, 3, 4, 1),
    (3, 5, 4),
    *(
        tuple((rng.integers(0, 500, size) * rng.integers(0, 3, size)).tolist())
        for rng, size in ((np.random.default_rng(140 + size), size) for size in range(6, 14))
    ),
)


@exercise(
    "14.7",
    tr("Where to cut your own network"),
    hints=(
        tr("Try every place: range(1, len(macs)). macs[:cut] is the first stage, macs[cut:] the second."),
        tr("The longer stage of a cut has the larger of both sums; the best cut has the smallest of those."),
        tr("min(range(1, len(macs)), key=…) takes the first of several that are equally good."),
    ),
    read=tr("the section “Stages” of this chapter"),
)
def check_cut(answer: Callable[[list[int]], int]) -> None:
    """Operators of the first of two stages, for which the longer stage is shortest."""
    got = []
    for macs in NETWORKS:
        cut = answer(list(macs))
        if isinstance(cut, bool) or not isinstance(cut, int | np.integer):
            raise Mistake(
                tr("got {cut}", cut=repr(cut)[:40]),
                tr("Return one whole number: how many operators the first stage has."),
            )
        got.append(int(cut))
    for cut, macs in zip(got, NETWORKS, strict=True):
        expected = best_cut(macs)
        if cut == expected:
            continue
        raise Mistake(
            tr("MACs {macs}: expected {expected}, got {cut}", macs=list(macs), expected=expected, cut=cut),
            _cut_hint(got, macs, cut),
        )


def _cut_hint(got: list[int], macs: Sequence[int], cut: int) -> str:
    def half(network: Sequence[int]) -> int:
        return int(np.searchsorted(np.cumsum(network), sum(network) / 2))

    rules: tuple[tuple[Callable[[Sequence[int]], int], str], ...] = (
        (lambda network: best_cut(network) - 1, tr("Count from 1: operators, not the index of the last.")),
        (lambda network: len(network) // 2, tr("Half of the operators is not half of the work.")),
        (lambda network: len(network) - best_cut(network[::-1]), tr("Of equally good cuts take the first.")),
        (half, tr("Do not stop at half of the work: the cut just after or before may be better.")),
        (
            lambda network: half(network) + 1,
            tr("Do not stop at half of the work: the cut just after or before may be better."),
        ),
    )
    for rule, hint in rules:
        if [rule(network) for network in NETWORKS] == got:
            return hint
    if not 0 < cut < len(macs):
        return tr("Each stage needs an operator at least.")
    longer, least = (max(sum(macs[:at]), sum(macs[at:])) for at in (cut, best_cut(macs)))
    return tr(
        "With your cut the longer stage has {longer} MACs; {least} can be had.", longer=longer, least=least
    )
