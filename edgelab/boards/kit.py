"""The board kit: what runs a model and measures there, in a Python environment of its own on the board.

It holds the runner, the server of sessions, numpy and LiteRT (tflite-runtime for Python 3.9): no TensorFlow,
no Jupyter. Wheels are gathered here, for the board's processor, C library and Python, and installed there
without a network. Where the vendor's Python parts live outside (JetPack's TensorRT, rknn-toolkit-lite2), the
environment sees them.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgelab.boards import facts
from edgelab.boards.link import Link
from edgelab.errors import DataError, TargetError
from edgelab.machine import artifacts
from edgelab.machine.child import last_lines
from edgelab.texts import tr

FOLDER = "~/.edgelab"
PROGRAMS = ("runner.py", "server.py")  # of this folder; on the board they stand alone
REQUIRED = ("ai-edge-litert>=2.1,<2.4", "numpy>=1.26,<3")
REQUIRED_BY_OLD = ("tflite-runtime>=2.14,<2.15", "numpy>=1.23,<2")  # Python 3.9
SEES_THE_SYSTEM = ("jetson", "rockchip", "coral")  # kinds whose vendor's Python parts come by apt or by hand
OLDEST_LIBC = 17  # the minor version of manylinux2014
INSTALL_S, DOWNLOAD_S = 900.0, 600.0
MARK = "kit.json"


def requirements(version: Sequence[int]) -> tuple[str, ...]:
    """What the kit installs for a board's Python."""
    return REQUIRED_BY_OLD if tuple(version[:2]) < (3, 10) else REQUIRED


def programs() -> dict[str, bytes]:
    """Our files of the kit, by name."""
    return {name: Path(__file__).with_name(name).read_bytes() for name in PROGRAMS}


def version() -> str:
    """The kit's version: what its programs and requirements are, 12 hex digits."""
    return artifacts.content_key(required=[REQUIRED, REQUIRED_BY_OLD], **programs())


def folder() -> str:
    """Where this version is on a board."""
    return f"{FOLDER}/kit-{version()}"


def platforms(found: facts.Facts) -> list[str]:
    """The tags of the wheels that a board takes, newest first (PEP 600).

    Raises:
        TargetError: no wheels are made for it.
    """
    machine = {"arm64": "aarch64"}.get(found.machine, found.machine)
    if found.libc < (2, OLDEST_LIBC) or machine not in ("aarch64", "x86_64", "armv7l"):
        raise TargetError(
            tr("No runtime is made for {machine} with this C library.", machine=found.machine or "?"),
            why=tr("wheels need glibc 2.{oldest} or newer on aarch64 or x86-64", oldest=OLDEST_LIBC),
            fix=tr("install a 64-bit system of these years on the board, such as Raspberry Pi OS (64-bit)"),
        )
    newest = found.libc[1] if found.libc[0] == 2 else 99
    return [
        *(f"manylinux_2_{minor}_{machine}" for minor in range(newest, OLDEST_LIBC - 1, -1)),
        f"manylinux2014_{machine}",
    ]


def python_fits(found: facts.Facts) -> None:
    """Raise what is to be done where the board has no Python that the kit takes.

    Raises:
        TargetError: none, or none of 3.9 to 3.13.
    """
    if found.python and facts.OLDEST <= found.python_version[:2] <= facts.NEWEST:
        return
    got = ".".join(map(str, found.python_version)) if found.python else tr("none")
    raise TargetError(
        tr("The board has no Python that the kit takes: {got}.", got=got),
        why=tr("runtimes have wheels for 3.9 to 3.13"),
        fix=tr("sudo apt install python3; where that is another version, uv python install 3.12 beside it"),
    )


def gather(found: facts.Facts) -> Path:
    """The wheels for a board, downloaded once by pip from the index that pip knows.

    Raises:
        TargetError: no network, or no wheel for that board.
        StorageError: the disk is full.
    """
    python_fits(found)
    wanted, tags = requirements(found.python_version), platforms(found)
    minor = "{}.{}".format(*found.python_version[:2])
    key = artifacts.content_key(wanted=list(wanted), tags=tags, python=minor)
    wheels = artifacts.artifacts_dir() / "boards" / "wheels" / f"{found.machine}-{minor}-{key}"
    if (wheels / "whole").exists():
        return wheels
    artifacts.make_folder(wheels)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
    ]
    command += ["--dest", str(wheels), "--implementation", "cp", "--python-version", minor]
    command += [part for tag in tags for part in ("--platform", tag)]
    try:
        done = subprocess.run([*command, *wanted, "pip"], capture_output=True, text=True, timeout=DOWNLOAD_S)
        words = last_lines(done.stderr, 3)
    except subprocess.TimeoutExpired:
        done, words = None, tr("no end within {limit_s:g} s", limit_s=DOWNLOAD_S)
    if done is None or done.returncode:
        raise TargetError(
            tr(
                "The wheels for Python {minor} on {machine} cannot be had here.",
                minor=minor,
                machine=found.machine,
            ),
            why=words,
            fix=tr(
                "connect this computer, or name a folder that holds them, which `board kit` makes: "
                "--wheels FOLDER"
            ),
        )
    (wheels / "whole").touch()
    return wheels


def given(wheels: Path) -> list[Path]:
    """The wheels in a folder of the user.

    Raises:
        DataError: there are none, or pip's is missing.
    """
    found = sorted(Path(wheels).glob("*.whl"))
    if not any(path.name.startswith("pip-") for path in found):
        raise DataError(
            tr("{folder} holds no wheels for a board, or lacks pip's.", folder=wheels),
            why=tr("a board without pip is set up by pip's own wheel"),
            fix=tr(
                "where there is a network: python -m edgelab board kit FOLDER --machine aarch64 --python 3.11"
            ),
        )
    return found


def installed(link: Link) -> dict[str, str] | None:
    """What the kit on the board says it is; None where this version is not there, or not whole."""
    text = link.shell(f"cat {folder()}/{MARK} 2>/dev/null")
    try:
        found = json.loads(text)
        return found if found["version"] == version() else None
    except (ValueError, KeyError, TypeError):
        return None


# What the board's Python runs to set the kit up: folder, whether it sees the system, then the requirements.
SET_UP = r"""
import glob, json, os, platform, shutil, subprocess, sys
folder, sees, version, wanted = sys.argv[1], sys.argv[2] == "1", sys.argv[3], sys.argv[4:]
folder = os.path.expanduser(folder)
wheels, env = folder + "/wheels", folder + "/env"
shutil.rmtree(env, ignore_errors=True)
more = ["--system-site-packages"] if sees else []
subprocess.run([sys.executable, "-m", "venv", "--without-pip", *more, env], check=True)
pip = glob.glob(wheels + "/pip-*.whl")[0] + "/pip"
python = env + "/bin/python"
quiet = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-input", "--no-compile"]
subprocess.run([python, pip, "install", *quiet, "--no-index", "--find-links", wheels, *wanted], check=True)
for old in glob.glob(os.path.dirname(folder) + "/kit-*"):
    if old != folder:
        shutil.rmtree(old, ignore_errors=True)
shutil.rmtree(wheels)
names = "import json; from importlib.metadata import distributions as all; "
names += "print(json.dumps({one.metadata['Name']: one.version for one in all()}))"
held = json.loads(subprocess.run([python, "-c", names], check=True, stdout=subprocess.PIPE).stdout.decode())
names = ("numpy", "ai-edge-litert", "ai_edge_litert", "tflite-runtime", "tflite_runtime")
about = {"version": version, "python": platform.python_version()}
about.update({name: held[name] for name in names if name in held})
with open(folder + "/kit.json.part", "w") as file:
    json.dump(about, file)
os.replace(folder + "/kit.json.part", folder + "/kit.json")
print("edgelab-kit-done")
"""


def install(
    link: Link,
    found: facts.Facts,
    *,
    wheels: Path | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Put the kit on the board, in place of what is there; what it holds.

    Args:
        link: open, with the lock held.
        found: what the board is.
        wheels: a folder of wheels; None downloads them here.
        told: called with the bytes copied and those in all.

    Raises:
        TargetError: no fitting Python there, no wheels, no space, or pip there failed.
        DataError: `wheels` holds none.
    """
    python_fits(found)
    files = given(gather(found) if wheels is None else Path(wheels))
    files = [path for path in files if _fits(path.name, found)]
    place, total, done = folder(), sum(path.stat().st_size for path in files), 0
    link.verb("remove", place)
    for name, data in programs().items():
        link.put(data, f"{place}/{name}")
    for path in files:
        before = done

        def moved(size: int) -> None:
            nonlocal done
            done += size
            told(done, total)

        link.put(path.read_bytes(), f"{place}/wheels/{path.name}", moved)
        done = before + path.stat().st_size
    sees = "1" if found.kind in SEES_THE_SYSTEM else "0"
    wanted = requirements(found.python_version)
    words = [found.python, "-c", SET_UP, place, sees, version(), *wanted]
    with link.running("run", ".", *words) as channel:
        printed = list(channel.lines(INSTALL_S))
        code, said = channel.returncode(), channel.words()
    if code or "edgelab-kit-done" not in printed:
        raise TargetError(
            tr("The kit could not be set up on {name}.", name=link.board.name),
            why=last_lines(said, 4) or last_lines("\n".join(printed), 4),
            fix=_fix(said),
        )
    return installed(link) or {}


def _fix(said: str) -> str:
    if "No module named venv" in said or "ensurepip" in said:
        return tr("on the board: sudo apt install python3-venv")
    if "No space left" in said or "quota" in said.lower():
        return tr("free some space there: the kit takes about 250 MB while it is set up")
    if "No matching distribution" in said or "not a supported wheel" in said:
        return tr(
            "the wheels are another Python's or processor's: leave --wheels out, or make them by `board kit`"
        )
    return tr("log in there and try: python3 -m venv --without-pip /tmp/try")


def _fits(name: str, found: facts.Facts) -> bool:
    """Whether a wheel may be for that board's Python; a folder may hold those of several."""
    python, abi, platform = name[: -len(".whl")].rsplit("-", 3)[1:]
    tag = "cp{}{}".format(*found.python_version[:2])
    machine = platform == "any" or platform.endswith("_" + found.machine)
    return machine and (tag in python.split(".") or abi in ("none", "abi3") or "py3" in python.split("."))


def pack(out: Path, machine: str, minor: str, libc: str = "2.31") -> Path:
    """A folder with the kit for boards that this computer never sees: wheels, programs, and how to set it up.

    Args:
        out: the folder to make.
        machine: "aarch64" or "x86_64".
        minor: of the board's Python, such as "3.11".
        libc: the oldest version of its C library.

    Raises:
        TargetError: no wheels for that, or no network.
        StorageError: it cannot be written.
    """
    version_of = tuple(int(part) for part in (*minor.split("."), 0))
    nobody = facts.parse("")
    found = facts.Facts(
        **{
            **vars(nobody),
            "machine": machine,
            "libc": tuple(int(part) for part in libc.split(".")),
            "python": "python3",
            "python_version": version_of,
        }
    )
    wheels = gather(found)
    artifacts.make_folder(out)
    for path in given(wheels):
        with artifacts.atomic_path(out / path.name) as temporary:
            temporary.write_bytes(path.read_bytes())
    names = shlex.join(requirements(version_of))
    text = (
        f"On the board, in this folder:\n  python3 -m venv --without-pip ~/edgelab-env\n"
        f"  ~/edgelab-env/bin/python pip-*.whl/pip install --no-index --find-links . {names}\n"
        f"Then ~/edgelab-env/bin/python run.py in the folder of an unpacked bundle.\n"
        f"Over ssh: python -m edgelab board check NAME --install --wheels {out.name}\n"
    )
    with artifacts.atomic_path(out / "README.txt") as temporary:
        temporary.write_text(text, "utf-8")
    return out
