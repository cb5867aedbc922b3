"""Sources, sinks, the overlapped pipeline, the overlay: order, drops, failures, interrupts, damaged files."""

from __future__ import annotations

import _thread
import functools
import http.server
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgelab import video
from edgelab.errors import DataError, EdgelabError, InputError, TargetError
from edgelab.video import pipeline, sinks, sources

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


def pipeline_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(pipeline.THREAD_PREFIX)]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert pipeline_threads() == []


@pytest.fixture(autouse=True)
def _interrupts_arrive():
    """A shell that starts tests in the background has them ignore interrupts, and then Python does so too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


RUNS = pytest.mark.parametrize("run", [video.run, video.run_serial])


# Sources


@pytest.mark.parametrize("suffix", sorted(sinks.CODECS))
def test_file_round_trip_keeps_frames_order_and_colour(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    with video.open_sink(path, fps=25) as sink:
        for number in range(20):
            sink.show(numbered_image(number))
        sink.show(red)
    with video.open_source(path) as source:
        assert (source.size, source.fps, source.is_live) == (SIZE, 25.0, False)
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(21))
    assert frames[10].time_s == pytest.approx(0.4)
    for number, frame in enumerate(frames[:20]):
        assert frame.image.mean() == pytest.approx(number * 8, abs=5)
    # red, not blue: VP8 and MPEG-4 halve the colour resolution and shift it slightly
    assert np.allclose(frames[20].image.mean((0, 1)), (200, 0, 0), atol=12)
    assert source.notes == []


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm"])
@pytest.mark.parametrize("kept", [0.35, 0.6, 0.85])
def test_truncated_video_ends_with_its_last_whole_frame_and_says_so(tmp_path, suffix, kept):
    rng = np.random.default_rng(0)
    path = tmp_path / f"whole{suffix}"
    with video.open_sink(path) as sink:
        for _ in range(30):
            sink.show(rng.integers(0, 256, (48, 64, 3), np.uint8))
    with video.open_source(path) as source:
        whole = [frame.image for frame in source]
    data = path.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(len(data) * kept)])

    images = []
    stats = video.run(
        video.open_source(cut),
        index_of,
        preprocess=lambda frame: frame,
        draw=plain,
        on_result=lambda frame, result: images.append(frame.image),
    )
    assert 0 < stats.frames < 30
    assert all(np.array_equal(a, b) for a, b in zip(images, whole, strict=False))
    assert any(f"30 frames and ends after {stats.frames}" in note for note in stats.notes)


def test_mp4_without_its_end_is_a_clear_error(tmp_path):
    path = write_video(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be read as a video") as caught:
        video.open_source(path)
    assert "index" in caught.value.why


@pytest.mark.parametrize(
    ("name", "content"),
    [("noise.mp4", os.urandom(4000)), ("empty.avi", b""), ("text.mkv", b"not a video\n" * 50)],
)
def test_what_is_no_video_is_a_clear_error(tmp_path, name, content, capfd):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=name) as caught:
        video.open_source(path)
    assert caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_video_with_no_frame_is_a_clear_error(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    with video.open_sink(tmp_path / "clip.webm") as sink:
        sink.show(noise)
    path = tmp_path / "none.webm"
    path.write_bytes((tmp_path / "clip.webm").read_bytes()[:900])
    with pytest.raises(DataError, match="holds no whole frame"):
        video.open_source(path)


def test_missing_file_camera_and_stream_say_what_to_do(tmp_path, capfd):
    with pytest.raises(DataError, match=r"no video file gone\.mp4"):
        video.open_source(tmp_path / "gone.mp4")
    with pytest.raises(DataError, match="no video file"):
        video.open_source(tmp_path)
    with pytest.raises(TargetError, match="no camera 97") as caught:
        video.open_source("camera:97")
    assert "scenes" in caught.value.fix
    with pytest.raises(InputError, match="names no camera"):
        video.open_source("camera:front")
    with pytest.raises(TargetError) as caught:
        video.open_source("rtsp://somebody:secret@127.0.0.1:9/stream")
    assert "127.0.0.1:9/stream" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_network_stream_is_live_and_says_when_it_ends(tmp_path):
    """Served over HTTP, since that needs no more than Python; RTSP goes the same way through FFmpeg."""
    write_video(tmp_path / "clip.mkv", count=20)
    handler = functools.partial(_QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with video.open_source(f"http://127.0.0.1:{server.server_port}/clip.mkv") as source:
                assert source.is_live
                assert [frame.index for frame in source] == list(range(20))
                assert "stopped delivering after 20 frames" in source.notes[0]
        finally:
            server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_scenes_know_their_boxes_and_repeat_by_seed():
    with video.open_source("scenes", frame_count=3, seed=5) as source:
        first = list(source)
    second = list(video.open_source("scenes", frame_count=3, seed=5))
    other = list(video.open_source("scenes", frame_count=3, seed=6))
    assert [frame.index for frame in first] == [0, 1, 2]
    assert all(frame.boxes for frame in first)
    assert first[0].image.shape == (240, 320, 3)
    assert first[0].image.dtype == np.uint8
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0].image, other[0].image)


def test_scenes_change_now_and_then():
    frames = list(video.open_source("scenes", frame_count=sources.SCENE_FRAMES + 2, seed=1))
    last, first = frames[sources.SCENE_FRAMES - 1 : sources.SCENE_FRAMES + 1]
    steps = [np.abs(a.image.astype(int) - b.image).mean() for a, b in itertools.pairwise(frames[-4:])]
    assert steps[1] == np.abs(last.image.astype(int) - first.image).mean() > 3 * max(steps[0], steps[2])
    assert [frame.index for frame in frames] == list(range(sources.SCENE_FRAMES + 2))


def test_scene_file_brings_its_boxes(tmp_path):
    from edgelab import datasets

    path = datasets.write_scene_video(tmp_path / "scene.mp4", 5, seed=2)
    expected = [boxes for _, boxes in datasets.scenes(5, seed=2)]
    assert [frame.boxes for frame in video.open_source(path)] == expected
    path.with_suffix(".json").write_text('{"frames": [[{"wrong": 1}]]}')
    assert [frame.boxes for frame in video.open_source(path)] == [None] * 5


def test_live_source_keeps_the_clock():
    start_s = time.perf_counter()
    with video.as_live(Numbered(11), fps=100) as source:
        assert source.is_live
        frames = list(source)
    assert time.perf_counter() - start_s >= 0.1
    steps = np.diff([frame.captured_s for frame in frames])
    assert np.allclose(steps, 0.01)


def test_live_source_needs_a_rate():
    source = Numbered(3)
    source.fps = 0.0
    with pytest.raises(InputError, match="frames/s"):
        video.as_live(source)
    assert source.releases == 1


def test_source_closes_once_and_then_ends():
    source = Numbered(5)
    with source:
        next(source)
    source.close()
    assert source.releases == 1
    assert list(source) == []


def test_close_waits_for_a_read_in_progress():
    """Releasing a capture device under a reader would crash in native code."""

    class Slow(Numbered):
        def _read(self):
            reading.set()
            time.sleep(0.1)
            order.append("read")
            return super()._read()

        def _release(self):
            order.append("released")

    order, reading = [], threading.Event()
    source = Slow(5)
    reader = threading.Thread(target=next, args=(source,))
    reader.start()
    reading.wait()
    source.close()
    reader.join()
    assert order == ["read", "released"]


# Sinks


@pytest.mark.parametrize("suffix", sorted(sinks.CODECS))
@pytest.mark.parametrize("fps", [10, 12.5, 24000 / 1001, 29.833333])
def test_a_whole_file_is_recognised_at_any_frame_rate(tmp_path, suffix, fps):
    path = write_video(tmp_path / f"clip{suffix}", count=31, fps=fps)
    assert len(list(video.open_source(path))) == 31


def test_file_appears_when_finished_and_only_then(tmp_path):
    path = tmp_path / "clip.avi"
    with video.open_sink(path) as sink:
        sink.show(numbered_image(1))
        assert not path.exists()
    assert path.exists()
    assert list(tmp_path.iterdir()) == [path]


def test_failed_run_keeps_the_older_file(tmp_path):
    path = write_video(tmp_path / "clip.avi", count=7)
    before = path.read_bytes()

    def fails(frame):
        if frame.index == 12:
            raise ValueError("out of range")
        return frame

    with pytest.raises(EdgelabError):
        video.run(Numbered(20), index_of, path, preprocess=fails, draw=plain)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_killed_run_leaves_nothing_under_the_final_name(tmp_path):
    path = tmp_path / "clip.mp4"
    program = (
        "import numpy as np, os, signal, sys\n"
        "from edgelab import video\n"
        "sink = video.open_sink(sys.argv[1])\n"
        "for _ in range(20): sink.show(np.zeros((48, 64, 3), np.uint8))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX matter")
@pytest.mark.parametrize("suffix", sorted(sinks.CODECS))
def test_full_disk_is_a_clear_error(tmp_path, suffix):
    program = (
        "import numpy as np, resource, sys\n"
        "from edgelab import errors, video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)\n"
        "try:\n"
        "    with video.open_sink(sys.argv[1]) as sink:\n"
        "        for shift in range(60): sink.show(np.roll(noise, 37 * shift))\n"
        "except errors.StorageError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / f"clip{suffix}")], capture_output=True, text=True
    )
    assert "could not be written whole" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_sink_refuses_what_it_cannot_write(tmp_path):
    with pytest.raises(InputError, match="unknown kind of video"):
        video.open_sink(tmp_path / "clip.xyz")
    with pytest.raises(InputError, match="frames/s"):
        video.open_sink(tmp_path / "clip.avi", fps=0)
    with pytest.raises(InputError, match="32x16"), video.open_sink(tmp_path / "clip.avi") as sink:
        sink.show(numbered_image(0))
        sink.show(np.zeros((16, 32, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_no_notebook_here_is_a_clear_error():
    source = Numbered(3)
    with pytest.raises(TargetError, match="no notebook"):
        video.run(source, index_of, "notebook", preprocess=index_of)
    assert source.releases == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a desktop cannot be taken away elsewhere")
def test_no_window_here_is_a_clear_error(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(TargetError, match="No window"):
        video.open_sink("window")


def test_window_shows_frames_until_q_is_pressed():
    try:
        sink = video.open_sink("window")
    except TargetError as error:
        pytest.skip(error.what)

    def press_q_at_5(frame, result):
        if frame.index == 5:
            sink._window.event_generate("<Key>", keysym="q")
            sink._window.update()

    sink._window.focus_force()
    stats = video.run(
        Numbered(10**9), lambda i: i, sink, preprocess=index_of, draw=plain, on_result=press_q_at_5
    )
    assert stats.frames in (6, 7)
    assert stats.notes == (pipeline.STOPPED,)


def test_notebook_shows_one_still_picture_at_the_end():
    """Run by a real kernel: the live picture becomes one figure with alt text, whatever the frame count."""
    import nbformat
    from nbclient import NotebookClient

    cell = (
        "import numpy as np\nfrom edgelab import video\n"
        "with video.open_sink('notebook', alt='A <grey> ramp') as sink:\n"
        "    for level in range(40): sink.show(np.full((48, 64, 3), level, np.uint8))\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    page = output["data"]["text/html"]
    assert 'alt="A &lt;grey&gt; ramp"' in page
    assert "data:image/jpeg;base64," in page
    assert "Last of 40 frames" in page


# The pipeline


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
    # 40 frames arrive in 400 ms and take 800 ms: the last one is 400 ms late, unless frames are dropped.
    assert late.latencies_ms[-1] > 300
    assert np.all(np.diff(late.latencies_ms[::10]) > 0)
    assert fresh.latencies_ms[-1] < late.latencies_ms[-1] / 2


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


def test_interrupt_while_waiting_for_a_slow_camera():
    class Hanging(Numbered):
        def _read(self):
            if self._index == 3:
                timer.start()
                time.sleep(0.5)
            return super()._read()

    timer = threading.Timer(0.1, _thread.interrupt_main if os.name == "nt" else _interrupt_process)
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


def test_rolling_statistics_follow_the_last_frames():
    lives = []

    def model(index):
        time.sleep(0.002 if index < 60 else 0.008)
        return index

    def draw(frame, result, live):
        lives.append(live)
        return frame.image

    video.run_serial(Numbered(100), model, preprocess=index_of, draw=draw)
    assert lives[0].fps == 0.0
    assert 0 < lives[59].fps <= 500
    assert lives[99].fps <= 125  # a mean over all frames would be near 200
    assert lives[99].inference_ms >= 8
    assert lives[59].inference_ms < lives[99].inference_ms


def test_statistics_of_an_endless_stream_stay_bounded(monkeypatch):
    monkeypatch.setattr(pipeline, "RECORDED_FRAMES", 25)
    stats = video.run(Numbered(100), lambda i: i, preprocess=index_of, draw=plain)
    assert (stats.frames, len(stats.latencies_ms)) == (100, 25)
    assert {span.frame for span in stats.timeline} == set(range(75, 100))


# Overlay


@pytest.mark.parametrize("level", [0, 127, 255])
def test_overlay_is_legible_on_any_ground_and_leaves_the_frame_alone(level):
    image = np.full((240, 320, 3), level, np.uint8)
    before = image.copy()
    drawn = video.overlay(image, label="triangle", confidence=0.97, fps=31.4, inference_ms=2.25)
    assert np.array_equal(image, before)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    text = drawn[:40]
    assert (text > 200).all(-1).sum() > 100  # white strokes
    assert text.min() < 60  # on dark ground
    assert np.array_equal(drawn[80:], image[80:])


def test_overlay_draws_boxes_and_survives_odd_input():
    image = np.full((240, 320, 3), 90, np.uint8)[:, ::-1]  # not contiguous
    drawn = video.overlay(
        image, label="x" * 300, confidence=None, fps=0.0, inference_ms=0.1, boxes=[(100.4, 120, 150, 180)]
    )
    assert tuple(drawn[150, 100]) == (255, 221, 51)
    assert tuple(drawn[150, 125]) == (90, 90, 90)
    assert (drawn[:30, -12:] < 120).all()  # the long name was cut before the edge
    tiny = video.overlay(np.zeros((8, 8, 3), np.uint8), label="a", confidence=1.0, fps=1, inference_ms=1)
    assert tiny.shape == (8, 8, 3)


def test_overlay_text_changes_with_each_value():
    image = np.zeros((240, 320, 3), np.uint8)
    base = {"label": "ring", "confidence": 0.5, "fps": 30.0, "inference_ms": 2.0}
    drawn = video.overlay(image, **base)
    for change in ({"label": "star"}, {"confidence": 0.9}, {"fps": 12.0}, {"inference_ms": 7.5}):
        assert not np.array_equal(drawn, video.overlay(image, **{**base, **change}))


# Classifying


def test_square_crop_holds_the_box_and_stays_inside():
    rng = np.random.default_rng(0)
    image = np.arange(240 * 320).reshape(240, 320, 1).repeat(3, 2)
    for _ in range(200):
        left, top = rng.uniform(-5, 300), rng.uniform(-5, 220)
        box = (left, top, left + rng.uniform(2, 90), top + rng.uniform(2, 90))
        crop = video.square_crop(image, box, margin=0.1)
        assert crop.shape[0] == crop.shape[1] >= 1
        assert np.shares_memory(crop, image)
    crop = video.square_crop(image, (100, 50, 140, 70))
    assert crop.shape == (40, 40, 3)
    assert crop[0, 0, 0] == 40 * 320 + 100
    assert video.square_crop(image, (0, 0, 320, 240)).shape == (240, 240, 3)
    assert video.square_crop(image).shape == (240, 240, 3)
    assert video.square_crop(image)[0, 0, 0] == 40


def test_resize_averages_when_shrinking():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[::2] = 200
    assert np.all(video.resize(stripes, (16, 16)) == 100)
    assert video.resize(stripes, (100, 80)).shape == (80, 100, 3)


@pytest.mark.parametrize("zoom", [1, 2.4])
def test_moving_region_finds_what_moves_and_ignores_noise(zoom):
    rng = np.random.default_rng(0)
    size = (round(320 * zoom), round(240 * zoom))
    background = cv2.GaussianBlur(rng.integers(0, 256, (size[1], size[0], 3), np.uint8), (0, 0), 5)
    region, overlaps, still = video.MovingRegion(), [], []
    for index in range(60):
        image = cv2.add(background, rng.integers(0, 4, background.shape, np.uint8))
        box = tuple(round(zoom * edge) for edge in (4 * (index - 30), 100, 4 * (index - 30) + 41, 141))
        if index >= 30:
            cv2.rectangle(image, box[:2], (box[2] - 1, box[3] - 1), (250, 20, 20), -1)
        found = region(video.Frame(index, image, 0.0, 0.0))
        if index < 30:
            still.append(found)
        else:
            overlaps.append(intersection_over_union(found, box))
    assert still[5:] == [None] * 25
    assert np.median(overlaps[5:]) > 0.7


def test_moving_region_ignores_a_cut():
    region = video.MovingRegion()
    rng = np.random.default_rng(1)
    scenes = [cv2.GaussianBlur(rng.integers(0, 256, (240, 320, 3), np.uint8), (0, 0), 5) for _ in range(2)]
    scenes[1] = 255 - scenes[1] // 3
    for index in range(30):
        region(video.Frame(index, scenes[0], 0.0, 0.0))
    assert region(video.Frame(30, scenes[1], 0.0, 0.0)) is None


def intersection_over_union(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both / (area - both)


def test_largest_box():
    from edgelab.datasets import Box

    frame = video.Frame(0, numbered_image(0), 0.0, 0.0, (Box(0, 0, 0, 5, 5), Box(1, 10, 10, 30, 20)))
    assert video.largest_box(frame) == (10, 10, 30, 20)
    assert video.largest_box(video.Frame(0, numbered_image(0), 0.0, 0.0)) is None


@pytest.fixture(scope="module")
def int8_session(small_model, shapes):
    from edgelab import quantization, targets

    converted = quantization.convert(
        small_model, "int8", shapes.calibration_images(100), io_dtype="uint8", name="video_test"
    )
    with targets.get("cpu").open(converted.path) as session:
        yield session


def test_classifier_agrees_with_predict(int8_session, shapes):
    """Pictures of the model's own size pass through unchanged, so the answers must be the same."""
    from edgelab.runtime import predict

    classifier = video.Classifier(int8_session, shapes.class_names)
    images = shapes.test_images[:40]
    expected = predict(int8_session, images)
    for index, image in enumerate(images):
        prediction = classifier.infer(classifier.preprocess(video.Frame(index, image, 0.0, 0.0)))
        assert prediction.class_index == expected[index].argmax()
        assert prediction.confidence == pytest.approx(float(expected[index].max()))
        assert prediction.label == shapes.class_names[prediction.class_index]
        assert prediction.box is None


@RUNS
def test_classifier_on_scenes(run, int8_session, shapes):
    classifier = video.Classifier(int8_session, shapes.class_names, region=video.largest_box)
    predictions = []
    stats = run(
        video.open_source("scenes", frame_count=10),
        classifier.infer,
        Collecting(),
        preprocess=classifier.preprocess,
        on_result=lambda frame, prediction: predictions.append((frame, prediction)),
    )
    assert stats.frames == 10
    for frame, prediction in predictions:
        assert prediction.box == video.largest_box(frame)


def test_classifier_refuses_a_model_that_does_not_fit(int8_session):
    with pytest.raises(InputError, match="3 class names for 10 outputs"):
        video.Classifier(int8_session, ("a", "b", "c"))


# Real clips


@pytest.mark.real_data
def test_real_clips_read_to_the_end(real_data):
    clips = sorted((real_data / "media").glob("*.mp4"))
    assert clips
    for clip in clips:
        with video.open_source(clip) as source:
            announced = source.frame_count
            frames = sum(1 for _ in source)
        assert frames == announced
        assert source.notes == []


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


@pytest.mark.real_data
def test_real_clip_cut_in_the_middle(real_data, tmp_path):
    """One with its index at the front can still be read up to the cut."""
    outcomes = set()
    for clip in sorted((real_data / "media").glob("*.mp4")):
        data = clip.read_bytes()
        cut = tmp_path / clip.name
        cut.write_bytes(data[: len(data) // 2])
        try:
            stats = video.run(cut, index_of, preprocess=lambda frame: frame, draw=plain)
        except DataError:
            outcomes.add("refused")
        else:
            assert stats.frames > 10
            assert "ends after" in stats.notes[0]
            outcomes.add("read in part")
    assert outcomes


def test_importing_video_does_not_import_tensorflow():
    program = "import sys, edgelab.video; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    assert sources.os.environ["OPENCV_FFMPEG_LOGLEVEL"]
