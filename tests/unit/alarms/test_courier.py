import threading

from alarm_receivers import HttpReceiver, broker, subscriber
from ports import free_port
from waiting import wait_for

from edgelab.alarms import Alarm, Backoff, Courier, Outbox, Webhook
from edgelab.alarms import courier as courier_module
from edgelab.alarms.senders import MqttTopic


def alarm(number):
    return Alarm(float(number), "enter", "door", "person", number, "")


def test_nothing_is_lost_while_a_webhook_is_down(tmp_path):
    port = free_port()
    outbox = Outbox(tmp_path / "out.sqlite")
    with Courier(outbox, Webhook(f"http://127.0.0.1:{port}/alarms"), Backoff(0.02, 0.2)) as courier:
        names = [outbox.put(alarm(number)) for number in range(5)]
        state = wait_for(lambda: courier.state().error and courier.state())
        assert state.waiting == 5 and "does not answer" in state.error
        receiver = HttpReceiver(port)
        names += [outbox.put(alarm(number)) for number in range(5, 8)]
        wait_for(lambda: not outbox.waiting())
        assert [one["id"] for one in receiver.taken()] == names
        assert wait_for(lambda: not courier.state().error)
    receiver.close()
    outbox.close()


def test_nothing_is_lost_while_a_real_broker_is_down(tmp_path):
    port = free_port()
    outbox = Outbox(tmp_path / "out.sqlite")

    def courier():
        return Courier(outbox, MqttTopic("127.0.0.1", port, "door/alarms", timeout_s=2.0), Backoff(0.05, 0.3))

    with courier() as first:
        with broker(tmp_path, port), subscriber(port, "door/#") as (before, _):
            names = [outbox.put(alarm(number)) for number in range(3)]
            wait_for(lambda: len(before) == 3)
        names += [outbox.put(alarm(number)) for number in range(3, 8)]
        wait_for(lambda: first.state().error and len(outbox.waiting()) == 5)
    with broker(tmp_path, port), subscriber(port, "door/#") as (after, _), courier():
        wait_for(lambda: len(after) == 5)
        wait_for(lambda: not outbox.waiting())
    assert [one["id"] for one in before + after] == names
    assert outbox.delivered == 8 and outbox.dropped == 0
    outbox.close()


def test_a_sender_with_a_bug_is_tried_again_and_told_of(tmp_path):
    class Buggy:
        name = "buggy"
        tries = 0

        def send(self, identifier, alarm):
            self.tries += 1
            if self.tries < 3:
                raise KeyError("bug")

        def close(self):
            pass

    outbox = Outbox(tmp_path / "out.sqlite")
    with Courier(outbox, Buggy(), Backoff(0.02, 0.05)) as courier:
        outbox.put(alarm(1))
        wait_for(lambda: "KeyError" in courier.state().error)
        wait_for(lambda: courier.state().delivered == 1)
    assert not [t for t in threading.enumerate() if t.name.startswith(courier_module.THREAD_PREFIX)]
    outbox.close()


def test_it_ends_at_once_in_the_middle_of_a_long_wait(tmp_path):
    outbox = Outbox(tmp_path / "out.sqlite")
    outbox.put(alarm(1))
    courier = Courier(outbox, Webhook(f"http://127.0.0.1:{free_port()}/"), Backoff(500, 500)).start()
    assert wait_for(lambda: courier.state().next_try_s) > 100
    courier.close()
    assert not courier._thread.is_alive()
    assert len(outbox.waiting()) == 1
    outbox.close()


def test_the_receivers_wish_to_wait_is_kept(tmp_path):
    receiver = HttpReceiver()
    receiver.answers = [(503, {"Retry-After": "300"})]
    outbox = Outbox(tmp_path / "out.sqlite")
    with Courier(outbox, Webhook(receiver.url), Backoff(0.01, 0.02)) as courier:
        outbox.put(alarm(1))
        assert wait_for(lambda: courier.state().next_try_s) > 200
    receiver.close()
    outbox.close()
