"""Chapter 15: right answers, and the mistakes that students make, each with words of the hint it must get."""

import hashlib

import numpy as np


def checksums(files):
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))


def next_version(before, after):
    if before is None:
        return "1.0.0"
    major, minor, patch = map(int, before["version"].split("."))
    old, new, count = before["files"], after["files"], len(before["labels"])
    same_labels = after["labels"][:count] == before["labels"]
    if after["input"] != before["input"] or not same_labels or old.keys() - new.keys():
        return f"{major + 1}.0.0"
    if len(after["labels"]) > count or new.keys() - old.keys():
        return f"{major}.{minor + 1}.0"
    if new != old:
        return f"{major}.{minor}.{patch + 1}"
    return before["version"]


def chosen_pictures(probabilities, labels, margin):
    two = np.sort(probabilities, axis=1)[:, -2:]
    lead = two[:, 1] - two[:, 0]
    usable = (probabilities.argmax(axis=1) == labels) & (lead >= margin)
    chosen = []
    for label in range(probabilities.shape[1]):
        numbers = np.flatnonzero(usable & (labels == label))
        if len(numbers):
            chosen.append(numbers[lead[numbers].argmin()])
    return chosen


def problems(facts):
    actual, promised = facts["actual"], facts["promised"]
    found = {("missing", name) for name in promised if name not in actual}
    found |= {("unlisted", name) for name in actual if name not in promised}
    found |= {("damaged", name) for name in actual if promised.get(name, actual[name]) != actual[name]}
    for model, rows in facts["outputs"].items():
        for row, vector in zip(rows, facts["vectors"], strict=True):
            far = np.abs(np.array(row) - vector["probabilities"]).max()
            if facts["labels"][np.argmax(row)] != vector["label"]:
                found.add(("label", model))
            if far > facts["tolerance"][model]:
                found.add(("output", model))
    return sorted(found)


SOLUTIONS = {"15.1": checksums, "15.2": next_version, "15.3": chosen_pictures, "15.4": problems}


def with_lines(files):
    lines = []
    for name, content in sorted(files.items()):
        digest = hashlib.new("sha256")
        digest.update(content)
        lines.append(digest.hexdigest() + "  " + name)
    return "\n".join(lines) + "\n"


def by_bytes(files):
    rows = [(name, hashlib.sha256(bytes(content)).digest().hex()) for name, content in files.items()]
    return "".join("{1}  {0}\n".format(*row) for row in sorted(rows))


def grown(files):
    text = ""
    for name in sorted(files, reverse=True):
        text = f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n{text}"
    return text


def by_level(before, after):
    if not before:
        return "1.0.0"
    kept = all(name in after["files"] for name in before["files"])
    prefix = before["labels"] == after["labels"][: len(before["labels"])]
    level = 3
    if before["files"] != after["files"]:
        level = 2
    if set(after["files"]) - set(before["files"]) or len(after["labels"]) != len(before["labels"]):
        level = 1
    if not (kept and prefix and before["input"] == after["input"]):
        level = 0
    numbers = [int(part) for part in before["version"].split(".")]
    if level < 3:
        numbers = [*numbers[:level], numbers[level] + 1, *[0] * (2 - level)]
    return ".".join(map(str, numbers))


def by_points(before, after):
    if before is None:
        return "1.0.0"
    first, second, third = before["version"].split(".")
    same = before["labels"] == after["labels"]
    longer = after["labels"][: len(before["labels"])] == before["labels"]
    if before["input"] != after["input"] or not longer or set(before["files"]) - set(after["files"]):
        return str(int(first) + 1) + ".0.0"
    if not same or len(after["files"]) > len(before["files"]):
        return first + "." + str(int(second) + 1) + ".0"
    return before["version"] if before["files"] == after["files"] else f"{first}.{second}.{int(third) + 1}"


def one_class_after_another(probabilities, labels, margin):
    best = {}
    for number, (row, label) in enumerate(zip(probabilities, labels, strict=True)):
        others = np.delete(row, label)
        lead = row[label] - others.max()
        if lead >= margin and (label not in best or lead < best[label][0]):
            best[label] = (lead, number)
    return [best[label][1] for label in sorted(best)]


def sorted_by_lead(probabilities, labels, margin):
    two = np.partition(probabilities, -2, axis=1)[:, -2:]
    lead = two[:, 1] - two[:, 0]
    order = [i for i in np.argsort(lead) if lead[i] >= margin and probabilities[i].argmax() == labels[i]]
    firsts = {labels[i]: i for i in reversed(order)}
    return np.array([firsts[label] for label in sorted(firsts)])


def with_infinity(probabilities, labels, margin):
    ordered = np.sort(probabilities, axis=1)
    lead = ordered[:, -1] - ordered[:, -2]
    lead = np.where((lead < margin) | (probabilities.argmax(1) != labels), np.inf, lead)
    places = [np.where(labels == label, lead, np.inf) for label in range(probabilities.shape[1])]
    return tuple(int(place.argmin()) for place in places if np.isfinite(place).any())


def as_lists(facts):
    found = []
    for name in {**facts["promised"], **facts["actual"]}:
        is_there, was_promised = facts["actual"].get(name), facts["promised"].get(name)
        if is_there is None:
            found.append(["missing", name])
        elif was_promised is None:
            found.append(["unlisted", name])
        elif is_there != was_promised:
            found.append(["damaged", name])
    wanted = np.array([vector["probabilities"] for vector in facts["vectors"]])
    names = [vector["label"] for vector in facts["vectors"]]
    for model, rows in facts["outputs"].items():
        if [facts["labels"][place] for place in np.argmax(rows, axis=1)] != names:
            found.append(["label", model])
        if not np.all(np.abs(np.array(rows) - wanted) <= facts["tolerance"][model]):
            found.append(["output", model])
    return sorted(found)


def by_sets(facts):
    actual, promised = set(facts["actual"].items()), set(facts["promised"].items())
    there, wanted = {name for name, _ in actual}, {name for name, _ in promised}
    found = [("damaged", name) for name, _ in actual - promised if name in wanted]
    found += [("unlisted", name) for name in there - wanted]
    found += [("missing", name) for name in wanted - there]
    return sorted(found + [pair for pair in problems(facts) if pair[0] in ("label", "output")])


def plain_python(facts):
    found = set()
    for name, digest in facts["promised"].items():
        if name not in facts["actual"]:
            found.add(("missing", name))
        elif facts["actual"][name] != digest:
            found.add(("damaged", name))
    found.update(("unlisted", name) for name in facts["actual"] if name not in facts["promised"])
    for model in facts["outputs"]:
        for number, row in enumerate(facts["outputs"][model]):
            vector = facts["vectors"][number]
            if facts["labels"][row.index(max(row))] != vector["label"]:
                found.add(("label", model))
            gaps = [abs(a - b) for a, b in zip(row, vector["probabilities"], strict=True)]
            if max(gaps) > facts["tolerance"][model]:
                found.add(("output", model))
    return sorted(found)


ALSO_RIGHT = (
    ("15.1", with_lines),
    ("15.1", by_bytes),
    ("15.1", grown),
    ("15.2", by_level),
    ("15.2", by_points),
    ("15.2", lambda old, new: next_version(before=old, after=new)),
    ("15.3", one_class_after_another),
    ("15.3", sorted_by_lead),
    ("15.3", with_infinity),
    ("15.4", as_lists),
    ("15.4", by_sets),
    ("15.4", plain_python),
)


def other_order(files):
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())


def of_names(files):
    return "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in sorted(files))


def name_first(files):
    return "".join(f"{name}  {hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files))


def never_lower(before, after):
    """Raises a part and leaves those behind it as they were."""
    if before is None:
        return "1.0.0"
    found = next_version(before, after).split(".")
    was = before["version"].split(".")
    raised = next((at for at in range(3) if found[at] != was[at]), 3)
    return ".".join(found[at] if at <= raised else was[at] for at in range(3))


def one_digit(before, after):
    if before is None:
        return "1.0.0"
    found = next_version(before, after)
    digit = before["version"][-1]
    is_patch = found != before["version"] and not found.endswith(".0")
    return before["version"][:-1] + str((int(digit) + 1) % 10) if is_patch else found


def forgets(**kept):
    """Does not look at a part of what changed."""

    def answer(before, after):
        return next_version(before, after if before is None else {**after, **{k: before[k] for k in kept}})

    return answer


def always_patch(before, after):
    if before is None:
        return "1.0.0"
    major, minor, patch = before["version"].split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def added_is_patch(before, after):
    found = next_version(before, after)
    if before is None or not found.endswith(".0") or found.endswith(".0.0"):
        return found
    major, minor, patch = before["version"].split(".")
    return f"{major}.{minor}.{int(patch) + 1}"


def as_a_number(before, after):
    found = next_version(before, after)
    return float(found.rpartition(".")[0]) if before else found


def surest(probabilities, labels, margin):
    two = np.sort(probabilities, axis=1)[:, -2:]
    lead = np.where(probabilities.argmax(1) == labels, two[:, 1] - two[:, 0], -1)
    usable = [np.where(labels == label, lead, -1) for label in range(probabilities.shape[1])]
    return [int(one.argmax()) for one in usable if one.max() >= margin]


def margin_alone(probabilities, labels, margin):
    two = np.sort(probabilities, axis=1)[:, -2:]
    lead = two[:, 1] - two[:, 0]
    usable = [np.flatnonzero((labels == label) & (lead >= margin)) for label in range(probabilities.shape[1])]
    return [int(numbers[lead[numbers].argmin()]) for numbers in usable if numbers.size]


def without_kind(kind):
    return lambda facts: [pair for pair in problems(facts) if pair[0] != kind]


def signed(facts):
    """Compares without the absolute value."""
    found = [pair for pair in problems(facts) if pair[0] != "output"]
    for model, rows in facts["outputs"].items():
        wanted = [vector["probabilities"] for vector in facts["vectors"]]
        if (np.array(rows) - wanted).max() > facts["tolerance"][model]:
            found.append(("output", model))
    return sorted(found)


def one_tolerance(facts):
    return problems({**facts, "tolerance": dict.fromkeys(facts["tolerance"], 0.125)})


def place_for_name(facts):
    """Compares the number of the vector instead of its label."""
    found = [pair for pair in problems(facts) if pair[0] != "label"]
    for model, rows in facts["outputs"].items():
        if [int(np.argmax(row)) for row in rows] != list(range(len(rows))):
            found.append(("label", model))
    return sorted(found)


WRONG = (
    ("15.1", other_order, "Sort the lines by name"),
    ("15.1", lambda files: checksums(files).rstrip("\n"), "ends with a line end"),
    ("15.1", lambda files: checksums(files).replace("  ", " "), "stand two spaces"),
    ("15.1", name_first, "The checksum stands first"),
    ("15.1", of_names, "SHA-256 of the file's content"),
    ("15.1", lambda files: checksums(files).splitlines(), "Return one text"),
    ("15.1", lambda files: hashlib.sha256(b"".join(files.values())).hexdigest(), "one line for each file"),
    ("15.2", lambda before, after: next_version(before, after) if before else "0.0.1", "the first release"),
    ("15.2", always_patch, "keep its version"),
    ("15.2", forgets(input=0), "breaks: raise the first"),
    ("15.2", forgets(labels=0), "breaks: raise the first"),
    ("15.2", forgets(files=0), "the bytes are not"),
    ("15.2", added_is_patch, "something new to use"),
    ("15.2", never_lower, "begin at 0 again"),
    ("15.2", one_digit, "19 is followed by 20"),
    ("15.2", as_a_number, "three numbers with two points"),
    ("15.3", surest, "the smallest lead"),
    ("15.3", margin_alone, "gets wrong tests nothing"),
    ("15.3", lambda p, labels, margin: chosen_pictures(p, labels, 0), "smaller than the margin"),
    ("15.3", lambda p, labels, margin: chosen_pictures(p, labels, margin)[::-1], "order of the classes"),
    ("15.3", lambda p, labels, margin: chosen_pictures(p, labels, margin)[:-1], "One picture for each class"),
    ("15.3", lambda p, labels, margin: [-1, *chosen_pictures(p, labels, margin)], "from 0 on"),
    (
        "15.3",
        lambda p, labels, margin: chosen_pictures(p, labels, margin)[:1] * len(set(labels)),
        "a picture of its own",
    ),
    ("15.4", without_kind("missing"), "promised and not there"),
    ("15.4", without_kind("unlisted"), "never promised"),
    ("15.4", without_kind("damaged"), "with another checksum"),
    ("15.4", place_for_name, "compare it with the vector's"),
    ("15.4", signed, "up or down"),
    ("15.4", one_tolerance, "up or down"),
    ("15.4", lambda facts: problems(facts)[::-1], "they are sorted"),
    ("15.4", lambda facts: [(f"is {kind}", name) for kind, name in problems(facts)], "Use the five words"),
    ("15.4", lambda facts: len(problems(facts)), "Return a list of pairs"),
)

SURVIVORS = (
    (
        "15.4",
        "for row, vector in zip(rows, facts['vectors'], strict=False):",
        "a model has a row for every vector",
    ),
)
