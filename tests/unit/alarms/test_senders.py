import hashlib
import hmac
import json

import pytest
from alarm_receivers import HttpReceiver, broker, subscriber
from ports import free_port
from waiting import wait_for

from edgelab.alarms import Alarm, DeliveryError, LogFile, MqttTopic, RefusedError, Webhook
from edgelab.errors import InputError

ALARM = Alarm(1700000000.0, "cross", "fence", "Zebra é", 3, "Zebra crossed fence")


@pytest.fixture
def receiver():
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


def test_a_log_holds_a_line_an_alarm_and_mends_a_torn_one(tmp_path):
    path = tmp_path / "logs" / "alarms.jsonl"
    log = LogFile(path)
    log.send("1", ALARM)
    with path.open("ab") as file:
        file.write(b'{"id": "torn')
    log.send("2", ALARM)
    first, torn, second = path.read_bytes().splitlines()
    assert json.loads(first) == {"id": "1", **ALARM.as_json()} and torn == b'{"id": "torn'
    assert json.loads(second)["id"] == "2"


def test_a_log_does_not_fill_the_disk(tmp_path):
    path = tmp_path / "alarms.jsonl"
    log = LogFile(path, most_bytes=1000)
    for number in range(100):
        log.send(str(number), ALARM)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["alarms.jsonl", "alarms.jsonl.1"]
    assert all(file.stat().st_size < 1300 for file in files)
    assert json.loads(path.read_bytes().splitlines()[-1])["id"] == "99"


def test_a_log_that_cannot_be_written_may_be_later(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeliveryError):
        LogFile(tmp_path / "file" / "alarms.jsonl").send("1", ALARM)


def test_a_webhook_gets_the_alarm_its_id_and_a_signature(receiver):
    Webhook(receiver.url, secret="shared", headers={"X-Mine": "yes"}).send("abc", ALARM)
    [(_, headers, body)] = receiver.got
    assert json.loads(body) == {"id": "abc", **ALARM.as_json()}
    assert headers["Idempotency-Key"] == "abc" and headers["X-Mine"] == "yes"
    assert headers["X-Edgelab-Signature"] == hmac.new(b"shared", body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("code", [401, 404, 429, 500, 503, 302])
def test_an_answer_that_may_change_is_tried_again(receiver, code):
    receiver.answers = [(code, {"Retry-After": "7", "Location": receiver.url})]
    with pytest.raises(DeliveryError, match=str(code)) as caught:
        Webhook(receiver.url).send("abc", ALARM)
    assert caught.value.retry_after_s == 7
    assert len(receiver.got) == 1, "no redirect is followed"


def test_an_alarm_that_is_wrong_is_not_sent_for_ever(receiver):
    receiver.answers = [(422, {})]
    with pytest.raises(RefusedError, match="422"):
        Webhook(receiver.url).send("abc", ALARM)


def test_nobody_there_is_said():
    with pytest.raises(DeliveryError, match="does not answer"):
        Webhook(f"http://127.0.0.1:{free_port()}/").send("abc", ALARM)
    with pytest.raises(DeliveryError, match="does not take it"):
        MqttTopic("127.0.0.1", free_port(), "a/b").send("abc", ALARM)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "door", "http://"])
def test_other_addresses_are_refused(url):
    with pytest.raises(InputError):
        Webhook(url)


@pytest.mark.parametrize("topic", ["", "a/#", "+/b", "a\0", "x" * 70_000])
def test_topics_that_cannot_be_published_to_are_refused(topic):
    with pytest.raises(InputError):
        MqttTopic("127.0.0.1", 1883, topic)


def test_a_real_broker_passes_it_on(tmp_path):
    port = free_port()
    with broker(tmp_path, port), subscriber(port, "door/#") as (got, _):
        sender = MqttTopic("127.0.0.1", port, "door/alarms")
        sender.send("1", ALARM)
        sender.send("2", ALARM)
        wait_for(lambda: len(got) == 2)
        sender.close()
    assert got == [{"id": name, **ALARM.as_json()} for name in ("1", "2")]
