"""The application on a free port: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

from waiting import wait_for

from edgelab.app.application import Application
from edgelab.app.settings import Settings

ALONE = ("-m", "edgelab.app")


def settings(folder, **sections):
    """Settings for drawn scenes without a model; `server={"port": 1}` changes single keys."""
    sections = {"model": {"file": "boxes"}, "server": {"port": 0}, **sections}
    sections["server"] = {"port": 0, **sections["server"]}
    base = Settings(data_folder=str(folder))
    changes = {name: replace(getattr(base, name), **values) for name, values in sections.items()}
    return replace(base, **changes)


@contextlib.contextmanager
def running(settings):
    """An application in this process, its server in a thread."""
    app = Application(settings)
    ready = threading.Event()
    ends = {}

    async def serve():
        ends["loop"], ends["stop"] = asyncio.get_running_loop(), asyncio.Event()
        await app.serve(ready.set, ends["stop"])

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    app.start()
    thread.start()
    try:
        assert ready.wait(60)
        yield app
    finally:
        ends["loop"].call_soon_threadsafe(ends["stop"].set)
        thread.join(20)
        app.close()
    assert not thread.is_alive()


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        return json.loads(self.body)


def ask(port, path, method="GET", body=None, token=None, **headers):
    """One request as a program makes it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if isinstance(body, dict | list):
        body = json.dumps(body)
    try:
        connection.request(method, path, body, headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Viewer:
    """Takes the live picture, counting, in a thread; or slowly, or not at all."""

    def __init__(self, port, token, pause_s=0.0):
        self.pictures, self.bytes, self.last = 0, 0, b""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", "/stream.mjpg", headers={"Authorization": f"Bearer {token}"})
        self.response = self._connection.getresponse()
        self._pause_s, self._stop = pause_s, threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
            while not self._stop.is_set():
                size = 0
                while (line := self.response.readline()) != b"\r\n" or not size:
                    if line == b"":
                        return
                    if line.startswith(b"Content-Length:"):
                        size = int(line.split(b":")[1])
                self.last = self.response.read(size)
                self.pictures += 1
                self.bytes += size
                self._stop.wait(self._pause_s)

    def close(self):
        self._stop.set()
        with contextlib.suppress(OSError):
            self._connection.sock and self._connection.sock.close()
        self._thread.join(20)
        self._connection.close()


class Process:
    """An application in a process of its own."""

    def __init__(self, folder, *options, source="scenes", model="boxes", port=0, configuration=None):
        command = [sys.executable, *ALONE, "--data", str(folder), "--port", str(port)]
        command += ["--source", source, "--model", model, *options]
        if configuration:
            command.insert(3, str(configuration))
        self.folder = folder
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
        )
        self.lines = []
        self._reader = threading.Thread(target=lambda: self.lines.extend(self._process.stdout), daemon=True)
        self._reader.start()

    def until_ready(self):
        def found():
            assert self._process.poll() is None, self.text()
            return any(line.startswith("Token") for line in self.lines)

        wait_for(found, 60)
        about = json.loads((self.folder / "instance.json").read_text())
        self.port = int(about["address"].rstrip("/").rpartition(":")[2])
        self.token = (self.folder / "token").read_text().strip()
        return self

    def ask(self, path, method="GET", body=None):
        return ask(self.port, path, method, body, self.token)

    def state(self):
        return self.ask("/api/state").json()

    def text(self):
        return "".join(self.lines)

    def kill(self):
        self._process.kill()
        self._process.wait(20)

    def end_by_itself(self):
        """The exit code of one that cannot start."""
        code = self._process.wait(60)
        self._reader.join(10)
        return code

    def end(self):
        """As systemd ends it; the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        code = self._process.wait(60)
        self._reader.join(10)
        return code
