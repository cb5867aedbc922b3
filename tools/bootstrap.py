"""Make `.venv` from the lock file. Standard library only: this runs before anything is installed.

When the lock file, the project file and the Python version are those of the last finished run, nothing is
done.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import installer

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("EDGELAB_VENV", ROOT / ".venv")).absolute()
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "edgelab.stamp"
SUPPORTED = ((3, 10), (3, 13))


def has_nvidia_gpu() -> bool:
    """True on Linux when the NVIDIA driver answers; only there does TensorFlow ship CUDA wheels."""
    if not sys.platform.startswith("linux") or not shutil.which("nvidia-smi"):
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=30).returncode == 0


def fingerprint(lock: Path) -> str:
    """Hash of all that decides what the environment holds."""
    digest = hashlib.sha256(repr((sys.version_info[:2], str(ROOT))).encode())
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


def make_environment(lock: Path) -> None:
    """An environment in place of one half made: the locked packages, then edgelab itself from this folder."""
    venv.create(VENV, clear=True, with_pip=True)
    installer.install(PYTHON, lock, uv=installer.find_uv(PYTHON))
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)


def relaunch_with_supported_python() -> int:
    """Run this script again under a Python that has wheels for TensorFlow; explain when there is none."""
    low, high = SUPPORTED
    for minor in range(high[1], low[1] - 1, -1):
        candidate = shutil.which(f"python3.{minor}")
        if candidate:
            return subprocess.run([candidate, __file__]).returncode
    found = ".".join(map(str, sys.version_info[:2]))
    print(
        f"Python {found} found, but TensorFlow has wheels for 3.{low[1]} to 3.{high[1]} only.\n"
        f"Install one of them (for example Python 3.12), then run: make PYTHON=python3.12 run",
        file=sys.stderr,
    )
    return 1


def main() -> int:
    """Bring `.venv` up to date; 0 when it is."""
    if not SUPPORTED[0] <= sys.version_info[:2] <= SUPPORTED[1]:
        return relaunch_with_supported_python()
    lock = ROOT / "requirements" / ("cuda.lock" if has_nvidia_gpu() else "cpu.lock")
    wanted = fingerprint(lock)
    if not (STAMP.exists() and STAMP.read_text() == wanted):
        if other := other_checkout():
            print(
                f"{VENV} belongs to the course in {other}.\nSetting it up for {ROOT} would break it there.\n"
                "Name another folder in EDGELAB_VENV, or none, for an environment in this one.",
                file=sys.stderr,
            )
            return 1
        print(f"Setting up {VENV.name} from {lock.name} (about 3 GB, once) ...", flush=True)
        try:
            make_environment(lock)
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
