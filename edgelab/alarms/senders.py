"""The ways an alarm goes out: a line in a file, an HTTP request, a message to an MQTT broker."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Protocol

from edgelab.alarms.alarm import Alarm
from edgelab.errors import EdgelabError, InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

ANSWER_WITHIN_S = 5.0
LOG_BYTES = 5_000_000
NEVER = (400, 409, 410, 413, 415, 422)  # HTTP: this alarm is wrong, and will be at every try
LONGEST_ASKED_S = 600.0


class DeliveryError(EdgelabError):
    """The receiver does not have the alarm; it may take it later.

    Attributes:
        retry_after_s: how long the receiver asks to wait; 0.0 where it does not say.
    """

    retry_after_s = 0.0


class RefusedError(EdgelabError):
    """The receiver will never take this alarm."""


class Sender(Protocol):
    """Brings one alarm to its receiver.

    Attributes:
        name: what it is called in statistics.
    """

    name: str

    def send(self, identifier: str, alarm: Alarm) -> None:
        """Return when the receiver has the alarm.

        Args:
            identifier: the same at every try, so that the receiver can drop what it has.
            alarm: what happened.

        Raises:
            DeliveryError: it does not have it.
            RefusedError: it never will.
        """

    def close(self) -> None:
        """Free connections."""


def message(identifier: str, alarm: Alarm) -> bytes:
    """What is sent: JSON in UTF-8, the alarm's fields and its id."""
    return json.dumps({"id": identifier, **alarm.as_json()}, ensure_ascii=False).encode()


class LogFile:
    """One JSON object a line, on disk before `send` returns.

    Args:
        path: the file; its folder is made.
        most_bytes: beyond it, the file becomes `NAME.1`, which replaces an older one, and a new one begins.
    """

    name = "log"

    def __init__(self, path: Path | str, *, most_bytes: int = LOG_BYTES) -> None:
        self.path, self._most_bytes = Path(path), most_bytes

    def send(self, identifier: str, alarm: Alarm) -> None:
        """Append the alarm. A line that a kill has cut short is ended first, so that it spoils no other."""
        try:
            artifacts.make_folder(self.path.parent)
            if self.path.exists() and self.path.stat().st_size >= self._most_bytes:
                self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            with self.path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write(message(identifier, alarm) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except (OSError, EdgelabError) as error:
            raise DeliveryError(
                tr("{file} cannot be written.", file=self.path.name),
                why=str(error),
                fix=tr("free some space, and check the permissions of {folder}", folder=self.path.parent),
            ) from error

    def close(self) -> None:
        """Nothing is kept open."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body."""

    def redirect_request(self, *arguments: object) -> None:
        return None


class Webhook:
    """An HTTP POST with the alarm as JSON; the id is in the header `Idempotency-Key` too.

    With a secret, `X-Edgelab-Signature` carries the body's HMAC-SHA256 in hex, by which the receiver knows
    the sender (RFC 2104).

    Args:
        url: `https://…` or `http://…`.
        secret: shared with the receiver; empty for no signature.
        headers: further ones, such as `{"Authorization": "Bearer …"}`.
        timeout_s: the receiver must answer within.

    Raises:
        InputError: another kind of address.
    """

    name = "webhook"

    def __init__(
        self,
        url: str,
        *,
        secret: str = "",
        headers: dict[str, str] | None = None,
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                tr("{url!r} is no address for a webhook.", url=url),
                fix=tr("give one that begins with https:// or http://"),
            )
        self._url, self._host, self._secret = url, parts.hostname, secret
        self._headers, self._timeout_s = dict(headers or {}), timeout_s
        self._opener = urllib.request.build_opener(_NoRedirects)

    def send(self, identifier: str, alarm: Alarm) -> None:
        """POST the alarm; an answer from 200 to 299 means that the receiver has it."""
        body = message(identifier, alarm)
        headers = {"Content-Type": "application/json", "Idempotency-Key": identifier, **self._headers}
        if self._secret:
            headers["X-Edgelab-Signature"] = hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        request = urllib.request.Request(self._url, body, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return
        except urllib.error.HTTPError as error:
            with error:
                self._explain(error)
        except (OSError, ValueError) as error:  # ValueError: an answer that is no HTTP
            raise self._not_reached(error) from error
        except Exception as error:  # http.client's own errors share no useful ancestor
            raise self._not_reached(error) from error

    def _not_reached(self, error: Exception) -> DeliveryError:
        return DeliveryError(
            tr("The webhook at {host} does not answer.", host=self._host),
            why=str(error) or type(error).__name__,
            fix=tr("look whether its server runs; the alarm waits"),
        )

    def _explain(self, error: urllib.error.HTTPError) -> None:
        answer = tr("The webhook at {host} answers {code}.", host=self._host, code=error.code)
        if error.code in NEVER:
            raise RefusedError(answer, fix=tr("compare what is sent with what the receiver takes")) from error
        failure = DeliveryError(answer, fix=tr("look into the receiver's log; the alarm waits"))
        try:
            failure.retry_after_s = min(max(float(error.headers.get("Retry-After", 0)), 0.0), LONGEST_ASKED_S)
        except ValueError:  # a date
            failure.retry_after_s = 0.0
        raise failure from error

    def close(self) -> None:
        """Each request has a connection of its own."""


class MqttTopic:
    """A message to an MQTT broker with quality of service 1: the broker confirms that it has it.

    Args:
        host: the broker's.
        port: 1883, or 8883 with TLS.
        topic: such as "home/door/alarms"; without wildcards.
        user, password: where the broker asks for them.
        tls: encrypt, and check the broker's certificate by the system's authorities or `authority`.
        authority: a file with the certificate of an authority of your own.
        timeout_s: the broker must answer within.

    Raises:
        InputError: a topic that cannot be published to.
    """

    name = "mqtt"

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        *,
        user: str = "",
        password: str = "",
        tls: bool = False,
        authority: str | None = None,
        timeout_s: float = ANSWER_WITHIN_S,
    ) -> None:
        if not topic or set(topic) & set("#+\0") or len(topic.encode()) > 65_535:
            raise InputError(
                tr("{topic!r} is no topic to publish to.", topic=topic),
                why=tr("# and + stand for many topics, and can only be subscribed to"),
                fix=tr('use one such as "home/door/alarms"'),
            )
        self._address, self._topic, self._timeout_s = (host, port), topic, timeout_s
        self._user, self._password, self._tls, self._authority = user, password, tls, authority
        self._client: Any = None

    def send(self, identifier: str, alarm: Alarm) -> None:
        """Publish the alarm; returns when the broker has confirmed it."""
        try:
            client = self._client or self._connected()
            self._client = client
            sent = client.publish(self._topic, message(identifier, alarm), qos=1)
            sent.wait_for_publish(self._timeout_s)
            if not sent.is_published():
                raise TimeoutError(tr("no confirmation within {seconds:g} s", seconds=self._timeout_s))
        except (OSError, ValueError, RuntimeError) as error:
            # The client would send what it holds when the broker is back; the outbox does that.
            self.close()
            host, port = self._address
            raise DeliveryError(
                tr(
                    "The MQTT broker {host}:{port} does not take it.",
                    host=host,
                    port=port,
                ),
                why=str(error) or type(error).__name__,
                fix=tr("look whether the broker runs and lets this client in; the alarm waits"),
            ) from error

    def _connected(self) -> Any:
        from paho.mqtt import client as mqtt

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.connect_timeout = self._timeout_s
        if self._user:
            client.username_pw_set(self._user, self._password)
        if self._tls:
            client.tls_set(ca_certs=self._authority)
        answered, codes = threading.Event(), []

        def on_connect(client: Any, data: Any, flags: Any, code: Any, properties: Any) -> None:
            codes.append(code)
            answered.set()

        client.on_connect = on_connect
        client.connect(*self._address)
        client.loop_start()
        try:
            if not answered.wait(self._timeout_s):
                raise TimeoutError(tr("no answer within {seconds:g} s", seconds=self._timeout_s))
            if codes[0].is_failure:
                raise ConnectionRefusedError(str(codes[0]))
        except OSError:
            client.loop_stop()
            client.disconnect()
            raise
        return client

    def close(self) -> None:
        """Leave the broker."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
