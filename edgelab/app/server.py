"""HTTP: the page, the live picture, JSON, metrics; nobody gets in without the token."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tornado.httpserver
import tornado.iostream
import tornado.web

from edgelab.app import metrics, places, security
from edgelab.errors import EdgelabError, InputError, StorageError

if TYPE_CHECKING:
    from edgelab.app.application import Application

WEB = Path(__file__).with_name("web")
FILES = {
    "icon.svg": "image/svg+xml",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}
MOST_BODY_BYTES = 64_000
IDLE_S = 60.0
PICTURE_WITHIN_S = 5.0
VIEWER_STALLED_S = 20.0  # a viewer that takes no picture for so long is let go
SEND_BUFFER_BYTES = 128_000  # in the system, for each viewer: a slow one gets newer pictures so
BURST_S = 3.0  # of requests at once, in seconds of the rate
MOST_ALARMS = 1000
COOKIE = "edgelab_session"
BOUNDARY = "edgelab-frame"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Base(tornado.web.RequestHandler):
    """What every answer has in common."""

    needs_login = True
    app: Application

    def initialize(self, app: Application) -> None:
        """Tornado hands over what the route names."""
        self.app, self._retry_after_s = app, 0

    def set_default_headers(self) -> None:
        """Headers that keep a page from being framed, guessed, cached or from loading anything foreign."""
        self.set_header("Server", "edgelab")
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def prepare(self) -> None:
        """Refuse foreign names and pages, strangers, and whoever asks too often."""
        host = self.request.headers.get("Host", "")
        if not security.is_known_host(host, self.app.host_names):
            raise tornado.web.HTTPError(421, reason="Unknown Host")
        if self.request.method not in ("GET", "HEAD") and not security.is_own_origin(
            self.request.headers.get("Origin"), host, self.request.protocol
        ):
            raise tornado.web.HTTPError(403, reason="Foreign Origin")
        if not self.needs_login:
            return
        who = self._who()
        if who is None:
            raise tornado.web.HTTPError(401)
        self._limit(self.app.request_limit, who)

    def _who(self) -> str | None:
        """The session or program that asks; None for a stranger. Guesses count as wrong logins do."""
        session = self.get_cookie(COOKIE, "")
        if session and self.app.sessions.knows(session):
            return session
        scheme, _, given = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return f"program at {self.request.remote_ip}" if self.token_fits(given) else None

    def token_fits(self, given: str) -> bool:
        """Whether a token is right.

        Raises:
            HTTPError: too many wrong ones came from this address.
        """
        address = self.request.remote_ip or ""
        self._limit(self.app.login_limit, address, take=False)
        if security.same(given.strip(), self.app.token):
            return True
        self._limit(self.app.login_limit, address)
        return False

    def _limit(self, limit: security.RateLimit, who: str, *, take: bool = True) -> None:
        wait_s = limit.wait_s(who, take=take)
        if wait_s:
            self._retry_after_s = math.ceil(wait_s)
            raise tornado.web.HTTPError(429)

    def write_error(self, status_code: int, **about: Any) -> None:
        """What went wrong, without a traceback; the page's reader is sent to the login."""
        if status_code == 401 and isinstance(self, Page):
            self.clear()
            self.set_default_headers()
            self.redirect("/login")
            return
        if self._retry_after_s:
            self.set_header("Retry-After", str(self._retry_after_s))
        self.answer({"error": self._reason, "status": status_code})

    def answer(self, value: Any, status: int | None = None) -> None:
        """Finish with JSON."""
        if status:
            self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(value, ensure_ascii=False, allow_nan=False))

    def refuse(self, error: EdgelabError) -> None:
        """Finish with what an error says: 400 for what was asked, 507 for a full disk."""
        status = 507 if isinstance(error, StorageError) else 400 if isinstance(error, InputError) else 500
        self.answer({"error": error.what, "why": error.why, "fix": error.fix, "status": status}, status)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number of the address, kept in its range.

        Raises:
            HTTPError: it is none.
        """
        try:
            value = float(self.get_query_argument(name, str(default)))
        except ValueError as error:
            raise tornado.web.HTTPError(400, reason=f"{name} is no number") from error
        if not math.isfinite(value):
            raise tornado.web.HTTPError(400, reason=f"{name} is no number")
        return min(max(value, low), high)


class Page(Base):
    """`GET /`: the application in the browser."""

    def get(self) -> None:
        """The page; what changes comes as JSON."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        text = (WEB / "page.html").read_text(encoding="utf-8")
        self.finish(text.replace("<!--warning-->", self.app.warning_html))


class StaticFile(Base):
    """`GET /static/…`: the page's script and style; the same for everybody, so no login is asked for."""

    needs_login = False

    def get(self, name: str) -> None:
        """One of `FILES`."""
        if name not in FILES:
            raise tornado.web.HTTPError(404)
        self.set_header("Content-Type", FILES[name])
        self.finish((WEB / name).read_bytes())


class Login(Base):
    """`GET` and `POST /login`: the token for a cookie."""

    needs_login = False

    def get(self) -> None:
        """The form."""
        self._form("")

    def post(self) -> None:
        """The cookie, if the token is right."""
        if not self.token_fits(self.get_body_argument("token", "")):
            self.set_status(403)
            self._form("That is not the token. It is in the file “token” of the data folder.")
            return
        self.set_cookie(
            COOKIE,
            self.app.sessions.begin(),
            httponly=True,
            samesite="Strict",
            secure=self.request.protocol == "https",
            path="/",
            max_age=int(security.SESSION_S),
        )
        self.redirect("/", status=303)

    def _form(self, problem: str) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        text = (WEB / "login.html").read_text(encoding="utf-8")
        shown = f'<p role="alert" class="problem">{problem}</p>' if problem else ""
        self.finish(text.replace("<!--problem-->", shown).replace("<!--warning-->", self.app.warning_html))


class Logout(Base):
    """`POST /logout`: end the session."""

    def post(self) -> None:
        """Forget the cookie."""
        self.app.sessions.end(self.get_cookie(COOKIE, ""))
        self.clear_cookie(COOKIE, path="/")
        self.redirect("/login", status=303)


class State(Base):
    """`GET /api/state`: everything about now."""

    def get(self) -> None:
        """As JSON."""
        self.answer(self.app.state())


class Alarms(Base):
    """`GET /api/alarms?most=&before=&since_s=`: from the history, newest first."""

    def get(self) -> None:
        """A list; `before` is the smallest number of the last answer, to read on."""
        most = int(self.number("most", 50, 1, MOST_ALARMS))
        before = int(self.number("before", 2**53, 0, 2**53))
        try:
            found = self.app.history.alarms(
                most=most, before=before, since_s=self.number("since_s", 0, 0, 1e12)
            )
        except EdgelabError as error:
            self.refuse(error)
        else:
            self.answer({"alarms": found})


class Minutes(Base):
    """`GET /api/minutes?most=`: statistics by the minute, newest first."""

    def get(self) -> None:
        """A list."""
        try:
            found = self.app.history.minutes(most=int(self.number("most", 60, 1, 10_000)))
        except EdgelabError as error:
            self.refuse(error)
        else:
            self.answer({"minutes": [asdict(one) for one in found]})


class PlacesList(Base):
    """`GET /api/places`, `POST /api/places`: zones and lines."""

    def get(self) -> None:
        """All of them."""
        self.answer({"places": [places.as_json(one) for one in self.app.places.all()]})

    def post(self) -> None:
        """Add one, or replace the one of that name."""
        try:
            place = places.from_json(json.loads(self.request.body))
            self.app.places.put(place)
        except (ValueError, RecursionError):
            self.answer({"error": "The body is no JSON.", "status": 400}, 400)
        except EdgelabError as error:
            self.refuse(error)
        else:
            self.answer(places.as_json(place), 201)


class OnePlace(Base):
    """`DELETE /api/places/NAME`."""

    def delete(self, name: str) -> None:
        """Remove it."""
        try:
            found = self.app.places.remove(name)
        except EdgelabError as error:
            self.refuse(error)
            return
        if not found:
            raise tornado.web.HTTPError(404)
        self.set_status(204)
        self.finish()


class OnePicture(Base):
    """`GET /api/picture.jpg`: the next picture alone."""

    async def get(self) -> None:
        """A JPEG; 503 where none comes."""
        after = self.app.hub.latest.number if self.app.hub.latest else 0
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(None, self.app.hub.next, after, PICTURE_WITHIN_S)
        if picture is None:
            raise tornado.web.HTTPError(503, reason="No Picture")
        self.set_header("Content-Type", "image/jpeg")
        self.finish(picture.jpeg)


class Stream(Base):
    """`GET /stream.mjpg`: the live picture, as parts of one endless answer."""

    async def get(self) -> None:
        """The newest picture, as often as the viewer takes one and `[view] fps` lets it."""
        hub = self.app.hub
        if hub.viewers >= self.app.settings.view.viewers:
            self._retry_after_s = 5
            raise tornado.web.HTTPError(503, reason="Too Many Viewers")
        self.set_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        stream = self.request.connection.stream
        if stream.socket is not None:
            self.app.shorten_buffer(stream.socket, SEND_BUFFER_BYTES)
        loop, fresh = asyncio.get_running_loop(), asyncio.Event()
        sent, gap_s, next_s = 0, 0.8 / self.app.settings.view.fps, 0.0

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the server has just ended
                loop.call_soon_threadsafe(fresh.set)

        with hub.watching(tell):
            while not hub.is_closed and not stream.closed() and self._may_go_on():
                fresh.clear()
                picture = hub.latest
                if picture is None or picture.number == sent or loop.time() < next_s:
                    wait_s = max(next_s - loop.time(), 0.0) or 1.0
                    await _set_within(fresh, wait_s) if loop.time() >= next_s else await asyncio.sleep(wait_s)
                    continue
                sent, next_s = picture.number, loop.time() + gap_s
                head = (
                    f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\n\r\n"
                )
                self.write(head.encode() + picture.jpeg + b"\r\n")
                try:
                    await asyncio.wait_for(self.flush(), VIEWER_STALLED_S)
                except (tornado.iostream.StreamClosedError, asyncio.TimeoutError):
                    stream.close()

    def _may_go_on(self) -> bool:
        """Whether a session that began this has not been ended since."""
        session = self.get_cookie(COOKIE, "")
        return not session or self.app.sessions.knows(session) or "Authorization" in self.request.headers


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return


class Numbers(Base):
    """`GET /metrics`: for Prometheus, with the token as a bearer's."""

    def get(self) -> None:
        """In its text format."""
        self.set_header("Content-Type", metrics.CONTENT_TYPE)
        self.finish(self.app.metrics.text())


class Health(Base):
    """`GET /healthz`: 200 while the application lives and frames come, else 503; tells nothing else."""

    needs_login = False

    def get(self) -> None:
        """For a container's or a supervisor's check."""
        is_well = self.app.loop.state().status in ("running", "starting")
        self.set_status(200 if is_well else 503)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok\n" if is_well else "no frames\n")


class NotFound(Base):
    """Everything else."""

    def prepare(self) -> None:
        """A stranger learns no more from a wrong address than from a right one."""
        super().prepare()
        raise tornado.web.HTTPError(404)


def server(app: Application) -> tornado.httpserver.HTTPServer:
    """The server of an application, not listening yet."""
    give = {"app": app}
    routes = [
        (r"/", Page, give),
        (r"/static/([a-z.]+)", StaticFile, give),
        (r"/login", Login, give),
        (r"/logout", Logout, give),
        (r"/stream\.mjpg", Stream, give),
        (r"/api/state", State, give),
        (r"/api/alarms", Alarms, give),
        (r"/api/minutes", Minutes, give),
        (r"/api/places", PlacesList, give),
        (r"/api/places/([^/]{1,200})", OnePlace, give),
        (r"/api/picture\.jpg", OnePicture, give),
        (r"/metrics", Numbers, give),
        (r"/healthz", Health, give),
        (r".*", NotFound, give),
    ]
    web = tornado.web.Application(routes, log_function=lambda handler: None, compress_response=False)
    return tornado.httpserver.HTTPServer(
        web,
        ssl_options=app.encryption(),
        max_body_size=MOST_BODY_BYTES,
        max_buffer_size=MOST_BODY_BYTES * 2,
        max_header_size=16_384,
        body_timeout=10.0,
        idle_connection_timeout=IDLE_S,
    )
