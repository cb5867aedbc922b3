"""The browser's camera as a source, and a model beside it; Chromium's fake camera stands for a real one."""

import io
import itertools
import time

import numpy as np
import pytest
from PIL import Image

from edgelab import video
from edgelab.errors import InputError, TargetError
from edgelab.targets.web import engine
from edgelab.targets.web.target import WebTarget
from edgelab.web import camera

pytestmark = pytest.mark.slow
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def seeing():
    """A browser with a camera that shows a moving figure, and somebody who allows it."""
    if reason := engine.readiness()[0]:
        pytest.skip(reason)
    before, engine.FLAGS = engine.FLAGS, (*engine.FLAGS, *FAKE_CAMERA)
    try:
        opened = engine.headless()
    finally:
        engine.FLAGS = before
    yield opened
    opened.close()


def test_frames_come_in_order_and_no_faster_than_allowed(seeing):
    started = time.perf_counter()
    with camera.open_camera(page=seeing, frame_count=8) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(8)) and source.notes == []
    assert all(frame.image.shape == (240, 320, 3) and frame.image.dtype == np.uint8 for frame in frames)
    assert time.perf_counter() - started >= 7 / camera.MOST_FPS
    assert all(np.ptp(frame.image) > 100 for frame in frames)
    assert any((a.image != b.image).any() for a, b in itertools.pairwise(frames))
    times = [frame.captured_s for frame in frames]
    assert times == sorted(times) and frames[0].time_s >= 0


def test_the_loop_of_the_lessons_takes_it(seeing):
    source = camera.open_camera(page=seeing, size=(64, 48), frame_count=5)
    stats = video.run(
        source, lambda image: video.Prediction(0, "seen", 1.0), preprocess=lambda frame: frame.image
    )
    assert stats.frames + stats.dropped == 5


def test_a_closed_camera_is_let_go_and_can_be_opened_again(seeing):
    source = camera.open_camera(page=seeing, frame_count=5)
    next(source)
    source.close()
    assert list(source) == []
    assert not seeing.ask("camera-frame")[0]["ok"]
    with camera.open_camera(page=seeing, frame_count=1) as again:
        assert len(list(again)) == 1


def test_a_camera_taken_away_ends_the_stream_with_a_note(seeing):
    with camera.open_camera(page=seeing, frame_count=5) as source:
        next(source)
        seeing.ask("camera-close")
        assert list(source) == [] and "closed or was taken away" in source.notes[0]


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_a_model_beside_the_camera_gives_answers_and_times(seeing, web_files, name):
    with (
        camera.open_camera(page=seeing) as source,
        WebTarget("wasm", page=seeing).open(web_files[name]) as session,
    ):
        found = camera.run_beside(source, session, count=6)
        assert len(found.answers) == 6 and all(0 <= answer < 10 for answer in found.answers)
        assert min(found.latencies_ms) > 0 and min(found.latencies_ms) <= found.median_ms
        assert "6 frames" in str(found)


def test_what_a_model_beside_the_camera_sees_is_what_python_sees(seeing, web_files):
    """Another way to the same middle square: the answers of a whole stream are mostly the same."""
    with (
        camera.open_camera(page=seeing, size=(16, 16), frame_count=12) as source,
        WebTarget("wasm", page=seeing).open(web_files["float32"]) as session,
    ):
        own = [session.run(f.image[None].astype(np.float32))[0].argmax() for f in source]
        beside = camera.run_beside(source, session, count=12).answers
    assert set(own) & set(beside)


def test_a_session_that_is_not_right_or_elsewhere_is_refused(seeing, page, web_files):
    with camera.open_camera(page=seeing) as source:
        with WebTarget("wasm", page=page).open(web_files["float32"]) as elsewhere:
            with pytest.raises(InputError, match="two pages"):
                camera.run_beside(source, elsewhere)
            with pytest.raises(InputError, match="cannot run beside"):
                camera.run_beside(source, elsewhere, count=0)
        with WebTarget("wasm", page=seeing).open(web_files["float32"]) as session:
            session.fault = "wrong"
            with pytest.raises(TargetError, match="not timed"):
                camera.run_beside(source, session)


def test_without_a_widget_or_a_tab_the_status_is_clear():
    with pytest.raises(TargetError, match="No page of JupyterLab") as caught:
        camera.open_camera()
    assert "no widget is shown" in caught.value.why and "show()" in caught.value.fix


def test_without_a_camera_the_browser_says_so(page):
    with pytest.raises(TargetError, match="gives no camera") as caught:
        camera.open_camera(page=page)
    assert "NotFoundError" in caught.value.why


@pytest.mark.parametrize(
    ("error", "words"),
    [("NotAllowedError: denied", "nobody has allowed it"), ("NotFoundError: none", "there is none"),
     ("Error: InsecureContext: this page", "http://")],
)  # fmt: skip
def test_why_there_is_no_camera_is_told_in_words(error, words):
    assert words in camera._no_camera(error).why and camera._no_camera(error).fix


@pytest.mark.parametrize("number", [3, 9])
def test_a_camera_of_a_higher_number_is_missing(seeing, number):
    with pytest.raises(TargetError, match="gives no camera"):
        camera.open_camera(f"browser:{number}", page=seeing)


@pytest.mark.parametrize(
    "options",
    [{"name": "browser:x"}, {"name": "camera:0"}, {"size": (0, 240)}, {"size": (4000, 3000)},
     {"frame_count": 0}, {"frame_count": 10**6}],
)  # fmt: skip
def test_other_wishes_are_refused_before_a_camera_is_asked(options):
    with pytest.raises(InputError):
        camera.open_camera(**options)


def as_jpeg(width, height, kind="JPEG"):
    written = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(written, kind)
    return written.getvalue()


def test_a_picture_is_taken_as_it_was_asked_for():
    assert camera.decoded([as_jpeg(32, 24)], (32, 24)).shape == (24, 32, 3)


@pytest.mark.parametrize(
    "parts",
    [[], [b""], [b"abc"], [as_jpeg(32, 24)[:-300]], [as_jpeg(24, 32)], [as_jpeg(32, 24, "PNG")],
     [as_jpeg(32, 24)] * 2, [as_jpeg(32, 24) + bytes(2**20)], [as_jpeg(6000, 6000)]],
)  # fmt: skip
def test_what_is_no_picture_is_refused(parts):
    with pytest.raises(TargetError, match="no picture"):
        camera.decoded(parts, (32, 24))
