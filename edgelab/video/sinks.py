"""Where finished frames go: a live picture in the notebook, a file, a window, or nowhere."""

from __future__ import annotations

import base64
import contextlib
import html
import os
import time
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from edgelab.errors import InputError, StorageError, TargetError
from edgelab.machine import artifacts, owned_folders, quiet
from edgelab.texts import tr

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v", ".webm": "VP80"}
NOTEBOOK_UPDATES_PER_S = 20.0  # each is a message to the browser; more would only queue up there
JPEG_QUALITY = 85


def _encode_jpeg(image: np.ndarray) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


class Sink:
    """Takes finished frames in order; a context manager. By itself it only counts them.

    Attributes:
        count: frames taken.
        wants_stop: the user asked to end, by the quit key.
    """

    def __init__(self) -> None:
        self.count = 0
        self.wants_stop = False

    def show(self, image: np.ndarray) -> None:
        """Take the next frame, uint8 `[H, W, 3]`, RGB."""
        self.count += 1

    def close(self) -> None:
        """Finish. Closing twice does no harm."""

    def discard(self) -> None:
        """Finish without keeping what was written, because something failed."""
        self.close()

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error_type is None or issubclass(error_type, KeyboardInterrupt):
            self.close()
        else:
            self.discard()


class NotebookSink(Sink):
    """A picture in the notebook that is updated in place; the last frame stays behind as a still picture."""

    def __init__(self, alt: str) -> None:
        from IPython import get_ipython

        if get_ipython() is None:
            raise TargetError(
                tr("There is no notebook to show the video in."),
                why=tr("this runs as a plain Python program"),
                fix=tr('use open_sink("window"), or write a file, such as open_sink("out.mp4")'),
            )
        super().__init__()
        self._alt = alt
        self._widget = self._output = None
        self._last_image: np.ndarray | None = None
        self._next_update_s = 0.0

    def show(self, image: np.ndarray) -> None:
        """Update the picture, at most `NOTEBOOK_UPDATES_PER_S` times a second."""
        super().show(image)
        self._last_image = image
        now_s = time.perf_counter()
        if now_s < self._next_update_s:
            return
        self._next_update_s = now_s + 1 / NOTEBOOK_UPDATES_PER_S
        jpeg = _encode_jpeg(image)
        if self._widget is None:
            import ipywidgets
            from IPython.display import display

            self._widget = ipywidgets.Image(value=jpeg, format="jpeg")
            self._output = display(self._widget, display_id=True)
        else:
            self._widget.value = jpeg

    def close(self) -> None:
        """Put the last frame, with its alt text, in the live picture's place."""
        if self._widget is None:
            return
        from IPython.display import HTML

        height, width = self._last_image.shape[:2]
        picture = base64.b64encode(_encode_jpeg(self._last_image)).decode()
        self._output.update(
            HTML(
                f'<figure style="margin:0.5em 0"><img alt="{html.escape(self._alt)}" width="{width}" '
                f'height="{height}" src="data:image/jpeg;base64,{picture}">'
                f"<figcaption>Last of {self.count} frames</figcaption></figure>"
            )
        )
        self._widget.close()
        self._widget = None


class FileSink(Sink):
    """A video file. It appears under its name when it is finished, and only then."""

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in CODECS:
            raise InputError(
                tr("Cannot write {path}: unknown kind of video.", path=path.name),
                why=tr("known endings are {codecs}", codecs=", ".join(CODECS)),
                fix=tr("choose one of them; .webm plays in browsers, .avi survives being cut"),
            )
        if not fps > 0:
            raise InputError(
                tr("Cannot write {path} at {fps:g} frames/s.", path=path.name, fps=fps),
                fix=tr("give fps, such as 30"),
            )
        super().__init__()
        owned_folders.check_file(path)
        self.path, self.fps = path.absolute(), fps
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._unfinished = contextlib.ExitStack()

    def _start(self, image: np.ndarray) -> None:
        self._temporary = self._unfinished.enter_context(artifacts.atomic_path(self.path))
        self._size = (image.shape[1], image.shape[0])
        codec = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix.lower()])
        with quiet.native_stderr() as log:
            writer = cv2.VideoWriter(str(self._temporary), cv2.CAP_FFMPEG, codec, self.fps, self._size)
        if not writer.isOpened():
            raise StorageError(
                tr("Cannot write {path}.", path=self.path.name),
                why=log.text.strip()[-300:] or tr("the encoder or the folder refused"),
                fix=tr("check that {folder} can be written, or choose .avi", folder=self.path.parent),
            )
        self._writer = writer

    def show(self, image: np.ndarray) -> None:
        """Encode and append the frame.

        Raises:
            StorageError: the file cannot be made.
            InputError: the frame's size differs from the first one's.
        """
        if self._writer is None:
            self._start(image)
        if (image.shape[1], image.shape[0]) != self._size:
            size, expected = ("{}x{}".format(*pixels) for pixels in (image.shape[1::-1], self._size))
            raise InputError(
                tr("A frame of {size} in a video of {expected}.", size=size, expected=expected),
                fix=tr("give every frame the same size"),
            )
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        super().show(image)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            StorageError: what was written is not whole: the disk filled up.
        """
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        with self._unfinished:
            # OpenCV's writer reports no error when the disk is full; the file's index then lacks its frames.
            capture = cv2.VideoCapture(str(self._temporary), cv2.CAP_FFMPEG)
            announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            capture.release()
            if announced < self.count - 1:  # formats that announce a duration may round the last frame away
                raise StorageError(
                    tr("{path} could not be written whole.", path=self.path.name),
                    why=tr("most often the disk is full"),
                    fix=tr("free some space, or write to another folder; no broken file was left"),
                )
        owned_folders.remember_file(self.path)

    def discard(self) -> None:
        """Remove the unfinished file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        failure = RuntimeError("unfinished")
        with contextlib.suppress(RuntimeError):
            self._unfinished.__exit__(RuntimeError, failure, None)


class WindowSink(Sink):
    """A window on the desktop. The keys q and Esc, or closing it, end the video."""

    def __init__(self, title: str = "edgelab") -> None:
        try:
            import tkinter
        except ImportError as error:
            raise _no_window(error) from error
        try:
            self._window = tkinter.Tk()
        except tkinter.TclError as error:
            raise _no_window(error) from error
        super().__init__()
        self._tkinter = tkinter
        self._window.title(f"{title} (q quits)")
        self._label = tkinter.Label(self._window)
        self._label.pack()
        for event in ("q", "<Escape>"):
            self._window.bind(event, self._stop)
        self._window.protocol("WM_DELETE_WINDOW", self._stop)

    def _stop(self, event: object = None) -> None:
        self.wants_stop = True

    def show(self, image: np.ndarray) -> None:
        """Show the frame, and look whether a key was pressed."""
        super().show(image)
        height, width = image.shape[:2]
        data = b"P6 %d %d 255 " % (width, height) + np.ascontiguousarray(image).tobytes()
        self._picture = self._tkinter.PhotoImage(master=self._window, data=data, format="PPM")
        self._label.configure(image=self._picture)
        self._window.update()

    def close(self) -> None:
        """Close the window."""
        if self._window is not None:
            self._window.destroy()
            self._window = None


def _no_window(error: Exception) -> TargetError:
    return TargetError(
        tr("No window can be opened here."),
        why=str(error),
        fix=tr(
            'run it on a desktop with Tk (on Debian and Ubuntu: install "python3-tk"), or use '
            '"notebook" or a file, such as "out.mp4", in place of "window"'
        ),
    )


def open_sink(
    what: str | os.PathLike[str] | None,
    *,
    fps: float = 30.0,
    alt: str = "Last frame of the video, with class, confidence, frame rate and inference time written on it",
) -> Sink:
    """Open the place where frames go.

    Args:
        what: "notebook" for a live picture; "window" for a window (key q ends); None to count frames only;
            otherwise the path of a video file (.mp4, .avi, .mkv, .webm).
        fps: the rate at which a file plays.
        alt: what the still picture that stays in the notebook shows.

    Returns:
        The sink; use it in a `with` block, or hand it to `run`, which closes it.

    Raises:
        InputError: an unknown file ending, or no frame rate.
        TargetError: no notebook, or no window, here.
    """
    if what is None:
        return Sink()
    if what == "notebook":
        return NotebookSink(alt)
    if what == "window":
        return WindowSink()
    return FileSink(Path(what), fps)
