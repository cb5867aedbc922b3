"""The state by MQTT: retained, so that whoever comes later sees it; a will says when this has died."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

from edgelab.app.settings import MqttSettings, Settings

RECONNECT_S = (1, 60)
KEEP_ALIVE_S = 20
SHOWN = ("time_s", "up_s", "model", "source", "viewers", "alarms", "history")


class StateTopic:
    """Publishes `TOPIC/state` every few seconds, and `TOPIC/online`.

    Args:
        about: broker and topic.
        settings: where the password is read from.
        state: gives the state as values that JSON knows.
    """

    def __init__(self, about: MqttSettings, settings: Settings, state: Callable[[], dict[str, Any]]) -> None:
        from paho.mqtt import client as mqtt

        self._about, self._state, self._stop = about, state, threading.Event()
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.will_set(f"{about.topic}/online", "false", qos=1, retain=True)
        client.reconnect_delay_set(*RECONNECT_S)
        client.max_queued_messages_set(1)  # a state that is old is worth nothing
        if about.user:
            client.username_pw_set(about.user, settings.secret(about.password_file))
        if about.tls:
            client.tls_set(ca_certs=str(settings.path(about.authority)) if about.authority else None)
        client.on_connect = self._connected
        self._client = client
        self._thread = threading.Thread(target=self._work, name="edgelab-app-state", daemon=True)

    def _connected(self, client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
        if not code.is_failure:
            client.publish(f"{self._about.topic}/online", "true", qos=1, retain=True)

    def start(self) -> None:
        """Begin; the broker may come later."""
        self._client.connect_async(self._about.host, self._about.port, KEEP_ALIVE_S)
        self._client.loop_start()
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.wait(0.2 if not self._client.is_connected() else self._about.state_every_s):
            if self._client.is_connected():
                state = self._state()
                text = json.dumps({name: state[name] for name in SHOWN}, ensure_ascii=False)
                self._client.publish(f"{self._about.topic}/state", text, qos=0, retain=True)

    def close(self) -> None:
        """Say that it is offline, and leave."""
        self._stop.set()
        if self._client.is_connected():
            last = self._client.publish(f"{self._about.topic}/online", "false", qos=1, retain=True)
            with contextlib.suppress(RuntimeError, ValueError):  # just gone: the broker tells the will
                last.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()
        if self._thread.is_alive():
            self._thread.join(5.0)
