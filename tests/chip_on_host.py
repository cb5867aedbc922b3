"""A bundle's firmware as a program of this computer: its own check.c and data.

What stands in for main.cc hands out, test by test, the outputs that another run of the model gave, and says
what inputs it was handed. So the log is written by the very code that a chip runs.
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
# The arguments: the outputs of all tests one after another, and how many runs to write.
HOST = r"""
#include <stdio.h>
#include <stdlib.h>
#include "check.h"
#include "test_data.h"
static uint8_t input[INPUT_COUNT][1 << 16], output[OUTPUT_COUNT][1 << 16];
static FILE* outputs;
static uint32_t now;
int model_begin(void) { return getenv("FAIL_BEGIN") != NULL; }
int model_run(void) {
  int i;
  for (i = 0; i < INPUT_COUNT; i++) fwrite(input[i], 1, test_input_bytes[i], stderr);
  for (i = 0; i < OUTPUT_COUNT; i++)
    if (fread(output[i], 1, test_output_bytes[i], outputs) != test_output_bytes[i]) return 1;
  now += 41000u;
  return 0;
}
uint8_t* model_input(int index, size_t* bytes) { *bytes = test_input_bytes[index]; return input[index]; }
const uint8_t* model_output(int index, size_t* bytes) {
  *bytes = test_output_bytes[index];
  return output[index];
}
uint32_t model_arena_bytes_used(void) { return ARENA_BYTES - 1000u; }
uint32_t model_ticks(void) { return now + 0xFFFFF000u; }
uint32_t model_ticks_per_second(void) { return 1000000u; }
void write_character(char letter) { putchar(letter); }
int main(int count, char** arguments) {
  int run, wrong = 0;
  for (run = 0; run < atoi(arguments[count - 1]); run++) {
    outputs = fopen(arguments[1], "rb");
    wrong += check_all();
    fclose(outputs);
  }
  return wrong;
}
"""


def unpacked(bundle: Path, folder: Path) -> Path:
    """The bundle's folder `src`, and the program built there."""
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)
    src = folder / "src"
    (src / "host.c").write_text(HOST)
    sources = ["host.c", "check.c", "model_data.c", "test_data.c"]
    subprocess.run(["gcc", "-std=c99", *STRICT, *sources, "-o", "host"], cwd=src, check=True)
    return src


def run(src: Path, outputs: bytes, runs: int = 1, **environment: str) -> tuple[bytes, bytes, int]:
    """The log that it writes, the inputs that it was handed, and its exit code."""
    (src / "outputs.bin").write_bytes(outputs)
    done = subprocess.run(
        [src / "host", "outputs.bin", str(runs)], cwd=src, env=environment, capture_output=True
    )
    return done.stdout, done.stderr, done.returncode


def in_order(arrays) -> bytes:
    """For each test all tensors, as bytes."""
    return b"".join(one.tobytes() for row in zip(*arrays, strict=True) for one in row)
