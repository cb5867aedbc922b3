"""The camera of the browser: frames from it to Python, or a model beside it, and no frame leaves the page.

On a hub the kernel runs on another computer, where there is no camera; the student's browser has one. A frame
comes as a JPEG by the way that a model's outputs take (in JupyterLab: a file in the mailbox). Sizes, rate and
number are limited.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image

from edgelab.errors import InputError, TargetError
from edgelab.targets.web import engine
from edgelab.targets.web.session import WebSession
from edgelab.texts import tr
from edgelab.video import Frame, Source

SIZE = (320, 240)
MOST_PIXELS = 640 * 480
LARGEST_JPEG_BYTES = 2**19
MOST_FPS = 15.0
MOST_FRAMES = 3000
OPEN_S = 75.0  # somebody has to allow it
FRAME_S = 10.0
MOST_RUNS = 300


class BrowserCamera(Source):
    """Frames of the browser's camera. Made by `open_camera`.

    `Frame.captured_s` is the earliest time at which the page can have seen the frame: when Python asked, and
    the time that the page waited for it. So latencies from there on are too long rather than too short.

    Attributes:
        page: that asks the camera.
    """

    is_live = True

    def __init__(self, page: engine.Page, number: int, size: tuple[int, int], frame_count: int) -> None:
        super().__init__()
        self.page, self.name, self.size, self.frame_count = page, f"browser:{number}", size, frame_count
        self._next_index, self._last_s = 0, -math.inf
        answer, _ = page.ask("camera-open", limit_s=OPEN_S, device=number, width=size[0], height=size[1])
        if not answer["ok"]:
            raise _no_camera(str(answer.get("error", "")))
        self._opened_s = time.perf_counter()

    def _read(self) -> Frame | None:
        if self._next_index >= self.frame_count:
            return None
        time.sleep(max(0.0, self._last_s + 1 / MOST_FPS - time.perf_counter()))
        asked_s = self._last_s = time.perf_counter()
        try:
            answer, parts = self.page.ask("camera-frame", limit_s=FRAME_S)
        except TargetError as error:
            answer, parts = {"ok": False, "error": error.what}, []
        if not answer["ok"]:
            error = engine.plain(answer.get("error"))
            self.notes.append(tr("{name} stopped after {count} frames: {error}", name=self.name,
                                 count=self._next_index, error=error))  # fmt: skip
            return None
        image = decoded(parts, self.size)
        waited = answer.get("waited_ms")
        is_time = type(waited) in (int, float) and 0 <= waited < 1e3 * FRAME_S
        index = self._next_index
        self._next_index += 1
        captured_s = min(asked_s + (waited / 1e3 if is_time else 0.0), time.perf_counter())
        return Frame(index, image, captured_s - self._opened_s, captured_s)

    def _release(self) -> None:
        with contextlib.suppress(TargetError):
            self.page.ask("camera-close", limit_s=FRAME_S)


def open_camera(
    name: str = "browser:0",
    *,
    page: engine.Page | None = None,
    size: tuple[int, int] = SIZE,
    frame_count: int = 300,
) -> BrowserCamera:
    """Open a camera of the browser that shows the notebook.

    Args:
        name: "browser:0" for the first camera, "browser:1" for the second, …
        page: another that is open already, of a tab; nobody could allow a camera to one without a window.
        size: width and height of the frames: the middle of the camera's picture, 640 x 480 at most.
        frame_count: after which it ends, 1 to 3000; at most 15 a second come.

    Returns:
        The source; use it in a `with` block, or hand it to `video.run`, which closes it.

    Raises:
        InputError: no such name, size or count.
        TargetError: no widget is shown or answers, there is no camera, or nobody has allowed it.
    """
    number = re.fullmatch(r"browser:(\d)", name)
    if not number:
        raise InputError(
            tr("{name!r} names no camera of the browser.", name=name),
            fix=tr('write "browser:0" for the first one'),
        )
    if min(size) < 1 or size[0] * size[1] > MOST_PIXELS or not 1 <= frame_count <= MOST_FRAMES:
        raise InputError(
            tr("{count} frames of {width} x {height} pixels are not to be had.", count=frame_count,
               width=size[0], height=size[1]),
            fix=tr("ask for at most {frames} frames of {pixels} pixels", frames=MOST_FRAMES,
                   pixels=MOST_PIXELS),
        )  # fmt: skip
    return BrowserCamera(page or engine.remembered("lab"), int(number[1]), size, frame_count)


def decoded(parts: list[bytes], size: tuple[int, int]) -> np.ndarray:
    """The picture of one answer, uint8 `[H, W, 3]`, RGB.

    Args:
        parts: of the page's answer.
        size: width and height that were asked for; a picture of another size is refused unread.

    Raises:
        TargetError: it is no such picture.
    """
    try:
        [content] = parts
        if len(content) > LARGEST_JPEG_BYTES:
            raise ValueError(tr("{size} bytes are too many", size=len(content)))
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            if picture.size != size:
                raise ValueError(tr("it is of another size than asked for"))
            return np.asarray(picture.convert("RGB"))
    except (ValueError, OSError, Image.DecompressionBombError) as error:
        raise TargetError(
            tr("The page gave no picture of its camera."), why=str(error), fix=tr("open the camera again")
        ) from error


def _no_camera(error: str) -> TargetError:
    """What the browser says, in words."""
    shown = engine.plain(error)
    if "NotAllowedError" in error:
        why = tr("nobody has allowed it, or the system's privacy settings forbid it")
        fix = tr("allow the camera in the browser, at the left of the page's address, and run the cell again")
    elif "InsecureContext" in error:
        why = tr("its address begins with http:// and is not this computer's, so it may not ask for one")
        fix = tr("open the notebook by https, or on this computer")
    else:
        why = tr("there is none, or another program holds it ({error})", error=shown)
        fix = tr(
            'show the widget in a browser with a camera: from edgelab.targets.web import widget; '
            'widget.show(); or set SOURCE = "scenes"'
        )  # fmt: skip
    return TargetError(tr("The browser gives no camera."), why=why, fix=fix)


@dataclass(frozen=True)
class Beside:
    """What a model beside the camera answered.

    Attributes:
        latencies_ms: for each frame, from the page's having it to the outputs, by the page's clock.
        answers: for each frame the place of the largest value in the first output.
    """

    latencies_ms: tuple[float, ...]
    answers: tuple[int, ...]

    @property
    def median_ms(self) -> float:
        """The middle latency."""
        return float(np.median(self.latencies_ms))

    def __str__(self) -> str:
        return f"{len(self.answers)} frames beside the camera, median {self.median_ms:.1f} ms to an answer"


def run_beside(camera: BrowserCamera, session: WebSession, count: int = 30) -> Beside:
    """Run a model on the camera's next frames in the page itself; only its outputs come to Python.

    Args:
        camera: open, and of the page that the session runs in.
        session: of a model `[1, H, W, 3]` of pixels, float32 or uint8, whose results are right.
        count: of frames, 1 to 300.

    Raises:
        InputError: another model, page or count.
        TargetError: its results are wrong or simulated, or the page fails.
    """
    spec = session.inputs[0]
    is_picture = len(session.inputs) == 1 and spec.shape[:1] + spec.shape[3:] == (1, 3)
    if not is_picture or spec.dtype.name not in ("float32", "uint8") or not 1 <= count <= MOST_RUNS:
        raise InputError(
            tr("This model cannot run beside the camera."),
            why=tr("it takes one RGB picture of float32 or uint8, for 1 to {most} frames", most=MOST_RUNS),
            fix=tr("convert it as float32, or with uint8 at its input"),
        )
    if session.page is not camera.page:
        raise InputError(
            tr("Camera and model are in two pages."),
            fix=tr("open the model there: WebTarget('wasm', page=camera.page)"),
        )
    if session.fault or session.provenance != "measured":
        raise TargetError(
            tr("This session is not timed."),
            why=session.fault or tr("the processor plays the GPU here"),
            fix=tr("use WebTarget('wasm')"),
        )
    answer, parts = session.page.ask(
        "camera-run", model=session.number, variant=session.variant, dtype=spec.dtype.name,
        shape=list(spec.shape), count=count,
    )  # fmt: skip
    times, width = answer.get("times_ms"), len(session.outputs)
    if not answer["ok"] or not isinstance(times, list) or len(times) != count or len(parts) != width * count:
        raise TargetError(
            tr("The model beside the camera gave no answers."), why=engine.plain(answer.get("error")),
            fix=tr("open the camera and the model again"),
        )  # fmt: skip
    out = session.outputs[0]
    answers = [int(np.frombuffer(part, out.dtype).argmax()) for part in parts[::width]]
    return Beside(tuple(float(elapsed) for elapsed in times), tuple(answers))
