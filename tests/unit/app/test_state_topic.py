from alarm_receivers import broker, subscriber
from ports import free_port
from running_app import running, settings
from waiting import wait_for


def test_a_broker_has_the_state_and_is_told_of_the_end(tmp_path):
    port = free_port()
    about = {"host": "127.0.0.1", "port": port, "topic": "lab", "state_every_s": 0.5}
    with broker(tmp_path, port):
        with subscriber(port, "lab/state") as (states, _), subscriber(port, "lab/online") as (online, _):
            with running(settings(tmp_path / "data", mqtt=about)):
                wait_for(lambda: any(one["source"]["status"] == "running" for one in states))
                wait_for(lambda: online == [True])
            wait_for(lambda: online == [True, False])
        with subscriber(port, "lab/+") as (kept, _):
            wait_for(lambda: len(kept) == 2)  # whoever comes later sees the last ones
    assert False in kept and any(one and one["history"]["is_writing"] for one in kept)


def test_the_application_does_not_mind_a_missing_broker(tmp_path):
    about = {"host": "127.0.0.1", "port": free_port(), "state_every_s": 0.5}
    with running(settings(tmp_path / "data", mqtt=about)) as app:
        wait_for(lambda: app.state()["source"]["frames"] > 10)
