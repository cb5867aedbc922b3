"""Chapter 2: right answers, and the mistakes that students make, each with words of the hint it must get."""


def is_coral(line):
    return any(name in line.lower() for name in ("1a6e:089a", "18d1:9302"))


def first_missing(layers):
    return next((name for name, here in layers.items() if not here), "nothing")


def probe(load):
    try:
        load()
    except Exception as error:
        return f"missing: {type(error).__name__}"
    return "ok"


BOARD = "Raspberry Pi 4 + Coral USB Accelerator"
SOLUTIONS = {"02.1": is_coral, "02.2": first_missing, "02.3": probe, "02.4": BOARD}


def only_oserror(load):
    try:
        load()
    except OSError as error:
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


WRONG = (
    ("02.1", lambda line: "18d1:9302" in line.lower(), "before its firmware"),
    ("02.1", lambda line: "1a6e:089a" in line, "Google's"),
    ("02.1", lambda line: "Google" in line or "Unichip" in line, "both halves"),
    ("02.1", lambda line: "1a6e:089a" in line or "18d1:9302" in line, "upper case"),
    ("02.2", lambda layers: [name for name, here in layers.items() if not here][-1], "mended first"),
    ("02.2", lambda layers: next(iter(layers)), "its value is True"),
    (
        "02.2",
        lambda layers: next((k for k, v in layers.items() if not v), None),
        "say 'nothing'",
    ),
    ("02.3", only_oserror, "Catch every Exception"),
    ("02.3", bare_except, "swallows KeyboardInterrupt"),
    ("02.3", always_ok, "could not load"),
    ("02.3", tells_the_message, "not its message"),
    ("02.4", "Jetson Orin Nano Super", "220 USD"),
    ("02.4", "RK3588 board", "0.030 TOPS per USD"),
    ("02.4", "Jetson Nano", "float16"),
)
