"""Sources, sinks and files for tests of the video room."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edgelab import video

SIZE = (64, 48)  # width, height


def numbered_image(number: int) -> np.ndarray:
    """A picture that shows its number as a grey level, so that a frame can be told after encoding."""
    return np.full((SIZE[1], SIZE[0], 3), number * 8, np.uint8)


class Numbered(video.Source):
    """Frames that carry their number; `fail_at` raises as a broken device would."""

    def __init__(self, count: int, *, fail_at: int | None = None, is_live: bool = False) -> None:
        super().__init__()
        self.name, self.size, self.fps, self.frame_count = "numbered", SIZE, 30.0, count
        self.is_live, self._fail_at, self._index = is_live, fail_at, 0
        self.releases = 0

    def _read(self):
        if self._index == self._fail_at:
            raise OSError("device unplugged")
        if self._index == self.frame_count:
            return None
        self._index += 1
        index = self._index - 1
        return video.Frame(index, numbered_image(index % 32), index / self.fps, time.perf_counter())

    def _release(self) -> None:
        self.releases += 1


class Collecting(video.Sink):
    def __init__(self) -> None:
        super().__init__()
        self.images, self.ended = [], ""

    def show(self, image: np.ndarray) -> None:
        super().show(image)
        self.images.append(image)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def discard(self) -> None:
        self.ended = "discarded"


def index_of(frame):
    return frame.index


def plain(frame, result, live):
    return frame.image


def write_video(path: Path, count: int = 30, fps: float = 30.0) -> Path:
    with video.open_sink(path, fps=fps) as sink:
        for number in range(count):
            sink.show(numbered_image(number % 32))
    return path


RUNS = pytest.mark.parametrize("run", [video.run, video.run_serial])
