"""Capture, preprocess, inference and drawing: one after the other in a loop, or overlapped in threads.

The stages of one frame depend on each other, those of different frames do not: while frame 7 is drawn,
frame 8 can be in the model, frame 9 in preprocessing and frame 10 in the decoder. OpenCV, numpy and LiteRT
release Python's global lock inside their native code, so the threads really run at the same time. Bounded
queues between the stages keep the order and let no backlog grow.
"""

from __future__ import annotations

import html
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from edgelab.errors import EdgelabError, InputError
from edgelab.runtime import Session
from edgelab.texts import tr
from edgelab.video.classify import Prediction
from edgelab.video.overlay import overlay
from edgelab.video.sinks import Sink, open_sink
from edgelab.video.sources import Frame, Source, open_source

STAGES = ("capture", "preprocess", "infer", "draw", "show")
ROLLING_FRAMES = 30  # one second at 30 FPS: steady to read, quick to follow a change
RECORDED_FRAMES = 3000  # statistics and timeline cover the last ones; an endless stream must not fill memory
STOPPED = "Stopped by the user."
THREAD_PREFIX = "edgelab-video-"
WAKE_UP_S = 0.1  # waiting in slices lets an interrupt through on every platform


@dataclass(frozen=True)
class Live:
    """Rolling statistics while the video runs, for the overlay.

    Attributes:
        fps: frames per second, over the last `ROLLING_FRAMES` frames; 0.0 before the second one.
        inference_ms: mean milliseconds per inference, over the same frames.
        latency_ms: of the frame before: from its capture until it was shown.
        dropped: frames dropped so far.
    """

    fps: float
    inference_ms: float
    latency_ms: float
    dropped: int


@dataclass(frozen=True)
class StageTime:
    """Milliseconds per frame that one stage takes: the mean, the median, and what 95 % stay below."""

    mean_ms: float
    median_ms: float
    p95_ms: float


class Span(NamedTuple):
    """When one stage worked on one frame, in seconds from the start of the run."""

    stage: str
    frame: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class VideoStats:
    """What a run over a video took.

    Attributes:
        frames: frames that went all the way.
        dropped: frames that were skipped because newer ones were waiting.
        duration_s: from the start until the last frame was shown.
        fps: frames / duration.
        cores_used: processor time of this program / duration: how many cores it kept busy. Overlapping can
            only help as far as this rises above that of one loop.
        stages: for each stage, its time per frame; the capture of a live source includes waiting for it.
        latencies_ms: float64, for each frame the time from its capture until it was shown.
        timeline: when each stage worked on which frame.
        notes: what else happened, such as a file that ended early or a stop by the user.
    """

    frames: int
    dropped: int
    duration_s: float
    fps: float
    cores_used: float
    stages: Mapping[str, StageTime]
    latencies_ms: np.ndarray = field(repr=False)
    timeline: tuple[Span, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def latency_ms(self) -> float:
        """Median latency of a frame, in milliseconds; NaN without frames."""
        return float(np.median(self.latencies_ms)) if self.latencies_ms.size else float("nan")

    @property
    def latency_p95_ms(self) -> float:
        """Latency that 95 % of the frames stay below, in milliseconds; NaN without frames."""
        return float(np.percentile(self.latencies_ms, 95)) if self.latencies_ms.size else float("nan")

    def __str__(self) -> str:
        lines = [
            f"{self.frames} frames in {self.duration_s:.2f} s: {self.fps:.1f} FPS, {self.dropped} dropped, "
            f"latency {self.latency_ms:.1f} ms (p95 {self.latency_p95_ms:.1f} ms), "
            f"{self.cores_used:.1f} cores busy",
            *(f"{name}: {t.mean_ms:.2f} ms (p95 {t.p95_ms:.2f} ms)" for name, t in self.stages.items()),
        ]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        head, *rest = str(self).split("\n")
        rows = "".join(f"<li>{html.escape(line)}</li>" for line in rest)
        return f"<p><b>{html.escape(head)}</b></p><ul>{rows}</ul>"


class _Job:
    """A frame on its way through the stages: `value` is what the last stage made of it."""

    def __init__(self, frame: Frame, start_s: float) -> None:
        self.frame = frame
        self.value: Any = frame
        self.spans = {"capture": (start_s, time.perf_counter())}

    def timed(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """`work(*arguments)`, with its time noted under the stage's name, and its failure too."""
        start_s = time.perf_counter()
        try:
            result = work(*arguments)
        except Exception as error:
            raise _failure(
                tr("The {stage} stage failed on frame {index}.", stage=stage, index=self.frame.index), error
            ) from error
        self.spans[stage] = (start_s, time.perf_counter())
        return result


def _failure(what: str, error: Exception) -> EdgelabError:
    """The error the user sees. One of ours says already what happened and what to do."""
    if isinstance(error, EdgelabError):
        return error
    return EdgelabError(
        what,
        why=f"{type(error).__name__}: {error}",
        fix=tr("call that stage's function on one frame by itself; the traceback above shows where it fails"),
    )


class _Channel:
    """A bounded first-in-first-out queue between two threads that can be ended from either side."""

    def __init__(self, capacity: int, *, drop_oldest: bool = False) -> None:
        self._jobs: deque[_Job] = deque()
        self._capacity, self._drop_oldest = capacity, drop_oldest
        self._changed = threading.Condition()
        self._is_closed = self._is_aborted = False
        self.dropped = 0

    def put(self, job: _Job) -> bool:
        """Add at the end; wait for room, or drop the oldest waiting one. False when it is not wanted."""
        with self._changed:
            while len(self._jobs) >= self._capacity and not self._is_aborted:
                if self._drop_oldest:
                    self._jobs.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait(WAKE_UP_S)
            if not self._is_aborted:
                self._jobs.append(job)
                self._changed.notify_all()
            return not self._is_aborted

    def get(self) -> _Job | None:
        """The oldest; waits for one. None when no more will come."""
        with self._changed:
            while not self._jobs and not self._is_closed and not self._is_aborted:
                self._changed.wait(WAKE_UP_S)
            if self._is_aborted or not self._jobs:
                return None
            job = self._jobs.popleft()
            self._changed.notify_all()
            return job

    def close(self) -> None:
        """No more will be put; what waits can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Forget what waits, and end whoever waits."""
        with self._changed:
            self._is_aborted = True
            self._changed.notify_all()


class _Recorder:
    """Draws and shows each frame, in order, and keeps the statistics; shared by both ways of running."""

    def __init__(
        self,
        sink: Sink,
        draw: Callable[[Frame, Any, Live], np.ndarray],
        on_result: Callable[[Frame, Any], None] | None,
    ) -> None:
        self._sink, self._draw, self._on_result = sink, draw, on_result
        self._spans: deque[tuple[int, dict[str, tuple[float, float]]]] = deque(maxlen=RECORDED_FRAMES)
        self._latencies_ms: deque[float] = deque(maxlen=RECORDED_FRAMES)
        self._shown_s: deque[float] = deque(maxlen=ROLLING_FRAMES)
        self._inference_ms: deque[float] = deque(maxlen=ROLLING_FRAMES)
        self._frames = 0
        self._start_s = self._end_s = time.perf_counter()
        self._start_cpu_s = self._end_cpu_s = time.process_time()

    def finish(self, job: _Job, dropped: int) -> None:
        """Draw and show one frame that has been through the model."""
        start_s, end_s = job.spans["infer"]
        self._inference_ms.append((end_s - start_s) * 1e3)
        image = job.timed("draw", self._draw, job.frame, job.value, self._live(dropped))
        job.timed("show", self._sink.show, image)
        if self._on_result:
            self._on_result(job.frame, job.value)
        self._end_s, self._end_cpu_s = job.spans["show"][1], time.process_time()
        self._shown_s.append(self._end_s)
        self._latencies_ms.append((self._end_s - job.frame.captured_s) * 1e3)
        self._spans.append((job.frame.index, job.spans))
        self._frames += 1

    def _live(self, dropped: int) -> Live:
        shown_s = self._shown_s
        fps = (len(shown_s) - 1) / (shown_s[-1] - shown_s[0]) if len(shown_s) > 1 else 0.0
        latency_ms = self._latencies_ms[-1] if self._latencies_ms else 0.0
        return Live(fps, float(np.mean(self._inference_ms)), latency_ms, dropped)

    def stats(self, dropped: int, notes: list[str]) -> VideoStats:
        """Everything so far."""
        timeline = tuple(
            Span(stage, index, start_s - self._start_s, end_s - self._start_s)
            for index, spans in self._spans
            for stage, (start_s, end_s) in spans.items()
        )
        stages = {}
        for stage in STAGES if timeline else ():
            times_ms = [(span.end_s - span.start_s) * 1e3 for span in timeline if span.stage == stage]
            stages[stage] = StageTime(*map(float, (np.mean(times_ms), *np.percentile(times_ms, (50, 95)))))
        duration_s = self._end_s - self._start_s
        return VideoStats(
            frames=self._frames,
            dropped=dropped,
            duration_s=duration_s,
            fps=self._frames / duration_s if duration_s else 0.0,
            cores_used=(self._end_cpu_s - self._start_cpu_s) / duration_s if duration_s else 0.0,
            stages=stages,
            latencies_ms=np.array(self._latencies_ms),
            timeline=timeline,
            notes=tuple(notes),
        )


def draw_prediction(frame: Frame, prediction: Prediction, live: Live) -> np.ndarray:
    """The frame with class, confidence, frame rate, inference time and the box that was classified."""
    return overlay(
        frame.image,
        label=prediction.label,
        confidence=prediction.confidence,
        fps=live.fps,
        inference_ms=live.inference_ms,
        boxes=[prediction.box] if prediction.box else (),
    )


def _captured(source: Source, max_frames: int | None) -> Iterator[_Job]:
    """Jobs from the source, with the time each capture took; at most `max_frames`."""
    taken = 0
    while max_frames is None or taken < max_frames:
        start_s = time.perf_counter()
        try:
            frame = next(source, None)
        except Exception as error:
            raise _failure(
                tr("The capture stage failed after {taken} frames.", taken=taken), error
            ) from error
        if frame is None:
            return
        taken += 1
        yield _Job(frame, start_s)


def _infer_function(model: Session | Callable[[Any], Any]) -> Callable[[Any], Any]:
    return model.run if hasattr(model, "run") else model


def _opened(source: Source | str | os.PathLike[str], sink: Sink | str | os.PathLike[str] | None):
    """Both ends, opened if they are named only; if the sink fails, the source is released."""
    source = source if isinstance(source, Source) else open_source(source)
    try:
        sink = sink if isinstance(sink, Sink) else open_sink(sink, fps=source.fps or 30.0)
        _check_apart(source, sink)
    except BaseException:
        source.close()
        raise
    return source, sink


def _check_apart(source: Source, sink: Sink) -> None:
    """A recording must not be replaced by its own result.

    Raises:
        InputError: both are the same file.
    """
    ends = [getattr(end, "path", None) for end in (source, sink)]
    if all(ends) and os.path.realpath(ends[0]) == os.path.realpath(ends[1]):
        raise InputError(
            tr("Source and sink are the same file, {path}.", path=ends[0].name),
            why=tr("the recording would be replaced while it is read"),
            fix=tr("give the result another name"),
        )


def run_serial(
    source: Source | str | os.PathLike[str],
    model: Session | Callable[[Any], Any],
    sink: Sink | str | os.PathLike[str] | None = None,
    *,
    preprocess: Callable[[Frame], Any],
    draw: Callable[[Frame, Any, Live], np.ndarray] = draw_prediction,
    max_frames: int | None = None,
    on_result: Callable[[Frame, Any], None] | None = None,
) -> VideoStats:
    """The stages of `run`, one after the other in one loop: simple, and the measure for the overlapped run.

    Arguments, result and errors are those of `run`; nothing is ever dropped.
    """
    infer = _infer_function(model)
    source, sink = _opened(source, sink)
    notes = []
    with source, sink:
        recorder = _Recorder(sink, draw, on_result)
        try:
            for job in _captured(source, max_frames):
                job.value = job.timed("preprocess", preprocess, job.value)
                job.value = job.timed("infer", infer, job.value)
                recorder.finish(job, dropped=0)
                if sink.wants_stop:
                    notes.append(STOPPED)
                    break
        except KeyboardInterrupt:
            notes.append(STOPPED)
    return recorder.stats(0, [*source.notes, *notes])


def run(
    source: Source | str | os.PathLike[str],
    model: Session | Callable[[Any], Any],
    sink: Sink | str | os.PathLike[str] | None = None,
    *,
    preprocess: Callable[[Frame], Any],
    draw: Callable[[Frame, Any, Live], np.ndarray] = draw_prediction,
    drop_when_late: bool | None = None,
    max_frames: int | None = None,
    queue_size: int = 2,
    on_result: Callable[[Frame, Any], None] | None = None,
) -> VideoStats:
    """Send every frame through the stages, each stage in a thread of its own, and show the frames in order.

    Drawing and showing happen in the caller's thread, where notebooks and windows want them. An interrupt
    (the notebook's Stop button, Ctrl-C) or the window's quit key ends the run as the end of the stream does:
    the statistics so far are returned. However it ends, every thread is gone, source and sink are closed.

    Args:
        source: where frames come from, or what `open_source` takes.
        model: takes what `preprocess` gives; a session or any function.
        sink: where frames go, or what `open_sink` takes.
        preprocess: makes the model's input from a `Frame`.
        draw: (frame, the model's result, rolling statistics) to the uint8 `[H, W, 3]` RGB picture to show.
        drop_when_late: when frames come faster than they are processed, skip the oldest waiting one (True) or
            make the source wait (False); None: skip for live sources, where waiting only means growing lag.
        max_frames: frames to take from the source, dropped ones included; None for all.
        queue_size: frames that may wait before each stage. More evens out uneven stages and adds latency.
        on_result: called with each frame and the model's result, in order, in the caller's thread.

    Returns:
        Frame rate, latency, time per stage and what was dropped.

    Raises:
        EdgelabError: a stage failed; says which, and on which frame. The original error is its cause.
        BaseException: what a stage raised that is no `Exception`, such as `SystemExit`, as it is.
        InputError: `queue_size` below 1.
    """
    infer = _infer_function(model)
    source, sink = _opened(source, sink)
    notes: list[str] = []
    failures: list[BaseException] = []
    with source, sink:
        if queue_size < 1:
            raise InputError(
                tr("queue_size is {queue_size}.", queue_size=queue_size),
                why=tr("a stage hands over at least one frame"),
            )
        drop = source.is_live if drop_when_late is None else drop_when_late
        captured = _Channel(queue_size, drop_oldest=drop)
        prepared, inferred = _Channel(queue_size), _Channel(queue_size)
        channels = (captured, prepared, inferred)

        def guarded(work: Callable[..., None], *arguments: Any) -> None:
            try:
                work(*arguments)
            except BaseException as error:  # a stage may call sys.exit, and everybody waits for its frames
                failures.append(error)
                for channel in channels:
                    channel.abort()

        works = {
            "capture": (_capture_all, source, max_frames, captured),
            "preprocess": (_process_all, "preprocess", preprocess, captured, prepared),
            "infer": (_process_all, "infer", infer, prepared, inferred),
        }
        threads = [
            threading.Thread(target=guarded, args=work, name=f"{THREAD_PREFIX}{stage}", daemon=True)
            for stage, work in works.items()
        ]
        recorder = _Recorder(sink, draw, on_result)
        try:
            for thread in threads:
                thread.start()
            while (job := inferred.get()) is not None:
                recorder.finish(job, captured.dropped)
                if sink.wants_stop:
                    notes.append(STOPPED)
                    break
        except KeyboardInterrupt:
            notes.append(STOPPED)
        finally:
            for channel in channels:
                channel.abort()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        if failures:
            raise failures[0]
    return recorder.stats(captured.dropped, [*source.notes, *notes])


def _capture_all(source: Source, max_frames: int | None, outbox: _Channel) -> None:
    for job in _captured(source, max_frames):
        if not outbox.put(job):
            return
    outbox.close()


def _process_all(stage: str, work: Callable[[Any], Any], inbox: _Channel, outbox: _Channel) -> None:
    while (job := inbox.get()) is not None:
        job.value = job.timed(stage, work, job.value)
        if not outbox.put(job):
            return
    outbox.close()
