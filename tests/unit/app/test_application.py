import json
import shutil
import socket
import ssl
import subprocess
import urllib.request

import cv2
import numpy as np
import pytest
from alarm_receivers import HttpReceiver
from ports import free_port
from running_app import Process, running, settings
from waiting import wait_for

from edgelab.app.application import Application
from edgelab.app.history import History
from edgelab.errors import EdgelabError, InputError, ModelError, StorageError, TargetError

LINE = {"name": "middle", "kind": "line", "points": [[0.5, 0], [0.5, 1]]}
ZONE = {"name": "left", "kind": "zone", "points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}


@pytest.fixture
def start(tmp_path):
    """Starts processes, and ends what is left of them."""
    begun = []

    def started(*arguments, **more):
        begun.append(Process(tmp_path / more.pop("data", "data"), *arguments, **more))
        return begun[-1]

    yield started
    for one in begun:
        one.kill()


@pytest.mark.slow
def test_a_kill_loses_no_alarm_that_was_seen_and_the_next_start_delivers(start, tmp_path):
    port = free_port()
    configuration = tmp_path / "app.toml"
    configuration.write_text(
        f'[webhook]\nurl = "http://127.0.0.1:{port}/"\n[server]\nrequests_per_second = 1000\n'
    )
    app = start(configuration=configuration).until_ready()
    for place in (LINE, ZONE):
        assert app.ask("/api/places", "POST", place).status == 201
    wait_for(lambda: app.ask("/api/alarms").json()["alarms"], 60)
    seen = app.ask("/api/alarms").json()["alarms"]
    waiting = wait_for(lambda: (now := app.state()["receivers"]["webhook"])["error"] and now, 60)
    assert waiting["waiting"] >= 1 and "does not answer" in waiting["error"]
    app.kill()

    history = History(app.folder / "history.sqlite")
    assert history.is_whole() and history.moved_aside is None
    kept = history.alarms(most=1000)
    history.close()
    assert kept[-len(seen) :] == seen, "what the page showed is there"

    receiver = HttpReceiver(port)
    again = start(configuration=configuration).until_ready()
    wait_for(lambda: len(receiver.taken()) >= len(kept), 60)
    got = receiver.taken()
    assert [one["time_s"] for one in got[: len(kept)]] == [one["time_s"] for one in reversed(kept)]
    assert len({one["id"] for one in got}) == len(got)
    assert [one["name"] for one in again.ask("/api/places").json()["places"]] == ["middle", "left"]
    assert again.token == app.token, "who had the token need not be told another"
    assert again.end() == 0
    receiver.close()


@pytest.mark.slow
def test_the_second_instance_and_a_taken_port_are_told(start):
    first = start().until_ready()
    second = start()
    assert second.end_by_itself() == 1
    assert f"process {first._process.pid}" in second.text() and f":{first.port}/" in second.text()
    assert "Traceback" not in second.text()
    third = start(data="other", port=first.port)
    assert third.end_by_itself() == 1
    assert f"port {first.port}" in third.text() and "another port" in third.text()
    assert first.state()["source"]["status"] == "running"
    assert first.end() == 0
    assert not (first.folder / "instance.json").exists()


def test_what_cannot_start_leaves_nothing_behind(tmp_path):
    wrong = tmp_path / "wrong.tflite"
    wrong.write_bytes(b"no model" * 100)
    folder = tmp_path / "data"
    for expected, sections in [
        (EdgelabError, {"model": {"file": str(wrong)}}),
        (ModelError, {"model": {"file": str(tmp_path / "none.tflite")}}),
        (TargetError, {"model": {"file": str(wrong), "target": "abacus"}}),
        (InputError, {"server": {"certificate": "none.pem", "key": "none.pem"}}),
        (InputError, {"server": {"address": "0.0.0.0"}}),
        (InputError, {"webhook": {"url": "ftp://x/"}}),
        (InputError, {"mqtt": {"host": "x", "password_file": "none"}}),
    ]:
        with pytest.raises(expected):
            Application(settings(folder, **sections))
    with running(settings(folder)) as app:
        with pytest.raises(StorageError, match="Another instance"):
            Application(settings(folder))
        with pytest.raises(TargetError, match="cannot be used"):
            Application(settings(tmp_path / "other", server={"port": app.port}))


def test_a_source_that_comes_late_and_goes_is_told_and_taken_again(tmp_path):
    clip = tmp_path / "clip.avi"
    chosen = settings(
        tmp_path / "data", source={"address": str(clip), "first_wait_s": 0.05, "longest_wait_s": 0.3}
    )
    with running(chosen) as app:
        state = wait_for(lambda: app.state()["source"]["error"] and app.state())
        assert state["source"]["status"] == "waiting" and "clip.avi" in state["source"]["error"]
        writer = cv2.VideoWriter(str(tmp_path / "new.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 60.0, (64, 48))
        for number in range(30):
            writer.write(np.full((48, 64, 3), number, np.uint8))
        writer.release()
        (tmp_path / "new.avi").rename(clip)
        wait_for(lambda: app.state()["source"]["status"] == "running")
        assert app.hub.next(0, 10.0).jpeg[:2] == b"\xff\xd8"
        clip.unlink()
        wait_for(lambda: app.state()["source"]["status"] == "waiting")


def test_the_page_says_when_other_machines_can_look(tmp_path):
    chosen = settings(tmp_path, server={"address": "0.0.0.0", "other_machines": True, "hosts": ("pi.local",)})
    app = Application(chosen)
    assert "Other machines" in app.warning_html and "not encrypted" in app.warning_html
    assert {"pi.local", "127.0.0.1", socket.gethostname().lower()} <= app.host_names
    app.close()
    app = Application(settings(tmp_path))
    assert app.warning_html == ""
    app.close()


def test_https(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed, which makes a certificate for the test")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2"
    subprocess.run(
        [*words.split(), "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    with running(settings(tmp_path, server={"certificate": str(certificate), "key": str(key)})) as app:
        assert app.address.startswith("https://")
        request = urllib.request.Request(
            app.address + "api/state", headers={"Authorization": f"Bearer {app.token}"}
        )
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:
            assert json.load(answer)["viewers"] == 0


def test_minutes_are_kept(tmp_path, monkeypatch):
    from edgelab.app import application

    monkeypatch.setattr(application, "MINUTE_S", 0.5)
    with running(settings(tmp_path)) as app:
        minutes = wait_for(lambda: [one for one in app.history.minutes() if one.frames > 3])
    assert minutes[0].latency_p95_ms >= minutes[0].latency_ms > 0 and minutes[0].inference_ms > 0


def test_it_ends_while_somebody_looks(start):
    app = start().until_ready()
    connection = socket.create_connection(("127.0.0.1", app.port))
    connection.sendall(
        f"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {app.token}\r\n\r\n".encode()
    )
    assert connection.recv(1000)
    assert app.end() == 0
    connection.close()
