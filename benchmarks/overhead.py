"""What `benchmark.measure` costs beside a bare loop: their times per run, measured in turns.

    python benchmarks/overhead.py [MODEL.tflite]

Two ratios, each with its 95 % interval:
- the timing: `benchmark.time_runs`, which `measure` and `compare` use, against `for …: session.run(…)`;
- everything: `benchmark.time_runs` against the shortest loop LiteRT allows (`set_tensor`, `invoke`,
  `get_tensor` on its own interpreter), so that the session's checks and copies count too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgelab import benchmark, pipeline
from edgelab.machine import quiet
from edgelab.targets.cpu.target import CpuTarget

ROUNDS = 1000
ROUND_MS = 2.0  # shorter than the time slice of a scheduler, so that most rounds run undisturbed
LIMIT = 1.02


def bare_interpreter(path: Path) -> Callable[[np.ndarray], None]:
    """The shortest inference through LiteRT's own interface, on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet.native_stderr():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]

    def run(pixels: np.ndarray) -> None:
        interpreter.set_tensor(input_index, pixels)
        interpreter.invoke()
        interpreter.get_tensor(output_index)

    return run


def time_loop(run: Callable[[np.ndarray], object], pixels: np.ndarray, count: int) -> float:
    """Milliseconds per run of a bare loop, by one clock reading before it and one after."""
    started = time.perf_counter()
    for _ in range(count):
        run(pixels)
    return (time.perf_counter() - started) * 1e3 / count


def compare_loops(path: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Milliseconds per run of the three loops, [rounds] each, in random order within a round."""
    bare = bare_interpreter(path)
    with CpuTarget(threads=1).open(path) as session:
        inputs = benchmark.sample_inputs(session)
        once = benchmark.warm_up(session, inputs, max_seconds=1)[-1]
        count = max(1, round(ROUND_MS / once))

        def measured_loop() -> float:
            started = time.perf_counter()
            benchmark.time_runs(session, inputs, count)
            return (time.perf_counter() - started) * 1e3 / count

        loops = {
            "bare interpreter": lambda: time_loop(bare, inputs[0], count),
            "bare session": lambda: time_loop(session.run, inputs[0], count),
            "measured": measured_loop,
        }
        times: dict[str, list[float]] = {name: [] for name in loops}
        rng = np.random.default_rng(seed)
        for _ in range(ROUNDS):
            for name in rng.permutation(list(loops)):
                times[name].append(loops[name]())
    return {name: np.array(values) for name, values in times.items()}


def ratio(times: dict[str, np.ndarray], of: str, to: str) -> tuple[float, float, float]:
    """How two loops compare when nothing disturbs them, and the 95 % interval, from draws of whole rounds.

    The fastest tenth of the rounds decides: an overhead is paid in every run, a disturbance only in some.
    """

    def fast_ratio(rounds: np.ndarray, axis: int) -> np.ndarray:
        chosen = rounds.astype(int)
        return np.quantile(times[of][chosen], 0.1, axis=axis) / np.quantile(times[to][chosen], 0.1, axis=axis)

    rounds = np.arange(ROUNDS)
    return (float(fast_ratio(rounds, axis=0)), *benchmark.bootstrap_interval(rounds, fast_ratio))


def main() -> int:
    """Print the ratios; exit status 1 when either is certainly above 2 %."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else pipeline.open().converted("int8").path
    times = compare_loops(path)
    for name, values in times.items():
        print(f"{name:17s} {np.quantile(values, 0.1):.4f} ms per run, undisturbed")
    timing = ratio(times, "measured", "bare session")
    everything = ratio(times, "measured", "bare interpreter")
    print("timing:     {:.4f} [{:.4f}, {:.4f}] times the bare session loop".format(*timing))
    print("everything: {:.4f} [{:.4f}, {:.4f}] times the bare interpreter loop".format(*everything))
    return int(max(timing[1], everything[1]) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
