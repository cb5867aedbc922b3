import itertools
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from waiting import wait_for

from edgelab import video
from edgelab.alarms import Backoff
from edgelab.app import looping
from edgelab.app.settings import SourceSettings
from edgelab.errors import TargetError


class Camera(video.Source):
    """Delivers `count` frames, then nothing more, as a camera that was unplugged."""

    size, fps, is_live, name = (64, 48), 100.0, True, "camera"

    def __init__(self, count):
        super().__init__()
        self.left, self.index, self.is_released = count, 0, False

    def _read(self):
        if not self.left:
            self.notes.append("camera stopped delivering")
            return None
        self.left -= 1
        time.sleep(0.005)
        self.index += 1
        image = np.zeros((48, 64, 3), np.uint8)
        return video.Frame(self.index, image, self.index / 100, time.perf_counter())

    def _release(self):
        self.is_released = True


class Plug:
    """Opens cameras one after the other; an error in the list is raised in place of one."""

    def __init__(self, *what):
        self.what, self.opened = list(what), []

    def __call__(self):
        one = self.what.pop(0) if self.what else Camera(10**6)
        if isinstance(one, Exception):
            raise one
        self.opened.append(one)
        return one


class Loop(looping.SourceLoop):
    """Keeps its state of each opening: that of the wait before, if there was one."""

    def __init__(self, open_, *arguments, **more):
        self.at_opening = []

        def opened():
            self.at_opening.append(self.state())
            return open_()

        super().__init__(opened, *arguments, **more)


def loop_of(open_, infer=lambda frame: None, *, backoff=None, **more):
    shown = []
    backoff = backoff or Backoff(0.05, 0.2)
    loop = Loop(open_, infer, lambda frame, found: shown.append(frame.index), backoff=backoff, **more)
    return loop, shown


def test_a_source_that_is_lost_comes_back():
    plug = Plug(
        Camera(20), TargetError("no camera 0", why="unplugged"), TargetError("no camera 0"), Camera(20)
    )
    loop, _ = loop_of(plug)
    loop.start()
    wait_for(lambda: (now := loop.state()).opened == 3 and now.frames > 50 and now.fps > 0, 60)
    state = loop.state()
    loop.close()
    assert [one.status for one in loop.at_opening] == ["starting", *["waiting"] * 4]
    assert [one.error for one in loop.at_opening] == [
        "",
        "camera stopped delivering",
        "no camera 0 unplugged",
        "no camera 0",
        "camera stopped delivering",
    ]
    assert state.status == "running" and state.error == ""
    assert loop.state().status == "stopped"
    assert all(camera.is_released for camera in plug.opened)


@pytest.fixture
def now(monkeypatch):
    """The loop's time in seconds, in a list: it passes where the loop sleeps, or where a test says so."""
    now = [1000.0]

    def sleep(seconds):
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], perf_counter=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(looping, "time", clock)
    return now


def test_a_wait_tells_how_long_it_is(now):
    loop, _ = loop_of(Plug(TargetError("away")), backoff=Backoff(500, 500))
    loop.start()
    wait_for(lambda: loop.state().status == "waiting", 60)
    left_s = loop.state().next_try_s
    assert 250 <= left_s <= 500
    now[0] += 200
    assert loop.state().next_try_s == pytest.approx(left_s - 200)
    now[0] += 1000
    assert loop.state().next_try_s == 0
    loop.close()


def test_waits_grow_while_it_is_away():
    times = []

    def open_():
        times.append(time.monotonic())
        raise TargetError("away")

    loop, _ = loop_of(open_)
    loop.start()
    wait_for(lambda: len(times) >= 5)
    loop.close()
    gaps = np.diff(times)
    assert gaps[2:].min() >= 0.1, "half of the longest wait at least"


def test_a_model_that_fails_is_a_loss_that_mends():
    calls = []

    def infer(frame):
        calls.append(frame.index)
        if len(calls) == 5:
            raise RuntimeError("the accelerator was unplugged")

    loop, _ = loop_of(Plug(), infer)
    loop.start()
    wait_for(lambda: (now := loop.state()).opened == 2 and now.status == "running" and now.frames > 20, 60)
    loop.close()
    lost = loop.at_opening[1]
    assert lost.status == "waiting" and "unplugged" in lost.error


def test_what_cannot_be_shown_is_told_too():
    loop = looping.SourceLoop(
        Plug(), lambda frame: None, lambda frame, found: 1 / 0, backoff=Backoff(0.02, 0.05)
    )
    loop.start()
    wait_for(lambda: "ZeroDivisionError" in loop.state().error)
    loop.close()


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    return path


def test_a_clip_begins_again_without_a_wait(clip):
    settings = SourceSettings(address=clip.name, fps=200.0)
    loop, shown = loop_of(looping.opener(settings, lambda text: clip.parent / text))
    loop.start()
    wait_for(lambda: loop.state().opened >= 3, 60)
    loop.close()
    assert {one.status for one in loop.at_opening[1:]} == {"running"}
    starts = [0, *(number for number in range(1, len(shown)) if shown[number] < shown[number - 1])]
    rounds = [shown[start:end] for start, end in itertools.pairwise([*starts, None])]
    assert len(rounds) >= 2
    for played in rounds:  # a frame may be dropped, as of a camera, but none comes twice or late
        assert played == sorted(set(played)) and set(played) <= set(range(20))
    assert rounds[0][-1] == rounds[1][-1] == 19, "of those that wait, the newest is never dropped"
    assert loop.state().error == ""


class Reading(Camera):
    """Takes one time after the other for its frames, on the loop's clock."""

    def __init__(self, now, times_s):
        super().__init__(len(times_s))
        self.now, self.times_s = now, iter(times_s)

    def _read(self):
        self.now[0] += next(self.times_s, 0.0)
        return super()._read()


def test_what_cannot_keep_its_pace_plays_slower_and_does_not_lag(now):
    with looping.Paced(Reading(now, [0.02] * 40), fps=500.0) as source:
        lags = [now[0] - frame.captured_s for frame in source]
    assert len(lags) == 40 and max(lags) == pytest.approx(looping.MOST_LAG_S)
    assert now[0] == pytest.approx(1000.0 + 40 * 0.02), "it waits for nothing"


def test_what_keeps_its_pace_is_as_even_as_a_camera(now):
    with looping.Paced(Reading(now, [0.0, 0.04, 0.03, 0.09, 0.0] * 4), fps=20.0) as source:
        moments = [(frame.captured_s, now[0]) for frame in source]
    due, handed_out = np.transpose(moments)
    assert np.allclose(np.diff(due), 0.05)
    assert np.all(handed_out >= due - 1e-9), "no frame comes before it is due"
    assert np.allclose(handed_out[[0, 1, 2, 4]], due[[0, 1, 2, 4]]), "it waits until then"


def test_a_clip_may_end(clip):
    settings = SourceSettings(address=clip.name, fps=200.0, repeat=False)
    loop, _ = loop_of(looping.opener(settings, lambda text: clip.parent / text), repeat=False)
    loop.start()
    wait_for(lambda: loop.state().status == "ended")
    assert loop.state().frames + loop.state().dropped >= 19
    loop.close()


def test_a_clip_that_is_missing_is_waited_for(tmp_path, clip):
    target = tmp_path / "later.avi"
    loop, _ = loop_of(looping.opener(SourceSettings(address=str(target)), lambda text: text))
    loop.start()
    wait_for(lambda: "later.avi" in loop.state().error)
    clip.rename(target)
    wait_for(lambda: loop.state().status == "running")
    loop.close()


def test_a_slow_model_drops_frames_and_latency_stays():
    shown_before, ahead = {}, []

    class Noting(Camera):
        def _read(self):
            frame = super()._read()
            shown_before[frame.index] = len(ahead)
            return frame

    def show(frame, found):
        ahead.append(len(ahead) - shown_before[frame.index])

    loop = looping.SourceLoop(Plug(Noting(10**6)), lambda frame: time.sleep(0.02), show)
    loop.start()
    wait_for(lambda: (now := loop.state()).frames > 30 and now.dropped > 10, 60)
    state = loop.state()
    loop.close()
    assert max(ahead) <= 9, "three queues of two, and three stages that hold one"
    assert state.inference_ms >= 20


def test_no_thread_is_left():
    loop, _ = loop_of(Plug())
    loop.start()
    wait_for(lambda: loop.state().frames)
    loop.close()
    assert not [one for one in threading.enumerate() if one.name.startswith(("edgelab-app", "edgelab-video"))]
