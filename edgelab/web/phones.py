"""A class's phones on one board: an address on the local network, a page for phones, a record from each.

A phone can fetch the page's files and the model, and send one record; nothing else is answered, and how much
and how often is limited. The page with the QR code and the board is for this computer alone.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import html
import json
import queue
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import segno
import tornado.httpserver
import tornado.netutil
import tornado.web

from edgelab.errors import DataError, EdgelabError, TargetError
from edgelab.machine import artifacts
from edgelab.targets.web import files
from edgelab.targets.web.server import PAGE_FOLDER, TYPES, Nothing, pack, refusal, silent, unpack
from edgelab.texts import tr
from edgelab.web import certificate
from edgelab.web.phone_records import LARGEST_RECORD_BYTES, Received, Task, judge

OWN_FOLDER = Path(__file__).parent / "page"
PAGE_FILES = {
    "": OWN_FOLDER / "phone.html", "phone.js": OWN_FOLDER / "phone.js",
    **{name: PAGE_FOLDER / name for name in ("desk.js", "worker.js", "runner.js")},
}  # fmt: skip
START_S = 10.0
MOST_RECORDS = 200
MOST_TICKETS = 1000
MOST_A_MINUTE = 1200  # requests of one address; a whole class may share one
TASKS_A_MINUTE = 60  # and records
WALL_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src data:; "
    "frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
WALL_STYLE = """body{font:1.1rem/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:90rem;padding:0 1rem;
color:#1a1a1a}.join{display:flex;flex-wrap:wrap;gap:2rem;align-items:start}.join>div{flex:1 1 24rem}
img{width:20rem;max-width:100%}code{overflow-wrap:anywhere}
iframe{width:100%;height:75vh;border:1px solid #bbb}"""


def local_address() -> str:
    """This computer's address on the local network.

    Raises:
        TargetError: it is on none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
        asking.connect(("192.0.2.1", 9))  # sends nothing: only asks which way a packet would go
        address = asking.getsockname()[0]
        if not address.startswith(("127.", "0.")):
            return address
    raise TargetError(
        tr("This computer is on no network that a phone could reach."),
        why=tr("it has no address but its own"),
        fix=tr("join the classroom's network, or name the address yourself: --address 192.168.1.20"),
    )


class _Rate:
    """How often each address may ask within a minute."""

    def __init__(self, most: int) -> None:
        self._most, self._times = most, {}

    def allows(self, address: str) -> bool:
        """Whether one more is within the limit; it is counted where it is."""
        now = time.monotonic()
        self._times = {who: times for who, times in self._times.items() if times[-1] > now - 60}
        times = self._times.setdefault(address, collections.deque(maxlen=self._most))
        if len(times) == self._most and times[0] > now - 60:
            return False
        times.append(now)
        return True


@dataclass(frozen=True)
class Places:
    """Where a lesson's records and its board lie.

    Attributes:
        records: a `.jsonl` file for each phone, as `python -m edgelab class` takes them.
        board: where the board is written.
    """

    records: Path
    board: Path


def new_places() -> Places:
    """A folder of this lesson, under `artifacts/class/`."""
    folder = (
        artifacts.artifacts_dir() / "class" / f"{time.strftime('%Y-%m-%d %H%M%S')} {secrets.token_hex(2)}"
    )
    artifacts.make_folder(folder / "records")
    return Places(folder / "records", folder / "board")


class PhoneServer:
    """Serves the page for phones by https, judges what they send, and keeps what is right.

    Args:
        task: what every phone runs.
        places: where records go, and where the board is read from.
        address: to listen on; the one in the local network for phones, 127.0.0.1 to try.
        port: 0 takes any that is free.

    Attributes:
        address: what the QR code holds; whoever has it can send a record, so it is random.
        wall: the address of the page with the QR code and the board, of this computer alone.
        fingerprint: of the certificate.
        arrived: each `Received` whose records were kept, or that had none.
    """

    def __init__(self, task: Task, places: Places, address: str, port: int = 0) -> None:
        self.task, self.places = task, places
        self._folder = files.needed()
        self._token, self._wall_token = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
        self._context, self.fingerprint = certificate.make(address)
        self._tickets: set[str] = set()
        self._given = self.count = 0
        self._rate, self._task_rate, self._record_rate = map(
            _Rate, (MOST_A_MINUTE, TASKS_A_MINUTE, TASKS_A_MINUTE)
        )
        self.arrived: queue.SimpleQueue[Received] = queue.SimpleQueue()
        started: concurrent.futures.Future = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._serve, args=(started, address, port), daemon=True, name="edgelab-phones"
        )
        self._thread.start()
        own_port, wall_port = started.result(START_S)
        self.origins, self.wall_origins = (
            (f"https://{address}:{own_port}",),
            (f"http://127.0.0.1:{wall_port}",),
        )
        self.address = f"{self.origins[0]}/{self._token}/"
        self.wall = f"{self.wall_origins[0]}/{self._wall_token}/"

    def _serve(self, started: concurrent.futures.Future, address: str, port: int) -> None:
        async def main() -> None:
            self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
            rules = {"default_handler_class": Nothing, "log_function": silent}
            own = [
                (r"/([\w-]+)/record", _Record, {"server": self}),
                (r"/([\w-]+)/(.*)", _File, {"server": self}),
            ]
            sockets = tornado.netutil.bind_sockets(port, address)
            server = tornado.httpserver.HTTPServer(
                tornado.web.Application(own, **rules), ssl_options=self._context,
                max_buffer_size=2 * LARGEST_RECORD_BYTES, max_body_size=LARGEST_RECORD_BYTES,
                max_header_size=2**14, idle_connection_timeout=60, body_timeout=30,
            )  # fmt: skip
            server.add_sockets(sockets)
            wall_sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
            wall = tornado.httpserver.HTTPServer(
                tornado.web.Application([(r"/([\w-]+)/(.*)", _Wall, {"server": self})], **rules)
            )
            wall.add_sockets(wall_sockets)
            started.set_result((sockets[0].getsockname()[1], wall_sockets[0].getsockname()[1]))
            await self._ended.wait()
            for one in (server, wall):
                one.stop()
                await one.close_all_connections()

        try:
            asyncio.run(main())
        except OSError as error:
            started.set_exception(TargetError(
                tr("{address} cannot be listened on.", address=f"{address}:{port}"), why=str(error),
                fix=tr("name an address of this computer, or another port: --address, --port"),
            ))  # fmt: skip

    def close(self) -> None:
        """End it. A second call does nothing."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(START_S)

    def refuses(self, request: Any, token: str) -> int:
        """The status for a request of a phone that is not answered, or 0."""
        if status := refusal(request, token, self._token, self.origins):
            return status
        return 0 if self._rate.allows(request.remote_ip) else 429

    def ticket(self) -> str:
        """For one record; "" where the class is full."""
        if self._given >= MOST_TICKETS or self.count >= MOST_RECORDS:
            return ""
        self._given += 1
        ticket = secrets.token_urlsafe(12)
        self._tickets.add(ticket)
        return ticket

    def take(self, body: bytes) -> Received:
        """Judge a record, and keep what was right of it. Each ticket is taken once, whatever comes with it.

        Raises:
            DataError: it is no record of ours.
            StorageError: it cannot be kept.
        """
        try:
            head, parts = unpack(body)
        except (ValueError, RecursionError) as error:
            raise DataError(tr("The record was refused."), why=str(error)) from error
        ticket = head.get("ticket")
        if not isinstance(ticket, str) or ticket not in self._tickets or self.count >= MOST_RECORDS:
            raise DataError(
                tr("The record was refused."),
                why=tr("its page has sent one already, or is of another lesson"),
                fix=tr("load the page again"),
            )
        self._tickets.discard(ticket)
        received = judge(self.task, head, parts)
        self.count += 1
        if received.records:
            name = " ".join(filter(None, (f"phone {self.count:02}", received.name)))
            text = "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in received.records)
            with artifacts.atomic_path(self.places.records / f"{name}.jsonl") as temporary:
                temporary.write_text(text, encoding="utf-8")
        self.arrived.put(received)
        return received

    def wall_page(self) -> str:
        """The page with the QR code, how to join, and the board."""
        code = segno.make(self.address, error="m").svg_data_uri(scale=6, border=3, light="#fff")
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Phones join</title>
<style>{WALL_STYLE}</style></head><body><main><h1>Your phone joins</h1><div class="join">
<img alt="QR code of the address beside it" src="{html.escape(code)}"><div>
<ol><li>Join this computer's network, and point the camera at the code, or type<br>
<code>{html.escape(self.address)}</code></li>
<li>The browser warns: this computer has made its certificate itself, a moment ago, and nobody vouches
for it. Choose <em>Advanced</em> or <em>Details</em>, then go on. Without https a phone's browser offers
no WebGPU.</li>
<li>Press <em>Run</em>, and keep the page in view for half a minute.</li></ol>
<p>{html.escape(self.task.name)}, {html.escape(self.task.precision)}; <span id="count">{self.count}</span> of
at most {MOST_RECORDS} records. The certificate's SHA-256 fingerprint:<br>
<code>{self.fingerprint}</code></p></div></div>
<iframe id="board" title="Class board" hidden></iframe></main>
<script type="module" src="wall.js"></script></body></html>
"""


class _File(Nothing):
    def initialize(self, server: PhoneServer) -> None:
        self.server = server

    def prepare(self) -> None:
        if status := self.server.refuses(self.request, self.path_args[0]):
            self.send_error(status)

    def get(self, _: str, name: str) -> None:
        if name == "task":
            if not self.server._task_rate.allows(self.request.remote_ip):
                self.send_error(429)
                return
            if not (ticket := self.server.ticket()):
                self.send_error(503)
                return
            self.set_header("Content-Type", "application/octet-stream")
            self.finish(pack(*self.server.task.message(ticket)))
            return
        path = PAGE_FILES.get(name) or (self.server._folder / name if name in files.names() else None)
        if path is None:
            self.send_error(404)
            return
        self.set_header("Content-Type", TYPES[path.suffix])
        self.finish(path.read_bytes())


class _Record(_File):
    def prepare(self) -> None:
        super().prepare()
        if self._finished:
            return
        if self.request.headers.get("Origin") is None:
            self.send_error(403)
        elif not self.server._record_rate.allows(self.request.remote_ip):
            self.send_error(429)

    def get(self, _: str) -> None:
        self.send_error(404)

    def post(self, _: str) -> None:
        try:
            received = self.server.take(self.request.body)
        except EdgelabError as error:
            self.set_status(422)
            self.finish({"lines": [f"{error.what} {error.why}"]})
            return
        self.finish({"lines": list(received.lines)})


class _Wall(Nothing):
    def initialize(self, server: PhoneServer) -> None:
        self.server = server

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", WALL_POLICY)

    def prepare(self) -> None:
        server = self.server
        if status := refusal(self.request, self.path_args[0], server._wall_token, server.wall_origins):
            self.send_error(status)

    def get(self, _: str, name: str) -> None:
        board = self.server.places.board / "board.html"
        self.set_header("Content-Type", TYPES[".html"])
        if name == "":
            self.finish(self.server.wall_page())
        elif name == "wall.js":
            self.set_header("Content-Type", TYPES[".js"])
            self.finish((OWN_FOLDER / name).read_bytes())
        elif name == "state":
            made = str(board.stat().st_mtime_ns) if board.exists() else ""
            self.finish({"count": self.server.count, "board": made})
        elif name == "board.html" and board.exists():
            self.finish(board.read_bytes())
        else:
            self.send_error(404)
