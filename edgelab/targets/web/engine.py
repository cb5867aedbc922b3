"""A page that runs models, and how to get one: JupyterLab's own, a tab, or a browser without a window."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgelab.errors import InputError, TargetError
from edgelab.machine import browsers, child, state
from edgelab.machine.gpu_adapter import SOFTWARE_VARIABLE
from edgelab.targets.web import files
from edgelab.targets.web.server import PageGoneError, Server, timed_out
from edgelab.texts import tr

PLACES = ("auto", "lab", "headless", "tab")
HELLO_S = 10.0  # a page that is there answers within this time
HEADLESS_S = 60.0  # a browser's first start on a busy machine
TAB_S = 180.0  # until a person has opened the address
ANSWER_S = 180.0
FLAGS = (
    "--headless", "--no-first-run", "--no-default-browser-check", "--disable-quic", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--mute-audio",
    "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding", "--enable-unsafe-webgpu",
)  # fmt: skip
LINUX_GPU_FLAGS = ("--enable-features=Vulkan",)
SOFTWARE_FLAGS = ("--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
SOFTWARE = re.compile(r"swiftshader|llvmpipe|lavapipe|software|basic render|\bwarp\b|\bcpu\b", re.IGNORECASE)
AGENTS = (
    (r"Firefox/([\d.]+)", "Firefox"),
    (r"Chrome/([\d.]+)", "Chrome"),
    (r"Version/([\d.]+).*Safari", "Safari"),
)
LONGEST_NAME = 80
NO_BROWSER_FIX = tr(
    "install Chromium, Chrome or Edge, or name one in {variable}; or open a tab yourself: "
    "python -m edgelab web MODEL; or in JupyterLab, in a cell before: "
    "from edgelab.targets.web.widget import show; show()",
    variable=browsers.VARIABLE,
)
SHOW_FIX = tr(
    "show it in a cell before: from edgelab.targets.web.widget import show; show(); and keep that "
    "notebook open in the browser"
)


class Host(Protocol):
    """The way to a page: `Server`, or the widget in JupyterLab."""

    is_connected: bool

    def hello(self, limit_s: float) -> dict[str, Any] | None:
        """What the page is; None where none answers in that time."""

    def exchange(
        self, head: dict[str, Any], parts: Sequence[bytes], limit_s: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a request, and wait for the answer: `PageGoneError`, or `TimeoutError`, where none comes."""

    def close(self) -> None:
        """End the connection. A second call does nothing."""


class Page:
    """A browser's page that answers.

    Attributes:
        place: "lab", "headless" or "tab".
        found: what it says of itself: see `hello` in page/runner.js.
    """

    def __init__(
        self, place: str, host: Host, found: dict[str, Any], end: Callable[[], None] = lambda: None
    ) -> None:
        self.place, self.found, self._host, self._end = place, found, host, end

    def ask(
        self, kind: str, parts: Sequence[bytes] = (), *, limit_s: float = ANSWER_S, **fields: Any
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Its answer; a failure of the model is in the answer, which says `ok`.

        Raises:
            TargetError: the page is gone, or does not answer in time.
        """
        try:
            return self._host.exchange({"kind": kind, **fields}, parts, limit_s)
        except TimeoutError:
            raise timed_out(limit_s) from None
        except PageGoneError:
            raise TargetError(
                tr("The page that ran the model is gone."),
                why=tr("its tab or browser was closed, loaded again, or ended by the model"),
                fix=tr("open the model again"),
            ) from None

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return self._host.is_connected

    @property
    def browser(self) -> str:
        """Name and version."""
        return browser_name(self.found)

    @property
    def adapter(self) -> str:
        """The WebGPU adapter in words, or ""."""
        return adapter_name(self.found.get("adapter"))

    @property
    def is_software(self) -> bool:
        """Whether the processor plays the GPU."""
        return is_software(self.found.get("adapter"))

    @property
    def clock_ms(self) -> float:
        """The smallest step of its clock."""
        step = self.found.get("clock_ms")
        return float(step) if isinstance(step, int | float) and 0 < step < 1000 else 1.0

    def close(self) -> None:
        """End the page, and a browser that was started for it. A second call does nothing."""
        self._host.close()
        self._end()

    def __repr__(self) -> str:
        return f"<page in {self.browser}, {self.adapter or 'no WebGPU'}>"


def plain(text: Any) -> str:
    """A text of the page as a short line; "" for anything else."""
    if not isinstance(text, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:LONGEST_NAME]


def adapter_name(found: Any) -> str:
    """A WebGPU adapter as its browser tells it, or ""."""
    if not isinstance(found, dict):
        return ""
    parts = [plain(found.get(key)) for key in ("description", "vendor", "architecture", "device")]
    return " ".join(dict.fromkeys(filter(None, parts))) or tr("an adapter without a name")


def is_software(found: Any) -> bool:
    """Whether a WebGPU adapter, as its browser tells it, is the processor's."""
    return isinstance(found, dict) and (
        found.get("fallback") is True or bool(SOFTWARE.search(adapter_name(found)))
    )


def browser_name(found: dict[str, Any]) -> str:
    """Name and version of a browser, by what it tells."""
    brands = found.get("brands")
    told = [
        (plain(one.get("brand")), plain(one.get("version")))
        for one in (brands if isinstance(brands, list) else [])
        if isinstance(one, dict)
    ]
    told = [(name, version) for name, version in told if name and not re.search(r"not.?a|brand", name, re.I)]
    if told:
        name, version = max(told, key=lambda one: one[0] != "Chromium")
        return f"{name} {version}"
    agent = plain(found.get("agent"))
    whole = found.get("agent") if isinstance(found.get("agent"), str) else ""
    for pattern, name in AGENTS:
        if match := re.search(pattern, whole):
            return f"{name} {plain(match[1])}"
    return agent or tr("an unknown browser")


def wants_software() -> bool:
    """Whether a GPU that the processor plays is welcome, as the course's variable says."""
    return os.environ.get(SOFTWARE_VARIABLE, "0") not in ("", "0")


def _command(browser: str, software: bool) -> list[str]:
    flags = [*FLAGS]
    if software:
        flags += SOFTWARE_FLAGS
    elif sys.platform == "linux":
        flags += LINUX_GPU_FLAGS
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # as root a browser has none
    return [browser, *flags]


def headless(software: bool = False, limit_s: float = HEADLESS_S) -> Page:
    """Start a browser without a window on a page of ours; both end with Python.

    Args:
        software: let the processor play the GPU.
        limit_s: until it has to answer.

    Raises:
        TargetError: no browser, no files, or one that does not start.
    """
    browser = browsers.find()
    if not browser:
        raise TargetError(tr("No browser was found that can run without a window."), fix=NO_BROWSER_FIX)
    server = Server()
    worker = None
    try:
        command = [sys.executable, "-m", "edgelab.targets.web.worker"]
        worker = child.Worker(command, folder=Path(tempfile.gettempdir()), name=tr("The browser's guard"))
        asked = {"do": "start", "command": _command(browser, software), "address": server.address}
        worker.ask(asked, limit_s)
        deadline = time.monotonic() + limit_s
        while (found := server.hello(1.0)) is None:
            code = worker.ask({"do": "look"}, limit_s)["code"]
            if code is not None or time.monotonic() > deadline:
                raise TargetError(
                    tr("{browser} does not answer.", browser=browser),
                    why=tr("it ended with code {code}", code=code)
                    if code is not None
                    else tr("no page has connected within {limit_s:g} s", limit_s=limit_s),
                    fix=tr(
                        "try it with {browser} --headless on any page; or: {fix}",
                        browser=browser,
                        fix=NO_BROWSER_FIX,
                    ),
                )
        pid = worker._process.pid
        state.count_as_ours(pid)

        def end() -> None:
            worker.close()
            state.no_longer_ours(pid)

        return Page("headless", server, found, end)
    except BaseException:
        server.close()
        if worker:
            worker.close()
        raise


def tab(show: Callable[[str], None] | None = None, limit_s: float = TAB_S) -> Page:
    """A page in the user's own browser, which is asked to open it.

    Args:
        show: called with the address, for whoever has to open it by hand.
        limit_s: until a page has to be there.

    Raises:
        TargetError: no files, or nobody has opened the address in that time.
    """
    server = Server()
    try:
        if show:
            show(server.address)
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(server.address)
        found = server.hello(limit_s)
        if found is None:
            raise TargetError(
                tr("No browser has opened the page within {limit_s:g} s.", limit_s=limit_s),
                fix=tr("copy the address into a browser of this computer; or use --headless"),
            )
        return Page("tab", server, found)
    except BaseException:
        server.close()
        raise


_PAGES: dict[tuple[str, bool], Page] = {}


def remembered(place: str = "auto", *, gpu: bool = False, software: bool | None = None) -> Page:
    """The page of this kernel: opened once, then used again.

    Args:
        place: "lab" for the page that shows the notebook, "headless" for a browser without a window, "tab";
            "auto" takes the notebook's page where a widget is shown and answers, else one without a window.
        gpu: a WebGPU adapter is needed.
        software: True takes one that the processor plays, False never does; None takes it where no other
            answers and EDGELAB_SOFTWARE_GPU is 1.

    Raises:
        InputError: there is no such place.
        TargetError: no page can be had; says why, and what to do.
    """
    if place not in PLACES:
        raise InputError(
            tr("There is no place {place!r}.", place=place),
            fix=tr("choose from {names}", names=", ".join(PLACES)),
        )
    if place in ("auto", "lab") and (page := _lab_page(place)):
        return page
    kind = "tab" if place == "tab" else "headless"
    if kind == "tab":
        return _kept((kind, False), tab)
    if not gpu:
        others = [page for page in _PAGES.values() if page.place == kind and page.is_alive]
        return others[0] if others else _kept((kind, False), headless)
    if not software:
        page = _kept((kind, False), headless)
        if page.adapter or software is False or not wants_software():
            return page
    return _kept((kind, True), lambda: headless(software=True))


def _kept(key: tuple[str, bool], make: Callable[[], Page]) -> Page:
    page = _PAGES.get(key)
    if page is None or not page.is_alive:
        if page is not None:
            page.close()
        page = _PAGES[key] = make()
    return page


def _widget() -> Host | None:
    """The widget that was shown last; where none was, its module is not even loaded."""
    module = sys.modules.get("edgelab.targets.web.widget")
    return module.shown() if module else None


def _lab_page(place: str) -> Page | None:
    """The page that shows the notebook, where a widget is shown there and answers."""
    shown = _widget()
    if shown is not None and (found := shown.hello(HELLO_S)):
        return Page("lab", shown, found)
    if place == "auto":
        return None
    raise TargetError(
        tr("No page of JupyterLab answers."),
        why=tr("none did within {limit_s:g} s", limit_s=HELLO_S) if shown else tr("no widget is shown"),
        fix=SHOW_FIX,
    )


@atexit.register
def close_all() -> None:
    """End all remembered pages."""
    while _PAGES:
        _PAGES.popitem()[1].close()


def open_already(place: str = "auto", *, software: bool | None = None) -> Page | None:
    """A page that `remembered` would give and that is open already, or None: nothing is started."""
    if place in ("auto", "lab") and (shown := _widget()) is not None and shown.is_connected:
        return Page("lab", shown, shown.hello(0.0) or {})
    kind = "tab" if place == "tab" else "headless"
    pages = [page for page in _PAGES.values() if page.place == kind and page.is_alive]
    if software is False:
        pages = [page for page in pages if not page.is_software]
    return max(pages, key=lambda page: bool(page.adapter), default=None)


def readiness(place: str = "auto") -> tuple[str, str]:
    """What is missing for a page that is not open yet, and the fix; two empty texts where nothing is.

    Args:
        place: as for `remembered`.
    """
    if reason := files.missing():
        return reason, files.fix()
    if place == "lab":
        return tr("no page of JupyterLab has answered"), SHOW_FIX
    if place != "tab" and not browsers.find():
        return tr("no Chromium, Chrome or Edge was found"), NO_BROWSER_FIX
    return "", ""
