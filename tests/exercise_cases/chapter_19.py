"""Chapter 19: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np

from edgelab.exercises.chapter_19 import (
    PATIENCE,
    average_precision,
    cameras,
    follow,
    hits,
    iou,
    pairs,
    settled,
)

SOLUTIONS = {
    "19.1": iou,
    "19.2": hits,
    "19.3": average_precision,
    "19.4": pairs,
    "19.5": follow,
    "19.6": settled,
    "19.7": cameras,
}


def iou_by_loops(a, b):
    table = np.zeros((len(a), len(b)))
    for i, (ax0, ay0, ax1, ay1) in enumerate(a):
        for j, (bx0, by0, bx1, by1) in enumerate(b):
            w, h = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
            shared = w * h if w > 0 and h > 0 else 0
            union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared
            table[i, j] = shared / union
    return table


def iou_by_split(a, b):
    ax0, ay0, ax1, ay1 = (part.reshape(-1, 1) for part in a.T)
    bx0, by0, bx1, by1 = b.T
    width = np.maximum(np.minimum(ax1, bx1) - np.maximum(ax0, bx0), 0)
    height = np.maximum(np.minimum(ay1, by1) - np.maximum(ay0, by0), 0)
    shared = width * height
    return shared / ((ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - shared)


def iou_sides(a, b):
    low, high = np.maximum(a[:, None, :2], b[:, :2]), np.minimum(a[:, None, 2:], b[:, 2:])
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b)]
    return high - low, areas[0][:, None], areas[1]


def iou_unclipped(a, b):
    sides, area_a, area_b = iou_sides(a, b)
    shared = sides.prod(axis=2)
    return shared / (area_a + area_b - shared)


def iou_without_taking_off(a, b):
    sides, area_a, area_b = iou_sides(a, b)
    return np.clip(sides, 0, None).prod(axis=2) / (area_a + area_b)


def iou_of_the_smaller(a, b):
    sides, area_a, area_b = iou_sides(a, b)
    return np.clip(sides, 0, None).prod(axis=2) / np.minimum(area_a, area_b)


def hits_by_set(overlap, least):
    taken, found = set(), []
    for row in overlap:
        free = [(value, column) for column, value in enumerate(row) if column not in taken]
        value, column = max(free, default=(0, None), key=lambda pair: pair[0])
        found.append(bool(free) and value >= least)
        if found[-1]:
            taken.add(column)
    return found


def hits_by_deleting(overlap, least):
    found = []
    for number in range(len(overlap)):
        row = overlap[number]
        found.append(int(row.size > 0 and row.max() >= least))
        if found[-1]:
            overlap = np.delete(overlap, row.argmax(), axis=1)
    return np.array(found)


def hits_by_nan(overlap, least):
    left, found = np.array(overlap, float), np.zeros(len(overlap), bool)
    for number in range(len(left)):
        good = np.where(left[number] >= least, left[number], -1)
        if good.size and good.max() > 0:
            found[number] = True
            left[:, good.argmax()] = np.nan
    return found


def hits_first_that_fits(overlap, least):
    taken, found = set(), []
    for row in overlap:
        fitting = [c for c, value in enumerate(row) if value >= least and c not in taken]
        found.append(bool(fitting))
        taken |= set(fitting[:1])
    return np.array(found)


def hits_of_the_best_only(overlap, least):
    """Whoever's best object is taken gets none, though another is free."""
    taken, found = set(), []
    for row in overlap:
        best = int(row.argmax()) if len(row) else -1
        found.append(best >= 0 and row[best] >= least and best not in taken)
        taken |= {best} if found[-1] else set()
    return np.array(found)


def precision_and_recall(hit, count):
    right = np.cumsum(hit)
    return right / np.arange(1, len(hit) + 1), right / count


def ap_by_falling(hit, count):
    precision, recall = precision_and_recall(hit, count)
    falling = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return falling[np.searchsorted(recall, np.linspace(0, 1, 101))].mean()


def ap_by_loops(hit, count):
    right, points = 0, []
    for number, value in enumerate(hit, 1):
        right += bool(value)
        points.append((right / count, right / number))
    total = 0.0
    for hundredth in range(101):
        total += max((p for r, p in points if r >= hundredth / 100), default=0.0)
    return np.float64(total / 101)


def ap_by_where(hit, count):
    precision, recall = precision_and_recall(hit, count)
    table = np.where(recall >= np.linspace(0, 1, 101)[:, None], precision, 0)
    return table.max(axis=1, initial=0).mean()


def ap_not_falling(hit, count):
    precision, recall = precision_and_recall(hit, count)
    at = [np.flatnonzero(recall >= least) for least in np.linspace(0, 1, 101)]
    return np.mean([precision[i[0]] if len(i) else 0 for i in at])


def ap_of_what_was_reached(hit, count):
    precision, recall = precision_and_recall(hit, count)
    return np.mean(
        [precision[recall >= x].max() for x in np.linspace(0, 1, 101) if (recall >= x).any()] or [0]
    )


def ap_over_hits(hit, count):
    precision, _ = precision_and_recall(hit, count)
    return precision[hit].mean() if hit.any() else 0.0


def pairs_by_sorting(overlap, least):
    order = sorted(np.ndindex(overlap.shape), key=lambda pair: -overlap[pair])
    rows, columns, found = set(), set(), []
    for row, column in order:
        if overlap[row, column] >= least and row not in rows and column not in columns:
            found.append([row, column])
            rows.add(row)
            columns.add(column)
    return found


def pairs_by_recursion(overlap, least):
    if not overlap.size or overlap.max() < least:
        return []
    row, column = divmod(int(overlap.argmax()), overlap.shape[1])
    rest = np.array(overlap)
    rest[row, :], rest[:, column] = -np.inf, -np.inf
    return [(row, column), *pairs_by_recursion(rest, least)]


def pairs_by_nan(overlap, least):
    free, found = np.where(overlap >= least, overlap, np.nan), []
    while free.size and not np.isnan(free).all():
        row, column = np.argwhere(free == np.nanmax(free))[0]
        found.append((int(row), int(column)))
        free[row, :], free[:, column] = np.nan, np.nan
    return np.array(found).reshape(-1, 2)


def pairs_row_by_row(overlap, least):
    free, found = np.array(overlap), []
    for row in range(len(free)):
        if free.shape[1] and free[row].max() >= least:
            column = free[row].argmax()
            found.append((row, column))
            free[:, column] = -1
    return found


def pairs_of_every_row(overlap, least):
    return [(r, int(row.argmax())) for r, row in enumerate(overlap) if row.size and row.max() >= least]


def follow_by_building(tracks, boxes, found, new_id):
    pairs_of, result = dict(found), {}
    for row, (number, (box, unseen)) in enumerate(tracks.items()):
        if row in pairs_of:
            result[number] = (boxes[pairs_of[row]], 0)
        elif unseen + 1 <= PATIENCE:
            result[number] = (box, unseen + 1)
    used = [column for _, column in found]
    fresh = [column for column in range(len(boxes)) if column not in used]
    return result | {new_id + n: (boxes[column], 0) for n, column in enumerate(fresh)}


def follow_in_place(tracks, boxes, found, new_id):
    ids, free = list(tracks), list(range(len(boxes)))
    for number in ids:
        tracks[number] = [tracks[number][0], tracks[number][1] + 1]
    for row, column in found:
        tracks[ids[row]] = [boxes[column], 0]
        free.remove(column)
    for number in [n for n in ids if tracks[n][1] > PATIENCE]:
        del tracks[number]
    for column in free:
        tracks[new_id] = [boxes[column], 0]
        new_id += 1
    return tracks


def follow_with_arrays(tracks, boxes, found, new_id):
    kept = follow_by_building(tracks, boxes, found, new_id)
    return {number: (np.array(box), np.int64(unseen)) for number, (box, unseen) in kept.items()}


def follow_gives_up_at_once(tracks, boxes, found, new_id):
    result, seen = follow(tracks, boxes, found, new_id), {row for row, _ in found}
    return {n: v for n, v in result.items() if n not in tracks or list(tracks).index(n) in seen}


def follow_for_ever(tracks, boxes, found, new_id):
    unseen = {n: v for row, (n, v) in enumerate(tracks.items()) if row not in dict(found)}
    return {n: (box, count + 1) for n, (box, count) in unseen.items()} | follow(tracks, boxes, found, new_id)


def follow_never_counts(tracks, boxes, found, new_id):
    result = follow(tracks, boxes, found, new_id)
    return {number: (box, 0) for number, (box, _) in result.items()}


def follow_keeps_the_old_box(tracks, boxes, found, new_id):
    result = follow(tracks, boxes, found, new_id)
    return {n: (tracks[n][0] if n in tracks else box, unseen) for n, (box, unseen) in result.items()}


def follow_without_new_ones(tracks, boxes, found, new_id):
    return {n: v for n, v in follow(tracks, boxes, found, new_id).items() if n in tracks}


def settled_by_abs(was, depth, margin):
    return was if abs(depth) <= margin else depth > 0


def settled_by_either(was, depth, margin):
    return depth > margin or (was and depth >= -margin)


def settled_by_threshold(was, depth, margin):
    return np.bool_(depth >= -margin if was else depth > margin)


def cameras_by_counting(stage_ms, on_chip, rate, cores):
    per_second_ms = {name: rate * ms for name, ms in stage_ms.items()}
    chip = sum(ms for name, ms in per_second_ms.items() if name in on_chip)
    rest, count = sum(per_second_ms.values()) - chip, 0
    while (count + 1) * chip <= 1000 and (count + 1) * rest <= 1000 * cores:
        count += 1
    return count


def cameras_by_frames(stage_ms, on_chip, rate, cores):
    times = np.array(list(stage_ms.values())) / 1e3
    chip = np.array([name in on_chip for name in stage_ms])
    return np.int64(min(1 / times[chip].sum() // rate, cores / times[~chip].sum() // rate))


def cameras_by_use(stage_ms, on_chip, rate, cores):
    chip = rate * sum(stage_ms[name] for name in sorted(on_chip)) / 1000
    cpu = rate * sum(stage_ms[name] for name in stage_ms.keys() - on_chip) / 1000 / cores
    return int(1 // max(chip, cpu))


def cameras_with(change):
    """A wrong rule of the milliseconds on the chip and on cores, those between two frames, and the cores."""

    def answer(stage_ms, on_chip, rate, cores):
        chip = sum(stage_ms[name] for name in on_chip)
        return change(chip, sum(stage_ms.values()) - chip, 1000 / rate, cores)

    return answer


ALSO_RIGHT = (
    ("19.1", iou_by_loops),
    ("19.1", iou_by_split),
    ("19.1", lambda a, b: iou(b, a).T.tolist()),
    ("19.2", hits_by_set),
    ("19.2", hits_by_deleting),
    ("19.2", hits_by_nan),
    ("19.3", ap_by_falling),
    ("19.3", ap_by_loops),
    ("19.3", ap_by_where),
    ("19.4", pairs_by_sorting),
    ("19.4", pairs_by_recursion),
    ("19.4", pairs_by_nan),
    ("19.5", follow_by_building),
    ("19.5", follow_in_place),
    ("19.5", follow_with_arrays),
    ("19.6", settled_by_abs),
    ("19.6", settled_by_either),
    ("19.6", settled_by_threshold),
    ("19.7", cameras_by_counting),
    ("19.7", cameras_by_frames),
    ("19.7", cameras_by_use),
)

WRONG = (
    ("19.1", iou_unclipped, "clip each side at 0"),
    ("19.1", iou_without_taking_off, "take it off once"),
    ("19.1", iou_of_the_smaller, "not by the smaller box"),
    ("19.1", lambda a, b: np.diag(iou(a, b)), "every box of b"),
    ("19.1", lambda a, b: np.maximum(iou(a, b), 0.01), "clip each side at 0"),
    ("19.2", lambda overlap, least: overlap.max(axis=1, initial=0) >= least, "is a false alarm"),
    ("19.2", lambda overlap, least: hits(overlap, least + 1e-9), "exactly least"),
    ("19.2", hits_of_the_best_only, "still free"),
    ("19.2", hits_first_that_fits, "still free"),
    ("19.2", lambda overlap, least: np.array([hits(overlap, least).sum()]), "for each detection"),
    ("19.3", ap_not_falling, "from there on"),
    ("19.3", ap_of_what_was_reached, "part of the mean"),
    ("19.3", ap_over_hits, "over 101 recalls"),
    ("19.3", lambda hit, count: np.cumsum(hit) / count, "one number"),
    ("19.4", pairs_row_by_row, "of the whole table"),
    ("19.4", pairs_of_every_row, "used once"),
    ("19.4", lambda overlap, least: pairs(overlap, least)[:1], "go on until"),
    ("19.4", lambda overlap, least: pairs(overlap, 0.05), "Below least"),
    ("19.4", lambda overlap, least: [(c, r) for r, c in pairs(overlap, least)], "the track first"),
    ("19.5", follow_gives_up_at_once, "waited for"),
    ("19.5", follow_for_ever, "is given up"),
    ("19.5", follow_never_counts, "one more than before"),
    ("19.5", follow_keeps_the_old_box, "takes the new box"),
    ("19.5", follow_without_new_ones, "number of its own"),
    ("19.5", lambda *given: list(follow(*given).items()), "Return a dictionary"),
    ("19.6", lambda was, depth, margin: depth > 0, "stays as it was"),
    ("19.6", lambda was, depth, margin: was or depth > margin, "below -margin"),
    ("19.6", lambda was, depth, margin: depth > margin if not was else False, "inside, wherever"),
    ("19.6", lambda was, depth, margin: 1 if settled(was, depth, margin) else 0, "True or False"),
    ("19.7", cameras_with(lambda chip, cpu, frame, cores: int(frame / chip)), "The cores may be full"),
    ("19.7", cameras_with(lambda chip, cpu, frame, cores: int(cores * frame / cpu)), "The chip may be full"),
    ("19.7", cameras_with(lambda chip, cpu, frame, cores: int(frame / (chip + cpu))), "do not add them up"),
    (
        "19.7",
        cameras_with(lambda chip, cpu, frame, cores: int(min(frame / chip, frame / cpu))),
        "Each core has its own",
    ),
    ("19.7", lambda stage_ms, chip, rate, cores: int(1000 / rate / max(stage_ms.values())), "take turns"),
    ("19.7", lambda *given: cameras(*given) + 1, "Round down"),
    (
        "19.7",
        cameras_with(lambda chip, cpu, frame, cores: min(frame / chip, cores * frame / cpu)),
        "half a camera",
    ),
    ("19.7", lambda stage_ms, chip, rate, cores: cameras(stage_ms, chip, 1, cores), "each frame passes"),
    ("19.7", lambda *given: 3, "each frame passes"),
)

SURVIVORS = ()
