"""Who may talk to the page's server, and what it takes."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import tornado.ioloop
import tornado.websocket
from waiting import runs, wait_for

from edgelab.errors import TargetError
from edgelab.targets.web import engine, files
from edgelab.targets.web.server import PageGoneError, Server, pack, unpack


@pytest.fixture
def served():
    if reason := files.missing():
        pytest.skip(f"{reason}; {files.fix()}")
    opened = Server()
    yield opened
    opened.close()


def asked(served, path, **headers):
    """Status and headers of a plain request."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    own = {
        "Host": f"127.0.0.1:{served.port}",
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    connection.putrequest("GET", path, skip_host=True)
    for name, text in own.items():
        connection.putheader(name, text)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def test_messages_come_back_as_they_went():
    head, parts = (
        {"kind": "run", "rows": [[{"shape": [1, 2]}]], "name": "ü"},
        [b"", b"abc", bytes(range(256))],
    )
    assert unpack(pack(head, parts)) == (head, parts)


@pytest.mark.parametrize(
    "message",
    [b"", b"abc", b"\xff\xff\xff\xff{}", pack({"ok": True})[:-1], pack({}, [b"abc"]) + b"x",
     b"\x02\x00\x00\x00[]", b"\x02\x00\x00\x00{}", b'\x0e\x00\x00\x00{"sizes":[-1]}', "text"],
)  # fmt: skip
def test_what_is_no_message_is_refused(message):
    with pytest.raises(ValueError):
        unpack(message)


def test_the_page_is_served_isolated_to_whoever_has_its_address(served):
    answer = asked(served, f"/{served.token}/")
    assert answer.status == 200
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Server" not in answer.headers
    assert (
        asked(served, f"/{served.token}/wasm/litert_wasm_internal.wasm").headers["Content-Type"]
        == "application/wasm"
    )


@pytest.mark.parametrize(
    "path",
    ["/", "/x/", "/{token}x/", "/{token}/manifest.json", "/{token}/../server.py", "/{token}/%2e%2e/server.py",
     "/{token}//etc/passwd", "/{token}/wasm/", "/{token}/page.html"],
)  # fmt: skip
def test_nothing_else_is_served(served, path):
    assert asked(served, path.format(token=served.token)).status == 404


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://example.org"}, {"Origin": "null"}, {"Host": "example.org"},
     {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Origin": "http://127.0.0.1:1"}],
)  # fmt: skip
def test_a_page_of_another_origin_is_refused(served, headers):
    assert asked(served, f"/{served.token}/desk.js", **headers).status == 403


def connect(served, origin, token=""):
    """The status for a socket as a page would open it; 101 where it is let in."""
    from tornado.httpclient import HTTPClientError, HTTPRequest

    async def go():
        address = f"ws://127.0.0.1:{served.port}/{token or served.token}/socket"
        request = HTTPRequest(address, headers={"Origin": origin} if origin else {})
        try:
            client = await tornado.websocket.websocket_connect(request)
        except HTTPClientError as error:
            return error.code
        client.close()
        return 101

    return tornado.ioloop.IOLoop(make_current=False).run_sync(go)


def test_a_socket_is_for_the_own_page_alone(served):
    own = served.origins[0]
    assert connect(served, own) == 101
    assert connect(served, "http://example.org") == 403
    assert connect(served, "") == 403
    assert connect(served, own, "another-token") == 404


def test_only_this_computer_reaches_it(served):
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"} - {a for a in others if a.startswith("127.")}:
        with pytest.raises(OSError), socket.create_connection((address, served.port), timeout=2):
            pass


def test_answers_that_nobody_waits_for_are_dropped(served):
    for message in (
        b"",
        pack({"number": 7, "ok": True}),
        pack({"number": "x", "ok": True}),
        pack({"ok": True}),
    ):
        served._take(message)
    assert not served.is_connected
    served._take(pack({"number": 0, "ok": True, "agent": "a"}))
    assert served.hello(1)["agent"] == "a"
    served._take(pack({"number": 0, "ok": True, "agent": "another"}))
    assert served.hello(1)["agent"] == "a"


def test_without_a_page_nothing_waits(served):
    started = time.monotonic()
    assert served.hello(0.2) is None
    with pytest.raises(PageGoneError):
        served.exchange({"kind": "hello"}, [], 30)
    assert time.monotonic() - started < 10


def test_two_servers_have_two_addresses(served):
    other = Server()
    assert other.token != served.token and other.port != served.port and len(served.token) >= 32
    other.close()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", other.port), timeout=2):
        pass


def test_a_second_tab_is_turned_away_and_the_first_goes_on(page):
    from tornado.httpclient import HTTPRequest

    own = page._host

    async def go():
        address = f"ws://127.0.0.1:{own.port}/{own.token}/socket"
        client = await tornado.websocket.websocket_connect(
            HTTPRequest(address, headers={"Origin": own.origins[0]})
        )
        assert await client.read_message() is None
        return client.close_code

    assert tornado.ioloop.IOLoop(make_current=False).run_sync(go) == 1013
    assert page.ask("hello")[0]["ok"] and page.is_alive


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")
def test_server_and_browser_end_with_a_python_that_is_killed():
    if reason := engine.readiness()[0]:
        pytest.skip(reason)
    code = (
        "import json, time, psutil\n"
        "from edgelab.targets.web import engine\n"
        "page = engine.headless()\n"
        "pids = [p.pid for p in psutil.Process().children(recursive=True)]\n"
        "print(json.dumps([page._host.port, *pids]), flush=True)\n"
        "time.sleep(600)\n"
    )

    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    port, *pids = json.loads(process.stdout.readline())
    watchdog.cancel()
    assert len(pids) > 1
    os.killpg(process.pid, signal.SIGKILL)  # as Jupyter kills a kernel: with its group
    process.wait()
    process.stdout.close()
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        pass
    wait_for(lambda: not any(map(runs, pids)))


class _Silent:
    def write_message(self, message, binary):
        assert binary and message

    def close(self, code, reason):
        self.closed = code, reason


def test_a_page_that_is_silent_is_given_up_and_one_that_leaves_is_gone_at_once(served):
    served._socket = silent = _Silent()
    page = engine.Page("tab", served, {})
    with pytest.raises(TargetError, match="no answer within"):
        page.ask("hello", limit_s=0.2)
    threading.Timer(0.3, lambda: served._loop.call_soon_threadsafe(served._left)).start()
    with pytest.raises(TargetError, match="is gone"):
        page.ask("hello", limit_s=60)
    served._socket = silent
    served.close()
    assert silent.closed[0] == 1001
