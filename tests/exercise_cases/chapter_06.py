"""Chapter 6: right answers, and the mistakes that students make, each with words of the hint it must get."""

import math

import numpy as np

from edgelab.exercises.chapter_06 import calibration_files, choose, coverage

ENDS = ("InputOperator", "OutputOperator")


def placement(rows):
    rows = [row for row in rows if row["operator"] not in ENDS]
    return sum(row["unit"] == "NPU" for row in rows), len(rows)


def least_time(layers, clock_hz):
    return 1000 * sum(max(pair) for pair in layers) / clock_hz


def waiting(count, cores, inference_ms):
    return inference_ms, -(-count // cores) * inference_ms


SOLUTIONS = {
    "06.1": placement,
    "06.2": least_time,
    "06.3": coverage,
    "06.4": choose,
    "06.5": calibration_files,
    "06.6": waiting,
}


def placement_in_an_array(rows):
    units = np.array([row["unit"] for row in rows if not row["operator"].endswith("putOperator")])
    return np.array([np.count_nonzero(units == "NPU"), units.size])


def placement_in_a_loop(rows):
    count = total = 0
    for row in rows:
        if row["operator"] == "InputOperator" or row["operator"] == "OutputOperator":
            continue
        total += 1
        if row["unit"] == "NPU":
            count += 1
    return [count, total]


def least_by_arrays(layers, clock_hz):
    return np.array(layers).max(axis=1).sum() / clock_hz * 1e3


def least_in_seconds_first(layers, clock_hz):
    seconds = 0.0
    for ddr, npu in layers:
        seconds += (ddr if ddr >= npu else npu) / clock_hz
    return seconds * 1000


def coverage_by_loops(ranges, chosen):
    parts = []
    for tensor in range(ranges.shape[1]):
        low, high = min(ranges[i, tensor, 0] for i in chosen), max(ranges[i, tensor, 1] for i in chosen)
        parts.append((high - low) / (ranges[:, tensor, 1].max() - ranges[:, tensor, 0].min()))
    return sum(parts) / len(parts)


def coverage_by_ptp(ranges, chosen):
    flat = ranges.transpose(1, 0, 2)
    return np.float32(
        (np.ptp(flat[:, chosen].reshape(len(flat), -1), axis=1) / np.ptp(flat, axis=(1, 2))).mean()
    )


def coverage_by_ends(ranges, chosen):
    low, high = ranges[..., 0], ranges[..., 1]
    missing = (high.max(0) - high[chosen].max(0)) + (low[chosen].min(0) - low.min(0))
    return 1 - (missing / (high.max(0) - low.min(0))).mean()


def choose_from_behind(total, count, score):
    """Of equally good pictures the last one."""
    chosen, left = [], list(range(total))[::-1]
    for _ in range(count):
        left.sort(key=lambda number: score([*chosen, number]), reverse=True)
        chosen.append(left.pop(0))
    return tuple(chosen)


def choose_by_arrays(total, count, score):
    chosen = np.zeros(0, int)
    for _ in range(count):
        scores = [-np.inf if i in chosen else score([*chosen.tolist(), i]) for i in range(total)]
        chosen = np.append(chosen, np.argmax(scores))
    return chosen


def choose_in_a_loop(total, count, score):
    found = []
    for _ in range(count):
        best, best_score = None, None
        for number in range(total):
            if number in found:
                continue
            value = score([*found, number])
            if best is None or value > best_score:
                best, best_score = number, value
        found.append(best)
    return found


def files_of(planes, listed="\n".join):
    """An answer to 6.5: what `planes` makes of an image, and the names as `listed` joins them."""

    def answer(images):
        files = {f"picture{number:03}.npy": planes(image) for number, image in enumerate(images)}
        return {"calibration.txt": listed(files), **files}

    return answer


def files_by_planes(images):
    planes = np.moveaxis(images, -1, 1).astype("float32")
    files = {"calibration.txt": ""}
    for number, image in enumerate(planes):
        files[f"image {number}.npy"] = np.expand_dims(image, 0)
        files["calibration.txt"] += f"image {number}.npy\n"
    return files


def stacked(image):
    return np.stack([image[..., colour] for colour in range(3)]).astype(np.float32)[np.newaxis]


def in_one_file(images):
    return {"all.npy": images.transpose(0, 3, 1, 2).astype(np.float32), "calibration.txt": "all.npy"}


def unlisted(images):
    return {f"{number}.npy": stacked(image) for number, image in enumerate(images)}


def waiting_by_queue(count, cores, inference_ms):
    ready = [0.0] * cores
    for _ in range(count):
        core = ready.index(min(ready))
        ready[core] += inference_ms
    return np.array([inference_ms, max(ready)])


ALSO_RIGHT = (
    ("06.1", placement_in_an_array),
    ("06.1", placement_in_a_loop),
    ("06.1", lambda rows: tuple(np.int64(number) for number in placement(rows))),
    ("06.2", least_by_arrays),
    ("06.2", least_in_seconds_first),
    ("06.2", lambda layers, clock_hz: math.fsum(max(a, b) for a, b in layers) / (clock_hz / 1000)),
    ("06.3", coverage_by_loops),
    ("06.3", coverage_by_ptp),
    ("06.3", coverage_by_ends),
    ("06.4", choose_from_behind),
    ("06.4", choose_by_arrays),
    ("06.4", choose_in_a_loop),
    ("06.5", files_by_planes),
    ("06.5", files_of(stacked)),
    ("06.5", files_of(lambda image: np.einsum("hwc->chw", image.astype(np.float32))[None])),
    ("06.6", waiting_by_queue),
    ("06.6", lambda count, cores, inference_ms: [inference_ms, math.ceil(count / cores) * inference_ms]),
    ("06.6", lambda n, cores, ms: (np.float64(ms), np.ceil(n / cores) * ms)),
)


def all_rows(rows):
    return sum(row["unit"] == "NPU" for row in rows), len(rows)


def not_cpu(rows):
    rows = [row for row in rows if row["operator"] not in ENDS]
    return sum(row["unit"] != "CPU" for row in rows), len(rows)


def average_width(ranges, chosen):
    whole = ranges[:, :, 1].max(axis=0) - ranges[:, :, 0].min(axis=0)
    return np.mean((ranges[chosen, :, 1] - ranges[chosen, :, 0]).mean(axis=0) / whole)


def sums_divided(ranges, chosen):
    def width(some):
        return (some[:, :, 1].max(axis=0) - some[:, :, 0].min(axis=0)).sum()

    return width(ranges[chosen]) / width(ranges)


def least_covered(ranges, chosen):
    return min(coverage(ranges[:, [tensor]], chosen) for tensor in range(ranges.shape[1]))


def best_alone(total, count, score):
    return sorted(range(total), key=lambda number: -score([number]))[:count]


def worst_first(total, count, score):
    return choose(total, count, lambda chosen: -score(chosen))


def one_only(total, count, score):
    return choose(total, 1, score) * count


WRONG = (
    ("06.1", all_rows, "only name inputs"),
    ("06.1", not_cpu, "there is a GPU"),
    ("06.1", lambda rows: placement(rows)[::-1], "The order is"),
    ("06.1", lambda rows: placement(rows)[0], "return on_npu, total"),
    ("06.5", files_of(lambda x: x.reshape(1, 3, *x.shape[:2]).astype(np.float32)), "reshape moves no axis"),
    ("06.5", files_of(lambda x: x.transpose(2, 0, 1)[None]), "astype(np.float32)"),
    ("06.5", files_of(lambda x: stacked(x) / np.float32(255)), "raw pixels"),
    ("06.5", files_of(lambda x: stacked(x) / np.float32(127.5) - np.float32(1)), "raw pixels"),
    ("06.5", files_of(lambda x: x.transpose(2, 1, 0)[None].astype(np.float32)), "Rows and columns"),
    ("06.5", files_of(lambda x: stacked(x[..., ::-1])), "Red and blue"),
    ("06.5", files_of(lambda x: stacked(x)[0]), "batch of one"),
    ("06.5", files_of(lambda x: x[None].astype(np.float32)), "still the last axis"),
    ("06.5", files_of(stacked, " ".join), "one line of the list"),
    ("06.5", files_of(stacked, lambda names: next(iter(names))), "one line of the list"),
    ("06.5", files_of(stacked, lambda names: "\n".join(name[:-4] for name in names)), "as it is in the list"),
    ("06.5", in_one_file, "one line of the list"),
    ("06.5", unlisted, "got ['0.npy'"),
    ("06.5", lambda images: list(files_of(stacked)(images).values()), "got list"),
    ("06.1", lambda rows: (2, 3), "got (2, 3)"),
    ("06.3", average_width, "cover together"),
    ("06.3", sums_divided, "tensor by tensor"),
    ("06.3", least_covered, "not the least"),
    ("06.3", lambda ranges, chosen: 100 * coverage(ranges, chosen), "not per cent"),
    ("06.3", lambda ranges, chosen: len(chosen) / len(ranges), "part of the pictures"),
    ("06.3", lambda ranges, chosen: 1 / coverage(ranges, chosen), "divided by that of all"),
    ("06.3", lambda ranges, chosen: 0.5, "0.33069, got 0.5"),
    ("06.4", best_alone, "together with those"),
    ("06.4", lambda total, count, score: list(range(count)), "ask the score"),
    ("06.4", worst_first, "one more decides"),
    ("06.4", one_only, "at most once"),
    ("06.4", lambda total, count, score: choose(total, count + 1, score), "at most once"),
    ("06.4", lambda total, count, score: score(choose(total, count, score)), "list of numbers"),
    ("06.2", lambda layers, clock: 1000 * sum(map(sum, layers)) / clock, "at the same time"),
    ("06.2", lambda layers, clock: 1000 * max(map(sum, zip(*layers, strict=True))) / clock, "its own"),
    ("06.2", lambda layers, clock: 1000 * sum(npu for _, npu in layers) / clock, "wait for memory"),
    ("06.2", lambda layers, clock: least_time(layers, clock) / 1000, "seconds"),
    ("06.2", lambda layers, clock: least_time(layers, 1e9), "second argument"),
    ("06.6", lambda count, cores, ms: (ms / cores, waiting(count, cores, ms)[1]), "no image faster"),
    ("06.6", lambda count, cores, ms: (ms, count * ms / cores), "last round"),
    ("06.6", lambda count, cores, ms: (ms, count * ms), "at the same time"),
    ("06.6", lambda count, cores, ms: waiting(count, cores, ms)[::-1], "The order is"),
    ("06.6", lambda count, cores, ms: waiting(count, cores, ms)[1], "first_ms, all_ms"),
)
