"""The page that shows the notebook runs its models: a widget, and a mailbox for what comes back.

A cell that waits receives no message of its widget. So the page writes its answers as files, through
Jupyter's contents API, into a folder of a random name that only this kernel looks into; the kernel takes the
file that it expects, and no other. Requests, and the page's own files, go by the widget's messages, which a
waiting kernel can send.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from edgelab.machine import artifacts
from edgelab.targets.web import files
from edgelab.targets.web.server import LARGEST_MESSAGE_BYTES, PAGE_FOLDER, PageGoneError, unpack

OWN = ("desk.js", "worker.js", "runner.js")
PAGE_NAME = re.compile(r"[0-9a-f-]{36}")
LOOK_S = 0.02


class Runner(anywidget.AnyWidget):
    """Shown in a notebook, it lets the target `web` use the browser that shows it."""

    _esm = (PAGE_FOLDER / "widget.js").read_text(encoding="utf-8")
    mailboxes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    home = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        self._folder = files.needed()
        name = f"web-mail-{secrets.token_hex(12)}"
        # The page takes the first that lies where Jupyter serves files; a kernel is not told where that is.
        self._boxes = [artifacts.artifacts_dir().absolute() / name, Path.cwd() / name]
        for box in self._boxes:
            with contextlib.suppress(OSError):
                box.mkdir(parents=True, exist_ok=True)
        self._ids, self._page, self._hello = itertools.count(1), "", {}
        super().__init__(mailboxes=[box.as_posix() for box in self._boxes], home=Path.home().as_posix())

    @property
    def is_connected(self) -> bool:
        """Whether a page has said what it is, and no newer one has come since."""
        return bool(self._hello) and not self._newcomer()

    def _newcomer(self) -> dict[str, Any] | None:
        """What a page writes when it begins; None where none has come, or it is not as ours writes it."""
        for box in self._boxes:
            path = box / "page.json"
            try:
                found = json.loads(path.read_bytes()[:200])
                if PAGE_NAME.fullmatch(found["page"]) and found["variant"] in files.VARIANTS:
                    return found
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return None

    def hello(self, limit_s: float) -> dict[str, Any] | None:
        """What the page is; None where none answers in that time."""
        deadline = time.monotonic() + limit_s
        while True:
            if newcomer := self._newcomer():
                self._welcome(newcomer)
                deadline = time.monotonic() + limit_s  # it is there: now it gets its files
            if not self._hello and self._page and (answer := self._collect(0)):
                self._hello = answer[0]
            if self._hello:
                return self._hello
            if time.monotonic() > deadline:
                return None
            time.sleep(LOOK_S)

    def _welcome(self, newcomer: dict[str, str]) -> None:
        """Send a page its files; a page before it counts as gone."""
        for box in self._boxes:
            (box / "page.json").unlink(missing_ok=True)
        self._page, self._hello = newcomer["page"], {}
        built = f"wasm/litert_wasm_{newcomer['variant']}internal"
        names = ["litert.js", "wasm-utils.js", f"{built}.js", f"{built}.wasm"]
        contents = [(self._folder / name).read_bytes() for name in names]
        contents += [(PAGE_FOLDER / name).read_bytes() for name in OWN]
        self.send({"kind": "files", "page": self._page, "names": [*names, *OWN]}, contents)

    def exchange(
        self, head: dict[str, Any], parts: Sequence[bytes], limit_s: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a request to the page, and wait for its answer in the mailbox.

        Raises:
            PageGoneError: there is no page, or it was loaded again meanwhile.
            TimeoutError: it does not answer in time.
        """
        if not self.is_connected:
            raise PageGoneError
        number, deadline = next(self._ids), time.monotonic() + limit_s
        self.send({"kind": "request", "page": self._page, "number": number, "head": head}, list(parts))
        while (answer := self._collect(number)) is None:
            if self._newcomer():
                raise PageGoneError
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(LOOK_S)
        return answer

    def _collect(self, number: int) -> tuple[dict[str, Any], list[bytes]] | None:
        """The answer of that number, where it has come whole; what is no such answer is thrown away."""
        for box in self._boxes:
            done, part = box / f"{number}.done", box / f"{number}.part"
            if not done.exists():
                continue
            try:
                if part.stat().st_size > LARGEST_MESSAGE_BYTES:
                    raise ValueError("too large")
                head, parts = unpack(part.read_bytes())
                sound = head.pop("number") == number and head.pop("page") == self._page
                if sound and type(head.get("ok")) is bool:
                    return head, parts
            except (OSError, ValueError, KeyError, RecursionError):
                continue
            finally:
                for path in (done, part):
                    with contextlib.suppress(OSError):
                        path.unlink()
        return None

    def close(self) -> None:
        """Take the widget away, and its mailbox. A second call does nothing."""
        super().close()
        self._page, self._hello = "", {}
        for box in getattr(self, "_boxes", ()):
            shutil.rmtree(box, ignore_errors=True)


_SHOWN: list[Runner] = []


def show() -> Runner:
    """Show the widget, whose page the target `web` then uses; the one before it is taken away.

    Returns:
        The widget: a cell's last value, so that the notebook shows it.

    Raises:
        TargetError: LiteRT.js is not here; says what to do.
    """
    close_all()
    _SHOWN.append(Runner())
    return _SHOWN[-1]


def shown() -> Runner | None:
    """The widget that was shown last, or None."""
    return _SHOWN[-1] if _SHOWN else None


@atexit.register
def close_all() -> None:
    """Take all widgets away."""
    while _SHOWN:
        _SHOWN.pop().close()
