"""Add Apple's coremltools to the course's environment, as its lock file says. Standard library only.

It stands beside the course's TensorFlow, which it needs to read models, and brings four small packages. When
all are there in these versions, nothing is done.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import installer
from installer import NotHereError

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "coreml.lock"
ALTERNATIVE = "Chapter 15 runs without it, and shows what was recorded."


def check_system(system: str, machine: str) -> None:
    """coremltools 9 has wheels for Macs and for Linux on x86-64."""
    if system == "Darwin" or (system == "Linux" and machine in ("x86_64", "AMD64")):
        return
    fix = "Use WSL 2" if system == "Windows" else "Use a Mac or an x86-64 Linux PC"
    raise NotHereError(
        f"coremltools has no wheel for {system} on {machine}.\n"
        f"{fix}; packages made there open here.\n{ALTERNATIVE}"
    )


def wanted() -> dict[str, str]:
    """The packages of the lock file, with their versions."""
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line[:1].isalnum()]
    return dict(line.split()[0].split("==") for line in lines)


def is_installed() -> bool:
    """Whether all of them are here, in these versions."""
    try:
        return all(importlib.metadata.version(name) == version for name, version in wanted().items())
    except importlib.metadata.PackageNotFoundError:
        return False


def main() -> int:
    """Install what is missing into the environment that runs this; 0 when all is there."""
    if is_installed():
        return 0
    python = Path(sys.executable)
    try:
        check_system(platform.system(), platform.machine())
        print("Installing coremltools (45 MB, once) ...", flush=True)
        uv = shutil.which("uv") or shutil.which("uv", path=str(python.parent))
        installer.install(python, LOCK, "--no-deps", uv=uv)
        trial = [str(python), "-c", "import coremltools"]
        subprocess.run(trial, check=True, capture_output=True, timeout=300)
    except NotHereError as reason:
        print(reason, file=sys.stderr)
        return 1
    except (subprocess.SubprocessError, OSError) as error:
        print(
            f"coremltools could not be installed: {error}\n"
            "The usual causes: no network, a full disk, a proxy in the way.\n"
            "Fix the cause and run make coreml again.",
            file=sys.stderr,
        )
        return 1
    print("coremltools is ready: chapter 15 and `make targets` use it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
