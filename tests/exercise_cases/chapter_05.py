"""Chapter 5: right answers, and the mistakes that students make, each with words of the hint it must get."""


def kept(operators):
    found = []
    for index, (has, reads) in enumerate(operators):
        if has and all(read in found for read in reads):
            found.append(index)
    return found


def log(text):
    lines = [line.split(maxsplit=2) for line in text.splitlines()[2:]]
    mapped = sum(int(count) for _, count, status in lines if status == "Mapped to Edge TPU")
    return mapped, sum(int(count) for _, count, _ in lines)


def streamed(sizes, room):
    found = []
    for size in sizes:
        stays = min(size, room)
        room -= stays
        found.append(size - stays)
    return found


SOLUTIONS = {"05.1": kept, "05.2": log, "05.3": streamed}


def every_supported(operators):
    return [index for index, (has, _) in enumerate(operators) if has]


def until_the_first(operators):
    flags = [has for has, _ in operators]
    return list(range(flags.index(False))) if False in flags else list(range(len(flags)))


def one_step_back(operators):
    return [i for i, (has, reads) in enumerate(operators) if has and all(operators[r][0] for r in reads)]


def lines_of(text):
    return [line.split(maxsplit=2) for line in text.splitlines()[2:]]


def counts_lines(text):
    lines = lines_of(text)
    return sum(status.startswith("Mapped") for *_, status in lines), len(lines)


def any_mapped(text):
    lines = lines_of(text)
    return sum(int(c) for _, c, status in lines if "mapped" in status.lower()), sum(
        int(c) for _, c, _ in lines
    )


WRONG = (
    ("05.1", every_supported, "lost too"),
    ("05.1", until_the_first, "depends on the culprit"),
    ("05.1", one_step_back, "was kept"),
    ("05.1", lambda operators: len(kept(operators)), "not its length"),
    ("05.2", counts_lines, "as its count says"),
    ("05.2", any_mapped, "whole status"),
    ("05.2", lambda text: log(text)[::-1], "Mapped first"),
    ("05.2", lambda text: (log(text)[0], log(text)[0]), "belong to all"),
    ("05.3", lambda sizes, room: [max(0, size - room) for size in sizes], "share the room"),
    ("05.3", lambda sizes, room: [size - room for size in sizes], "not less than nothing"),
    ("05.3", lambda s, r: [size - rest for size, rest in zip(s, streamed(s, r), strict=True)], "asked for"),
    ("05.3", lambda sizes, room: streamed(sizes, 8 * 2**20), "second argument"),
    ("05.3", lambda sizes, room: [size if size > room else 0 for size in sizes], "only the rest"),
)
