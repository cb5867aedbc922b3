"""Make `.venv-rknn`, Rockchip's compiler in an environment of its own. Standard library only.

It wants numpy 1 and protobuf 4, which clash with the workbook's own, and names torch, which it imports and
for ONNX models never calls: without it the environment takes 0.6 GB rather than 5. When the lock file is that
of the last finished run, nothing is done.
"""

from __future__ import annotations

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
VENV = Path(os.environ.get("EDGELAB_RKNN_VENV") or ROOT / ".venv-rknn").absolute()
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "edgelab.stamp"  # written last: an environment without it is half made, and never used
LOCK = ROOT / "requirements" / "rknn.lock"
SUPPORTED = ("3.12", "3.11", "3.10")
NEEDED_BYTES = 1_000_000_000  # 0.6 GB installed, and the packages while they are unpacked
NEEDS = "Rockchip's compiler needs 1 GB while it is installed"
ALTERNATIVE = "Chapter 6 runs without it, and says what it would have shown."


def check_system(system: str, machine: str) -> None:
    """The compiler is installed on x86-64 Linux, where it is tried; a board needs only a smaller package."""
    if system == "Linux" and machine in ("x86_64", "AMD64"):
        return
    if system == "Linux" and machine in ("aarch64", "arm64"):
        raise NotHereError(
            "This installs Rockchip's compiler on x86-64 Linux; this is Linux on Arm. (Rockchip has wheels\n"
            "of it for 64-bit Arm as well, which nobody has tried with this course.)\n"
            "On a Rockchip board install the runtime instead: pip install rknn-toolkit-lite2\n"
            "Compile on a PC, copy the .rknn file here, and open it with edgelab.targets."
        )
    fix = "Use WSL 2, or Docker" if system == "Windows" else "Use Docker with --platform linux/amd64"
    raise NotHereError(
        f"This installs Rockchip's compiler on x86-64 Linux only; this is {system} on {machine}.\n"
        f"{fix}, or a Linux PC.\n{ALTERNATIVE}"
    )


def version_of(python: str) -> str:
    """Such as "3.11"; "" when it does not run: pyenv puts names on PATH that lead nowhere."""
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find_python(uv: str | None) -> str:
    """A Python that the compiler has wheels for: this one, one on PATH, or one that uv knows or fetches."""
    for candidate in (sys.executable, *(f"python{version}" for version in SUPPORTED)):
        if version_of(candidate) in SUPPORTED:
            return candidate
    for version in SUPPORTED if uv else ():
        done = subprocess.run([uv, "python", "find", version], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    if uv:
        return SUPPORTED[0]  # uv downloads it
    raise NotHereError(
        f"Rockchip's compiler has wheels for Python {SUPPORTED[-1]} to {SUPPORTED[0]}; none is on PATH.\n"
        f"Install one beside yours (for example python{SUPPORTED[0]} with its venv module), or install uv,\n"
        f"which fetches one: https://docs.astral.sh/uv/. Then run make rknn again.\n{ALTERNATIVE}"
    )


def fingerprint() -> str:
    """Hash of all that decides what the environment holds, and where it lies."""
    return hashlib.sha256(LOCK.read_bytes() + str(VENV).encode()).hexdigest()


def is_made() -> bool:
    """Whether the environment is whole and up to date."""
    return STAMP.exists() and STAMP.read_text() == fingerprint() and bool(version_of(str(PYTHON)))


def make(uv: str | None, python: str) -> None:
    """An empty environment in place of what was there, then exactly the locked packages, hashes checked."""
    if uv and python in SUPPORTED:  # a version that uv brings
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--seed", "--python", python, str(VENV)], check=True
        )
    else:
        subprocess.run([python, "-m", "venv", "--clear", str(VENV)], check=True)
    installer.install(PYTHON, LOCK, "--no-deps", uv=uv)
    worker = ROOT / "edgelab" / "targets" / "rknn" / "worker.py"
    subprocess.run([str(PYTHON), "-I", str(worker), "--check"], check=True, cwd=VENV, timeout=120)
    STAMP.write_text(fingerprint())


def main() -> int:
    """Bring the environment up to date; 0 when it is."""
    if is_made():
        return 0
    beside_course = os.environ.get("EDGELAB_VENV", str(ROOT / ".venv"))  # set-up has put it there
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(beside_course) / "bin"))
    try:
        check_system(platform.system(), platform.machine())
        python = find_python(uv)
        installer.check_space(VENV, NEEDED_BYTES, NEEDS, "EDGELAB_RKNN_VENV")
        print(f"Setting up {VENV.name} (0.6 GB, once) ...", flush=True)
        make(uv, python)
    except NotHereError as reason:
        print(reason, file=sys.stderr)
        return 1
    except (subprocess.SubprocessError, OSError) as error:
        print(
            f"Set-up stopped: {error}\nThe usual causes: no network, a full disk, a proxy in the way.\n"
            "Nothing half made is used: fix the cause and run make rknn again.",
            file=sys.stderr,
        )
        return 1
    print(f"{VENV.name} is ready: chapter 6 and `make targets` use it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
