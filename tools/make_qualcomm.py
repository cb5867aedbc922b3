"""Make `.qualcomm`, the folder of Qualcomm's compiler for Snapdragon NPUs. Standard library only.

    python tools/make_qualcomm.py [--accept-licence]

The libraries come inside the package onnxruntime-qnn, whose Python part is not used. They are under a
licence of Qualcomm's own: you are asked before anything is downloaded, and again, with its text at hand,
before anything is used. Nobody is asked with `--accept-licence`, which says that somebody has read and
accepted it. Where there is nobody to answer, nothing happens.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import installer
from installer import NotHereError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("EDGELAB_QUALCOMM_FILES") or ROOT / ".qualcomm").absolute()
LOCK = ROOT / "requirements" / "qualcomm.lock"
STAMP = "edgelab.stamp"  # written last, once the licence is accepted: a folder without it is never used
LICENCE = Path("onnxruntime_qnn", "Qualcomm_LICENSE.pdf")
HEADING = "Terms and conditions of use, AI Stack License (Qualcomm Technologies, Inc.)"
NOTICES = Path("onnxruntime_qnn", "ThirdPartyNotices.txt")
LIBRARY = Path("onnxruntime_qnn", "libQnnHtp.so")
# The libraries know nothing of Python: the wheel for one version will do, whatever runs the course.
FOR_PYTHON = "3.13"
LIBC = (2, 35)
NEEDED_BYTES = 500_000_000  # 0.25 GB unpacked, and the package while it is
NEEDS = "Qualcomm's libraries need 0.5 GB while they are unpacked"
ALTERNATIVE = "Chapter 15 runs without it, and shows what was recorded."


def check_system(system: str, machine: str, libc: str) -> None:
    """LiteRT's side of the compiler is in its wheel for x86-64 Linux; the libraries need a newer glibc."""
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        fix = "Use WSL 2, or Docker" if system == "Windows" else "Use Docker with --platform linux/amd64"
        raise NotHereError(
            f"Qualcomm's compiler is installed on x86-64 Linux only; this is {system} on {machine}.\n"
            f"{fix}, or a Linux PC.\n{ALTERNATIVE}"
        )
    numbers = tuple(int(part) for part in libc.split(".")[:2] if part.isdigit())
    if numbers < LIBC:
        raise NotHereError(
            f"Qualcomm's libraries need glibc {LIBC[0]}.{LIBC[1]}; here is {libc or 'another C library'}.\n"
            f"Use a newer system, such as Debian 12 or Ubuntu 22.04, or Docker.\n{ALTERNATIVE}"
        )


def fingerprint() -> str:
    """Hash of all that decides what the folder holds."""
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def is_made() -> bool:
    """Whether the folder is whole and up to date, and its licence accepted."""
    stamp = FOLDER / STAMP
    return stamp.exists() and stamp.read_text() == fingerprint() and (FOLDER / LIBRARY).exists()


def ask(question: str) -> None:
    """Go on only after a yes, written out; everything else is a no."""
    if input(f"{question} [yes/no] ").strip().lower() != "yes":
        raise NotHereError(f"You did not say yes: nothing of Qualcomm's is kept here.\n{ALTERNATIVE}")


def check_anybody_answers(is_accepted: bool) -> None:
    """Without a terminal nobody can accept a licence."""
    if not is_accepted and not sys.stdin.isatty():
        raise NotHereError(
            "Qualcomm's libraries have a licence that you have to accept, and nobody is here to answer.\n"
            "Run make qualcomm in a terminal; or, once you have read and accepted it,\n"
            f"make qualcomm ARGS=--accept-licence. Nothing was downloaded.\n{ALTERNATIVE}"
        )


def clear() -> None:
    """Remove what an earlier run has left, and nothing else: the folder may be one of yours."""
    for name in (STAMP, ".lock"):  # the second is uv's
        (FOLDER / name).unlink(missing_ok=True)
    for path in FOLDER.glob("onnxruntime_qnn*"):
        shutil.rmtree(path)
    with contextlib.suppress(OSError):  # there is something else in it, or it was never made
        FOLDER.rmdir()


def download() -> None:
    """Exactly the locked package, its hash checked, in place of an earlier one."""
    clear()
    python = Path(sys.executable)
    # No copy in a cache: after a no, none may stay.
    options = [
        "--no-cache-dir",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--python-version",
        FOR_PYTHON,
        "--target",
        str(FOLDER),
    ]
    installer.install(python, LOCK, *options, uv=installer.find_uv(python))


def show_licence() -> None:
    """Where the texts are that came with the libraries."""
    size = (FOLDER / LICENCE).stat().st_size
    print(
        f"Qualcomm's licence:      {FOLDER / LICENCE}\n"
        f"                         “{HEADING}”, {size / 1e3:.0f} kB\n"
        f"Notices of parts in it:  {FOLDER / NOTICES}\n"
        "Nothing of it has been used so far.",
        flush=True,
    )


def check_loads() -> None:
    """The compiler's library, loaded in a process that may die."""
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    command = [sys.executable, "-I", "-c", code, str(FOLDER / LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise OSError(f"{LIBRARY.name} cannot be loaded: {done.stderr.strip().splitlines()[-1:]}")


def make(is_accepted: bool) -> None:
    """Ask, download, show the licence, ask, and set the stamp; after a no or a failure nothing is left."""
    print(
        "The compiler for Snapdragon NPUs is in libraries of Qualcomm's, in the package onnxruntime-qnn.\n"
        "They are not open source. Their licence, whose text is in the package, lets you build and measure\n"
        "applications of your own, on conditions; by its words, who downloads or uses them agrees to it.",
        flush=True,
    )
    if not is_accepted:
        ask("Download the package (95 MB), to read the licence?")
    try:
        download()
        show_licence()
        if not is_accepted:
            ask("Have you read Qualcomm's licence, and do you accept it?")
        check_loads()
        (FOLDER / STAMP).write_text(fingerprint())
    except BaseException:
        clear()
        raise


def main(arguments: list[str] | None = None) -> int:
    """Bring the folder up to date; 0 when it is."""
    parser = argparse.ArgumentParser(description="Fetch Qualcomm's compiler for Snapdragon NPUs.")
    parser.add_argument(
        "--accept-licence", action="store_true", help="you have read Qualcomm's licence, and accept it"
    )
    is_accepted = parser.parse_args(arguments).accept_licence
    if is_made():
        print(f"{FOLDER.name} is up to date; the licence is {FOLDER / LICENCE}")
        return 0
    try:
        check_system(platform.system(), platform.machine(), platform.libc_ver()[1])
        check_anybody_answers(is_accepted)
        installer.check_space(FOLDER, NEEDED_BYTES, NEEDS, "EDGELAB_QUALCOMM_FILES")
        make(is_accepted)
    except NotHereError as reason:
        print(reason, file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nStopped: nothing of Qualcomm's is kept here.", file=sys.stderr)
        return 1
    except (subprocess.SubprocessError, OSError) as error:
        print(
            f"Stopped: {error}\nThe usual causes: no network, a full disk, a proxy in the way.\n"
            "Nothing half made is used: fix the cause and run make qualcomm again.",
            file=sys.stderr,
        )
        return 1
    print(f"{FOLDER.name} is ready: chapter 15 and `make targets` use it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
