"""Where frames come from: a camera, a file, a network stream, or generated scenes, all through one door."""

from __future__ import annotations

import itertools
import json
import os
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgelab.errors import DataError, InputError, TargetError
from edgelab.machine import quiet
from edgelab.texts import tr

# Read by OpenCV when it first opens a video. Broken packets are dropped, so that a file that was cut short
# ends with its last whole picture and not with half a grey one.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp|fflags;discardcorrupt")

import cv2

if TYPE_CHECKING:
    from edgelab.datasets import Box

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

OPEN_TIMEOUT_MS = 5000
SCENE_FPS = 30.0
STAMPED_FRAMES = 60  # whose time stamps tell a file's frame rate
RATE_TOLERANCE = 0.05  # by which header and time stamps may differ
SCENE_SIZE = (320, 240)
SCENE_FRAMES = 60  # then the picture cuts to the next scene
SCENE_SEEDS = 1000  # scenes that one seed can number
CSI_SIZE, CSI_FPS = (640, 480), 30.0
JETSON_RELEASE = Path("/etc/nv_tegra_release")


@dataclass(frozen=True)
class Frame:
    """One picture of a stream.

    Attributes:
        index: its number in the stream, from 0; a dropped frame leaves a gap.
        image: uint8 `[H, W, 3]`, RGB.
        time_s: its place in the stream, in seconds from the start.
        captured_s: when it came into being, on the clock of `time.perf_counter`: latency counts from here.
        boxes: exact boxes of what it shows, where the source knows them (generated scenes, also from a file),
            else None.
    """

    index: int
    image: np.ndarray
    time_s: float
    captured_s: float
    boxes: tuple[Box, ...] | None = None


class Source(ABC):
    """An opened stream: a context manager, and an iterator of `Frame` that can be walked through once.

    Attributes:
        name: what was opened.
        size: width and height in pixels.
        fps: frames per second that the source announces; 0.0 when it does not say.
        frame_count: frames that the source announces; None when it has no end or does not say.
        is_live: frames come by the clock, whether anybody is ready for them or not.
        notes: what the user should know afterwards, such as a file that ended early.
        path: of a file; None for anything else.
    """

    name: str
    size: tuple[int, int]
    fps: float = 0.0
    frame_count: int | None = None
    is_live: bool = False
    path: Path | None = None

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._is_closed = False
        # A device must not be released while another thread reads from it: native code would crash.
        self._lock = threading.Lock()

    @abstractmethod
    def _read(self) -> Frame | None:
        """The next frame, or None at the end."""

    def _release(self) -> None:  # noqa: B027 - generated frames hold no device
        """Free the device; called once."""

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        with self._lock:
            frame = None if self._is_closed else self._read()
        if frame is None:
            raise StopIteration
        return frame

    def close(self) -> None:
        """Release the device or file. Closing twice does no harm."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._release()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __str__(self) -> str:
        width, height = self.size
        rate = f"{self.fps:.4g} frames/s" if self.fps else "unknown frame rate"
        return f"{self.name}: {width}x{height}, {rate}, {'live' if self.is_live else 'not live'}"


class CaptureSource(Source):
    """A camera, a file or a network stream, read by OpenCV. Made by `open_source`."""

    def __init__(
        self,
        capture: cv2.VideoCapture,
        first: np.ndarray,
        *,
        name: str,
        is_live: bool,
        boxes: Sequence[tuple[Box, ...]] = (),
    ) -> None:
        super().__init__()
        self._capture, self._boxes = capture, boxes
        self._waiting_image: np.ndarray | None = first  # read when opening, to see whether any comes
        self._next_index = 0
        self._opened_s = time.perf_counter()
        self.name, self.is_live = name, is_live
        self.size = (first.shape[1], first.shape[0])
        self.fps = max(capture.get(cv2.CAP_PROP_FPS), 0.0)
        announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = announced if announced > 0 and not is_live else None

    def _read(self) -> Frame | None:
        image, self._waiting_image = self._waiting_image, None
        if image is None:
            found, image = self._capture.read()
            if not found:
                self._explain_end()
                return None
        now_s = time.perf_counter()
        index = self._next_index
        self._next_index += 1
        time_s = now_s - self._opened_s if self.is_live or not self.fps else index / self.fps
        boxes = self._boxes[index] if index < len(self._boxes) else None
        return Frame(index, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), time_s, now_s, boxes)

    def _explain_end(self) -> None:
        if self.is_live:
            self.notes.append(f"{self.name} stopped delivering after {self._next_index} frames.")
        elif self.frame_count and self._next_index < self.frame_count:
            self.notes.append(
                f"{self.name} announces {self.frame_count} frames and ends after {self._next_index}: "
                "the rest is missing or damaged."
            )

    def _release(self) -> None:
        self._capture.release()


class PicameraSource(Source):
    """A camera on the ribbon cable of a Raspberry Pi, read by picamera2. Made by `open_source`.

    Args:
        camera: a `Picamera2`, configured and started.
        name: of it.
        size: width and height that it was configured for.
    """

    is_live, fps = True, CSI_FPS

    def __init__(self, camera: Any, name: str, size: tuple[int, int]) -> None:
        super().__init__()
        self._camera, self.name, self.size = camera, name, size
        self._next_index, self._opened_s = 0, time.perf_counter()

    def _read(self) -> Frame | None:
        image = np.ascontiguousarray(self._camera.capture_array("main"))
        now_s, index = time.perf_counter(), self._next_index
        self._next_index += 1
        return Frame(index, image, now_s - self._opened_s, now_s)

    def _release(self) -> None:
        self._camera.stop()
        self._camera.close()


class SceneSource(Source):
    """Generated scenes with exact boxes (see `edgelab.datasets.scenes`), a new one every few seconds."""

    def __init__(self, frame_count: int, seed: int) -> None:
        super().__init__()
        self.name, self.size, self.fps, self.frame_count = "scenes", SCENE_SIZE, SCENE_FPS, frame_count
        self._frames = self._generate(frame_count, seed)

    def _generate(self, frame_count: int, seed: int) -> Iterator[Frame]:
        from edgelab import datasets

        for start in range(0, frame_count, SCENE_FRAMES):
            count = min(SCENE_FRAMES, frame_count - start)
            scene = datasets.scenes(count, seed=SCENE_SEEDS * seed + start // SCENE_FRAMES, size=SCENE_SIZE)
            for index, (image, boxes) in enumerate(scene, start):
                yield Frame(index, image, index / self.fps, time.perf_counter(), tuple(boxes))

    def _read(self) -> Frame | None:
        return next(self._frames, None)


class LiveSource(Source):
    """Another source, delivered by the clock as a camera would (see `as_live`)."""

    is_live = True

    def __init__(self, source: Source, fps: float) -> None:
        super().__init__()
        self._source, self.fps = source, fps
        self.name, self.size, self.frame_count = f"{source.name} (live)", source.size, source.frame_count
        self.notes = source.notes
        self._count = 0
        self._start_s: float | None = None

    def _read(self) -> Frame | None:
        frame = next(self._source, None)
        if frame is None:
            return None
        if self._start_s is None:
            self._start_s = time.perf_counter()
        time_s = self._count / self.fps
        self._count += 1
        due_s = self._start_s + time_s
        time.sleep(max(due_s - time.perf_counter(), 0.0))
        return replace(frame, time_s=time_s, captured_s=due_s)

    def _release(self) -> None:
        self._source.close()


def as_live(source: Source, fps: float | None = None) -> Source:
    """Deliver a file's or the scenes' frames by the clock, as a camera would.

    A frame counts as captured at the moment it is due, so lag shows in the latency.

    Args:
        source: any source; closing the result closes it.
        fps: frames per second; None for the source's own.

    Raises:
        InputError: no rate is given and the source announces none.
    """
    fps = source.fps if fps is None else fps
    if not fps > 0:
        source.close()
        raise InputError(
            tr("{source} cannot be played at {fps:g} frames/s.", source=source.name, fps=fps),
            fix=tr("give fps, such as 30"),
        )
    return LiveSource(source, fps)


def open_source(what: str | os.PathLike[str] | int, *, frame_count: int = 300, seed: int = 0) -> Source:
    """Open a stream of frames.

    Args:
        what: "scenes" for generated scenes; 0, 1, … or "camera:0", … for a camera; "csi:0", … for one on the
            ribbon cable of this Raspberry Pi or Jetson; an address with "://", such as "rtsp://…", for a
            network stream; otherwise the path of a video file. The name of a file that is there is always
            taken as that.
        frame_count: how many scenes; the other sources end by themselves.
        seed: which scenes.

    Returns:
        The source; use it in a `with` block, or hand it to `run`, which closes it.

    Raises:
        DataError: the file is missing, is no video, or holds no whole frame.
        InputError: none of these.
        TargetError: the camera or stream is absent, busy, or delivers nothing.
    """
    if isinstance(what, int) and not isinstance(what, bool):
        return _open_camera(f"camera:{what}")
    if not isinstance(what, (str, os.PathLike)):
        raise InputError(
            # Note: {what} is the argument as it was given.
            tr("{what!r} is no source of frames.", what=what),
            fix=tr('give "scenes", the number of a camera, the path of a video file, or an address'),
        )
    name = os.fspath(what)
    if name and Path(name).is_file():
        return _open_file(Path(name))
    if name == "scenes":
        return SceneSource(frame_count, seed)
    if name.startswith("camera:"):
        return _open_camera(name)
    if name.startswith("csi:"):
        return (_open_argus if JETSON_RELEASE.exists() else _open_picamera)(_number(name))
    if name.startswith("browser:"):
        raise InputError(
            tr("{name} is a camera of the browser, not of this computer.", name=name),
            fix=tr('from edgelab.web import camera; camera.open_camera("{name}")', name=name),
        )
    if "://" in name:
        return _open_stream(name)
    return _open_file(Path(what))


def _number(name: str) -> str:
    kind, _, number = name.partition(":")
    if not number.isdecimal():
        raise InputError(
            tr("{name!r} names no camera.", name=name),
            fix=tr('write "{kind}:0" for the first one', kind=kind),
        )
    return number


def _open_picamera(number: str) -> Source:
    """By picamera2, which comes with Raspberry Pi OS, by apt and not by pip.

    Source: Raspberry Pi, "The Picamera2 library": the format that it calls BGR888 is R, G, B in memory.
    """
    try:
        from picamera2 import Picamera2
    except Exception as error:  # its parts in C raise what they like where the system lacks them
        raise TargetError(
            tr("The library picamera2 is not here."),
            why=str(error),
            fix=tr(
                "on a Raspberry Pi: sudo apt install python3-picamera2, and an environment that sees it "
                '(--system-site-packages). Elsewhere SOURCE = "camera:0" is a camera on USB'
            ),
        ) from error
    try:
        camera = Picamera2(int(number))
        camera.configure(camera.create_video_configuration({"size": CSI_SIZE, "format": "BGR888"}))
        camera.start()
    except Exception as error:  # IndexError without a camera, RuntimeError for a busy one
        raise TargetError(
            tr("The camera {number} on the ribbon cable does not start.", number=number),
            why=str(error),
            fix=tr("rpicam-hello --list-cameras must show it; end other programs that use it"),
        ) from error
    return PicameraSource(camera, f"CSI camera {number}", CSI_SIZE)


def _open_argus(number: str) -> Source:
    """On a Jetson, by the GStreamer element `nvarguscamerasrc` of JetPack (Jetson Linux developer guide)."""
    width, height = CSI_SIZE
    chain = (
        f"nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM), width=1280, height=720, "
        f"framerate={CSI_FPS:.0f}/1 ! nvvidconv ! video/x-raw, width={width}, height={height}, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1"
    )
    with quiet.native_stderr():
        capture = cv2.VideoCapture(chain, cv2.CAP_GSTREAMER)
        found, image = capture.read()
    if not found:
        capture.release()
        no_gstreamer = re.search(r"GStreamer:\s*NO", cv2.getBuildInformation())
        raise TargetError(
            tr("The camera {number} on the ribbon cable delivers no picture.", number=number),
            why=tr("this OpenCV was built without GStreamer") if no_gstreamer else tr("none answered"),
            fix=tr("pip uninstall opencv-python-headless, in an environment that sees JetPack's own OpenCV")
            if no_gstreamer
            else tr(
                "gst-launch-1.0 nvarguscamerasrc ! fakesink must run; sudo systemctl restart nvargus-daemon"
            ),
        )
    return CaptureSource(capture, image, name=f"CSI camera {number}", is_live=True)


def _open_camera(name: str) -> Source:
    number = _number(name)
    with quiet.native_stderr():
        capture = cv2.VideoCapture(int(number))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # old frames in the driver are only lag
        found, image = capture.read()
    if not found:
        was_opened = capture.isOpened()
        capture.release()
        raise TargetError(
            tr("Camera {number} delivers no picture.", number=number)
            if was_opened
            else tr("There is no camera {number} here.", number=number),
            why=tr("another program holds it, or the system denies access")
            if was_opened
            else tr("none answered"),
            fix=tr(
                "plug one in, close other programs that use it, allow access to it in the system's "
                'privacy settings, or set SOURCE = "scenes" or the path of a video file'
            ),
        )
    return CaptureSource(capture, image, name=f"camera {number}", is_live=True)


def _open_stream(address: str) -> Source:
    limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
    timeouts = [value for limit in limits for value in (limit, OPEN_TIMEOUT_MS)]
    name = address.rpartition("@")[2]  # what stands before it may be a password
    with quiet.native_stderr():
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        found, image = capture.read()
    if not found:
        capture.release()
        raise TargetError(
            tr("The stream {name} delivers no picture.", name=name),
            why=tr(
                "nothing came within {seconds} s, or the address was refused", seconds=OPEN_TIMEOUT_MS // 1000
            ),
            fix=tr('check it with a player such as VLC, or set SOURCE = "scenes"'),
        )
    return CaptureSource(capture, image, name=name, is_live=True)


def _open_file(path: Path) -> Source:
    if not path.is_file():
        raise DataError(
            tr("There is no video file {path}.", path=path.name),
            why=tr("{folder} holds none of that name", folder=path.parent),
            fix=tr('check the path, or set SOURCE = "scenes"'),
        )
    with quiet.native_stderr():
        # FFmpeg takes a relative name with a colon for an address.
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        found, image = capture.read()
    if not found:
        was_opened = capture.isOpened()
        capture.release()
        raise DataError(
            tr("{path} holds no whole frame.", path=path.name)
            if was_opened
            else tr("{path} cannot be read as a video.", path=path.name),
            why=tr("it was cut short, is damaged, or is no video; an .mp4 file without its end has no index"),
            fix=tr("copy or record it again; .avi and .mkv files survive being cut, .mp4 files do not"),
        )
    source = CaptureSource(capture, image, name=path.name, is_live=False, boxes=_boxes_beside(path))
    source.path = path.absolute()
    rate = _rate_by_time_stamps(source.path)
    if rate and abs(rate - source.fps) > RATE_TOLERANCE * rate:
        source.notes.append(
            f"{path.name} announces {source.fps:.4g} frames per second; its time stamps say {rate:.4g}."
            if source.fps
            else f"{path.name} announces no frame rate; its time stamps say {rate:.4g} per second."
        )
        source.fps = rate
    return source


def _rate_by_time_stamps(path: Path) -> float:
    """Frames per second in the first frames of a file; 0.0 where they carry no time.

    A browser's recording announces a thousand frames per second, its clock's ticks.
    """
    stamps_ms = []
    with quiet.native_stderr():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        while len(stamps_ms) < STAMPED_FRAMES and capture.grab():
            stamps_ms.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        capture.release()
    rising = len(stamps_ms) > 2 and all(a < b for a, b in itertools.pairwise(stamps_ms))
    return 1000 * (len(stamps_ms) - 1) / (stamps_ms[-1] - stamps_ms[0]) if rising else 0.0


def _boxes_beside(path: Path) -> list[tuple[Box, ...]]:
    """The boxes that `datasets.write_scene_video` puts beside its file; none for any other video."""
    from edgelab.datasets import Box

    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return [tuple(Box(**box) for box in boxes) for boxes in record["frames"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []
