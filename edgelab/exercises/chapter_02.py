"""The checks of chapter 2: recognise a device, find the first missing layer, guard a probe, pick a board."""

from __future__ import annotations

from collections.abc import Callable

from edgelab.exercises.core import Mistake, exercise

CORAL_LINES = (
    "Bus 001 Device 004: ID 1a6e:089a Global Unichip Corp.",
    "Bus 002 Device 003: ID 18d1:9302 Google Inc.",
    "Bus 002 Device 007: ID 18D1:9302",
)
OTHER_LINES = (
    "Bus 001 Device 001: ID 1d6b:0002 Linux Foundation 2.0 root hub",
    "Bus 001 Device 005: ID 18d1:4ee7 Google Inc. Nexus/Pixel Device (charging + debug)",
    "Bus 003 Device 002: ID 0bda:9302 Realtek Semiconductor Corp.",
)


@exercise(
    "02.1",
    "Recognise a Coral accelerator",
    hints=(
        "Names may be missing or shared; the two numbers after ID are the device's own.",
        'The line holds "1a6e:089a" or "18d1:9302"; compare in lower case.',
    ),
    read="the section “Is the device there?”",
)
def check_is_coral(is_coral: Callable[[str], bool]) -> None:
    """Both identities, no other Google device, upper-case digits too."""
    if not is_coral(CORAL_LINES[0]):
        raise Mistake(
            f"not recognised: {CORAL_LINES[0]}",
            "That is the accelerator before its firmware is loaded: it bears its chip maker's name.",
        )
    if not is_coral(CORAL_LINES[1]):
        raise Mistake(f"not recognised: {CORAL_LINES[1]}", "After the first use it calls itself Google's.")
    for line in OTHER_LINES:
        if is_coral(line):
            raise Mistake(
                f"taken for a Coral: {line}",
                "A name or one half of the number is not enough: compare both halves.",
            )
    if not is_coral(CORAL_LINES[2]):
        raise Mistake(
            f"not recognised: {CORAL_LINES[2]}", "Some tools print hexadecimal digits in upper case."
        )


@exercise(
    "02.2",
    "Find the first missing layer",
    hints=(
        "Go through the layers from the device upwards, and stop at the first whose value is False.",
        'next((name for name, here in layers.items() if not here), "nothing")',
    ),
    read="the section “Device not found: from the bottom up”",
)
def check_first_missing(first_missing: Callable[[dict[str, bool]], str]) -> None:
    """The lowest missing layer; "nothing" when all are there."""
    cases = (
        ({"device": True, "driver": False, "library": False}, "driver"),
        ({"device": False, "driver": True, "library": True}, "device"),
        ({"device": True, "driver": True, "library": True, "package": False}, "package"),
        ({"device": True, "driver": True}, "nothing"),
    )
    for layers, expected in cases:
        found = first_missing(dict(layers))
        if found == expected:
            continue
        if found in layers and not layers[found]:
            raise Mistake(
                f"for {layers} you found {found!r}, but {expected!r} is missing too",
                "What lies lower must be mended first: nothing above it can work before.",
            )
        raise Mistake(f"for {layers} you found {found!r}, {expected!r} was expected")


def _raiser(error: BaseException) -> Callable[[], None]:
    def load() -> None:
        raise error

    return load


@exercise(
    "02.3",
    "A probe that cannot fail",
    hints=(
        "Put the call of load() in a try block and return a text in every case.",
        "A library can fail with OSError, AttributeError, ValueError, and a broken one with anything: "
        "catch Exception, not a list of names.",
        'except Exception as error: return f"missing: {type(error).__name__}"',
    ),
    read="the section “A probe never fails a class”",
)
def check_probe(probe: Callable[[Callable[[], object]], str]) -> None:
    """Every exception becomes a text with its name; an interrupt passes."""
    if (found := probe(lambda: "a library")) != "ok":
        raise Mistake(f"for a library that loads you returned {found!r}, 'ok' was expected")
    for error in (OSError("x"), AttributeError("x"), ValueError("x"), RuntimeError("x"), ImportError("x")):
        name, expected = type(error).__name__, f"missing: {type(error).__name__}"
        try:
            found = probe(_raiser(error))
        except type(error):
            raise Mistake(f"a load() that raises {name} ends your probe", "Catch every Exception.") from None
        if found != expected:
            raise Mistake(f"for {name} you returned {found!r}, {expected!r} was expected")
    try:
        probe(_raiser(KeyboardInterrupt()))
    except KeyboardInterrupt:
        return
    raise Mistake(
        "your probe swallows KeyboardInterrupt, so that a student cannot stop it",
        "`except:` and `except BaseException` catch too much: `except Exception` is right.",
    )


# The table of the chapter, as USD and int8 TOPS; the board without a published int8 figure is left out.
BOARDS = {
    "Raspberry Pi 4 + Coral USB Accelerator": (100, 4),
    "RK3588 board": (200, 6),
    "Jetson Orin Nano Super": (249, 67),
}


@exercise(
    "02.4",
    "Choose a board",
    hints=(
        "Two conditions first: at most 220 USD, and at least 3 TOPS of int8. Then compare what is left.",
        "Divide the TOPS by the price: 4 / 100 against 6 / 200.",
    ),
    read="the section “Boards and what they cost”",
)
def check_board(board: str) -> None:
    """The most int8 TOPS per dollar among boards of at most 220 USD and at least 3 TOPS."""
    if board not in BOARDS:
        reason = (
            "its 0.472 TOPS count float16 operations" if board == "Jetson Nano" else "it is not such a board"
        )
        raise Mistake(
            f"{board!r} does not qualify: {reason}", f"Write one of these names: {', '.join(BOARDS)}."
        )
    price, tops = BOARDS[board]
    if price > 220:
        raise Mistake(f"{board} costs {price} USD", "The limit is 220 USD.")
    if board != "Raspberry Pi 4 + Coral USB Accelerator":
        raise Mistake(
            f"{board} gives {tops / price:.3f} TOPS per USD", "Another board below the limit gives 0.040."
        )
