"""The application put together from its parts, started, and ended."""

from __future__ import annotations

import asyncio
import html
import signal
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import psutil
import tornado.httpserver
import tornado.netutil

from edgelab.alarms import Alarm, Backoff, Courier, LogFile, MqttTopic, Outbox, Sender, Webhook
from edgelab.app import analysis, looping, security, server
from edgelab.app.annotating import annotated, as_jpeg
from edgelab.app.desk import Desk
from edgelab.app.history import History, Minute
from edgelab.app.hub import Hub
from edgelab.app.locking import FolderLock
from edgelab.app.metrics import Metrics
from edgelab.app.places import Places
from edgelab.app.settings import LOOPBACK, Settings, check
from edgelab.app.state_topic import StateTopic
from edgelab.app.watching import Watch
from edgelab.detection import Detections
from edgelab.errors import InputError, TargetError
from edgelab.texts import tr
from edgelab.video import Frame

MINUTE_S = 60.0
LATEST_ALARMS = 50
VIEWERS_END_S = 1.0
WILDCARDS = ("0.0.0.0", "::", "")


class Application:
    """Source, model, view, alarms, history, server.

    Building it takes the data folder and the port and opens the model, so that what is wrong is told before
    anything runs; `start` begins, `close` ends it.

    Args:
        settings: of `settings.load`.

    Attributes:
        address: where it is looked at.
        token: lets people in.

    Raises:
        InputError, ModelError, TargetError: the model, its labels or the certificate cannot be used.
        StorageError: another instance holds the folder, or it cannot be written.
        TargetError: the port is taken.
    """

    def __init__(self, settings: Settings) -> None:
        check(settings)
        self.settings, self._undo = settings, []
        try:
            self._build()
        except BaseException:
            self._undo_all()
            raise

    def _build(self) -> None:
        settings = self.settings
        lock = FolderLock(settings.folder)
        lock.take(self._url(settings.server.port))
        self._undo.append(lock.close)
        self._sockets = self._listen()
        self._undo.append(lambda: [one.close() for one in self._sockets])
        self.port = self._sockets[0].getsockname()[1]
        self.address = self._url(self.port)
        lock.tell(self.address)
        self._encryption = self.encryption()
        self.token = security.token_in(settings.folder)
        self.host_names = self._host_names()
        self.sessions = security.Sessions()
        rate = settings.server.requests_per_second
        self.request_limit = security.RateLimit(rate, rate * server.BURST_S)
        tries = settings.server.login_tries_per_minute
        self.login_limit = security.RateLimit(tries / 60, tries)
        self.history = History(
            settings.folder / "history.sqlite",
            keep_days=settings.history.keep_days,
            most_mb=settings.history.most_mb,
        )
        self._undo.append(self.history.close)
        self.couriers = self._make_couriers()
        self.desk = Desk(self.history, tuple(one.outbox for one in self.couriers.values()))
        self.places = Places(settings.folder / "places.json")
        self.analyser = analysis.Reopening(lambda: analysis.open_analyser(settings))
        self._undo.append(self.analyser.close)
        self.hub = Hub()
        self._watch = Watch(self.analyser.names, self.places, settings.alarms)
        self._began_s, self._alarms = time.time(), 0
        self._latest_alarms: deque[dict[str, Any]] = deque(maxlen=LATEST_ALARMS)
        self.loop = looping.SourceLoop(
            looping.opener(settings.source, settings.path),
            self.analyser.detect,
            self._show,
            backoff=Backoff(settings.source.first_wait_s, settings.source.longest_wait_s),
            repeat=settings.source.repeat,
        )
        self.metrics = Metrics(self.state)
        self._minute = _MinuteBook(self.desk.tell)
        self.loop.on_frame += [self.metrics.count_frame, self._count_frame]
        self._state_topic = self._make_state_topic()

    def _undo_all(self) -> None:
        while self._undo:
            self._undo.pop()()

    # ---------------------------------------------------------------------------------------------- parts

    def _url(self, port: int) -> str:
        scheme = "https" if self.settings.server.certificate else "http"
        address = self.settings.server.address
        shown = socket.gethostname() if address in WILDCARDS else address
        return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}/"

    def _listen(self) -> list[socket.socket]:
        about = self.settings.server
        try:
            return tornado.netutil.bind_sockets(about.port, about.address or None)
        except OSError as error:
            raise TargetError(
                tr(
                    "The address {address}, port {port}, cannot be used.",
                    address=about.address,
                    port=about.port,
                ),
                why=str(error),
                fix=tr("end what listens there, or give [server] another port; 0 takes any that is free"),
            ) from error

    def encryption(self) -> ssl.SSLContext | None:
        """What https needs; None for http.

        Raises:
            InputError: certificate or key cannot be used.
        """
        about = self.settings.server
        if not about.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.settings.path(about.certificate), self.settings.path(about.key))
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                tr("The certificate or its key cannot be used."),
                why=str(error),
                fix=tr("give both as PEM files that belong together"),
            ) from error
        return context

    def _host_names(self) -> set[str]:
        about = self.settings.server
        names = {name.lower() for name in (*LOOPBACK, *about.hosts)}
        if about.address not in WILDCARDS:
            names.add(about.address.lower())
        elif not self.settings.is_loopback:
            names.add(socket.gethostname().lower())
        return names

    def _make_couriers(self) -> dict[str, Courier]:
        settings = self.settings
        senders: list[Sender] = []
        if settings.alarms.log:
            senders.append(LogFile(settings.folder / "alarms.jsonl"))
        if settings.webhook.url:
            secret = settings.secret(settings.webhook.secret_file)
            senders.append(Webhook(settings.webhook.url, secret=secret))
        if settings.mqtt.host:
            about = settings.mqtt
            senders.append(
                MqttTopic(
                    about.host,
                    about.port,
                    f"{about.topic}/alarms",
                    user=about.user,
                    password=settings.secret(about.password_file),
                    tls=about.tls,
                    authority=str(settings.path(about.authority)) if about.authority else None,
                )
            )
        made = {}
        for sender in senders:
            outbox = Outbox(
                settings.folder / f"outbox-{sender.name}.sqlite", most=settings.alarms.most_waiting
            )
            self._undo.append(outbox.close)
            made[sender.name] = Courier(outbox, sender)
        return made

    def _make_state_topic(self) -> StateTopic | None:
        about = self.settings.mqtt
        if not about.host:
            return None
        return StateTopic(about, self.settings, self.state)

    @property
    def warning_html(self) -> str:
        """What the page says where other machines can reach it; empty on loopback."""
        if self.settings.is_loopback:
            return ""
        words = tr("Other machines can reach this page at {address}.", address=self.address)
        if not self.settings.server.certificate:
            words += " " + tr("It is not encrypted: whoever sees the network sees the picture and the token.")
        return f'<p class="warning" role="note">{html.escape(words)}</p>'

    def shorten_buffer(self, connection: socket.socket, size_bytes: int) -> None:
        """Let the system keep little of what a viewer has not taken yet."""
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)
        except OSError:  # it keeps its own size, and the viewer sees older pictures
            return

    # ---------------------------------------------------------------------------------------------- frames

    def _show(self, frame: Frame, found: Detections) -> None:
        height, width = frame.image.shape[:2]
        tracks, alarms = self._watch.update(found, (width, height), frame.captured_s)
        for alarm in alarms:
            self._tell(alarm)
        if self.hub.is_wanted:
            view = self.settings.view
            shown = annotated(frame.image, tracks, self.places.all(), self._watch.name, view.width)
            self.hub.publish(as_jpeg(shown, view.quality), frame.captured_s)

    def _tell(self, alarm: Alarm) -> None:
        self.desk.tell(alarm)
        self._alarms += 1
        self._minute.alarms += 1
        self._latest_alarms.appendleft(alarm.as_json())

    def _count_frame(self, latency_ms: float, inference_ms: float) -> None:
        self._minute.count(latency_ms, inference_ms, self.loop.dropped)

    def state(self) -> dict[str, Any]:
        """Everything about now, as values that JSON knows."""
        source, desk = self.loop.state(), self.desk.state()
        return {
            "time_s": time.time(),
            "up_s": time.time() - self._began_s,
            "model": self.analyser.about,
            "source": asdict(source),
            "viewers": self.hub.viewers,
            "alarms": self._alarms,
            "latest_alarms": list(self._latest_alarms)[:20],
            "history": asdict(desk),
            "receivers": {name: asdict(courier.state()) for name, courier in self.couriers.items()},
            "notes": self._notes(),
            "memory_bytes": psutil.Process().memory_info().rss,
        }

    def _notes(self) -> list[str]:
        notes = [self.places.note] if self.places.note else []
        if self.history.moved_aside:
            notes.append(
                tr("The history was damaged; it was kept as {file}.", file=self.history.moved_aside.name)
            )
        return notes

    # ---------------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin to work; the server answers when `serve` runs."""
        self.desk.start()
        self._undo.append(self.desk.close)
        for courier in self.couriers.values():
            courier.start()
            self._undo.append(courier.close)
        if self._state_topic:
            self._state_topic.start()
            self._undo.append(self._state_topic.close)
        self.loop.start()
        self._undo.append(self.hub.close)
        self._undo.append(self.loop.close)

    async def serve(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Answer requests until `stop` is set.

        Args:
            ready: called when the first request can come.
            stop: ends it.
        """
        http = server.server(self)
        http.add_sockets(self._sockets)
        ready()
        await stop.wait()
        http.stop()
        self.hub.close()
        await self._viewers_gone(VIEWERS_END_S)
        await asyncio.wait_for(_quietly(http.close_all_connections()), VIEWERS_END_S)
        await self._viewers_gone(VIEWERS_END_S)

    async def _viewers_gone(self, within_s: float) -> None:
        """Wait until every live picture has ended."""
        end_s = time.monotonic() + within_s
        while self.hub.viewers and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0)

    def close(self) -> None:
        """End every thread, write what waits, free model, port and folder."""
        self._undo_all()


async def _quietly(work: Any) -> None:
    try:
        await work
    except (OSError, RuntimeError):  # a connection that broke just now
        return


class _MinuteBook:
    """Adds up a minute of frames, and hands it over when the next begins."""

    def __init__(self, tell: Callable[[Minute], None]) -> None:
        self._tell = tell
        self.alarms = 0
        self._begin(int(time.time() // MINUTE_S), 0)

    def _begin(self, minute: int, dropped: int) -> None:
        self._minute, self._dropped_before = minute, dropped
        self._latencies_ms: list[float] = []
        self._inference_ms: list[float] = []
        self.alarms = 0

    def count(self, latency_ms: float, inference_ms: float, dropped: int) -> None:
        """One frame."""
        minute = int(time.time() // MINUTE_S)
        if minute != self._minute:
            self._hand_over(dropped)
            self._begin(minute, dropped)
        self._latencies_ms.append(latency_ms)
        self._inference_ms.append(inference_ms)

    def _hand_over(self, dropped: int) -> None:
        if not self._latencies_ms:
            return
        self._tell(
            Minute(
                self._minute,
                len(self._latencies_ms),
                dropped - self._dropped_before,
                float(np.median(self._latencies_ms)),
                float(np.percentile(self._latencies_ms, 95)),
                float(np.mean(self._inference_ms)),
                self.alarms,
            )
        )


def run(settings: Settings, say: Callable[[str], None]) -> int:
    """Run the application until SIGINT or SIGTERM.

    Args:
        settings: of `settings.load`.
        say: told the address and the token when it runs.

    Returns:
        0.

    Raises:
        EdgelabError: it cannot start; nothing runs then.
    """
    application = Application(settings)
    try:
        application.start()
        asyncio.run(_served(application, say))
    finally:
        application.close()
    return 0


async def _served(application: Application, say: Callable[[str], None]) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        else:
            loop.add_signal_handler(number, stop.set)

    token = application.settings.folder / "token"

    def ready() -> None:
        say(application.analyser.about)
        say(tr("Look at {address}", address=application.address))
        say(tr("Token: {token} (kept in {file})", token=application.token, file=token))

    await application.serve(ready, stop)
