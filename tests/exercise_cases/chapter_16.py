"""Chapter 16: right answers, and the mistakes that students make, each with words of the hint it must get."""

from collections import defaultdict

import numpy as np

EXAMPLE = [(3072, 0, 2), (2048, 0, 1), (1024, 1, 2), (40, 2, 2)]


def lifetimes(model):
    found = dict.fromkeys(model.inputs, (0, 0))
    for operator in model.operators:
        for index in (*operator.inputs, *operator.outputs):
            if index >= 0 and not model.tensors[index].is_constant:
                first, _ = found.get(index, (operator.index, 0))
                found[index] = (first, operator.index)
    end = model.operators[-1].index
    return found | {index: (found[index][0], end) for index in model.outputs}


def lifetimes_by_lists(model):
    """All positions of each tensor first, then the smallest and the largest, as numpy's numbers."""
    positions = defaultdict(list)
    for index in model.inputs:
        positions[index].append(0)
    for place, operator in enumerate(model.operators):
        for index in set(operator.inputs) | set(operator.outputs):
            positions[index].append(place)
    for index in model.outputs:
        positions[index].append(len(model.operators) - 1)
    kept = [index for index in positions if index != -1 and not model.tensors[index].is_constant]
    return {
        np.int64(index): list(map(np.int64, (min(positions[index]), max(positions[index])))) for index in kept
    }


def lifetimes_backwards(model):
    fixed = {tensor.index for tensor in model.tensors if tensor.is_constant} | {-1}
    last = dict.fromkeys(model.outputs, len(model.operators) - 1)
    first = {}
    for operator in reversed(model.operators):
        for index in {*operator.inputs, *operator.outputs} - fixed:
            last.setdefault(index, operator.index)
            first[index] = 0 if index in model.inputs else operator.index
    return {index: (first[index], last[index]) for index in first}


def changed(**options):
    """The lifetimes of a student who has missed one thing."""

    def answer(model):
        found = lifetimes(model)
        if "weights" in options:
            for operator in model.operators:
                found |= {i: (operator.index,) * 2 for i in operator.inputs if i >= 0 and i not in found}
        if "missing" in options:
            found[-1] = (0, 0)
        for operator in model.operators:
            for index in operator.inputs:
                if "inputs" in options and index in model.inputs and found[index][0] == 0 < operator.index:
                    found[index] = (operator.index, found[index][1])
                if "first_reader" in options and index in found and index not in model.outputs:
                    readers = [o.index for o in model.operators if index in o.inputs]
                    found[index] = (found[index][0], readers[0])
            if "outputs" in options:
                for index in set(operator.outputs) & set(model.outputs):
                    readers = [o.index for o in model.operators if index in o.inputs]
                    found[index] = (operator.index, max(readers, default=operator.index))
        if "read_only" in options:
            read = {index for operator in model.operators for index in operator.inputs}
            found = {index: span for index, span in found.items() if index in read or index in model.outputs}
        return found

    return answer


def peak(blocks):
    return max(sum(size for size, first, last in blocks if first <= now <= last) for _, now, _ in blocks)


def peak_by_changes(blocks):
    change = np.zeros(max(last for _, _, last in blocks) + 2, int)
    for size, first, last in blocks:
        change[first] += size
        change[last + 1] -= size
    return change.cumsum().max()


def peak_by_loops(blocks):
    alive = {}
    for size, first, last in blocks:
        for operator in range(first, last + 1):
            alive[operator] = alive.get(operator, 0) + size
    return float(max(alive.values()))


def peak_by_arrays(blocks):
    sizes, firsts, lasts = np.array(blocks).T
    now = np.arange(lasts.max() + 1)[:, None]
    return (sizes * ((firsts <= now) & (now <= lasts))).sum(axis=1).max()


def exclusive(blocks):
    count = max(last for _, _, last in blocks) + 1
    return max(sum(s for s, first, last in blocks if first <= i < last) for i in range(count))


def lowest(size, taken, reach=max, fits=lambda end, offset: end <= offset):
    start = 0
    for offset, length in sorted(taken):
        if fits(start + size, offset):
            break
        start = reach(start, offset + length)
    return start


def lowest_by_trying(size, taken):
    start = 0
    while any(start < offset + length and offset < start + size for offset, length in taken):
        start += 1
    return np.int64(start)


def lowest_of_ends(size, taken):
    """The lowest offset is 0 or the end of a place."""
    ends = [0] + [offset + length for offset, length in taken]
    free = [end for end in ends if all(end >= o + n or o >= end + size for o, n in taken)]
    return min(free)


def lowest_by_bytes(size, taken):
    is_free = np.ones(200, bool)
    for offset, length in taken:
        is_free[offset : offset + length] = False
    windows = np.lib.stride_tricks.sliding_window_view(is_free, size).all(axis=1)
    return int(windows.argmax())


def plan(blocks, lowest_offset, order=lambda block: -block[0], touches=lambda first, last: first <= last):
    placed = {}
    for number in sorted(range(len(blocks)), key=lambda number: order(blocks[number])):
        size, first, last = blocks[number]
        taken = [
            (offset, blocks[other][0])
            for other, offset in placed.items()
            if touches(blocks[other][1], last) and touches(first, blocks[other][2])
        ]
        placed[number] = lowest_offset(size, taken)
    return [placed[number] for number in range(len(blocks))]


def plan_by_arrays(blocks, lowest_offset):
    sizes, firsts, lasts = np.array(blocks).T
    offsets = np.full(len(blocks), -1)
    for number in np.argsort(-sizes, kind="stable"):
        meet = (offsets >= 0) & (firsts <= lasts[number]) & (firsts[number] <= lasts)
        offsets[number] = lowest_by_trying(sizes[number], list(zip(offsets[meet], sizes[meet], strict=True)))
    return offsets


def plan_by_sets(blocks, lowest_offset):
    """Alive together: the sets of their operators meet."""
    times = [set(range(first, last + 1)) for _, first, last in blocks]
    by_size = sorted(((size, n) for n, (size, _, _) in enumerate(blocks)), reverse=True)
    where, done = [None] * len(blocks), []
    for size, n in by_size:
        near = [(where[m], blocks[m][0]) for m in done if times[m] & times[n]]
        where[n] = lowest_offset(size, near)
        done.append(n)
    return tuple(where)


def fewest(blocks, lowest_offset):
    """The better of two plans: smaller than the greedy one is right as well."""
    plans = [plan(blocks, lowest_offset), plan(blocks, lowest_offset, lambda b: -b[0] * (1 + b[2] - b[1]))]
    return min(plans, key=lambda p: max(o + b[0] for o, b in zip(p, blocks, strict=True)))


def stacked(blocks, lowest_offset):
    return [sum(size for size, _, _ in blocks[:number]) for number in range(len(blocks))]


def fits(ram, flash, model, arena, code, other, is_const):
    lacks_ram = arena + other + (0 if is_const else model) > ram
    lacks_flash = model + code > flash
    return {(0, 0): "fits", (1, 0): "RAM", (0, 1): "flash", (1, 1): "both"}[lacks_ram, lacks_flash]


def fits_by_steps(ram, flash, model, arena, code, other, is_const):
    ram -= arena + other
    if not is_const:
        ram -= model
    flash -= model + code
    if ram >= 0 and flash >= 0:
        return "fits"
    if ram < 0 and flash < 0:
        return "both"
    return "RAM" if ram < 0 else "flash"


def fits_by_lists(*numbers):
    ram, flash, model, arena, code, other = map(np.int64, numbers[:6])
    lacking = [name for name, left in (
        ("RAM", ram - arena - other - model * (not numbers[6])), ("flash", flash - model - code)
    ) if left < 0]  # fmt: skip
    return lacking[0] if len(lacking) == 1 else "both" if lacking else "fits"


def fits_exactly_not(ram, flash, model, arena, code, other, is_const):
    return fits(ram - 1, flash - 1, model, arena, code, other, is_const)


def source(name, data, begin="__attribute__((aligned(16))) const unsigned char", end=None):
    body = ", ".join(f"0x{byte:02x}" for byte in data)
    end = f"const unsigned int {name}_len = {len(data)};" if end is None else end
    return f"{begin} {name}[] = {{{body}}};\n{end}\n"


def with_begin(begin):
    return lambda name, data: source(name, data, begin)


def with_end(end):
    return lambda name, data: source(name, data, end=end.format(name=name, count=len(data)))


def length_first(name, data):
    return f"const unsigned {name}_len = {len(data)}u;\n" + source(name, data, end="")


def size_first(name, data):
    return f"const unsigned {name}_len = sizeof({name});\n" + source(name, data, end="")


def with_macro(name, data):
    """As the course's own generator writes it, with a macro and with comments."""
    lines = ["/* the model; const */", "#include <stdint.h>", "#if defined(_MSC_VER)"]
    lines += [
        "#define ALIGNED __declspec(align(16))",
        "#else",
        "#define ALIGNED __attribute__((aligned(16)))",
    ]
    rows = [f"  {', '.join(map(str, data[i : i + 8]))},  // {i}" for i in range(0, len(data), 8)]
    lines += ["#endif", f"ALIGNED const uint8_t {name}[{len(data)}] = {{", *rows, "};"]
    return "\n".join([*lines, f"const unsigned long {name}_len = {len(data)}UL;"])


def largest(found, reference):
    return np.abs(found.astype(int) - reference.astype(int)).max()


def same_codes(found, reference, steps):
    return found.shape == reference.shape and bool(largest(found, reference) <= steps)


def same_by_floats(found, reference, steps):
    return found.shape == reference.shape and np.allclose(found * 1.0, reference * 1.0, rtol=0, atol=steps)


def same_by_loops(found, reference, steps):
    if found.shape != reference.shape:
        return False
    pairs = zip(found.ravel().tolist(), reference.ravel().tolist(), strict=True)
    return all(-steps <= one - other <= steps for one, other in pairs)


def same_by_order(found, reference, steps):
    if found.shape != reference.shape:
        return np.bool_(False)
    return (np.maximum(found, reference) - np.minimum(found, reference) <= steps).all()


SOLUTIONS = {
    "16.1": lifetimes,
    "16.2": peak,
    "16.3": lowest,
    "16.4": plan,
    "16.5": fits,
    "16.6": source,
    "16.7": same_codes,
}

ALIGNED = "__attribute__((aligned(16)))"
WRONG = (
    ("16.1", changed(weights=True), "Weights are in flash"),
    ("16.1", changed(missing=True), "-1 is no tensor"),
    ("16.1", changed(inputs=True), "filled before operator 0"),
    ("16.1", changed(outputs=True), "collected at the end"),
    ("16.1", changed(first_reader=True), "the last reader counts"),
    ("16.1", changed(read_only=True), "a result that nobody reads"),
    ("16.1", lambda model: list(lifetimes(model).values()), "Return {index"),
    ("16.2", lambda blocks: sum(size for size, _, _ in blocks), "sum of all"),
    ("16.2", exclusive, "first <= i <= last"),
    ("16.2", lambda blocks: max(size for size, _, _ in blocks), "largest tensor"),
    ("16.2", lambda blocks: 6144, "got 6144"),  # the example of the statement
    ("16.2", lambda blocks: peak(blocks) if len(blocks) < 5 else 1, "got 1"),
    ("16.3", lambda size, taken: max((o + n for o, n in taken), default=0), "look for a gap below"),
    ("16.3", lambda size, taken: lowest(size, taken, fits=lambda end, o: end < o), "exactly that size"),
    ("16.3", lambda size, taken: lowest(size, taken, reach=lambda start, end: end), "highest end so far"),
    ("16.3", lambda size, taken: 0, "That overlaps the place"),
    ("16.3", lambda size, taken: -size, "begins at offset 0"),
    ("16.3", lambda size, taken: [lowest(size, taken)], "one whole number"),
    ("16.3", lambda size, taken: lowest(size, taken) if len(taken) < 3 else 99, "got 99"),
    ("16.4", lambda blocks, low: [0] * len(blocks), "must lie apart"),
    ("16.4", stacked, "Place the largest block first"),
    ("16.4", lambda blocks, low: plan(blocks, low, order=lambda block: 0), "Place the largest block first"),
    ("16.4", lambda blocks, low: plan(blocks, low, order=lambda b: b[0]), "Place the largest block first"),
    ("16.4", lambda blocks, low: plan(blocks, low, touches=lambda a, b: a < b), "both are needed there"),
    ("16.4", lambda blocks, low: plan(blocks, low)[:-1], "Return a list"),
    ("16.4", lambda blocks, low: plan(EXAMPLE, low), "Return a list"),  # the example's, whatever is asked
    (
        "16.4",
        lambda blocks, low: (plan if blocks == EXAMPLE else stacked)(blocks, low),
        "Place the largest block first",
    ),
    ("16.4", lambda blocks, low: [offset - 1 for offset in plan(blocks, low)], "begins at offset 0"),
    ("16.5", lambda r, f, m, a, c, o, k: fits(r, f, m, a, c, 0, k), "not alone in RAM"),
    ("16.5", lambda r, f, m, a, c, o, k: fits(r, f, m, a, 0, o, k), "not alone in flash"),
    ("16.5", lambda r, f, m, a, c, o, k: fits(r, f, m, a, c, o, True), "copied to RAM"),
    ("16.5", lambda r, f, m, a, c, o, k: fits(r, f, m, a, c, o, False), "needs no RAM"),
    ("16.5", fits_exactly_not, "is enough"),
    ("16.5", lambda *numbers: True, "Return one of"),
    ("16.6", with_begin(f"{ALIGNED} unsigned char"), "copies it to RAM"),
    ("16.6", with_begin(f"{ALIGNED} /* const */ unsigned char"), "copies it to RAM"),
    ("16.6", with_begin("const unsigned char"), "as whole words"),
    ("16.6", with_begin("const unsigned char __attribute__((aligned(4)))"), "as whole words"),
    ("16.6", with_begin(f"{ALIGNED} const unsigned char *"), "Leave out the *"),
    ("16.6", with_begin(f"{ALIGNED} const char"), "ends at 127"),
    ("16.6", lambda name, data: source(name, data[:-1]), "Every byte"),
    ("16.6", lambda name, data: source(name, data.split(b"\0")[0]), "Every byte"),
    ("16.6", with_end(""), "cannot ask"),
    ("16.6", with_end("const unsigned int {name}_len = {count} + 1;"), "cannot ask"),
    ("16.6", with_end("const unsigned char {name}_len = {count};"), "more bytes than"),
    ("16.6", with_end("const number {name}_len = {count};"), "declare the length"),
    ("16.6", with_end("const unsigned int {name}_len = {count}"), "nothing behind it"),
    ("16.6", size_first, "from top to bottom"),
    ("16.6", lambda name, data: source("net", data), "has the name that is given"),
    ("16.6", lambda name, data: source(f"{name}[9]", data).replace("[]", ""), "the compiler counts"),
    ("16.6", lambda name, data: f"{ALIGNED} const unsigned char {name}[] = {{'a', 'b'}};", "without quotes"),
    ("16.6", lambda name, data: data, "Return a string"),
    ("16.7", lambda f, r, s: f.shape == r.shape and np.abs(f - r).max() <= s, "3 - 4 is 255"),
    ("16.7", lambda f, r, s: largest(f, r) < s, "<=, not <"),
    ("16.7", lambda f, r, s: largest(f, r) <= s, "repeats the shorter"),
    ("16.7", lambda f, r, s: largest(f, r) <= s + 1, "one code that differs is too many"),
    ("16.7", lambda f, r, s: np.abs(f.astype(int) - r).mean() <= s, "take the largest difference"),
    ("16.7", lambda f, r, s: (f.astype(int) - r).max() <= s, "may also be too small"),
    ("16.7", lambda f, r, s: np.minimum(f - r, r - f).max() <= s, "0 - 255 is 1"),
    ("16.7", lambda f, r, s: np.abs(f.astype(int) - r) <= s, "one truth value"),
    ("16.7", lambda f, r, s: f.ndim > 1 or same_codes(f, r, s), "[["),
)

ALSO_RIGHT = (
    ("16.1", lifetimes_by_lists),
    ("16.1", lifetimes_backwards),
    ("16.1", lambda model: dict(sorted(lifetimes(model).items()))),
    ("16.2", peak_by_changes),
    ("16.2", peak_by_loops),
    ("16.2", peak_by_arrays),
    ("16.3", lowest_by_trying),
    ("16.3", lowest_of_ends),
    ("16.3", lowest_by_bytes),
    ("16.4", plan_by_arrays),
    ("16.4", plan_by_sets),
    ("16.4", fewest),
    ("16.5", fits_by_steps),
    ("16.5", fits_by_lists),
    ("16.5", lambda *numbers: np.str_(fits(*numbers))),
    ("16.6", with_begin("alignas(16) const uint8_t")),
    ("16.6", with_begin(f"const {ALIGNED} unsigned char")),
    ("16.6", with_begin("static constexpr unsigned char __attribute__((__aligned__(32)))")),
    ("16.6", with_begin("_Alignas(16) unsigned const char")),
    ("16.6", with_end("const unsigned int {name}_len = sizeof({name});")),
    ("16.6", with_end("const size_t {name}_len = sizeof {name} / sizeof({name}[0]);")),
    ("16.6", length_first),
    ("16.6", with_macro),
    ("16.7", same_by_floats),
    ("16.7", same_by_loops),
    ("16.7", same_by_order),
)
