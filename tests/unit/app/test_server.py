import http.client
import json
import re
import socket
import time

import pytest
from running_app import Viewer, ask, running, settings
from waiting import wait_for

from edgelab.app import server

LINE = {"name": "middle", "kind": "line", "points": [[0.5, 0], [0.5, 1]]}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    chosen = settings(
        tmp_path_factory.mktemp("data"),
        server={"requests_per_second": 1000.0, "login_tries_per_minute": 1000},
    )
    with running(chosen) as app:
        wait_for(lambda: app.hub.latest)
        yield app


@pytest.fixture
def own_app(tmp_path):
    """One whose limits a test may use up."""

    def made(**sections):
        return running(settings(tmp_path / "data", **sections))

    return made


def log_in(port, token, **headers):
    headers["Content_Type"] = "application/x-www-form-urlencoded"
    return ask(port, "/login", "POST", f"token={token}", **headers)


# ----------------------------------------------------------------------------------------------- who may look

PRIVATE = [
    "/",
    "/stream.mjpg",
    "/api/state",
    "/api/alarms",
    "/api/minutes",
    "/api/places",
    "/api/picture.jpg",
    "/metrics",
]


@pytest.mark.parametrize("path", [*PRIVATE, "/none", "/api/none"])
def test_strangers_see_nothing(app, path):
    answer = ask(app.port, path)
    if path == "/":
        assert answer.status == 302 and answer.headers["Location"] == "/login"
    else:
        assert answer.status == 401 and answer.json()["error"] == "Unauthorized"
    assert ask(app.port, path, token="wrong").status in (302, 401)


def test_the_token_in_an_address_or_a_cookie_opens_nothing(app):
    assert ask(app.port, f"/api/state?token={app.token}").status == 401
    assert ask(app.port, "/api/state", Cookie=f"{server.COOKIE}={app.token}").status == 401


def test_logging_in_gives_a_cookie_that_scripts_and_other_sites_do_not_get(app):
    answer = log_in(app.port, app.token)
    cookie = answer.headers["Set-Cookie"]
    assert answer.status == 303 and "HttpOnly" in cookie and "SameSite=Strict" in cookie
    session = cookie.partition(";")[0]
    assert app.token not in cookie
    assert ask(app.port, "/api/state", Cookie=session).status == 200
    assert ask(app.port, "/logout", "POST", Cookie=session).status == 303
    assert ask(app.port, "/api/state", Cookie=session).status == 401


def test_a_wrong_token_is_told_without_repeating_it(app):
    answer = log_in(app.port, "<script>wrong")
    assert answer.status == 403 and b"not the token" in answer.body and b"wrong" not in answer.body


def test_logging_in_is_limited(own_app, monkeypatch):
    with own_app(server={"login_tries_per_minute": 3}) as app:
        monkeypatch.setattr(app.login_limit, "_clock", lambda: 0.0)
        codes = [log_in(app.port, "wrong").status for _ in range(5)]
        assert codes == [403, 403, 403, 429, 429]
        limited = log_in(app.port, app.token)
        assert limited.status == 429 and limited.headers["Retry-After"] == "20"
        assert ask(app.port, "/api/state", token=app.token).status == 429, "by the other way in, too"


def test_requests_are_limited(own_app, monkeypatch):
    now = [0.0]
    with own_app(server={"requests_per_second": 2.0}) as app:
        monkeypatch.setattr(app.request_limit, "_clock", lambda: now[0])

        def codes(count):
            return [ask(app.port, "/api/state", token=app.token).status for _ in range(count)]

        assert codes(9) == [200] * 6 + [429] * 3
        now[0] = 1.0
        assert codes(4) == [200] * 2 + [429] * 2, "two a second"
        assert ask(app.port, "/healthz").status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_name_for_this_machine_is_refused(app, host):
    for path in ("/", "/login", "/healthz", "/static/page.js"):
        assert ask(app.port, path, token=app.token, Host=host).status in (400, 421)


def test_a_foreign_page_changes_nothing(app):
    own = f"http://127.0.0.1:{app.port}"
    for origin in ("http://evil.example", "null", f"http://localhost:{app.port + 1}"):
        answer = ask(app.port, "/api/places", "POST", LINE, app.token, Origin=origin)
        assert answer.status == 403
        assert log_in(app.port, app.token, Origin=origin).status == 403
    assert ask(app.port, "/api/places", "POST", LINE, app.token, Origin=own).status == 201


def test_every_answer_forbids_what_the_page_does_not_need(app):
    for path in ("/login", "/", "/api/state", "/none"):
        headers = ask(app.port, path, token=app.token).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store"


def test_pages_load_nothing_from_elsewhere_and_hold_no_script(app):
    for path in ("/", "/login", "/static/page.css", "/static/page.js"):
        text = ask(app.port, path, token=app.token).body.decode()
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)
        assert set(addresses) <= {"http://www.w3.org"}, addresses
        assert not re.search(r"<script>|<style>|\son\w+=|style=", text)


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/..%2Fserver.py", "/static/token", "/static/"]
)
def test_only_the_pages_own_files_are_given(app, path):
    assert ask(app.port, path).status in (401, 404)


def test_no_answer_tells_of_the_inside(app, monkeypatch):
    monkeypatch.setattr(app.history, "alarms", lambda **more: 1 / 0)
    answer = ask(app.port, "/api/alarms", token=app.token)
    assert answer.status == 500 and b"Zero" not in answer.body and b"Traceback" not in answer.body


def test_large_bodies_are_refused(app):
    try:
        answer = ask(app.port, "/api/places", "POST", "x" * 100_000, app.token)
    except (ConnectionError, http.client.HTTPException):
        pass  # cut off before all was sent
    else:
        assert answer.status in (400, 413)
    assert ask(app.port, "/api/state", token=app.token).status == 200


def test_rubbish_on_the_line_does_no_harm(app):
    for rubbish in (
        b"\0" * 2000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"a" * 40_000,
        b"POST /login HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", app.port), 5) as one:
            one.sendall(rubbish)
    assert ask(app.port, "/healthz").status == 200


# ---------------------------------------------------------------------------------------------- what is there


def test_the_state_is_whole(app):
    state = ask(app.port, "/api/state", token=app.token).json()
    assert state["source"]["status"] == "running" and state["source"]["fps"] > 0
    assert state["history"]["is_writing"] and state["receivers"]["log"]["error"] == ""
    assert state["memory_bytes"] > 1e6 and "boxes" in state["model"]


def test_places_come_and_go(app):
    assert ask(app.port, "/api/places", "POST", {**LINE, "name": "a/b ä?"}, app.token).status == 201
    names = [one["name"] for one in ask(app.port, "/api/places", token=app.token).json()["places"]]
    assert "a/b ä?" in names
    path = "/api/places/a%2Fb%20%C3%A4%3F"
    assert ask(app.port, path, "DELETE", token=app.token).status == 204
    assert ask(app.port, path, "DELETE", token=app.token).status == 404


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"name": 1}', "[" * 5000, "\xff"])
def test_what_is_no_place_is_refused_with_a_reason(app, body):
    answer = ask(app.port, "/api/places", "POST", body.encode("latin-1"), app.token)
    assert answer.status == 400 and answer.json()["error"]


@pytest.mark.slow
def test_alarms_reach_page_history_and_log(app):
    ask(app.port, "/api/places", "POST", LINE, app.token)
    alarms = wait_for(lambda: ask(app.port, "/api/alarms?most=5", token=app.token).json()["alarms"], 60)
    assert alarms[0]["place"] == "middle" and alarms[0]["kind"] == "cross"
    state = ask(app.port, "/api/state", token=app.token).json()
    assert state["latest_alarms"] and state["alarms"] >= 1
    log = app.settings.folder / "alarms.jsonl"
    wait_for(lambda: log.exists() and log.read_text().endswith("\n"), 60)
    assert json.loads(log.read_text().splitlines()[0])["place"] == "middle"


def test_numbers_of_the_address_are_checked(app):
    for query in ("most=ten", "before=nan", "since_s=inf"):
        assert ask(app.port, f"/api/alarms?{query}", token=app.token).status == 400
    assert ask(app.port, "/api/alarms?most=999999999&before=-5", token=app.token).status == 200
    # The first minute comes when the application has run for one, as it may have on a busy machine.
    minutes = ask(app.port, "/api/minutes", token=app.token).json()["minutes"]
    assert isinstance(minutes, list) and all(one["frames"] >= 0 for one in minutes)


def test_metrics_are_for_prometheus(app):
    answer = ask(app.port, "/metrics", token=app.token)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"edgelab_up 1.0" in answer.body and b"edgelab_latency_seconds_bucket" in answer.body


def test_one_picture(app):
    answer = ask(app.port, "/api/picture.jpg", token=app.token)
    assert answer.headers["Content-Type"] == "image/jpeg" and answer.body[:3] == b"\xff\xd8\xff"


# ------------------------------------------------------------------------------------------- the live picture


def test_eight_viewers_get_pictures_and_a_stalled_one_delays_nobody(app, monkeypatch):
    monkeypatch.setattr(server, "VIEWER_STALLED_S", 600.0)  # nobody is let go meanwhile
    stalled = socket.create_connection(("127.0.0.1", app.port))
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.sendall(
        f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {app.token}\r\n\r\n".encode()
    )
    viewers = [Viewer(app.port, app.token) for _ in range(8)]
    slow = Viewer(app.port, app.token, pause_s=600.0)  # takes one picture
    wait_for(lambda: app.hub.viewers == 10 and slow.pictures == 1, 60)
    before = [one.pictures for one in viewers]
    wait_for(lambda: all(one.pictures >= had + 30 for one, had in zip(viewers, before, strict=True)), 60)
    assert app.hub.viewers == 10 and slow.pictures == 1
    for one in [*viewers, slow]:
        one.close()
    stalled.close()
    assert viewers[0].last[:3] == b"\xff\xd8\xff"
    wait_for(lambda: app.hub.viewers == 0, 60)


def test_there_is_a_limit_of_viewers(own_app):
    with own_app(view={"viewers": 2}) as app:
        viewers = [Viewer(app.port, app.token) for _ in range(2)]
        wait_for(lambda: app.hub.viewers == 2)
        answer = ask(app.port, "/stream.mjpg", token=app.token)
        assert answer.status == 503 and answer.headers["Retry-After"] == "5"
        for one in viewers:
            one.close()
        wait_for(lambda: app.hub.viewers == 0)


@pytest.mark.slow
def test_the_rate_of_each_viewer_has_a_limit(own_app):
    with own_app(view={"fps": 5.0}) as app:
        first, start_s = app.hub.latest.number if app.hub.latest else 0, time.monotonic()
        viewer = Viewer(app.port, app.token)
        wait_for(lambda: viewer.pictures and app.hub.latest.number >= first + 50, 60)
        pictures, elapsed_s = viewer.pictures, time.monotonic() - start_s
        assert pictures <= 1 + elapsed_s * 5.0 / 0.8, "the server's gap, which is a little shorter than 1/fps"
        viewer.close()


def test_an_end_while_viewers_look_is_a_quiet_one(own_app, caplog):
    with own_app() as app:
        viewers = [Viewer(app.port, app.token) for _ in range(2)]
        stalled = socket.create_connection(("127.0.0.1", app.port))
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(
            b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: Bearer {app.token}\r\n\r\n".encode()
        )
        wait_for(lambda: app.hub.viewers == 3 and viewers[0].pictures > 3)
    assert app.hub.viewers == 0
    assert not [one for one in caplog.records if one.name.startswith("tornado")]
    for one in viewers:
        one.close()
    stalled.close()


def test_logging_out_ends_the_picture(app):
    session = log_in(app.port, app.token).headers["Set-Cookie"].partition(";")[0]
    connection = http.client.HTTPConnection("127.0.0.1", app.port, timeout=20)
    connection.request("GET", "/stream.mjpg", headers={"Cookie": session})
    response = connection.getresponse()
    assert response.read(1000)
    ask(app.port, "/logout", "POST", Cookie=session)
    end = time.monotonic() + 15
    while response.read(100_000):
        assert time.monotonic() < end
    connection.close()
