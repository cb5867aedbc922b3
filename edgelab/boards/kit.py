"""The board kit: what runs a model and measures there, in a Python environment of its own on the board.

It is one zip, made here for a processor and a Python: the runner, the server of sessions, numpy and LiteRT
(tflite-runtime for Python 3.9), and `set_up`, which the board runs. No TensorFlow, no Jupyter; the board
needs no network, no pip, no compiler. Where the vendor's Python parts live outside (JetPack's TensorRT,
rknn-toolkit-lite2), the environment sees them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgelab.boards import facts
from edgelab.boards.link import Link
from edgelab.errors import DataError, TargetError
from edgelab.machine import artifacts, energy
from edgelab.machine.child import last_lines
from edgelab.texts import tr

FOLDER = "~/.edgelab"
# Of this folder; on the board they stand alone.
PROGRAMS = ("runner.py", "server.py", "onboard.py", "vendors.py", "set_up.py")
REQUIRED = ("ai-edge-litert>=2.1,<2.4", "numpy>=1.26,<3")
REQUIRED_BY_OLD = ("tflite-runtime>=2.14,<2.15", "numpy>=1.23,<2")  # Python 3.9
SEES_THE_SYSTEM = ("jetson", "rockchip", "coral")  # kinds whose vendor's Python parts come by apt or by hand
MACHINES = ("aarch64", "x86_64")
OLDEST_LIBC = 17  # the minor version of manylinux2014
MAKE_S, SET_UP_S = 900.0, 600.0
LARGEST_ABOUT_BYTES = 10_000
README = """The board kit of the Edge AI Acceleration Workbook, for Python {python} on {machine}.

With ssh: python -m edgelab board check NAME --install --kit {name}
Without: unpack it on the board into ~/.edgelab/kit-{version}, then there: python3 set_up.py
Then, in the folder of an unpacked bundle: ~/.edgelab/kit-{version}/env/bin/python run.py
"""


@dataclass(frozen=True)
class For:
    """What a kit is made for.

    Attributes:
        machine: "aarch64" or "x86_64".
        python: such as "3.11".
        libc: the C library there, the oldest that it must run with.
    """

    machine: str
    python: str
    libc: tuple[int, int] = (2, 31)

    @property
    def is_old(self) -> bool:
        """Whether LiteRT has no wheel for this Python."""
        return tuple(map(int, self.python.split("."))) < (3, 10)


def requirements(wanted: For) -> tuple[str, ...]:
    """What the kit holds besides our programs."""
    return REQUIRED_BY_OLD if wanted.is_old else REQUIRED


def programs() -> dict[str, bytes]:
    """Our files of the kit, by name."""
    paths = [*(Path(__file__).with_name(name) for name in PROGRAMS), Path(energy.__file__)]
    return {path.name: path.read_bytes() for path in paths}


def version() -> str:
    """The kit's version: what its programs and requirements are, 12 hex digits."""
    return artifacts.content_key(required=[REQUIRED, REQUIRED_BY_OLD], **programs())


def folder() -> str:
    """Where this version is on a board."""
    return f"{FOLDER}/kit-{version()}"


def needed_by(found: facts.Facts) -> For:
    """The kit that fits a board.

    Raises:
        TargetError: it has no Python from 3.9 to 3.13, or no wheels are made for it.
    """
    if not (found.python and facts.OLDEST <= found.python_version[:2] <= facts.NEWEST):
        got = ".".join(map(str, found.python_version)) if found.python else tr("none")
        raise TargetError(
            tr("The board has no Python that the kit takes: {got}.", got=got),
            why=tr("runtimes have wheels for 3.9 to 3.13"),
            fix=tr("sudo apt install python3; where that is another version, `uv python install 3.12` there"),
        )
    if found.libc < (2, OLDEST_LIBC) or found.machine not in MACHINES:
        raise TargetError(
            tr("No runtime is made for {machine} with this C library.", machine=found.machine or "?"),
            why=tr("wheels need glibc 2.{oldest} or newer on aarch64 or x86-64", oldest=OLDEST_LIBC),
            fix=tr("install a 64-bit system of these years on the board, such as Raspberry Pi OS (64-bit)"),
        )
    return For(found.machine, "{}.{}".format(*found.python_version[:2]), found.libc)


def platforms(wanted: For) -> list[str]:
    """The tags of the wheels that a board takes, newest first (PEP 600)."""
    newest = wanted.libc[1] if wanted.libc[0] == 2 else 99
    tags = [f"manylinux_2_{minor}_{wanted.machine}" for minor in range(newest, OLDEST_LIBC - 1, -1)]
    return [*tags, f"manylinux2014_{wanted.machine}"]


def make(wanted: For, wheels: Path | None = None) -> Path:
    """The kit as one zip, made once.

    Args:
        wanted: what for.
        wheels: a folder of wheels; None takes them from the index that pip knows.

    Raises:
        TargetError: no network, or no wheel for that board.
        StorageError: the disk is full.
    """
    names = sorted(path.name for path in Path(wheels).glob("*.whl")) if wheels else []
    parts = {"for": vars(wanted), "version": version(), "wheels": names}
    return artifacts.cached(
        "boards/kits",
        f"{wanted.machine}-{wanted.python}",
        ".zip",
        parts,
        lambda path: _build(wanted, wheels, path),
    )


def _build(wanted: For, wheels: Path | None, out: Path) -> None:
    about = {
        "version": version(),
        "machine": wanted.machine,
        "python": wanted.python,
        "module": "tflite_runtime.interpreter" if wanted.is_old else "ai_edge_litert.interpreter",
    }
    with tempfile.TemporaryDirectory(prefix="edgelab-") as temporary:
        site = Path(temporary) / "site"
        _unpack_wheels(wanted, wheels, site)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("about.json", json.dumps(about))
            archive.writestr("README.txt", README.format(name=out.name, **about))
            for name, data in programs().items():
                archive.writestr(name, data)
            for path in sorted(path for path in site.rglob("*") if path.is_file()):
                archive.write(path, f"site/{path.relative_to(site).as_posix()}")


def _unpack_wheels(wanted: For, wheels: Path | None, site: Path) -> None:
    """Let pip choose, and unpack, what the board's own pip would."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    command += ["--target", str(site), "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", wanted.python]
    command += [part for tag in platforms(wanted) for part in ("--platform", tag)]
    command += ["--no-index", "--find-links", str(wheels)] if wheels else []
    try:
        done = subprocess.run(
            [*command, *requirements(wanted)], capture_output=True, text=True, timeout=MAKE_S
        )
        words, failed = last_lines(done.stderr, 3), done.returncode != 0
    except subprocess.TimeoutExpired:
        words, failed = tr("no end within {limit_s:g} s", limit_s=MAKE_S), True
    if failed:
        raise TargetError(
            tr(
                "Wheels for Python {python} on {machine} cannot be had.",
                python=wanted.python,
                machine=wanted.machine,
            ),
            why=words,
            fix=tr(
                "connect this computer; or name a folder that holds them (--wheels FOLDER), or a kit that "
                "`board kit` made elsewhere (--kit FILE)"
            ),
        )


def checked(path: Path, wanted: For) -> Path:
    """A kit that the user names, if it fits.

    Raises:
        DataError: it is no kit, or one of another version, processor or Python.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("about.json").file_size > LARGEST_ABOUT_BYTES:
                raise ValueError(tr("{file} is too large", file="about.json"))
            about = json.loads(archive.read("about.json"))
            got = (about["version"], about["machine"], about["python"])
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise DataError(
            tr("{path} is no board kit, or is damaged.", path=Path(path).name),
            why=str(error),
            fix=tr("make it again: python -m edgelab board kit OUT.zip"),
        ) from error
    if got != (version(), wanted.machine, wanted.python):
        raise DataError(
            tr("{path} is for another board, or of another version.", path=Path(path).name),
            why=tr("it is {found}, and needed is {needed}", found=" ".join(map(str, got)),
                   needed=f"{version()} {wanted.machine} {wanted.python}"),
            fix=tr("python -m edgelab board kit OUT.zip --machine {machine} --python {python}",
                   machine=wanted.machine, python=wanted.python),
        )  # fmt: skip
    return Path(path)


def installed(link: Link) -> dict[str, str] | None:
    """What the kit on the board says it is; None where this version is not there, or not whole."""
    text = link.shell(f"cat {folder()}/kit.json 2>/dev/null")
    try:
        found = json.loads(text)
        return found if found["version"] == version() else None
    except (ValueError, KeyError, TypeError):
        return None


def install(
    link: Link, found: facts.Facts, zipped: Path, told: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, str]:
    """Put the kit on the board, in place of what is there; what it holds.

    Args:
        link: open, with the lock held.
        found: what the board is.
        zipped: a kit that fits it.
        told: called with the bytes copied and those in all.

    Raises:
        TargetError: no space there, or it cannot be set up.
    """
    content, place, done = zipped.read_bytes(), folder(), [0]

    def moved(size: int) -> None:
        done[0] += size
        told(done[0], len(content))

    link.verb("remove", place)
    link.put(content, f"{place}.zip", moved)
    link.verb("unpack", f"{place}.zip", place)
    system = ["--system"] if found.kind in SEES_THE_SYSTEM else []
    printed, said, code = run_program(link, place, [found.python, "set_up.py", *system], SET_UP_S)
    held = installed(link)
    if code or held is None:
        raise TargetError(
            tr("The kit could not be set up on {name}.", name=link.board.name),
            why=last_lines(said, 4) or last_lines(printed, 4),
            fix=_fix(said),
        )
    return held


def run_program(link: Link, place: str, words: Sequence[str], limit_s: float) -> tuple[str, str, int]:
    """Run a program in a folder of the board to its end: its output, its complaints, its exit code.

    Raises:
        LinkError: the link broke, or it printed nothing for too long.
    """
    with link.running("run", place, *words) as channel:
        printed = "\n".join(channel.lines(limit_s))
        code = channel.returncode()
        return printed, channel.words(), code


def _fix(said: str) -> str:
    if "No module named venv" in said or "ensurepip" in said:
        return tr("on the board: sudo apt install python3-venv")
    if "No space left" in said or "quota" in said.lower():
        return tr("free some space there: the kit takes about 250 MB while it is set up")
    return tr("log in there and try: python3 -m venv --without-pip /tmp/try; then run this again")
