"""The loop that never ends: a source is opened, read, lost, and opened again, longer and longer apart."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgelab import video
from edgelab.alarms import Backoff
from edgelab.app.settings import SourceSettings
from edgelab.errors import EdgelabError
from edgelab.texts import tr
from edgelab.video import Frame, Source

ENDLESS = 10**9
KEPT_TIMES = 300  # frames of which latency and rate are told
USUAL_FPS = 25.0  # of a file that does not say
STALE_S = 3.0
MOST_LAG_S = 0.1  # behind its pace, which a played source makes up for
END_WITHIN_S = 15.0


@dataclass(frozen=True)
class LoopState:
    """How the source does.

    Attributes:
        status: "starting", "running", "waiting" (lost, or never there; tried again), "ended" (a file that is
            not to be repeated) or "stopped".
        source: what was opened last.
        error: why nothing comes; empty while frames come.
        next_try_s: seconds until the source is opened again.
        opened: times that it was opened.
        frames: that went all the way, since the start.
        dropped: skipped because newer ones were waiting, since the start.
        fps: frames per second, over the last ones; 0.0 where none came for three seconds.
        latency_ms, latency_p95_ms: from capture until published; None without frames.
        inference_ms: mean time of the model; None without frames.
        age_s: since the last frame; None before the first.
    """

    status: str
    source: str
    error: str
    next_try_s: float
    opened: int
    frames: int
    dropped: int
    fps: float
    latency_ms: float | None
    latency_p95_ms: float | None
    inference_ms: float | None
    age_s: float | None


def opener(settings: SourceSettings, base: Callable[[str], Any]) -> Callable[[], Source]:
    """What opens the source of `[source]`, at the pace of a camera.

    Args:
        settings: address, rate, seed.
        base: makes a path of the configuration a path of this machine.
    """

    def opened() -> Source:
        address = settings.address
        is_file = address != "scenes" and not address.startswith("camera:") and "://" not in address
        what = base(address) if is_file else address
        source = video.open_source(what, frame_count=ENDLESS, seed=settings.seed)
        if source.is_live:
            return source
        return Paced(source, settings.fps or source.fps or USUAL_FPS)

    return opened


class Paced(Source):
    """A file or the scenes at the pace of a camera.

    Where the machine cannot keep that pace, they play slower: a lag that grew with every frame would tell
    nothing of the model, and alarms would come too late.

    Args:
        source: what is played; closed with this.
        fps: frames per second.
    """

    is_live = True

    def __init__(self, source: Source, fps: float) -> None:
        super().__init__()
        self._source, self.fps, self._due_s = source, fps, time.perf_counter()
        self.name, self.size, self.frame_count = f"{source.name} (live)", source.size, source.frame_count
        self.notes, self.path = source.notes, source.path

    def _read(self) -> Frame | None:
        frame = next(self._source, None)
        if frame is None:
            return None
        now_s = time.perf_counter()
        self._due_s = max(self._due_s + 1 / self.fps, now_s - MOST_LAG_S)
        time.sleep(max(self._due_s - now_s, 0.0))
        return replace(frame, captured_s=self._due_s)

    def _release(self) -> None:
        self._source.close()


class _Stoppable(Source):
    """Another source that ends when it is told to."""

    def __init__(self, source: Source, is_stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._source, self._is_stopped = source, is_stopped
        self.name, self.size, self.fps = source.name, source.size, source.fps
        self.frame_count, self.is_live, self.notes = source.frame_count, source.is_live, source.notes

    def _read(self) -> Frame | None:
        return None if self._is_stopped() else next(self._source, None)

    def _release(self) -> None:
        self._source.close()


class SourceLoop:
    """Runs `video.run` again and again in a thread of its own.

    Args:
        open_: opens the source.
        infer: looks at a frame; may raise, which counts as a loss.
        show: takes (frame, what `infer` gave) in order, and publishes it.
        backoff: waits between tries.
        repeat: whether a file begins again at its end.
    """

    def __init__(
        self,
        open_: Callable[[], Source],
        infer: Callable[[Frame], Any],
        show: Callable[[Frame, Any], None],
        *,
        backoff: Backoff | None = None,
        repeat: bool = True,
    ) -> None:
        self._open, self._infer, self._show, self._repeat = open_, infer, show, repeat
        self._backoff = backoff or Backoff(1.0, 30.0)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._latencies_ms: deque[float] = deque(maxlen=KEPT_TIMES)
        self._inference_ms: deque[float] = deque(maxlen=KEPT_TIMES)
        self._shown_s: deque[float] = deque(maxlen=KEPT_TIMES)
        self._state = LoopState("starting", "", "", 0.0, 0, 0, 0, 0.0, None, None, None, None)
        self._dropped_before, self._next_try, self._source_is_live = 0, 0.0, True
        self.on_frame: list[Callable[[float, float], None]] = []  # called with latency and inference, in ms
        self._thread = threading.Thread(target=self._work, name="edgelab-app-source", daemon=True)

    def start(self) -> SourceLoop:
        """Begin."""
        self._thread.start()
        return self

    def _work(self) -> None:
        while not self._stop.is_set():
            before = self._state.frames
            error = self._run_once()
            if self._stop.is_set():
                break
            if not error and not self._source_is_live:
                if not self._repeat:
                    self._set(status="ended")
                    return
                if self._state.frames > before:
                    continue
                error = tr("{source} holds no frame.", source=self._state.source)
            wait_s = self._backoff.next_s()
            self._next_try = time.monotonic() + wait_s
            self._set(status="waiting", error=error or tr("{source} has ended.", source=self._state.source))
            self._stop.wait(wait_s)
        self._set(status="stopped")

    def _run_once(self) -> str:
        """One opening of the source until it ends; why it did, or empty for the end of a file."""
        self._source_is_live = True
        try:
            source = self._open()
            # A file at the pace of a camera has an end of its own; a camera has none.
            self._source_is_live = source.is_live and source.frame_count is None and source.path is None
            self._set(source=str(source), opened=self._state.opened + 1)
            self._dropped_before = self._state.dropped
            notes = video.run(
                _Stoppable(source, self._stop.is_set),
                self._timed,
                _Ending(self._stop.is_set),
                preprocess=lambda frame: frame,
                draw=self._draw,
            ).notes
        except EdgelabError as error:
            return f"{error.what} {error.why}".strip()
        except Exception as error:  # a library's; the loop must go on
            return f"{type(error).__name__}: {error}"
        return " ".join(notes) if self._source_is_live else ""

    def _timed(self, frame: Frame) -> tuple[Any, float]:
        start_s = time.perf_counter()
        return self._infer(frame), (time.perf_counter() - start_s) * 1e3

    def _draw(self, frame: Frame, result: tuple[Any, float], live: video.Live) -> np.ndarray:
        found, inference_ms = result
        self._show(frame, found)
        now_s = time.perf_counter()
        latency_ms = (now_s - frame.captured_s) * 1e3
        with self._lock:
            self._latencies_ms.append(latency_ms)
            self._inference_ms.append(inference_ms)
            self._shown_s.append(now_s)
            is_first = self._state.status != "running"
            self._state = replace(
                self._state,
                status="running",
                error="",
                frames=self._state.frames + 1,
                dropped=self._dropped_before + live.dropped,
            )
        if is_first:
            self._backoff.reset()
        for tell in self.on_frame:
            tell(latency_ms, inference_ms)
        return frame.image

    def _set(self, **changes: Any) -> None:
        with self._lock:
            self._state = replace(self._state, **changes)

    @property
    def dropped(self) -> int:
        """Frames skipped since the start."""
        return self._state.dropped

    def state(self) -> LoopState:
        """How the source does now."""
        now_s = time.perf_counter()
        with self._lock:
            state, shown_s = self._state, list(self._shown_s)
            latencies_ms, inference_ms = list(self._latencies_ms), list(self._inference_ms)
        if not shown_s:
            return replace(state, next_try_s=self._seconds_left(state))
        age_s = now_s - shown_s[-1]
        recent = [moment for moment in shown_s if now_s - moment <= 5 * STALE_S]
        span_s = recent[-1] - recent[0] if len(recent) > 1 else 0.0
        return replace(
            state,
            next_try_s=self._seconds_left(state),
            fps=(len(recent) - 1) / span_s if span_s and age_s < STALE_S else 0.0,
            latency_ms=float(np.median(latencies_ms)),
            latency_p95_ms=float(np.percentile(latencies_ms, 95)),
            inference_ms=float(np.mean(inference_ms)),
            age_s=age_s,
        )

    def _seconds_left(self, state: LoopState) -> float:
        return max(self._next_try - time.monotonic(), 0.0) if state.status == "waiting" else 0.0

    def close(self) -> None:
        """End; a source that is just being read may take some seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(END_WITHIN_S)


class _Ending(video.Sink):
    """Counts frames, and ends the run when it is told to."""

    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        self._is_stopped = is_stopped
        super().__init__()

    @property
    def wants_stop(self) -> bool:
        return self._is_stopped()

    @wants_stop.setter
    def wants_stop(self, value: bool) -> None:
        """What the class begins with; the answer is always asked for."""
