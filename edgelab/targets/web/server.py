"""A page of this computer's own: files and a socket on the loopback interface, behind a random address.

The server lives in a thread, so it ends with Python. It serves the page's files and nothing else; the model
goes through the socket. It answers only requests that name it by its own address and come from its own page:
another site that finds the port, or points a name of its own at it, is refused.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import hmac
import itertools
import json
import secrets
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

from edgelab.errors import TargetError
from edgelab.targets.web import files
from edgelab.texts import tr

PAGE_FOLDER = Path(__file__).parent / "page"
PAGE_FILES = {"": "index.html"} | {name: name for name in ("page.js", "desk.js", "worker.js", "runner.js")}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
}
LARGEST_MESSAGE_BYTES = 2**28
LARGEST_HEAD_BYTES = 2**20
START_S = 10.0
HEADERS = {
    # Isolated from other sites, a page gets threads and a clock of 5 microseconds in place of 100.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The runtime's own bindings are made by `new Function`: 'unsafe-eval', of the page's own scripts alone.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-eval'; "
    "worker-src 'self' blob:; "
    "connect-src 'self'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def pack(head: dict[str, Any], parts: Sequence[bytes] = ()) -> bytes:
    """A message: the head's length in 4 bytes, the head as JSON, the parts one after the other."""
    text = json.dumps({**head, "sizes": [len(part) for part in parts]}).encode()
    return struct.pack("<I", len(text)) + text + b"".join(parts)


def unpack(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The head and the parts of a message.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(message, bytes) or len(message) < 4:
        raise ValueError("no message")
    [length] = struct.unpack_from("<I", message)
    if length > min(LARGEST_HEAD_BYTES, len(message) - 4):
        raise ValueError("the head is longer than the message, or than a head can be")
    head = json.loads(message[4 : 4 + length])
    sizes = head.pop("sizes", None) if isinstance(head, dict) else None
    if not isinstance(sizes, list) or any(type(size) is not int or size < 0 for size in sizes):
        raise ValueError("no sizes")
    if 4 + length + sum(sizes) != len(message):
        raise ValueError("the parts do not fill the message")
    places = itertools.accumulate(sizes, initial=4 + length)
    return head, [message[place : place + size] for place, size in zip(places, sizes, strict=False)]


class PageGoneError(Exception):
    """The page was closed, or loaded again, while an answer was awaited."""


class Server:
    """Serves the page, and exchanges messages with the one page that has connected.

    Attributes:
        address: what the browser opens; whoever knows it can run models in our name, so it is random.
    """

    def __init__(self) -> None:
        self._folder = files.needed()
        self.token = secrets.token_urlsafe(24)
        self._ids, self._waiting = itertools.count(1), {}
        self._lock, self._connected = threading.Lock(), threading.Event()
        self._socket: _Socket | None = None
        self._hello: dict[str, Any] = {}
        started: concurrent.futures.Future = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True, name="edgelab-web")
        self._thread.start()
        self.port = started.result(START_S)
        self.origins = (f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}")
        self.address = f"{self.origins[0]}/{self.token}/"

    def _serve(self, started: concurrent.futures.Future) -> None:
        async def main() -> None:
            self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
            application = tornado.web.Application(
                [
                    (r"/([\w-]+)/socket", _Socket, {"server": self}),
                    (r"/([\w-]+)/(.*)", _File, {"server": self}),
                ],
                default_handler_class=Nothing,
                websocket_max_message_size=LARGEST_MESSAGE_BYTES,
                log_function=silent,
            )
            sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
            # What the page answers is as large as a model's outputs; what it asks for has no body.
            server = tornado.httpserver.HTTPServer(
                application, max_buffer_size=LARGEST_MESSAGE_BYTES + 2**16, max_body_size=2**16
            )
            server.add_sockets(sockets)
            started.set_result(sockets[0].getsockname()[1])
            await self._ended.wait()
            server.stop()
            if self._socket:
                self._socket.close(1001, "Python has ended the connection. This tab can be closed.")
            await server.close_all_connections()

        try:
            asyncio.run(main())
        except Exception as error:
            if not started.done():
                started.set_exception(error)

    @property
    def is_connected(self) -> bool:
        """Whether a page has connected and said what it is."""
        return self._connected.is_set()

    def hello(self, limit_s: float) -> dict[str, Any] | None:
        """What the page is, as soon as one has connected; None when none has in that time."""
        deadline = time.monotonic() + limit_s
        while not self._connected.wait(0.1):  # short waits, which an interrupt ends everywhere
            if time.monotonic() > deadline:
                return None
        return self._hello

    def exchange(
        self, head: dict[str, Any], parts: Sequence[bytes], limit_s: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a request to the page, and wait for its answer.

        Raises:
            PageGoneError: there is no page, or it goes meanwhile.
            TimeoutError: it does not answer in time.
        """
        number, answer = next(self._ids), concurrent.futures.Future()
        with self._lock:
            self._waiting[number] = answer
        try:
            self._loop.call_soon_threadsafe(self._send, number, pack({"number": number, **head}, parts))
            deadline = time.monotonic() + limit_s
            while not concurrent.futures.wait([answer], 0.1).done:
                if time.monotonic() > deadline:
                    raise TimeoutError
            return answer.result()
        except RuntimeError as error:  # the loop is closed
            raise PageGoneError from error
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def _send(self, number: int, message: bytes) -> None:
        with self._lock:
            answer = self._waiting.get(number)
        if self._socket is None:
            if answer and not answer.done():
                answer.set_exception(PageGoneError())
            return
        with contextlib.suppress(tornado.websocket.WebSocketClosedError):
            self._socket.write_message(message, binary=True)

    def _take(self, message: bytes) -> None:
        """An answer of the page; what nobody waits for is dropped."""
        try:
            head, parts = unpack(message)
            number = head.pop("number")
            if type(number) is not int or type(head.get("ok")) is not bool:
                raise ValueError("no answer")
        except (ValueError, KeyError, RecursionError):
            return
        if number == 0 and not self.is_connected:
            self._hello = head
            self._connected.set()
            return
        with self._lock:
            answer = self._waiting.get(number)
        if answer and not answer.done():
            answer.set_result((head, parts))

    def _left(self) -> None:
        self._socket, self._hello = None, {}
        self._connected.clear()
        with self._lock:
            waiting = list(self._waiting.values())
        for answer in waiting:
            if not answer.done():
                answer.set_exception(PageGoneError())

    def close(self) -> None:
        """End it; the page says so. A second call does nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(START_S)

    def refuses(self, request: Any, token: str) -> int:
        """The status for a request that is not of the own page, or 0."""
        return refusal(request, token, self.token, self.origins)


def refusal(request: Any, token: str, wanted: str, origins: Sequence[str]) -> int:
    """The status for a request that is not of one of our own pages, or 0.

    Args:
        request: as tornado gives it.
        token: in its address.
        wanted: the one that its address has to hold.
        origins: that our pages have, such as "http://127.0.0.1:8000".
    """
    own = {origin.partition("://")[2]: origin for origin in origins}
    if request.host not in own:
        return 403  # a name of another site that points here
    if not hmac.compare_digest(token.encode(), wanted.encode()):
        return 404
    origin = request.headers.get("Origin")
    if origin is not None and origin != own[request.host]:
        return 403
    return 0 if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin") else 403


def silent(handler: tornado.web.RequestHandler) -> None:
    """A line a request would say what the address is."""


class Nothing(tornado.web.RequestHandler):
    """Answers 404, with the headers that keep a page to itself; what serves something inherits it."""

    def set_default_headers(self) -> None:
        """Those of `HEADERS`, and no name of the server."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Nothing is here."""
        self.send_error(404)

    def write_error(self, status_code: int, **_: Any) -> None:
        """The status alone: no path, no traceback."""
        self.finish(f"{status_code}\n")


class _File(Nothing):
    def initialize(self, server: Server) -> None:
        self.server = server

    def prepare(self) -> None:
        if status := self.server.refuses(self.request, self.path_args[0]):
            self.send_error(status)

    def get(self, _: str, name: str) -> None:
        if name in PAGE_FILES:
            path = PAGE_FOLDER / PAGE_FILES[name]
        elif name in files.names():
            path = self.server._folder / name
        else:
            self.send_error(404)
            return
        self.set_header("Content-Type", TYPES[path.suffix])
        self.finish(path.read_bytes())


class _Socket(tornado.websocket.WebSocketHandler):
    def initialize(self, server: Server) -> None:
        self.server = server

    def prepare(self) -> None:
        if status := self.server.refuses(self.request, self.path_args[0]):
            self.set_status(status)
            self.finish()
        elif self.request.headers.get("Origin") is None:
            self.set_status(403)
            self.finish()

    def check_origin(self, origin: str) -> bool:
        return origin == f"http://{self.request.host}"

    def open(self, _: str) -> None:
        if self.server._socket is not None:
            self.close(1013, "Another tab of this address is connected already.")
            return
        self.server._socket = self

    def on_message(self, message: bytes | str) -> None:
        if self.server._socket is self:
            self.server._take(message)

    def on_close(self) -> None:
        if self.server._socket is self:
            self.server._left()


def timed_out(limit_s: float) -> TargetError:
    """The error for a page that does not answer."""
    return TargetError(
        tr("The browser gave no answer within {limit_s:g} s.", limit_s=limit_s),
        why=tr("the tab is hidden or asleep, the model is large, or this computer is very busy"),
        fix=tr("bring the tab to the front, and try again when nothing else runs"),
    )
