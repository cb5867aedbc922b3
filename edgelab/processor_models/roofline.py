"""This computer's roofline: how fast BLAS computes, how fast data moves, and which of the two limits.

Williams, Waterman, Patterson 2009, "Roofline: an insightful visual performance model", CACM 52(4): a task
that does `I` operations per byte it moves cannot exceed `min(peak, I * bandwidth)` operations per second.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from edgelab.errors import EdgelabError, InputError
from edgelab.texts import tr

# Every BLAS that numpy is built with reads one of these, once, when it is loaded.
BLAS_THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
MATMUL_SIZES = (256, 512, 1024)
# Half a megabyte: small enough for the second-level cache, large enough to hide numpy's cost per call.
CHUNK_ELEMENTS = 128 * 1024
# Three arrays of twice the last-level cache: one pass pushes out all of the pass before.
CACHE_MULTIPLE = 2
SMALLEST_ARRAY_BYTES = 64 * 2**20
LARGEST_ARRAY_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Roofline:
    """What one computer reached at best, float32.

    The arithmetic is that of numpy's BLAS, which a processor may exceed: kernels of other libraries can be
    faster. It bounds nothing in int8, where instructions for dot products do up to four times as much.

    Attributes:
        peak_gflops: the fastest matrix product on all threads, 10⁹ operations per second; a multiply-add
            counts as two.
        peak_gflops_one_thread: the fastest matrix product on one thread.
        bandwidth_gb_s: memory traffic of all threads together, 10⁹ bytes per second.
        bandwidth_gb_s_one_thread: memory traffic of one thread.
        threads: how many threads "all" are.
        array_bytes: size of each of the three arrays that the bandwidth was measured with.
        duration_s: how long measuring took.
    """

    peak_gflops: float
    peak_gflops_one_thread: float
    bandwidth_gb_s: float
    bandwidth_gb_s_one_thread: float
    threads: int
    array_bytes: int
    duration_s: float

    @property
    def ridge_flop_per_byte(self) -> float:
        """The intensity where the two limits meet: below it memory limits, above it arithmetic does."""
        return self.peak_gflops / self.bandwidth_gb_s

    def attainable_gflops(self, flop_per_byte: float | np.ndarray) -> float | np.ndarray:
        """What a float32 task of this arithmetic intensity can reach, in 10⁹ operations per second.

        Raises:
            InputError: an intensity that is not above zero.
        """
        if not np.all(np.asarray(flop_per_byte) > 0):
            raise InputError(
                tr("The arithmetic intensity is {flop_per_byte}.", flop_per_byte=flop_per_byte),
                why=tr("it is operations divided by bytes, both above zero"),
                fix=tr("count the operations and the bytes again"),
            )
        return np.minimum(self.peak_gflops, np.asarray(flop_per_byte) * self.bandwidth_gb_s)

    def __str__(self) -> str:
        return (
            f"{self.peak_gflops:.0f} GFLOP/s on {self.threads} threads ({self.peak_gflops_one_thread:.0f} on "
            f"one), {self.bandwidth_gb_s:.1f} GB/s ({self.bandwidth_gb_s_one_thread:.1f} with one), "
            f"ridge at {self.ridge_flop_per_byte:.1f} FLOP/byte"
        )

    def _repr_html_(self) -> str:
        rows = (
            ("fastest matrix product, float32 (GFLOP/s)", self.peak_gflops_one_thread, self.peak_gflops),
            ("memory bandwidth (GB/s)", self.bandwidth_gb_s_one_thread, self.bandwidth_gb_s),
        )
        body = "".join(
            f'<tr><th scope="row">{name}</th><td>{one:.1f}</td><td>{every:.1f}</td></tr>'
            for name, one, every in rows
        )
        return (
            f"<table><caption>measured in {self.duration_s:.1f} s; the limits meet at "
            f"{self.ridge_flop_per_byte:.1f} FLOP/byte</caption><thead><tr><td></td>"
            f'<th scope="col">1 thread</th><th scope="col">{self.threads} threads</th></tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )


def usable_threads() -> int:
    """How many processors this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fastest_s(task: Callable[[], object], seconds: float) -> float:
    """The shortest of repeated runs within a time allowance: a limit is what the machine does at its best."""
    task()
    best = float("inf")
    deadline = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        task()
        end = time.perf_counter()
        best = min(best, end - start)
        if end >= deadline:
            return best


def matmul_gflops(seconds: float = 0.6, sizes: Iterable[int] = MATMUL_SIZES) -> float:
    """The fastest float32 matrix product of this process' BLAS, in 10⁹ operations per second.

    BLAS cuts the matrices into blocks that stay in the cache, so arithmetic and not memory is what limits it.

    Args:
        seconds: time allowance, shared by the sizes.
        sizes: of the square matrices that are tried.
    """
    sizes = tuple(sizes)
    best = 0.0
    for size in sizes:
        left = np.full((size, size), 0.5, np.float32)
        right, out = left.copy(), np.empty_like(left)

        def multiply(left=left, right=right, out=out):
            np.matmul(left, right, out=out)

        best = max(best, 2 * size**3 / fastest_s(multiply, seconds / len(sizes)) / 1e9)
    return best


def matmul_gflops_on(threads: int, seconds: float = 0.6) -> float:
    """`matmul_gflops` on so many threads, in a child process: BLAS reads the count as it starts.

    Raises:
        EdgelabError: the child process failed.
    """
    code = f"from edgelab.processor_models.roofline import matmul_gflops; print(matmul_gflops({seconds!r}))"
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **dict.fromkeys(BLAS_THREAD_VARIABLES, str(threads))},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60 + seconds,
    )
    if child.returncode:
        raise EdgelabError(
            tr("Measuring {threads} thread(s) failed.", threads=threads),
            why=(
                child.stderr.strip().splitlines()
                or [tr("exit status {returncode}", returncode=child.returncode)]
            )[-1],
            fix=tr("restart the kernel; if it fails again, reinstall the environment"),
        )
    return float(child.stdout)


def last_level_cache_bytes() -> int:
    """Size of the largest cache of the first processor; 32 MiB where the system does not tell."""
    sizes = [
        int(text[:-1]) * {"K": 2**10, "M": 2**20}[text[-1]]
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
        if (text := path.read_text().strip())[-1:] in ("K", "M")
    ]
    return max(sizes, default=32 * 2**20)


def triad_gb_s(threads: int = 1, *, array_bytes: int = SMALLEST_ARRAY_BYTES, seconds: float = 0.6) -> float:
    """Memory traffic of `a = b + 3 * c` over arrays that no cache holds, in 10⁹ bytes per second.

    McCalpin's STREAM triad: it reads two arrays and writes one, and that is what is counted. Done in chunks,
    so that the product in between stays in the cache; numpy frees the interpreter lock, so threads overlap.

    Args:
        threads: how many share the work.
        array_bytes: size of each of the three arrays.
        seconds: time allowance.

    Raises:
        InputError: no thread, or arrays of less than one chunk per thread.
    """
    count = array_bytes // 4
    if threads < 1 or count < threads * CHUNK_ELEMENTS:
        raise InputError(
            tr(
                "{array_bytes} bytes cannot be shared by {threads} threads.",
                array_bytes=array_bytes,
                threads=threads,
            ),
            why=tr("each thread works on chunks of {size} bytes", size=CHUNK_ELEMENTS * 4),
            fix=tr("use at least one thread, and larger arrays"),
        )
    a, b, c = (np.full(count, value, np.float32) for value in (0, 1, 2))
    bounds = np.linspace(0, count, threads + 1).astype(int)

    def work(part: int) -> None:
        product = np.empty(CHUNK_ELEMENTS, np.float32)
        for start in range(bounds[part], bounds[part + 1], CHUNK_ELEMENTS):
            chunk = slice(start, min(start + CHUNK_ELEMENTS, bounds[part + 1]))
            scaled = product[: chunk.stop - start]
            np.multiply(c[chunk], np.float32(3), out=scaled)
            np.add(b[chunk], scaled, out=a[chunk])

    with ThreadPoolExecutor(threads) as pool:
        duration_s = fastest_s(lambda: list(pool.map(work, range(threads))), seconds)
    return 3 * 4 * count / duration_s / 1e9


def measure_roofline(seconds: float = 2.0, *, progress: bool = False) -> Roofline:
    """Measure this computer's fastest matrix product and memory bandwidth, float32, on one thread and on all.

    Args:
        seconds: time allowance for the four measurements together, without their set-up.
        progress: show a progress bar.

    Returns:
        The best of the repeated runs of each. Other programs that run meanwhile can only lower the numbers.

    Raises:
        EdgelabError: a child process, which measures the arithmetic, failed.
    """
    start = time.perf_counter()
    share, threads = seconds / 4, usable_threads()
    array_bytes = min(
        max(SMALLEST_ARRAY_BYTES, CACHE_MULTIPLE * last_level_cache_bytes()), LARGEST_ARRAY_BYTES
    )
    steps = (
        lambda: matmul_gflops_on(1, share),
        lambda: matmul_gflops_on(threads, share),
        lambda: triad_gb_s(1, array_bytes=array_bytes, seconds=share),
        lambda: triad_gb_s(threads, array_bytes=array_bytes, seconds=share),
    )
    bar = tqdm(steps, disable=not progress, desc="roofline", leave=False)
    gflops_one, gflops_all, gb_s_one, gb_s_all = (step() for step in bar)
    # A second thread that finds no free processor can make things slower; the limit is still the best seen.
    return Roofline(
        peak_gflops=max(gflops_all, gflops_one),
        peak_gflops_one_thread=gflops_one,
        bandwidth_gb_s=max(gb_s_all, gb_s_one),
        bandwidth_gb_s_one_thread=gb_s_one,
        threads=threads,
        array_bytes=array_bytes,
        duration_s=time.perf_counter() - start,
    )
