"""What an honest phone sends: the model really run, here by the CPU's own session, and really timed."""

from __future__ import annotations

import time

import numpy as np

from edgelab.targets.cpu.target import CpuTarget
from edgelab.web.phone_records import OPENINGS, RUNS

AGENT = "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 Chrome/156.0.0.0 Mobile Safari/537.36"
ABOUT = {
    "agent": AGENT, "brands": [{"brand": "Chromium", "version": "156.0.1"}], "platform": "Android",
    "phone": "Pixel 9", "cores": 8, "secure": True, "adapter": None, "clock_ms": 0.005,
}  # fmt: skip
GPU = {"vendor": "arm", "architecture": "valhall", "device": "", "description": "", "fallback": False}
SOFTWARE_GPU = {**GPU, "vendor": "google", "architecture": "swiftshader"}
LEAST_NS = 300_000  # of a sample: 60 steps of the clock above


def _elapsed_ns(work) -> int:
    started = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - started


def record(task, model, ticket="", accelerators=("wasm",), **about):
    """Head and parts of a record of a whole run; `about` as the browser would tell it."""
    runs, parts = [], []
    for accelerator in accelerators:
        run, outputs = _run(task, model, accelerator)
        runs.append(run)
        parts += outputs
    return {"ticket": ticket, "name": "Ana", "about": {**ABOUT, **about}, "runs": runs}, parts


def _run(task, model, accelerator):
    openings, started = [], time.perf_counter_ns()
    for _ in range(OPENINGS):
        before = time.perf_counter_ns()
        with CpuTarget(threads=1).open(model) as session:
            opening_ns = time.perf_counter_ns() - before
            outputs = [np.asarray(array).tobytes() for row in task.rows for array in session.run(*row)]
            batch = max(1, LEAST_NS // _elapsed_ns(lambda: session.run(*task.rows[-1])))

            def sample(session=session, batch=batch):
                for _ in range(batch):
                    session.run(*task.rows[-1])

            warm, stamps = [_elapsed_ns(sample)], [time.perf_counter_ns()]
            for _ in range(RUNS):
                sample()
                stamps.append(time.perf_counter_ns())
            times, window_ns = np.diff(stamps).tolist(), stamps[-1] - stamps[0]
        openings.append(
            {"opening_ns": opening_ns, "warm_up_ns": warm, "samples_ns": times, "window_ns": window_ns}
        )
    elapsed_ns = time.perf_counter_ns() - started
    run = {
        "accelerator": accelerator, "error": "", "console": [], "got": accelerator, "fully": True,
        "batch": batch, "openings": openings, "elapsed_ns": elapsed_ns,
    }  # fmt: skip
    return run, outputs
