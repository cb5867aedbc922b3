"""Make `.venv` from the lock file. Standard library only: this runs before anything is installed.

When the lock file, the project file and the Python version are those of the last finished run, nothing is
done.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import installer

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("EDGELAB_VENV", ROOT / ".venv")).absolute()
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "edgelab.stamp"
SUPPORTED = ((3, 10), (3, 14))
WITH_TENSORFLOW = (3, 13)  # the newest Python that it has a wheel for; the lock leaves it out on a newer one
OLDEST_LIBC_ON_ARM = (2, 35)  # of OpenVINO's wheel


NVIDIA_PATIENCE_S = 30.0  # a driver that is broken may let its own tool wait for ever
JETSON = (Path("/etc/nv_tegra_release"), Path("/proc/device-tree/compatible"))


@dataclass(frozen=True)
class Plan:
    """What the environment is made of.

    Attributes:
        lock: the name of the lock file.
        sees_system: whether the environment sees the system's packages.
        why: in words.
    """

    lock: str
    sees_system: bool
    why: str


def is_jetson() -> bool:
    """Whether NVIDIA's Linux for Jetson runs here."""
    release, compatible = JETSON
    try:
        return release.exists() or b"nvidia,tegra" in compatible.read_bytes()
    except OSError:
        return False


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver answers."""
    if not shutil.which("nvidia-smi"):
        return False
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=NVIDIA_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0


def plan(
    system: str,
    machine: str,
    *,
    jetson: bool = False,
    nvidia: bool = False,
    python: tuple[int, int] = WITH_TENSORFLOW,
) -> Plan:
    """What to install on such a machine.

    Args:
        system: as `sys.platform` says.
        machine: as `platform.machine()` says.
        jetson: whether it is one.
        nvidia: whether an NVIDIA driver answers.
        python: version that the environment gets.
    """
    if python > WITH_TENSORFLOW:
        found, newest = ".".join(map(str, python)), ".".join(map(str, WITH_TENSORFLOW))
        why = (
            f"no TensorFlow, which has no wheel for Python {found}. Chapters that run models go on, those "
            f"that train or convert them stop there. To have it all: install Python {newest}, then "
            f"make PYTHON=python{newest} lab"
        )
        return Plan("cpu.lock", jetson, why)
    linux, x86 = system.startswith("linux"), machine.lower() in ("x86_64", "amd64")
    if linux and jetson:
        why = "a Jetson: TensorFlow for its CPU, and JetPack's own TensorRT, which the environment sees"
        return Plan("cpu.lock", True, why)
    if linux and x86 and nvidia:
        return Plan("cuda.lock", False, "an NVIDIA card: TensorFlow with CUDA")
    if linux and machine.lower() in ("aarch64", "arm64"):
        return Plan("cpu.lock", False, "an Arm computer: TensorFlow for its CPU")
    if system == "darwin" and machine == "arm64":
        return Plan("cpu.lock", False, "Apple silicon: TensorFlow for its CPU")
    return Plan("cpu.lock", False, "TensorFlow for the CPU")


def unsupported(system: str, machine: str, libc: str = "") -> str:
    """Why the locked packages cannot be installed on such a machine; "" where they can.

    Args:
        system: as `sys.platform` says.
        machine: as `platform.machine()` says.
        libc: version of the GNU C library, such as "2.36"; "" for another one.
    """
    machine = machine.lower()
    numbers = tuple(int(part) for part in libc.split(".")[:2] if part.isdigit())
    if system.startswith("linux") and machine == "aarch64" and numbers and numbers < OLDEST_LIBC_ON_ARM:
        return f"glibc {libc} is too old: on Arm wheels need 2.35 (Debian 12, Ubuntu 22.04, JetPack 6)"
    if system == "darwin" and machine == "x86_64":
        return "TensorFlow has no wheel for Macs with Intel processors since 2.17"
    if system == "win32" and machine in ("arm64", "aarch64"):
        return "TensorFlow has no wheel for Windows on Arm: take Python for x86-64 there, which runs emulated"
    if machine not in ("x86_64", "amd64", "aarch64", "arm64"):
        return f"TensorFlow has no wheel for {machine}: on a Raspberry Pi install the 64-bit system"
    return ""


def fingerprint(lock: Path, sees_system: bool = False) -> str:
    """Hash of all that decides what the environment holds."""
    decides = (sys.version_info[:2], str(ROOT), *(["sees the system"] if sees_system else []))
    digest = hashlib.sha256(repr(decides).encode())
    for path in (lock, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def other_checkout() -> Path | None:
    """The other folder whose edgelab is installed in the environment; replacing that would break it there."""
    packages = [*VENV.glob("lib/python*/site-packages"), VENV / "Lib" / "site-packages"]
    for record in (
        found for folder in packages for found in folder.glob("edgelab-*.dist-info/direct_url.json")
    ):
        folder = Path(url2pathname(urlparse(json.loads(record.read_text(encoding="utf-8"))["url"]).path))
        if folder != ROOT and (folder / "tools" / "bootstrap.py").exists():
            return folder
    return None


def make_environment(lock: Path, sees_system: bool = False) -> None:
    """An environment in place of one half made: the locked packages, then edgelab itself from this folder."""
    venv.create(VENV, clear=True, with_pip=True, system_site_packages=sees_system)
    installer.install(PYTHON, lock, uv=installer.find_uv(PYTHON))
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)


def python_with_tensorflow() -> str | None:
    """Another Python on this machine, the newest that TensorFlow has a wheel for; None without one."""
    minors = range(WITH_TENSORFLOW[1], SUPPORTED[0][1] - 1, -1)
    return next(filter(None, (shutil.which(f"python3.{minor}") for minor in minors)), None)


def explain_unsupported_python() -> int:
    """Say which Python the course takes; 1."""
    low, high = SUPPORTED[0], WITH_TENSORFLOW
    found = ".".join(map(str, sys.version_info[:2]))
    print(
        f"Python {found} found, but TensorFlow has wheels for 3.{low[1]} to 3.{high[1]} only.\n"
        f"Install one of them (for example Python 3.12), then run: make PYTHON=python3.12 run",
        file=sys.stderr,
    )
    return 1


def main() -> int:
    """Bring `.venv` up to date; 0 when it is."""
    python = sys.version_info[:2]
    if not SUPPORTED[0] <= python <= WITH_TENSORFLOW:
        if other := python_with_tensorflow():
            return subprocess.run([other, __file__]).returncode
        if not SUPPORTED[0] <= python <= SUPPORTED[1]:
            return explain_unsupported_python()
    nvidia = has_nvidia_gpu()
    chosen = plan(sys.platform, platform.machine(), jetson=is_jetson(), nvidia=nvidia, python=python)
    lock = ROOT / "requirements" / chosen.lock
    wanted = fingerprint(lock, chosen.sees_system)
    if not (STAMP.exists() and STAMP.read_text() == wanted):
        if other := other_checkout():
            print(
                f"{VENV} belongs to the course in {other}.\nSetting it up for {ROOT} would break it there.\n"
                "Name another folder in EDGELAB_VENV, or none, for an environment in this one.",
                file=sys.stderr,
            )
            return 1
        if reason := unsupported(sys.platform, platform.machine(), platform.libc_ver()[1]):
            print(
                f"{reason}.\nTake another computer for the course; this one, as a board, runs what that one "
                "compiles:\npython -m edgelab board add NAME user@host (docs/boards.md)",
                file=sys.stderr,
            )
            return 1
        print(f"Setting up {VENV.name} from {lock.name}: {chosen.why} (about 3 GB, once) ...", flush=True)
        try:
            make_environment(lock, chosen.sees_system)
        except (subprocess.CalledProcessError, OSError) as error:
            print(
                f"Set-up stopped: {error}\nThe usual causes: no network, a full disk, a proxy in the way.\n"
                "Nothing half made is used: fix the cause and run the same command again.",
                file=sys.stderr,
            )
            return 1
        STAMP.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
