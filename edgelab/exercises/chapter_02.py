"""The checks of chapter 2: a probe for an accelerator in four steps, and which environment has a package."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

# As `lsusb` printed it: github.com/google-coral/edgetpu, issues 807 and 799, and a container without USB.
LISTINGS = (
    (
        "Bus 002 Device 002: ID 1a6e:089a Global Unichip Corp. \n"
        "Bus 002 Device 001: ID 1d6b:0003 Linux Foundation 3.0 root hub\n"
        "Bus 001 Device 002: ID 1a86:55d4 QinHeng Electronics \n"
        "Bus 001 Device 001: ID 1d6b:0002 Linux Foundation 2.0 root hub\n",
        ["1a6e:089a", "1d6b:0003", "1a86:55d4", "1d6b:0002"],
    ),
    ("Bus 006 Device 002: ID 1a6e:089a\n", ["1a6e:089a"]),
    ("Bus 001 Device 003: ID 0bda:0129 Realtek Semiconductor Corp. ID card reader\n", ["0bda:0129"]),
    ("Bus 002 Device 007: ID 18D1:9302 Google Inc.\n", ["18d1:9302"]),
    ("unable to initialize libusb: -99\n", []),
    ("", []),
)


@exercise(
    "02.1",
    tr("Step 1: who is on the bus?"),
    hints=(
        tr("Go through listing.splitlines(); leave out the lines that do not hold ' ID '."),
        tr("line.split(' ID ')[1] is what follows the first ' ID '; its first word is the identity."),
        tr("[line.split(' ID ')[1].split()[0].lower() for line in listing.splitlines() if ' ID ' in line]"),
    ),
    read=tr("the section “Find an accelerator, layer by layer”"),
)
def check_usb_ids(usb_ids: Callable[[str], list[str]]) -> None:
    """The identities in listings as they were printed, in small letters."""
    for listing, expected in LISTINGS:
        found = usb_ids(listing)
        if list(found) == expected:
            continue
        hint = ""
        if [name.lower() for name in found] == expected:
            hint = tr("Some tools print hexadecimal digits in upper case: give them in lower case.")
        elif not expected:
            hint = tr("Not every line names a device: a line without ' ID ' gives nothing.")
        elif sorted(found) == sorted(expected):
            hint = tr("Keep the order of the lines.")
        elif len(found) > len(expected):
            hint = tr("A device's name may hold the word ID, too: only the first one of a line counts.")
        raise Mistake(
            # Note: {listing} is what lsusb printed.
            tr(
                "for {listing!r} you found {found}, {expected} was expected",
                listing=listing,
                found=list(found),
                expected=expected,
            ),
            hint or tr("The identity is the word after ID, such as 1d6b:0002: maker and product together."),
        )


# As `ldconfig -p` prints it, on two computers.
LIBRARIES = (
    "560 libs found in cache `/etc/ld.so.cache'\n"
    "\tlibvulkan.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libvulkan.so.1\n"
    "\tlibvulkan.so.1 (libc6) => /lib/i386-linux-gnu/libvulkan.so.1\n"
    "\tlibcudnn.so.9 (libc6,x86-64) => /usr/local/cuda/lib64/libcudnn.so.9\n"
    "\tlibz3.so.4 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz3.so.4\n"
    "\tlibz.so.1 (libc6,x86-64) => /lib/x86_64-linux-gnu/libz.so.1\n",
    "2 libs found in cache `/etc/ld.so.cache'\n"
    "\tlibedgetpu.so.1 (libc6,AArch64) => /opt/coral/lib/libedgetpu.so.1.0\n"
    "\tlibOpenCL.so.1 (libc6,AArch64, OS ABI: Linux 3.7.0) => /lib/aarch64-linux-gnu/libOpenCL.so.1\n",
    "",
)
ASKED = ("libvulkan.so.1", "libcudnn.so.9", "libcudnn.so", "libz.so.1", "libedgetpu.so.1", "libOpenCL.so.1")


def _path_in(listing: str, name: str) -> str:
    """As ldconfig's manual tells: a name, what it is for in brackets, an arrow, the file."""
    found = re.search(rf"^\t{re.escape(name)} \(.*\) => (.+)$", listing, re.MULTILINE)
    return found[1] if found else ""


@exercise(
    "02.2",
    tr("Step 2: is the library known?"),
    hints=(
        tr("A line is a name, something in brackets, ' => ', a file. The first word must be the whole name."),
        tr("line.split()[:1] == [name] asks for the first word, and does not fail on an empty line."),
        tr("Return line.split(' => ')[1] of the first such line, and '' after the loop."),
    ),
    read=tr("the section “Find an accelerator, layer by layer”"),
)
def check_library_path(library_path: Callable[[str, str], str]) -> None:
    """The file of a library, by its whole name."""
    for listing, name in itertools.product(LIBRARIES, ASKED):
        expected, found = _path_in(listing, name), library_path(listing, name)
        if isinstance(found, str) and found.strip() == expected:
            continue
        hint = tr("Give the file behind the arrow of the first line that has this name.")
        if not expected and found:
            hint = tr("libcudnn.so is not libcudnn.so.9: compare the whole first word, not its beginning.")
        elif not expected:
            hint = tr("When no line has this name, give an empty text.")
        raise Mistake(
            tr(
                "for {name} in a list of {count} lines you found {found!r}, {expected!r} was expected",
                name=name,
                count=len(listing.splitlines()),
                found=found,
                expected=expected,
            ),
            hint,
        )


# Python's own, since a load() may fail with anything: what a broken driver raises is in no list.
FAILURES = (
    OSError, AttributeError, ValueError, RuntimeError, ImportError, KeyError, ZeroDivisionError, MemoryError,
    NotImplementedError, TimeoutError, UnicodeError, EOFError, AssertionError, BufferError, TypeError,
)  # fmt: skip


def _raiser(error: BaseException) -> Callable[[], None]:
    def load() -> None:
        raise error

    return load


@exercise(
    "02.3",
    tr("Step 3: a probe that cannot fail"),
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
    for loaded in ("a library", None, ""):
        if (found := probe(lambda loaded=loaded: loaded)) != "ok":
            raise Mistake(
                tr("for a library that loads you returned {found!r}, 'ok' was expected", found=found),
                tr("A load() that raises nothing has loaded, whatever it returns."),
            )
    for kind in FAILURES:
        _check_failure(probe, kind("x"))
    try:
        probe(_raiser(KeyboardInterrupt()))
    except KeyboardInterrupt:
        return
    raise Mistake(
        tr("your probe swallows KeyboardInterrupt, so that a student cannot stop it"),
        tr("`except:` and `except BaseException` catch too much: `except Exception` is right."),
    )


def _check_failure(probe: Callable[[Callable[[], object]], str], error: Exception) -> None:
    name, expected = type(error).__name__, f"missing: {type(error).__name__}"
    try:
        found = probe(_raiser(error))
    except type(error):
        raise Mistake(
            tr("a load() that raises {name} ends your probe", name=name), tr("Catch every Exception.")
        ) from None
    if found != expected:
        hint = tr("Return 'missing: ' and the name of the exception's class.")
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


# What each layer answers, from the bottom up, and how many of them are to be asked.
CHAINS = (
    ({"device": "ok", "runtime": "missing: OSError", "package": "ok"}, 2),
    ({"device": "missing: LookupError", "runtime": "missing: OSError", "package": "ok"}, 1),
    ({"device": "ok", "runtime": "ok", "package": "ok"}, 3),
    ({"card": "ok", "driver": "ok", "CUDA": "ok", "cuDNN": "missing: OSError", "TensorFlow": "ok"}, 4),
    ({"power": "ok", "cable": "missing: TimeoutError"}, 2),
    ({}, 0),
)


@exercise(
    "02.4",
    tr("Step 4: from the bottom up"),
    hints=(
        tr("Begin with an empty dictionary; go through layers.items(), call each function, keep its answer."),
        tr("Stop after the first answer that is not 'ok': break, and return what you have."),
        tr('found[name] = ask(), then: if found[name] != "ok": break.'),
    ),
    read=tr("the section “Device not found: from the bottom up”"),
)
def check_diagnose(diagnose: Callable[[dict[str, Callable[[], str]]], dict[str, str]]) -> None:
    """The answers up to the first that is not "ok", each layer asked once and none above it."""
    for answers, count in CHAINS:
        asked: list[str] = []

        def layer(name: str, answer: str, asked: list[str] = asked) -> Callable[[], str]:
            def ask() -> str:
                asked.append(name)
                return answer

            return ask

        found = diagnose({name: layer(name, answer) for name, answer in answers.items()})
        _check_diagnosis(found, asked, dict(itertools.islice(answers.items(), count)), answers)


def _check_diagnosis(
    found: object, asked: list[str], expected: dict[str, str], answers: dict[str, str]
) -> None:
    if len(asked) > len(expected):
        raise Mistake(
            tr(
                "of {answers} you asked {asked}, where {expected} was enough",
                answers=answers,
                asked=", ".join(asked),
                expected=", ".join(expected) or tr("nothing"),
            ),
            tr("Ask each layer once, and none above a missing one: it can hang, and proves nothing."),
        )
    if found == expected:
        return
    hint = tr("Collect name and answer of every layer that you ask, the first missing one included.")
    if callable(next(iter(found.values()), None)) if isinstance(found, dict) else False:
        hint = tr("The values of `layers` are functions: call them, and keep what they return.")
    raise Mistake(
        tr(
            "of {answers} you returned {found}, {expected} was expected",
            answers=answers,
            found=found,
            expected=expected,
        ),
        hint,
    )


# What `python -m pip freeze` prints in environments of one computer.
FROZEN = {
    "system": "Pillow==11.3.0\nnumpy==1.26.4\nkeras-hub==0.21.0\n",
    "course": "ai_edge_litert==2.1.0\nkeras==3.12.0\nnumpy @ file:///builds/numpy-2.2.6-cp311.whl\npillow==12.0.0\n",
    "old": "# environment of 2021\ntensorflow-cpu==2.5.0\nAI-Edge.LiteRT==1.0.1\n\nzope.interface==5.4.0\n",
    "empty": "",
}
WANTED = (
    ("keras", ["course"]),
    ("ai-edge-litert", ["course", "old"]),
    ("pillow", ["system", "course"]),
    ("Pillow", ["system", "course"]),
    ("numpy", ["system", "course"]),
    ("tensorflow", []),
    ("zope-interface", ["old"]),
    ("Zope_Interface", ["old"]),
)


@exercise(
    "02.5",
    tr("Installed, but not in this one"),
    hints=(
        tr("A package's name ends before '==' or ' @ '. Case, '-', '_' and '.' make no difference in it."),
        tr("Bring each name into one form: name.lower().replace('_', '-').replace('.', '-')."),
        tr(
            "For each environment: is the wanted name among those of its lines, which are "
            "line.split('==')[0].split(' @ ')[0]?"
        ),
    ),
    read=tr("the section “Installed, but not in this one”"),
)
def check_environments_with(environments_with: Callable[[str, dict[str, str]], list[str]]) -> None:
    """Which environments hold a package, by its whole name, however that is written."""
    for package, expected in WANTED:
        found = list(environments_with(package, dict(FROZEN)))
        if found == expected:
            continue
        hint = tr("Give the names of the environments, in their order.")
        if set(found) > set(expected):
            hint = tr("keras is not keras-hub: compare whole names.")
        elif set(found) < set(expected):
            hint = tr("One package, several spellings: Pillow, pillow; ai-edge-litert, ai_edge_litert.")
        raise Mistake(
            tr(
                "{package} is in {expected}, you found {found}",
                package=package,
                expected=", ".join(expected) or tr("none of them"),
                found=found,
            ),
            hint,
        )
