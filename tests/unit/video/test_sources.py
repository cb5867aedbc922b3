"""Sources: files, scenes, streams, and what is none."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import itertools
import os
import re
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from video_doubles import SIZE, Numbered, index_of, numbered_image, plain, write_video

from edgelab import video
from edgelab.errors import DataError, InputError, TargetError
from edgelab.video import sinks, sources


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


@pytest.mark.parametrize(
    "name", ["rec-12:30:05.avi", "camera:0.avi", "a b.avi", "100%.avi", "ä 山.avi", "file:x.avi", "scenes"]
)
def test_a_file_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    made = write_video(tmp_path / "clip.avi", count=3)
    (tmp_path / name).write_bytes(made.read_bytes())
    with video.open_source(name) as source:
        assert len(list(source)) == 3 and source.name == name


def test_cameras_are_known_by_number_and_nonsense_is_refused():
    with pytest.raises(TargetError, match="camera 97"):
        video.open_source(97)
    for nonsense in (None, True, 1.5, ["clip.mp4"]):
        with pytest.raises(InputError, match="no source of frames"):
            video.open_source(nonsense)


PICAMERA = """
import numpy as np
events = []
class Picamera2:
    def __init__(self, number):
        if number > 0:
            raise IndexError("list index out of range")
    def create_video_configuration(self, main):
        return main
    def configure(self, main):
        self.main = main
    def start(self):
        events.append("start")
    def capture_array(self, name):
        width, height = self.main["size"]
        colour = {"BGR888": (200, 0, 0), "RGB888": (0, 0, 200)}[self.main["format"]]  # as they lie in memory
        return np.broadcast_to(np.uint8(colour), (height, width, 3))
    def stop(self):
        events.append("stop")
    def close(self):
        events.append("close")
"""


def test_a_camera_on_a_ribbon_cable_delivers_rgb_and_is_let_go(tmp_path, monkeypatch):
    """The library is Raspberry Pi's alone: what stands in here has the names of its manual."""
    (tmp_path / "picamera2.py").write_text(PICAMERA)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with video.open_source("csi:0") as camera:
        first, second = next(camera), next(camera)
        assert camera.is_live and str(camera).startswith("CSI camera 0: 640x480, 30 frames/s, live")
    assert (first.index, second.index) == (0, 1) and 0 <= first.time_s <= second.time_s
    assert first.image.shape == (480, 640, 3) and tuple(first.image[0, 0]) == (200, 0, 0)
    assert sys.modules.pop("picamera2").events == ["start", "stop", "close"]
    with pytest.raises(TargetError, match="ribbon cable does not start") as caught:
        video.open_source("csi:1")
    assert "list index" in caught.value.why and "list-cameras" in caught.value.fix
    sys.modules.pop("picamera2")


@pytest.mark.skipif(importlib.util.find_spec("picamera2") is not None, reason="picamera2 is here")
def test_without_its_library_a_ribbon_camera_tells_how_to_get_it(capfd):
    with pytest.raises(TargetError, match="picamera2 is not here") as caught:
        video.open_source("csi:0")
    assert "apt install python3-picamera2" in caught.value.fix and "camera:0" in caught.value.fix
    with pytest.raises(InputError, match="names no camera") as caught:
        video.open_source("csi:front")
    assert '"csi:0"' in caught.value.fix and capfd.readouterr() == ("", "")


def test_on_a_jetson_it_is_gstreamers_and_what_is_missing_is_told(tmp_path, monkeypatch, capfd):
    """The real OpenCV of this computer, which is no Jetson: of pip it has no GStreamer."""
    monkeypatch.setattr(sources, "JETSON_RELEASE", tmp_path)
    with pytest.raises(TargetError, match="ribbon cable delivers no picture") as caught:
        video.open_source("csi:0")
    has_none = re.search(r"GStreamer:\s*NO", cv2.getBuildInformation())
    words = (
        ("without GStreamer", "opencv-python-headless") if has_none else ("none answered", "nvargus-daemon")
    )
    assert words[0] in caught.value.why and words[1] in caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_time_stamps_tell_the_rate_where_the_header_does_not(tmp_path):
    """Browsers record WebM files that announce a thousand frames per second."""
    path = write_video(tmp_path / "clip.webm", count=30, fps=25)
    content = path.read_bytes()
    mark = b"\x23\xe3\x83"  # the element that holds the duration of a frame, in nanoseconds
    assert content.count(mark) == 1
    start = content.index(mark) + len(mark)
    width = content[start] & 0x7F
    forged = content[: start + 1] + (1_000_000).to_bytes(width, "big") + content[start + 1 + width :]
    path.write_bytes(forged)
    with video.open_source(path) as source:
        assert source.fps == pytest.approx(25, rel=0.02)
        assert "1000" in source.notes[0] and len(list(source)) == 30


def test_a_camera_of_the_browser_is_told_where_to_find():
    with pytest.raises(InputError, match="camera of the browser") as caught:
        video.open_source("browser:0")
    assert 'open_camera("browser:0")' in caught.value.fix
