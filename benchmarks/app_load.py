"""Eight viewers, a slow one, for minutes: frames per second of each, and the application's memory.

python benchmarks/app_load.py --minutes 10

The application runs in a process of its own on drawn scenes; the viewers are threads of this one and only
count. Memory is Linux' PSS, which counts a shared page by its share, and RSS. A leak shows as a slope after
the first three minutes; its 95 % interval is that of the least-squares line, as if samples were independent.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from running_app import Process, Viewer  # noqa: E402 - found by the line above

SLOW_S = 1.0
WARM_S = 180.0  # the statistics of a run fill up to 3000 frames
ALONE_S = 10.0


def memory_mb(process: psutil.Process) -> tuple[float, float, float]:
    """PSS (NaN where the system does not tell), USS (what it alone holds) and RSS."""
    about = process.memory_full_info()
    return getattr(about, "pss", float("nan")) / 1e6, about.uss / 1e6, about.rss / 1e6


def slope(times_s: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """MB per hour, and half the width of its 95 % interval."""
    hours = times_s / 3600
    line, covariance = np.polyfit(hours, values, 1, cov=True)
    return float(line[0]), float(1.96 * np.sqrt(covariance[0, 0]))


def main() -> None:
    """Measure, and print a line for each thing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--viewers", type=int, default=8)
    parser.add_argument("--model", default="boxes", help='"boxes", "" for the built-in, or a file')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        app = Process(Path(folder) / "data", model=options.model).until_ready()
        viewers = []
        try:
            process = psutil.Process(app._process.pid)
            time.sleep(ALONE_S)
            alone = memory_mb(process)
            viewers = [Viewer(app.port, app.token) for _ in range(options.viewers)]
            viewers.append(Viewer(app.port, app.token, pause_s=SLOW_S))
            print(
                f"1-minute load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True
            )
            measure(app, process, viewers, alone, options.minutes * 60)
        finally:
            for one in viewers:
                one.close()
            print(f"ended with code {app.end()}")


def measure(app: Process, process: psutil.Process, viewers: list[Viewer], alone, seconds: float) -> None:
    """Sample for so many seconds, then print."""
    start_s, rows, rates = time.monotonic(), [], []
    counts, then_s = [one.pictures for one in viewers], start_s
    process.cpu_percent()
    before = app.state()["source"]
    while time.monotonic() - start_s < seconds:
        time.sleep(min(5.0, seconds / 4))
        now_s = time.monotonic()
        new = [one.pictures for one in viewers]
        rates.append([(b - a) / (now_s - then_s) for a, b in zip(counts, new, strict=True)])
        counts, then_s = new, now_s
        rows.append((now_s - start_s, *memory_mb(process), process.num_threads(), process.num_fds()))
    table, rates = np.array(rows), np.array(rates)
    after = app.state()["source"]
    passed_s = table[-1, 0]
    made = (after["frames"] - before["frames"]) / passed_s
    print(f"{passed_s:.0f} s; source {made:.1f} frames/s, {after['dropped'] - before['dropped']} dropped")
    print(
        f"latency until published: median {after['latency_ms']:.1f} ms, p95 {after['latency_p95_ms']:.1f} ms"
    )
    for number, one in enumerate(rates.T):
        kind = "slow" if number == len(viewers) - 1 else f"viewer {number + 1}"
        print(f"{kind}: {one.mean():.1f} frames/s, slowest 5 s {one.min():.1f}")
    print(f"memory alone: PSS {alone[0]:.0f} MB, USS {alone[1]:.0f} MB, RSS {alone[2]:.0f} MB")
    for name, column in (("PSS", 1), ("USS", 2), ("RSS", 3)):
        values = table[:, column]
        warm = table[:, 0] >= WARM_S  # a shorter run tells no slope
        first, last = values[0], values[-1]
        line = f"{name} with viewers: {first:.1f} at first, {last:.1f} at the end, most {values.max():.1f} MB"
        if warm.sum() > 4:
            rate, half = slope(table[warm, 0], values[warm])
            line += f"; once warm {rate:+.1f} ± {half:.1f} MB an hour"
        print(line)
    print(
        f"threads {table[0, 4]:.0f} to {table[-1, 4]:.0f}, open files {table[0, 5]:.0f} to {table[-1, 5]:.0f}"
    )
    print(f"processor: {process.cpu_percent():.0f} % of one; load now {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
