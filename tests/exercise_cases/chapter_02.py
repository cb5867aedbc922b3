"""Chapter 2: right answers, and the mistakes that students make, each with words of the hint it must get."""

import re


def usb_ids(listing):
    return [line.split(" ID ")[1].split()[0].lower() for line in listing.splitlines() if " ID " in line]


def library_path(listing, name):
    for line in listing.splitlines():
        if line.split()[:1] == [name]:
            return line.split(" => ")[1]
    return ""


def probe(load):
    try:
        load()
    except Exception as error:
        return f"missing: {type(error).__name__}"
    return "ok"


def diagnose(layers):
    found = {}
    for name, ask in layers.items():
        found[name] = ask()
        if found[name] != "ok":
            break
    return found


def environments_with(package, listings):
    def same(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    return [
        environment
        for environment, text in listings.items()
        if same(package) in {same(re.split("==| @ ", line)[0]) for line in text.splitlines()}
    ]


SOLUTIONS = {
    "02.1": usb_ids,
    "02.2": library_path,
    "02.3": probe,
    "02.4": diagnose,
    "02.5": environments_with,
}


def ids_by_pattern(listing):
    return re.findall(r"ID ([0-9a-f]{4}:[0-9a-f]{4})", listing.lower().replace("id ", "ID "))


def ids_by_place(listing):
    found = []
    for line in listing.strip().split("\n"):
        words = line.split()
        if len(words) >= 6 and words[4] == "ID":
            found.append(words[5].casefold())
    return tuple(found)


def ids_by_partition(listing):
    rests = [line.partition(": ID ")[2] for line in listing.splitlines()]
    return [rest[:9].lower() for rest in rests if rest]


def path_by_pattern(listing, name):
    matches = re.findall(r"^\s+(\S+) \(.*?\) => (\S+)", listing, re.M)
    return next((path for known, path in matches if known == name), "")


def path_by_dictionary(listing, name):
    known = {}
    for line in listing.splitlines()[1:]:
        left, _, path = line.strip().partition(" => ")
        known.setdefault(left.split(" (")[0], path)
    return known.get(name, "")


def path_by_beginning(listing, name):
    lines = [line for line in listing.split("\n") if line.startswith(f"\t{name} (")]
    return lines[0].split("=>")[1] if lines else ""


def probe_in_one_return(load):
    result = "ok"
    try:
        load()
    except Exception as problem:
        result = "missing: " + problem.__class__.__name__
    return result


def probe_with_else(load):
    try:
        load()
    except Exception as error:
        return "missing: %s" % type(error).__name__  # noqa: UP031 - as a student may write it
    else:
        return "ok"


def probe_that_lets_interrupts_through(load):
    try:
        load()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return f"missing: {type(error).__qualname__}"
    return "ok"


def diagnose_with_while(layers):
    names, found = list(layers), {}
    while names and all(answer == "ok" for answer in found.values()):
        name = names.pop(0)
        found[name] = layers[name]()
    return found


def diagnose_with_return(layers):
    answers = {}
    for name in layers:
        answer = layers[name]()
        answers.update({name: answer})
        if answer.startswith("missing"):
            return answers
    return answers


def diagnose_by_recursion(layers):
    if not layers:
        return {}
    (name, ask), *rest = layers.items()
    answer = ask()
    return {name: answer} | (diagnose_by_recursion(dict(rest)) if answer == "ok" else {})


def environments_by_loop(package, listings):
    def short(text):
        for sign in "-_.":
            text = text.replace(sign, "")
        return text.casefold()

    found = []
    for name in listings:
        for line in listings[name].split("\n"):
            if short(line.split("==")[0].split(" @")[0]) == short(package):
                found.append(name)
                break
    return found


def environments_by_pattern(package, listings):
    pattern = "[-_.]+".join(map(re.escape, re.split("[-_.]+", package)))
    return tuple(name for name, text in listings.items() if re.search(rf"(?im)^{pattern}\s*(==|@)", text))


def environments_by_filter(package, listings):
    same = lambda name: name.lower().replace("_", "-").replace(".", "-")  # noqa: E731 - as a student may write it
    names = lambda text: [same(line.partition("==")[0].partition(" ")[0]) for line in text.splitlines()]  # noqa: E731 - the same
    return list(filter(lambda name: same(package) in names(listings[name]), listings))


ALSO_RIGHT = (
    ("02.1", ids_by_pattern),
    ("02.1", ids_by_place),
    ("02.1", ids_by_partition),
    ("02.2", path_by_pattern),
    ("02.2", path_by_dictionary),
    ("02.2", path_by_beginning),
    ("02.3", probe_in_one_return),
    ("02.3", probe_with_else),
    ("02.3", probe_that_lets_interrupts_through),
    ("02.4", diagnose_with_while),
    ("02.4", diagnose_with_return),
    ("02.4", diagnose_by_recursion),
    ("02.5", environments_by_loop),
    ("02.5", environments_by_pattern),
    ("02.5", environments_by_filter),
)


def the_listing_shown(listing):
    return ["1a6e:089a", "1d6b:0003", "1a86:55d4", "1d6b:0002"]


def ids_by_last_mark(listing):
    return [line.split(" ID ")[-1].split()[0].lower() for line in listing.splitlines()]


def ids_at_every_mark(listing):
    return [
        word
        for line in listing.splitlines()
        for word in re.findall(r" ID (\S+)", line.replace("18D1", "18d1"))
    ]


def ids_as_printed(listing):
    return [line.split(" ID ", 1)[1].split()[0] for line in listing.splitlines() if " ID " in line]


def vendors_only(listing):
    return [found.split(":")[0] for found in usb_ids(listing)]


def sorted_ids(listing):
    return sorted(usb_ids(listing))


def path_by_a_part_of_the_line(listing, name):
    return next((line.split(" => ")[1] for line in listing.splitlines() if name in line), "")


def path_or_none(listing, name):
    return library_path(listing, name) or None


def last_path(listing, name):
    lines = [line for line in listing.splitlines() if line.split()[:1] == [name]]
    return lines[-1].split(" => ")[1] if lines else ""


def whole_line(listing, name):
    return next((line for line in listing.splitlines() if line.split()[:1] == [name]), "")


def path_of_vulkan(listing, name):
    return "/lib/x86_64-linux-gnu/libvulkan.so.1"


def only_oserror(load):
    try:
        load()
    except OSError as error:
        return f"missing: {type(error).__name__}"
    return "ok"


def a_list_of_five(load):
    try:
        load()
    except (OSError, AttributeError, ValueError, RuntimeError, ImportError) as error:
        return f"missing: {type(error).__name__}"
    return "ok"


def bare_except(load):
    try:
        load()
    except BaseException as error:
        return f"missing: {type(error).__name__}"
    return "ok"


def tells_the_message(load):
    try:
        load()
    except Exception as error:
        return f"missing: {error}"
    return "ok"


def always_ok(load):
    return "ok"


def only_what_is_true(load):
    try:
        return "ok" if load() else "missing: OSError"
    except Exception as error:
        return f"missing: {type(error).__name__}"


def asks_all(layers):
    return {name: ask() for name, ask in layers.items()}


def asks_all_but_shows_some(layers):
    answers = {name: ask() for name, ask in layers.items()}
    missing = [number for number, answer in enumerate(answers.values(), 1) if answer != "ok"]
    return dict(list(answers.items())[: missing[0] if missing else None])


def asks_twice(layers):
    found = {}
    for name, ask in layers.items():
        found[name] = ask()
        if ask() != "ok":
            break
    return found


def leaves_out_the_missing_one(layers):
    found = {}
    for name, ask in layers.items():
        answer = ask()
        if answer != "ok":
            break
        found[name] = answer
    return found


def names_the_first_missing(layers):
    return next((name for name, ask in layers.items() if ask() != "ok"), "nothing")


def keeps_the_functions(layers):
    return dict(list(layers.items())[:2])


def at_most_two(layers):
    return diagnose(dict(list(layers.items())[:2]))


def by_beginning(package, listings):
    return [name for name, text in listings.items() if re.search(f"(?im)^{package}", text)]


def as_it_is_written(package, listings):
    return [name for name, text in listings.items() if package in re.findall(r"(?m)^([\w.-]+)", text)]


def in_any_case_only(package, listings):
    names = {name: re.findall(r"(?m)^([\w.-]+)", text.lower()) for name, text in listings.items()}
    return [name for name, found in names.items() if package.lower() in found]


def with_a_version_only(package, listings):
    pinned = {name: re.sub(r"(?m) @ .*$", "", text) for name, text in listings.items()}
    pinned = {
        name: "\n".join(line for line in text.splitlines() if "==" in line) for name, text in pinned.items()
    }
    return environments_with(package, pinned)


def always_the_course(package, listings):
    return ["course"]


def in_reverse(package, listings):
    return environments_with(package, listings)[::-1]


WRONG = (
    ("02.1", the_listing_shown, "only the first one of a line"),
    ("02.1", ids_by_last_mark, "the word after ID"),
    ("02.1", ids_at_every_mark, "only the first one of a line"),
    ("02.1", ids_as_printed, "give them in lower case"),
    ("02.1", vendors_only, "the word after ID"),
    ("02.1", sorted_ids, "Keep the order"),
    ("02.2", path_by_a_part_of_the_line, "not its beginning"),
    ("02.2", path_or_none, "give an empty text"),
    ("02.2", last_path, "i386"),
    ("02.2", whole_line, "(libc6,x86-64) =>"),
    ("02.2", path_of_vulkan, "for libcudnn.so.9"),
    ("02.3", only_oserror, "Catch every Exception"),
    ("02.3", a_list_of_five, "Catch every Exception"),
    ("02.3", bare_except, "swallows KeyboardInterrupt"),
    ("02.3", always_ok, "could not load"),
    ("02.3", tells_the_message, "not its message"),
    ("02.3", only_what_is_true, "whatever it returns"),
    ("02.4", asks_all, "none above a missing one"),
    ("02.4", asks_all_but_shows_some, "none above a missing one"),
    ("02.4", asks_twice, "none above a missing one"),
    ("02.4", leaves_out_the_missing_one, "the first missing one included"),
    ("02.4", names_the_first_missing, "the first missing one included"),
    ("02.4", keeps_the_functions, "are functions"),
    ("02.4", at_most_two, "the first missing one included"),
    ("02.5", by_beginning, "compare whole names"),
    ("02.5", as_it_is_written, "several spellings"),
    ("02.5", in_any_case_only, "several spellings"),
    ("02.5", with_a_version_only, "several spellings"),
    ("02.5", always_the_course, "several spellings"),
    ("02.5", in_reverse, "in their order"),
)
