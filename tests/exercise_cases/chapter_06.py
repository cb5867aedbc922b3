"""Chapter 6: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np

ENDS = ("InputOperator", "OutputOperator")


def placement(rows):
    rows = [row for row in rows if row["operator"] not in ENDS]
    return sum(row["unit"] == "NPU" for row in rows), len(rows)


def layout(images):
    return images.transpose(0, 3, 1, 2).astype(np.float32)


def least_time(layers, clock_hz):
    return 1000 * sum(max(pair) for pair in layers) / clock_hz


def waiting(count, cores, inference_ms):
    return inference_ms, -(-count // cores) * inference_ms


SOLUTIONS = {"06.1": placement, "06.3": layout, "06.2": least_time, "06.4": waiting}


def all_rows(rows):
    return sum(row["unit"] == "NPU" for row in rows), len(rows)


def not_cpu(rows):
    rows = [row for row in rows if row["operator"] not in ENDS]
    return sum(row["unit"] != "CPU" for row in rows), len(rows)


WRONG = (
    ("06.1", all_rows, "only name inputs"),
    ("06.1", not_cpu, "there is a GPU"),
    ("06.1", lambda rows: placement(rows)[::-1], "The order is"),
    ("06.1", lambda rows: placement(rows)[0], "return on_npu, total"),
    ("06.3", lambda x: x.reshape(len(x), 3, *x.shape[1:3]).astype(np.float32), "reshape moves no axis"),
    ("06.3", lambda x: x.transpose(0, 3, 1, 2), "astype(np.float32)"),
    ("06.3", lambda x: layout(x) / np.float32(255), "raw pixels"),
    ("06.3", lambda x: layout(x) / np.float32(127.5) - np.float32(1), "raw pixels"),
    ("06.3", lambda x: x.transpose(0, 3, 2, 1).astype(np.float32), "Rows and columns"),
    ("06.3", lambda x: layout(x[..., ::-1]), "Red and blue"),
    ("06.2", lambda layers, clock: 1000 * sum(map(sum, layers)) / clock, "at the same time"),
    ("06.2", lambda layers, clock: 1000 * max(map(sum, zip(*layers, strict=True))) / clock, "its own"),
    ("06.2", lambda layers, clock: 1000 * sum(npu for _, npu in layers) / clock, "wait for memory"),
    ("06.2", lambda layers, clock: least_time(layers, clock) / 1000, "seconds"),
    ("06.2", lambda layers, clock: least_time(layers, 1e9), "second argument"),
    ("06.4", lambda count, cores, ms: (ms / cores, waiting(count, cores, ms)[1]), "no image faster"),
    ("06.4", lambda count, cores, ms: (ms, count * ms / cores), "last round"),
    ("06.4", lambda count, cores, ms: (ms, count * ms), "at the same time"),
    ("06.4", lambda count, cores, ms: waiting(count, cores, ms)[::-1], "The order is"),
    ("06.4", lambda count, cores, ms: waiting(count, cores, ms)[1], "first_ms, all_ms"),
)
