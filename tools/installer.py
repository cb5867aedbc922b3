"""Install a lock file: by uv, which takes seconds, or else by pip, showing how far it is.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV_LOCK = ROOT / "requirements" / "uv.lock"
BETWEEN_LINES_S = 10.0  # where the output is a file or a log, in which nothing can be drawn over


class NotHereError(Exception):
    """Something cannot be made on this machine, or is not wanted; the text says why and what to do."""


def check_space(folder: Path, needed_bytes: int, needs: str, setting: str) -> None:
    """Stop before the disk is full rather than after.

    Args:
        folder: that will be made, with those above it.
        needed_bytes: while it is made.
        needs: says so in words, such as "The compiler needs 1 GB while it is installed".
        setting: the variable that names another folder.

    Raises:
        NotHereError: there is less.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise NotHereError(
            f"{needs}; {folder} has {free / 1e9:.1f} GB free.\n"
            f"Free some space, or set {setting} to a folder on a larger disk."
        )


def find_uv(python: Path) -> str | None:
    """uv from PATH, or beside `python`; else installed there by pip, from PyPI or the index that pip knows.

    Args:
        python: of an environment that has pip.

    Returns:
        Its path; None where it cannot be had, such as on a system for which there is no wheel.
    """
    known = shutil.which("uv") or shutil.which("uv", path=str(python.parent))
    if known:
        return known
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--require-hashes", "-r", str(UV_LOCK)], capture_output=True)
    return shutil.which("uv", path=str(python.parent)) if done.returncode == 0 else None


def install(python: Path, lock: Path, *options: str, uv: str | None) -> None:
    """Exactly the locked packages, each checked against its hash.

    Args:
        python: of the environment that gets them.
        lock: a file of exact versions with hashes.
        *options: for uv and pip alike, such as `--no-deps`.
        uv: as `find_uv` gives it. Where it fails, pip, whose settings may name a mirror or a proxy, tries.

    Raises:
        subprocess.CalledProcessError: pip failed, too; its last words have been printed.
    """
    locked = [*options, "--require-hashes", "-r", str(lock)]
    if uv:
        command = [uv, "pip", "install", "--quiet", "--python", str(python), *locked]
        if subprocess.run(command, capture_output=True).returncode == 0:
            return
        print("  uv could not install them; pip does it, which takes some minutes more.", flush=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    run([*pip, *locked], locked_packages(lock))


def locked_packages(lock: Path) -> int:
    """How many packages a lock file names; some are for other systems."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return sum("==" in line and not line.startswith((" ", "#")) for line in lines)


class _Display:
    """What pip is doing, drawn again every second on a terminal, printed every ten seconds elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.count, self.doing = total, 0, "starting"
        self.started = time.monotonic()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> _Display:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def read(self, line: str) -> None:
        """Take in one line that pip has printed."""
        first, _, rest = line.strip().partition(" ")
        if first == "Collecting":
            self.count = min(self.count + 1, self.total)
            self.doing = f"package {self.count} of about {self.total}: {rest.split(' ')[0].split('==')[0]}"
        elif line.startswith("Installing collected packages"):
            self.doing = f"unpacking {rest.count(',') + 1} packages"

    def _show(self) -> None:
        on_terminal = sys.stdout.isatty()
        while not self._is_over.wait(1.0 if on_terminal else BETWEEN_LINES_S):
            text = f"  {time.monotonic() - self.started:3.0f} s, {self.doing}"
            print(f"\r{text:<78.78}" if on_terminal else text, end="" if on_terminal else "\n", flush=True)
        if on_terminal:
            print(f"\r{'':78}\r", end="", flush=True)


def run(command: list[str], total: int) -> None:
    """Run a pip command and show its progress.

    Args:
        command: without `--quiet`: what pip prints is what the progress is made of.
        total: packages that it will look for, about.

    Raises:
        subprocess.CalledProcessError: it failed; its last words have been printed.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines = []
    try:
        with _Display(total) as display:
            for line in process.stdout:
                display.read(line)
                lines.append(line)
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    if process.returncode:
        print("".join(lines[-15:]), file=sys.stderr)
        raise subprocess.CalledProcessError(process.returncode, command[:4])
