"""Chapter 16: right answers, and the mistakes that students make, each with words of the hint it must get."""

import numpy as np


def peak(tensors):
    count = max(last for _, _, last in tensors) + 1
    return max(sum(s for s, first, last in tensors if first <= i <= last) for i in range(count))


def fits(ram, flash, model, arena, code, other, is_const):
    lacks_ram = arena + other + (0 if is_const else model) > ram
    lacks_flash = model + code > flash
    return {(0, 0): "fits", (1, 0): "RAM", (0, 1): "flash", (1, 1): "both"}[lacks_ram, lacks_flash]


def source(name, data, begin="__attribute__((aligned(16))) const unsigned char", end=None):
    body = ", ".join(f"0x{byte:02x}" for byte in data)
    end = f"const unsigned int {name}_len = {len(data)};" if end is None else end
    return f"{begin} {name}[] = {{{body}}};\n{end}\n"


def cycles(layers):
    return sum(max(layer) for layer in layers)


def largest(found, reference):
    return np.abs(found.astype(int) - reference.astype(int)).max()


def same_codes(found, reference, steps):
    return found.shape == reference.shape and bool(largest(found, reference) <= steps)


SOLUTIONS = {"16.1": peak, "16.2": fits, "16.3": source, "16.4": same_codes, "16.5": cycles}


def exclusive(tensors):
    count = max(last for _, _, last in tensors) + 1
    return max(sum(s for s, first, last in tensors if first <= i < last) for i in range(count))


def with_begin(begin):
    return lambda name, data: source(name, data, begin)


ALIGNED = "__attribute__((aligned(16)))"
WRONG = (
    ("16.1", lambda tensors: sum(size for size, _, _ in tensors), "sum of all"),
    ("16.1", exclusive, "first <= i <= last"),
    ("16.1", lambda tensors: max(size for size, _, _ in tensors), "largest tensor"),
    ("16.2", lambda r, f, m, a, c, o, k: fits(r, f, m, a, c, 0, k), "not alone in RAM"),
    ("16.2", lambda r, f, m, a, c, o, k: fits(r, f, m, a, 0, o, k), "not alone in flash"),
    ("16.2", lambda r, f, m, a, c, o, k: fits(r, f, m, a, c, o, True), "copied to RAM"),
    ("16.2", lambda r, f, m, a, c, o, k: fits(r, f, m, a, c, o, False), "needs no RAM"),
    ("16.2", lambda *numbers: True, "Return one of"),
    ("16.3", with_begin(f"{ALIGNED} unsigned char"), "copies it to RAM"),
    ("16.3", with_begin("const unsigned char"), "32-bit words"),
    ("16.3", with_begin(f"{ALIGNED} const char"), "ends at 127"),
    ("16.3", lambda name, data: source(name, data[:-1]), "Every byte"),
    ("16.3", lambda name, data: source(name, data, end=""), "cannot ask"),
    ("16.3", lambda name, data: f"{ALIGNED} const unsigned char {name}[] = {{'a', 'b'}};", "without quotes"),
    ("16.3", lambda name, data: data, "Return a string"),
    ("16.4", lambda f, r, s: f.shape == r.shape and np.abs(f - r).max() <= s, "3 - 4 is 255"),
    ("16.4", lambda f, r, s: largest(f, r) < s, "<=, not <"),
    ("16.4", lambda f, r, s: largest(f, r) <= s, "repeats the shorter"),
    ("16.4", lambda f, r, s: largest(f, r) <= s + 1, "one code that differs is too many"),
    ("16.4", lambda f, r, s: np.abs(f.astype(int) - r).mean() <= s, "take the largest difference"),
    ("16.4", lambda f, r, s: (f.astype(int) - r).max() <= s, "may also be too small"),
    ("16.4", lambda f, r, s: np.minimum(f - r, r - f).max() <= s, "0 - 255 is 1"),
    ("16.4", lambda f, r, s: np.abs(f.astype(int) - r) <= s, "one truth value"),
    ("16.5", lambda layers: sum(map(sum, layers)), "overlap"),
    ("16.5", lambda layers: sum(npu for npu, _, _ in layers), "multipliers alone"),
    ("16.5", lambda layers: max(map(sum, zip(*layers, strict=True))), "from layer to layer"),
    ("16.5", lambda layers: max(map(max, layers)), "slowest layer"),
)

ALSO_RIGHT = (
    ("16.3", with_begin("alignas(16) const uint8_t")),
    ("16.3", with_begin(f"const {ALIGNED} unsigned char")),
    ("16.3", with_begin("static const unsigned char __attribute__((aligned(4)))")),
)
