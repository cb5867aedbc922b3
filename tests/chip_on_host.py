"""A bundle's firmware as a program of this computer: its own check.c and data, with outputs from a file.

So the log is written by the very code that a chip runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

compiles = pytest.mark.skipif(
    not shutil.which("gcc") or sys.platform != "linux", reason="needs gcc, to build the firmware's own check"
)
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-O1"]


def unpacked(bundle: Path, folder: Path) -> Path:
    """The bundle's folder `src`; the program is built beside it."""
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    src = folder / "src"
    sources = [f"src/{name}.c" for name in ("check", "model_data", "test_data")]
    command = ["gcc", "-std=c99", *STRICT, "-Isrc", "host/main.c", *sources, "-o", "check"]
    subprocess.run(command, cwd=folder, check=True)
    return src


def run(src: Path, outputs: bytes | None, runs: int = 1) -> tuple[bytes, bytes, int]:
    """The log that it writes, the inputs that it was handed, and its exit code; None for no outputs."""
    file = src / "outputs.bin"
    file.unlink(missing_ok=True)
    if outputs is not None:
        file.write_bytes(outputs)
    done = subprocess.run([src.parent / "check", file, str(runs)], capture_output=True)
    return done.stdout, done.stderr, done.returncode


def in_order(arrays) -> bytes:
    """For each test all tensors, as bytes."""
    return b"".join(one.tobytes() for row in zip(*arrays, strict=True) for one in row)
