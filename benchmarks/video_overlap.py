"""How much faster the overlapped video pipeline is than the same stages in one loop.

    python benchmarks/video_overlap.py [SOURCE ...] [--rounds 10] [--frames 100] [--quiet 0.2]

The stages do real work: decode (or generate) a frame, find and cut out what moves, int8 inference, draw
the overlay and encode the result as a video file. The model is MobileNetV2 at the resolution whose inference
takes about as long as the longest other stage; its weights are untrained, which does not change its speed.

Four ways run interleaved, in random order in each round: one loop and overlapped, each once with every
library held to one thread, and once with OpenCV, the decoder and LiteRT free to use all cores in a stage. The
first pair isolates what overlapping brings: one thread against one thread per stage. The second says whether
it still pays when the loop may already use both cores. Ratios are formed within a round, where the machine's
mood is the same, and only rounds count in which other processes left the cores alone.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil

from edgelab import models, quantization, targets, video
from edgelab.machine.hardware import available_cpus

RESOLUTIONS = (96, 160, 224)
CLASS_NAMES = tuple(f"class {index}" for index in range(10))
ONE, FREE = 1, available_cpus()
WAYS = {
    (name, threads): way
    for name, way in (("loop", video.run_serial), ("overlapped", video.run))
    for threads in (ONE, FREE)
}
PAUSE_S = 5.0  # before another try on a noisy machine


def int8_model(resolution: int) -> Path:
    """An int8 MobileNetV2 for pictures of this size, calibrated on generated scenes."""
    import keras

    keras.utils.set_random_seed(0)
    shape = (resolution, resolution, 3)
    model = models.mobilenet_v2(shape, len(CLASS_NAMES), alpha=1.0, strides=models.STOCK_STRIDES)
    images = [
        video.resize(video.square_crop(frame.image), (resolution, resolution))
        for frame in video.open_source("scenes", frame_count=20)
    ]
    name = f"overlap_{resolution}"
    return quantization.convert(model, "int8", np.stack(images), io_dtype="uint8", name=name).path


def run(source: str | Path, model: Path, way: Callable, threads: int, frames: int, out: Path):
    """All frames once, with the libraries held to this many threads."""
    cv2.setNumThreads(threads)
    os.environ["OPENCV_FFMPEG_THREADS"] = str(threads)
    with targets.get("cpu", threads=threads).open(model) as session:
        classifier = video.Classifier(session, CLASS_NAMES, region=video.MovingRegion())
        return way(
            video.open_source(source, frame_count=frames),
            classifier.infer,
            out,
            preprocess=classifier.preprocess,
            max_frames=frames,
        )


def stage_times_ms(stats: video.VideoStats) -> dict[str, float]:
    """Median milliseconds per stage, as the overlapped run groups them: draw and show share a thread."""
    times = {name: stage.median_ms for name, stage in stats.stages.items()}
    times["draw+encode"] = times.pop("draw") + times.pop("show")
    return times


def fitting_model(times_ms: Callable[[Path], dict[str, float]]) -> tuple[int, Path]:
    """The resolution, and the model, whose inference is nearest to the longest other stage."""

    def distance(choice: tuple[int, Path]) -> float:
        stages = times_ms(choice[1])
        return abs(np.log(stages.pop("infer") / max(stages.values())))

    return min(((resolution, int8_model(resolution)) for resolution in RESOLUTIONS), key=distance)


class OtherLoad:
    """Share of all cores that other processes used since it was made."""

    def __init__(self) -> None:
        self._start = self._seconds()

    def _seconds(self) -> np.ndarray:
        system, own = psutil.cpu_times(), psutil.Process().cpu_times()
        return np.array([time.perf_counter() * psutil.cpu_count(), system.idle, own.user + own.system])

    def share(self) -> float:
        """0 to 1."""
        total_s, idle_s, own_s = self._seconds() - self._start
        return float(np.clip((total_s - idle_s - own_s) / total_s, 0, 1))


def measure(run_way: Callable, rounds: int, quiet: float, patience_s: float) -> pd.DataFrame:
    """One row per quiet round: frames per second of the four ways, and the load that others caused."""
    rows, give_up_s = [], time.monotonic() + patience_s
    while len(rows) < rounds and time.monotonic() < give_up_s:
        load = OtherLoad()
        time.sleep(0.5)
        if load.share() > quiet:
            time.sleep(PAUSE_S)
            continue
        load = OtherLoad()
        row = {key: run_way(*key).fps for key in random.sample(list(WAYS), len(WAYS))}
        row["others"] = load.share()
        if row["others"] <= quiet:
            rows.append(row)
    return pd.DataFrame(rows)


def report(stages: dict[str, float], table: pd.DataFrame) -> str:
    """The ratios with their spread over the rounds, and what bounds them."""

    def ratio(above, below) -> str:
        values = table[above] / table[below]
        return f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})"

    total_ms = sum(stages.values())
    bound = total_ms / max(max(stages.values()), total_ms / available_cpus())
    lines = [
        "stages in one loop: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in stages.items()),
        *(
            f"{name}, {threads} thread(s) per library: {table[name, threads].median():.0f} FPS"
            for name, threads in WAYS
        ),
        f"overlapped / loop, one thread per library: {ratio(('overlapped', ONE), ('loop', ONE))}",
        f"overlapped / loop, libraries free:         {ratio(('overlapped', FREE), ('loop', FREE))}",
        f"the stage times allow at most:             {bound:.2f}",
        f"{len(table)} rounds; others used {table['others'].median():.0%} of {available_cpus()} cores "
        f"(at most {table['others'].max():.0%})",
    ]
    return "\n  ".join(lines)


def main() -> None:
    """Measure each source: by default the generated scenes, and the clips in `$EDGELAB_DATA/media`."""
    data = os.environ.get("EDGELAB_DATA")
    clips = sorted(Path(data).glob("media/*.mp4")) if data else []
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", default=["scenes", *clips], help='"scenes" or a video file')
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100, help="frames per run")
    parser.add_argument("--quiet", type=float, default=0.2, help="largest share of the cores others may use")
    parser.add_argument("--patience", type=float, default=300, help="seconds to wait for quiet, per source")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mp4"
        for source in options.sources:

            def times_ms(model: Path, source=source) -> dict[str, float]:
                return stage_times_ms(run(source, model, video.run_serial, ONE, options.frames, out))

            resolution, model = fitting_model(times_ms)

            def run_way(name: str, threads: int, source=source, model=model) -> video.VideoStats:
                return run(source, model, WAYS[name, threads], threads, options.frames, out)

            table = measure(run_way, options.rounds, options.quiet, options.patience)
            found = report(times_ms(model), table) if len(table) else "no quiet round"
            print(f"{Path(source).name}, model input {resolution} px\n  {found}\n", flush=True)


if __name__ == "__main__":
    main()
