import os
import signal
import subprocess
import sys

import pytest

from edgelab.alarms import Alarm, DeliveryError, Outbox, RefusedError
from edgelab.errors import InputError

PUTS_UNTIL_KILLED = """
import sys
from edgelab.alarms import Alarm, Outbox
outbox = Outbox(sys.argv[1])
for number in range(1_000_000):
    outbox.put(Alarm(float(number), "enter", "door", "person", number, ""))
    print(number, flush=True)
"""


def alarm(number):
    return Alarm(float(number), "enter", "door", "person", number, f"person {number} entered door")


class Receiver:
    name = "test"

    def __init__(self, failing=()):
        self.got, self.tries, self._failing = [], 0, list(failing)

    def send(self, identifier, alarm):
        self.tries += 1
        if self._failing and (error := self._failing.pop(0)):
            raise error
        self.got.append((identifier, alarm))

    def close(self):
        pass


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "out.sqlite", most=50)
    yield outbox
    outbox.close()


def test_alarms_are_delivered_in_order_and_leave(outbox):
    names = [outbox.put(alarm(number)) for number in range(10)]
    receiver = Receiver()
    assert outbox.deliver(receiver) == 10
    assert receiver.got == [(name, alarm(number)) for number, name in enumerate(names)]
    assert outbox.waiting() == () and outbox.delivered == 10
    assert outbox.deliver(receiver) == 0


def test_a_failure_keeps_the_rest_in_order_under_the_same_ids(outbox):
    names = [outbox.put(alarm(number)) for number in range(3)]
    receiver = Receiver([None, DeliveryError("away")])
    with pytest.raises(DeliveryError):
        outbox.deliver(receiver)
    assert [one.identifier for one in outbox.waiting()] == names[1:]
    outbox.deliver(receiver)
    assert [name for name, _ in receiver.got] == names


def test_one_that_is_refused_does_not_stop_the_others(outbox):
    for number in range(3):
        outbox.put(alarm(number))
    receiver = Receiver([None, RefusedError("too large")])
    assert outbox.deliver(receiver) == 2
    [(kept, why)] = outbox.refused()
    assert kept.alarm == alarm(1) and why == "too large"


def test_the_oldest_is_dropped_and_counted_when_too_many_wait(outbox):
    for number in range(60):
        outbox.put(alarm(number))
    assert [one.alarm.track_id for one in outbox.waiting()] == list(range(10, 60))
    assert outbox.dropped == 10


def test_it_can_be_ended_early(outbox):
    for number in range(5):
        outbox.put(alarm(number))
    receiver = Receiver()
    outbox.deliver(receiver, until=lambda: len(receiver.got) == 2)
    assert len(outbox.waiting()) == 3


def test_nothing_that_was_put_is_lost_by_a_kill(tmp_path):
    path = tmp_path / "out.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", PUTS_UNTIL_KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    said = [int(child.stdout.readline()) for _ in range(20)]
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.wait(20)
    said += [int(word) for word in child.stdout.read().split()]
    outbox, receiver = Outbox(path), Receiver()
    outbox.deliver(receiver)
    numbers = [one.track_id for _, one in receiver.got]
    assert numbers == list(range(len(numbers))) and len(numbers) - len(said) in (0, 1)
    outbox.close()


def test_a_kill_after_sending_sends_again_under_the_same_id(tmp_path):
    """The receiver has it, and the sender dies before it has noted so."""

    class Killed(BaseException):
        pass

    path = tmp_path / "out.sqlite"
    outbox, receiver = Outbox(path), Receiver()
    name = outbox.put(alarm(1))

    class Dies(Receiver):
        def send(self, identifier, alarm):
            receiver.send(identifier, alarm)
            raise Killed

    with pytest.raises(Killed):
        outbox.deliver(Dies())
    outbox.close()
    again = Outbox(path)
    again.deliver(receiver)
    assert [got for got, _ in receiver.got] == [name, name]
    again.close()


def test_an_outbox_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(InputError):
        Outbox(tmp_path / "out.sqlite", most=0)
