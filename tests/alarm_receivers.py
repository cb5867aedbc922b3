"""Receivers of alarms on this machine: an HTTP server that answers as told, and a real MQTT broker."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from waiting import wait_for

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class HttpReceiver:
    """Answers POSTs with the codes in `answers`, then with 200; keeps what it was sent."""

    def __init__(self, port=0):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code, headers = receiver.answers.pop(0) if receiver.answers else (200, {})
                receiver.got.append((code, dict(self.headers), body))
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.answers, self.got = [], []
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/alarms"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def taken(self):
        return [json.loads(body) for code, _, body in self.got if code == 200]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def broker(folder, port):
    """A running mosquitto that keeps nothing."""
    if not MOSQUITTO:
        pytest.skip("mosquitto is not installed; Debian: sudo apt install mosquitto")
    settings = folder / f"mosquitto-{port}.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    running = subprocess.Popen(
        [MOSQUITTO, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _answers(port))
        yield running
    finally:
        running.terminate()
        running.wait(10)


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


@contextlib.contextmanager
def subscriber(port, topic):
    """A list that fills with what is published."""
    from paho.mqtt import client as mqtt

    got, ready = [], threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *rest: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda *rest: ready.set()
    client.on_message = lambda client, data, message: got.append(json.loads(message.payload))
    client.reconnect_delay_set(0.1, 0.2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(10)
    try:
        yield got, ready
    finally:
        client.disconnect()
        client.loop_stop()
