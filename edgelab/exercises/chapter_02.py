"""The checks of chapter 2: recognise a device, find the first missing layer, guard a probe, pick a board."""

from __future__ import annotations

from collections.abc import Callable

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

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
    tr("Recognise a Coral accelerator"),
    hints=(
        tr("Names may be missing or shared; the two numbers after ID are the device's own."),
        tr('The line holds "1a6e:089a" or "18d1:9302"; compare in lower case.'),
    ),
    read=tr("the section “Is the device there?”"),
)
def check_is_coral(is_coral: Callable[[str], bool]) -> None:
    """Both identities, no other Google device, upper-case digits too."""
    if not is_coral(CORAL_LINES[0]):
        raise Mistake(
            tr("not recognised: {line}", line=CORAL_LINES[0]),
            tr("That is the accelerator before its firmware is loaded: it bears its chip maker's name."),
        )
    if not is_coral(CORAL_LINES[1]):
        raise Mistake(
            tr("not recognised: {line}", line=CORAL_LINES[1]),
            tr("After the first use it calls itself Google's."),
        )
    for line in OTHER_LINES:
        if is_coral(line):
            raise Mistake(
                tr("taken for a Coral: {line}", line=line),
                tr("A name or one half of the number is not enough: compare both halves."),
            )
    if not is_coral(CORAL_LINES[2]):
        raise Mistake(
            tr("not recognised: {line}", line=CORAL_LINES[2]),
            tr("Some tools print hexadecimal digits in upper case."),
        )


@exercise(
    "02.2",
    tr("Find the first missing layer"),
    hints=(
        tr("Go through the layers from the device upwards, and stop at the first whose value is False."),
        tr('next((name for name, here in layers.items() if not here), "nothing")'),
    ),
    read=tr("the section “Device not found: from the bottom up”"),
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
                tr(
                    "for {layers} you found {found!r}, but {expected!r} is missing too",
                    layers=layers,
                    found=found,
                    expected=expected,
                ),
                tr("What lies lower must be mended first: nothing above it can work before."),
            )
        hint = ""
        if layers.get(found):
            hint = tr("The layer {found!r} is there: its value is True.", found=found)
        elif expected == "nothing":
            hint = tr("When every layer is there, say 'nothing'.")
        raise Mistake(
            tr(
                "for {layers} you found {found!r}, {expected!r} was expected",
                layers=layers,
                found=found,
                expected=expected,
            ),
            hint,
        )


def _raiser(error: BaseException) -> Callable[[], None]:
    def load() -> None:
        raise error

    return load


@exercise(
    "02.3",
    tr("A probe that cannot fail"),
    hints=(
        tr("Put the call of load() in a try block and return a text in every case."),
        tr(
            "A library can fail with OSError, AttributeError, ValueError, and a broken one with "
            "anything: catch Exception, not a list of names."
        ),
        tr('except Exception as error: return f"missing: {type(error).__name__}"'),
    ),
    read=tr("the section “A probe never fails a class”"),
)
def check_probe(probe: Callable[[Callable[[], object]], str]) -> None:
    """Every exception becomes a text with its name; an interrupt passes."""
    if (found := probe(lambda: "a library")) != "ok":
        raise Mistake(tr("for a library that loads you returned {found!r}, 'ok' was expected", found=found))
    for error in (OSError("x"), AttributeError("x"), ValueError("x"), RuntimeError("x"), ImportError("x")):
        name, expected = type(error).__name__, f"missing: {type(error).__name__}"
        try:
            found = probe(_raiser(error))
        except type(error):
            raise Mistake(
                tr("a load() that raises {name} ends your probe", name=name), tr("Catch every Exception.")
            ) from None
        if found != expected:
            hint = ""
            if found == "ok":
                hint = tr("A load() that raises could not load: say so in the except block.")
            elif found == f"missing: {error}":
                hint = tr("The name of the exception, type(error).__name__, is asked for, not its message.")
            raise Mistake(
                tr(
                    "for {name} you returned {found!r}, {expected!r} was expected",
                    name=name,
                    found=found,
                    expected=expected,
                ),
                hint,
            )
    try:
        probe(_raiser(KeyboardInterrupt()))
    except KeyboardInterrupt:
        return
    raise Mistake(
        tr("your probe swallows KeyboardInterrupt, so that a student cannot stop it"),
        tr("`except:` and `except BaseException` catch too much: `except Exception` is right."),
    )


# The table of the chapter, as USD and int8 TOPS; the board without a published int8 figure is left out.
BOARDS = {
    "Raspberry Pi 4 + Coral USB Accelerator": (100, 4),
    "RK3588 board": (200, 6),
    "Jetson Orin Nano Super": (249, 67),
}


@exercise(
    "02.4",
    tr("Choose a board"),
    hints=(
        tr("Two conditions first: at most 220 USD, and at least 3 TOPS of int8. Then compare what is left."),
        tr("Divide the TOPS by the price: 4 / 100 against 6 / 200."),
    ),
    read=tr("the section “Boards and what they cost”"),
)
def check_board(board: str) -> None:
    """The most int8 TOPS per dollar among boards of at most 220 USD and at least 3 TOPS."""
    if board not in BOARDS:
        reason = (
            tr("its 0.472 TOPS count float16 operations")
            if board == "Jetson Nano"
            else tr("it is not such a board")
        )
        raise Mistake(
            tr("{board!r} does not qualify: {reason}", board=board, reason=reason),
            tr("Write one of these names: {boards}.", boards=", ".join(BOARDS)),
        )
    price, tops = BOARDS[board]
    if price > 220:
        raise Mistake(tr("{board} costs {price} USD", board=board, price=price), tr("The limit is 220 USD."))
    if board != "Raspberry Pi 4 + Coral USB Accelerator":
        raise Mistake(
            tr("{board} gives {tops_per_usd:.3f} TOPS per USD", board=board, tops_per_usd=tops / price),
            tr("Another board below the limit gives 0.040."),
        )
