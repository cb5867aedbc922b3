"""The pipeline: order, overlap, drops, failures, interrupts, statistics."""

from __future__ import annotations

import _thread
import itertools
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from video_doubles import RUNS, Collecting, Numbered, index_of, plain

from edgelab import video
from edgelab.errors import EdgelabError, InputError
from edgelab.video import pipeline


@RUNS
def test_frames_arrive_once_and_in_order(run):
    seen = []
    stats = run(
        Numbered(50),
        lambda value: value * 10,
        preprocess=lambda frame: frame.index + 1,
        draw=plain,
        on_result=lambda frame, result: seen.append((frame.index, result)),
    )
    assert seen == [(index, (index + 1) * 10) for index in range(50)]
    assert (stats.frames, stats.dropped, stats.notes) == (50, 0, ())
    assert stats.fps == pytest.approx(50 / stats.duration_s)


def test_order_holds_when_stages_take_turns_being_slow():
    rng = np.random.default_rng(0)
    pauses = iter(rng.uniform(0, 0.004, 400))

    def uneven(value):
        time.sleep(next(pauses))
        return value

    seen = []
    video.run(
        Numbered(60),
        uneven,
        preprocess=lambda frame: uneven(frame.index),
        draw=plain,
        queue_size=1,
        on_result=lambda frame, result: seen.append(result),
    )
    assert seen == list(range(60))


def test_stages_of_different_frames_overlap():
    """Frame 1 is captured before frame 0 leaves the model: impossible in one loop."""
    next_is_prepared = threading.Event()

    def preprocess(frame):
        if frame.index == 1:
            next_is_prepared.set()
        return frame.index

    def infer(index):
        return next_is_prepared.wait(10)

    results = []
    video.run(
        Numbered(2), infer, preprocess=preprocess, draw=plain, on_result=lambda frame, r: results.append(r)
    )
    assert results == [True, True]


@RUNS
def test_source_and_sink_are_closed_at_the_end(run):
    source, sink = Numbered(5), Collecting()
    run(source, index_of, sink, preprocess=lambda frame: frame, draw=plain)
    assert (source.releases, sink.ended, sink.count) == (1, "closed", 5)


@RUNS
def test_max_frames_ends_the_stream(run):
    source = Numbered(1000)
    assert run(source, index_of, preprocess=lambda frame: frame, draw=plain, max_frames=7).frames == 7
    assert source.releases == 1


@RUNS
def test_empty_stream_gives_empty_statistics(run):
    stats = run(Numbered(0), index_of, preprocess=lambda frame: frame, draw=plain)
    assert (stats.frames, stats.stages, stats.timeline) == (0, {}, ())
    assert np.isnan(stats.latency_ms)
    assert "0 frames" in str(stats)


def test_live_source_drops_the_oldest_and_counts():
    everything_captured = threading.Event()
    seen = []

    class Counting(Numbered):
        def _read(self):
            frame = super()._read()
            if frame is None:
                everything_captured.set()
            return frame

    stats = video.run(
        Counting(40, is_live=True),
        lambda index: everything_captured.wait(10) and index,
        preprocess=index_of,
        draw=plain,
        queue_size=1,
        on_result=lambda frame, result: seen.append(frame.index),
    )
    # While the first is in the model, one is prepared and one waits for that; of the rest the last stays.
    assert stats.dropped == 40 - stats.frames
    assert 1 <= stats.frames <= 4
    assert seen[-1] == 39
    assert seen == sorted(seen)


def test_file_never_drops_however_slow_the_model():
    def slow(index):
        time.sleep(0.002)
        return index

    stats = video.run(Numbered(40), slow, preprocess=index_of, draw=plain, queue_size=1)
    assert (stats.frames, stats.dropped) == (40, 0)


def test_without_dropping_a_live_source_lags():
    def slow(index):
        time.sleep(0.02)
        return index

    def latency_ms(**options):
        source = video.as_live(Numbered(40), fps=100)
        return video.run(source, slow, preprocess=index_of, draw=plain, queue_size=1, **options)

    late, fresh = latency_ms(drop_when_late=False), latency_ms()
    assert late.dropped == 0
    assert fresh.dropped > 0
    # 40 frames arrive in 400 ms and take 800 ms: the last one is 400 ms late.
    assert late.latencies_ms[-1] > 300
    assert np.all(np.diff(late.latencies_ms[::10]) > 0)


STAGE_FAILURES = {
    "preprocess": {"preprocess": lambda frame: 1 // (7 - frame.index)},
    "infer": {"preprocess": index_of, "model": lambda index: 1 // (7 - index)},
    "draw": {"draw": lambda frame, result, live: 1 // (7 - frame.index)},
}


@RUNS
@pytest.mark.parametrize("stage", STAGE_FAILURES)
def test_failing_stage_ends_the_run_and_is_named(run, stage):
    source, sink = Numbered(10_000), Collecting()
    work = {"preprocess": index_of, "model": lambda value: value, "draw": plain, **STAGE_FAILURES[stage]}
    with pytest.raises(EdgelabError, match=f"{stage} stage failed on frame 7") as caught:
        run(source, work["model"], sink, preprocess=work["preprocess"], draw=work["draw"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (source.releases, sink.ended) == (1, "discarded")


@RUNS
def test_failing_source_and_sink_end_the_run(run):
    class Failing(Collecting):
        def show(self, image):
            raise OSError("pipe closed")

    source = Numbered(30, fail_at=9)
    with pytest.raises(EdgelabError, match="capture stage failed after 9 frames"):
        run(source, index_of, preprocess=lambda frame: frame, draw=plain)
    assert source.releases == 1
    with pytest.raises(EdgelabError, match="show stage failed on frame 0"):
        run(Numbered(30), index_of, Failing(), preprocess=lambda frame: frame, draw=plain)


def test_our_own_errors_pass_unchanged():
    def fails(frame):
        raise InputError("wrong size", fix="resize it")

    with pytest.raises(InputError, match="wrong size"):
        video.run(Numbered(30), index_of, preprocess=fails)


@RUNS
@pytest.mark.parametrize("stage", ["capture", "preprocess", "infer"])
def test_a_stage_that_calls_exit_ends_the_run_and_the_caller_gets_it(run, stage):
    class Leaving(Numbered):
        def _read(self):
            return leave_at_3(super()._read()) if stage == "capture" else super()._read()

    def leave_at_3(frame):
        return sys.exit("seen enough") if frame.index == 3 else frame

    def call():
        try:
            run(
                source,
                leave_at_3 if stage == "infer" else lambda frame: frame,
                preprocess=leave_at_3 if stage == "preprocess" else lambda frame: frame,
                draw=plain,
            )
        except BaseException as error:
            raised.append(error)

    source, raised = Leaving(10**6), []
    caller = threading.Thread(target=call, daemon=True)  # which the tests can leave behind, if it never ends
    caller.start()
    caller.join(20)
    assert [(type(error), str(error)) for error in raised] == [(SystemExit, "seen enough")]
    assert source.releases == 1


@RUNS
def test_interrupt_returns_what_there_is_and_frees_everything(run):
    """What the notebook's Stop button and Ctrl-C do: KeyboardInterrupt in the main thread, at any moment."""
    source, sink = Numbered(10**9), Collecting()

    def draw(frame, result, live):
        if frame.index == 20:
            _thread.interrupt_main()
        sink.images.clear()
        return frame.image

    stats = run(source, lambda index: index, sink, preprocess=index_of, draw=draw)
    assert stats.frames >= 20
    assert stats.notes == (pipeline.STOPPED,)
    assert (source.releases, sink.ended) == (1, "closed")


def test_interrupt_while_waiting_for_a_slow_camera(monkeypatch):
    """The camera hangs until three frames are counted, interrupts, and hangs until the run has ended."""
    counted, ended = threading.Event(), threading.Event()
    finish, abort = pipeline._Recorder.finish, pipeline._Channel.abort

    def finish_and_tell(recorder, job, dropped):
        finish(recorder, job, dropped)
        if job.frame.index == 2:
            counted.set()

    monkeypatch.setattr(pipeline._Recorder, "finish", finish_and_tell)
    monkeypatch.setattr(pipeline._Channel, "abort", lambda channel: (abort(channel), ended.set()))

    class Hanging(Numbered):
        def _read(self):
            if self._index == 3:
                assert counted.wait(60)
                (_thread.interrupt_main if os.name == "nt" else _interrupt_process)()
                assert ended.wait(60), "the run goes on"
            return super()._read()

    source = Hanging(10**9)
    stats = video.run(source, lambda index: index, Collecting(), preprocess=index_of, draw=plain)
    assert stats.frames == 3
    assert stats.notes == (pipeline.STOPPED,)
    assert source.releases == 1


def _interrupt_process() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_quit_key_ends_the_run():
    class Quitting(Collecting):
        def show(self, image):
            super().show(image)
            self.wants_stop = self.count == 4

    for run in (video.run, video.run_serial):
        source = Numbered(10**9)
        stats = run(source, lambda index: index, Quitting(), preprocess=index_of, draw=plain)
        assert (stats.frames, stats.notes, source.releases) == (4, (pipeline.STOPPED,), 1)


def test_queue_of_nothing_is_refused():
    source = Numbered(3)
    with pytest.raises(InputError, match="queue_size"):
        video.run(source, index_of, preprocess=index_of, queue_size=0)
    assert source.releases == 1


@RUNS
def test_statistics_add_up(run):
    """Checked against the timeline they come from, with one stage of known length."""

    def slow(index):
        time.sleep(0.003)
        return index

    stats = run(Numbered(40), slow, preprocess=index_of, draw=plain)
    assert tuple(stats.stages) == pipeline.STAGES
    assert stats.stages["infer"].mean_ms >= 3
    times_ms = [1e3 * (span.end_s - span.start_s) for span in stats.timeline if span.stage == "infer"]
    assert stats.stages["infer"].median_ms == pytest.approx(np.median(times_ms))
    assert stats.stages["infer"].p95_ms == pytest.approx(np.percentile(times_ms, 95))
    assert len(stats.timeline) == 40 * len(pipeline.STAGES)
    assert stats.latency_p95_ms >= stats.latency_ms >= 3
    by_frame = {}
    for span in stats.timeline:
        assert 0 <= span.start_s <= span.end_s <= stats.duration_s
        by_frame.setdefault(span.frame, []).append(span)
    for spans in by_frame.values():
        assert [span.stage for span in spans] == list(pipeline.STAGES)
        assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(spans))
    assert 0 <= stats.cores_used < 1  # the slow stage sleeps
    assert "40 frames" in stats._repr_html_()


def test_rolling_statistics_follow_the_last_frames(monkeypatch):
    now, lives = [0.0], []
    clock = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: 0.0)
    monkeypatch.setattr(pipeline, "time", clock)

    def model(index):
        now[0] += 0.002 if index < 60 else 0.008
        return index

    def draw(frame, result, live):
        lives.append(live)
        return frame.image

    video.run_serial(Numbered(100), model, preprocess=index_of, draw=draw)
    assert lives[0].fps == 0.0
    assert lives[59].fps == pytest.approx(500)
    assert lives[99].fps == pytest.approx(125)  # a mean over all frames would be near 230
    assert lives[59].inference_ms == pytest.approx(2)
    assert lives[99].inference_ms == pytest.approx(8)


def test_statistics_of_an_endless_stream_stay_bounded(monkeypatch):
    monkeypatch.setattr(pipeline, "RECORDED_FRAMES", 25)
    stats = video.run(Numbered(100), lambda i: i, preprocess=index_of, draw=plain)
    assert (stats.frames, len(stats.latencies_ms)) == (100, 25)
    assert {span.frame for span in stats.timeline} == set(range(75, 100))


@pytest.mark.real_data
def test_real_clip_through_the_pipeline_to_a_file(real_data, tmp_path):
    clip = min((real_data / "media").glob("*.mp4"), key=lambda path: path.stat().st_size)
    out = tmp_path / "out.mp4"
    stats = video.run(
        clip,
        lambda image: video.Prediction(0, "clip", float(image.mean() / 255)),
        out,
        preprocess=lambda frame: video.resize(video.square_crop(frame.image), (32, 32)),
        max_frames=60,
    )
    assert (stats.frames, stats.dropped) == (60, 0)
    with video.open_source(out) as source:
        assert source.fps == pytest.approx(video.open_source(clip).fps, rel=1e-3)
        assert len(list(source)) == 60
