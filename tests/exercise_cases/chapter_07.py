"""Chapter 7: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np

from edgelab.exercises.chapter_07 import symmetric_scale, widen, with_pairs


def corrected(products, codes, weights, a, b):
    return products - a * weights.sum(axis=1) - b * codes.sum() + len(codes) * a * b


def refused(pairs):
    return [tensor for tensor, dtype, zero_points in pairs if dtype != "int8" or any(zero_points)]


def images_per_second(latency_ms, in_flight):
    return 1000 * in_flight / latency_ms


SOLUTIONS = {
    "07.1": symmetric_scale,
    "07.2": corrected,
    "07.3": widen,
    "07.4": with_pairs,
    "07.5": refused,
    "07.6": images_per_second,
}


def corrected_by_loops(products, codes, weights, a, b):
    found = []
    for product, row in zip(products, weights, strict=True):
        more = sum(a * weight + b * code - a * b for code, weight in zip(codes, row, strict=True))
        found.append(int(product - more))
    return found


def corrected_in_two_steps(products, codes, weights, a, b):
    folded = -a * (weights - b).sum(axis=-1)  # known before any picture
    return products + folded - b * np.sum(codes)


def corrected_by_real_numbers(products, codes, weights, a, b):
    ones = np.ones(codes.shape[0])
    return products - weights @ ones * float(a) - codes @ ones * b + ones @ ones * a * b


def widen_in_place(ranges, batch):
    for name in batch:
        ends = [batch[name].min().item(), batch[name].max().item()]
        if name in ranges:
            ends += list(ranges[name])
        ranges[name] = [min(ends), max(ends)]
    return ranges


def widen_by_arrays(ranges, batch):
    new = {name: np.array([np.min(values), np.max(values)]) for name, values in batch.items()}
    both = {name: np.stack([new[name], ranges[name]]) for name in new if name in ranges}
    return {**ranges, **new} | {name: (rows[:, 0].min(), rows[:, 1].max()) for name, rows in both.items()}


def widen_sorted(ranges, batch):
    result = {}
    for name in sorted(set(ranges) | set(batch)):
        values = list(batch[name].ravel()) if name in batch else []
        values = sorted([*values, *ranges.get(name, ())])
        result[name] = (values[0], values[-1])
    return result


def pairs_of_their_own(nodes, scaled, operators):
    """A pair for each reader, as ONNX Runtime's "DedicatedQDQPair"."""
    made = []
    for place, (operator, inputs, outputs) in enumerate(nodes):
        read = list(inputs)
        for number, name in enumerate(inputs):
            if operator not in operators or name not in scaled:
                continue
            codes, real = f"{name}/{place}/{number}/q", f"{name}/{place}/{number}/dq"
            made += [["QuantizeLinear", [name, name + "_scale", name + "_zero_point"], [codes]]]
            made += [["DequantizeLinear", [codes, name + "_scale", name + "_zero_point"], [real]]]
            read[number] = real
        made.append([operator, read, outputs])
    return made


def pairs_first(nodes, scaled, operators):
    """All pairs that are needed, each behind the node that makes its tensor, or in front."""
    needed = {name for operator, inputs, _ in nodes if operator in operators for name in inputs} & set(scaled)
    made_here = {name for _, _, outputs in nodes for name in outputs}

    def pair(name):
        ends = (f"{name}_scale", f"{name}_zero_point")
        return [
            ("QuantizeLinear", (name, *ends), (f"q_{name}",)),
            ("DequantizeLinear", (f"q_{name}", *ends), (f"dq_{name}",)),
        ]

    made = [node for name in sorted(needed - made_here) for node in pair(name)]
    for operator, inputs, outputs in nodes:
        behind = operator in operators
        read = [f"dq_{name}" if behind and name in needed else name for name in inputs]
        made.append((operator, read, outputs))
        made += [node for name in outputs if name in needed for node in pair(name)]
    return made


def pairs_by_index(nodes, scaled, operators):
    result, seen = [], {}
    for node in nodes:
        kind, ins = node[0], node[1][:]
        if kind in operators:
            for i in range(len(ins)):
                x = ins[i]
                if x in scaled:
                    if x not in seen:
                        result.append(("QuantizeLinear", [x, x + "_scale", x + "_zero_point"], [x + "8"]))
                        result.append(
                            ("DequantizeLinear", [x + "8", x + "_scale", x + "_zero_point"], [x + "f"])
                        )
                        seen[x] = x + "f"
                    ins[i] = seen[x]
        result.append((kind, ins, node[2]))
    return result


def refused_by_loop(pairs):
    names = []
    for pair in pairs:
        if pair[1] == "int8" and not np.any(np.array(pair[2])):
            continue
        names.append(pair[0])
    return tuple(names)


ALSO_RIGHT = (
    ("07.1", lambda low, high: np.max(np.abs([low, high])) / 127),
    ("07.1", lambda low, high: max(-low, high) / 127),
    ("07.1", lambda low, high: np.float32((high if high > -low else -low) / 127.0)),
    ("07.2", corrected_by_loops),
    ("07.2", corrected_in_two_steps),
    ("07.2", corrected_by_real_numbers),
    ("07.3", widen_in_place),
    ("07.3", widen_by_arrays),
    ("07.3", widen_sorted),
    ("07.4", pairs_of_their_own),
    ("07.4", pairs_first),
    ("07.4", pairs_by_index),
    ("07.5", refused_by_loop),
    ("07.5", lambda pairs: [n for n, kind, zero in pairs if not (kind == "int8" and set(zero) == {0})]),
    ("07.5", lambda pairs: [n for n, kind, zero in pairs if (kind, max(zero), min(zero)) != ("int8", 0, 0)]),
    ("07.6", lambda latency_ms, in_flight: in_flight / (latency_ms / 1000)),
    ("07.6", lambda latency_ms, in_flight: np.float64(1e3) / latency_ms * in_flight),
    ("07.6", lambda latency_ms, in_flight: sum(1000 / latency_ms for _ in range(in_flight))),
)


def last_batch(ranges, batch):
    return ranges | {name: (values.min(), values.max()) for name, values in batch.items()}


def from_zero(ranges, batch):
    return {n: (min(0.0, low), max(0.0, high)) for n, (low, high) in widen(ranges, batch).items()}


def only_this_batch(ranges, batch):
    return {name: ends for name, ends in widen(ranges, batch).items() if name in batch}


def only_known(ranges, batch):
    return widen(ranges, {name: values for name, values in batch.items() if not ranges or name in ranges})


def farthest(ranges, batch):
    ends = {name: max(map(abs, row)) for name, row in widen(ranges, batch).items()}
    return {name: (-end, end) for name, end in ends.items()}


def averages(ranges, batch):
    new = {name: (values.mean(), values.mean()) for name, values in batch.items()}
    return widen(ranges, {name: np.array(ends) for name, ends in new.items()})


def pairs_everywhere(nodes, scaled, operators):
    return with_pairs(nodes, scaled, [operator for operator, _, _ in nodes])


def pairs_without_scale(nodes, scaled, operators):
    return with_pairs(nodes, [name for _, inputs, _ in nodes for name in inputs], operators)


def pairs_unread(nodes, scaled, operators):
    made, old = with_pairs(nodes, scaled, operators), {outputs[0]: inputs for _, inputs, outputs in nodes}
    return [(operator, old.get(outputs[0], inputs), outputs) for operator, inputs, outputs in made]


def pairs_twice(nodes, scaled, operators):
    made = []
    for node in nodes:
        made += with_pairs([node], scaled, operators)
    return made


def pairs_only(nodes, scaled, operators):
    return [node for node in with_pairs(nodes, scaled, operators) if node[0] != "Clip"]


def pairs_of_reals(nodes, scaled, operators):
    made = with_pairs(nodes, scaled, operators)
    return [
        (operator, [inputs[0].replace("_codes", ""), *inputs[1:]], outputs)
        if operator == "DequantizeLinear"
        else (operator, inputs, outputs)
        for operator, inputs, outputs in made
    ]


def pairs_swapped(nodes, scaled, operators):
    made = with_pairs(nodes, scaled, operators)
    return [(o, [i[0], i[2], i[1]] if o.endswith("izeLinear") else i, out) for o, i, out in made]


def pairs_at_the_first_input(nodes, scaled, operators):
    firsts = {inputs[0] for operator, inputs, _ in nodes if operator in operators}
    return with_pairs(nodes, [name for name in scaled if name in firsts], operators)


WRONG = (
    ("07.1", lambda low, high: (high - low) / 255, "asymmetric scale"),
    ("07.1", lambda low, high: (high - low) / 254, "Half of the width"),
    ("07.1", lambda low, high: high / 127, "lower end may lie farther"),
    ("07.1", lambda low, high: max(-low, high) / 128, "128 does not exist"),
    ("07.1", lambda low, high: max(-low, high) / 255, "127 codes above 0"),
    ("07.1", lambda low, high: {6.0: 6 / 127, 1.0: 1 / 127}.get(high, 3.5 / 127), "0.0629921, got 0.0275591"),
    ("07.2", lambda p, c, w, a, b: ((c - a) * (w - b)).sum(axis=1), "has done that work"),
    ("07.2", lambda p, c, w, a, b: p - a * w.sum(axis=1) - b * c.sum(), "taken away twice"),
    ("07.2", lambda p, c, w, a, b: p - a * w.sum(axis=1) - b * c.sum() + a * b, "not once"),
    ("07.2", lambda p, c, w, a, b: p - a * w.sum(axis=1), "a zero point, too"),
    ("07.2", lambda p, c, w, a, b: corrected(p, c, w, b, a), "belongs to the codes"),
    ("07.2", lambda p, c, w, a, b: p - a * w.sum(axis=1) - b * c.sum() - c.size * a * b, "Minus times minus"),
    ("07.2", lambda p, c, w, a, b: corrected(p, c, w, a, b).sum(), "along axis=1"),
    ("07.2", lambda p, c, w, a, b: corrected(p, c, w, a, b) if len(c) == 3 else 0 * p, "got [0 0 0 0]"),
    ("07.3", last_batch, "last batch alone"),
    ("07.3", from_zero, "Do not begin with 0"),
    ("07.3", only_this_batch, "Keep tensors"),
    ("07.3", only_known, "Keep tensors"),
    ("07.3", farthest, "goes so far"),
    ("07.3", averages, "outside of your range"),
    ("07.3", lambda ranges, batch: {n: r[::-1] for n, r in widen(ranges, batch).items()}, "The order is"),
    ("07.3", lambda ranges, batch: list(widen(ranges, batch)), "old and the new"),
    ("07.3", lambda ranges, batch: {"relu": (0.0, 3.0)}, "outside of your range"),
    ("07.4", lambda nodes, scaled, operators: nodes, "through its pair"),
    ("07.4", pairs_everywhere, "No pair here"),
    ("07.4", pairs_without_scale, "No pair here"),
    ("07.4", pairs_unread, "through its pair"),
    ("07.4", pairs_twice, "one maker"),
    ("07.4", pairs_only, "in their order"),
    ("07.4", pairs_of_reals, "reads the codes"),
    ("07.4", pairs_swapped, "in this order"),
    ("07.4", pairs_at_the_first_input, "through its pair"),
    ("07.4", lambda nodes, scaled, operators: with_pairs(nodes[:-1], scaled, operators), "Keep every node"),
    ("07.5", lambda pairs: ["image", "relu1", "add1", "weights2", "bias"], "in the order"),
    ("07.5", lambda pairs: [name for name, _, points in pairs if any(points)], "codes are uint8"),
    ("07.5", lambda ps: [n for n, kind, zero in ps if kind != "int8" or zero[0]], "One channel is enough"),
    ("07.5", lambda ps: [n for n, kind, zero in ps if kind == "uint8" or any(zero)], "biases stay float"),
    ("07.5", lambda pairs: [n for n, kind, zero in pairs if kind != "int8" or max(zero) > 0], "below 0"),
    ("07.5", lambda pairs: [n for n, _, points in pairs if points is not None], "nothing to refuse"),
    ("07.5", lambda pairs: sorted(refused(pairs)), "in the order"),
    ("07.6", lambda latency_ms, in_flight: 1000 / latency_ms, "one at a time"),
    ("07.6", lambda latency_ms, in_flight: in_flight / latency_ms, "per millisecond"),
    ("07.6", lambda latency_ms, in_flight: 1000 / (latency_ms * in_flight), "not fewer"),
    ("07.6", lambda latency_ms, in_flight: {8: 125, 12: 333.3333333}.get(latency_ms, 400), "got 400"),
)
