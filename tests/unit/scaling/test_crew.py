import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import runs, wait_for

from edgelab.errors import TargetError
from edgelab.scaling import crew


def count_to(tell, number):
    for value in range(number):
        tell(value=value)


def fail(tell):
    raise ValueError("nothing fits\nand more")


def sleep(tell, seconds=600):
    tell(process=os.getpid())
    time.sleep(seconds)


@pytest.fixture(autouse=True, scope="module")
def _server_has_loaded():
    """The first worker waits for TensorFlow; no test's time limit shall."""
    crew.run_all(count_to, (1,), time_limit_s=300)


@pytest.mark.slow
def test_each_worker_tells_in_order_and_then_that_it_ended():
    with crew.Crew() as team:
        assert [team.start(count_to, 2), team.start(count_to, 3)] == [0, 1]
        told = list(team.messages(60))
    for worker, number in ((0, 2), (1, 3)):
        facts = [message.facts for message in told if message.worker == worker]
        assert facts == [*({"value": value} for value in range(number)), {"ended": 0}]
    assert [message.seconds for message in told] == sorted(message.seconds for message in told)


def test_a_failure_is_told_in_one_line():
    [told] = crew.run_all(fail, ())
    assert told == {"error": "ValueError: nothing fits", "ended": 1}


def test_one_is_killed_and_the_other_works_on():
    with crew.Crew() as team:
        team.start(sleep, 1)
        team.start(sleep)
        processes, ended = {}, {}
        for message in team.messages(60):
            if "process" in message.facts:
                processes[message.worker] = message.facts["process"]
                if message.worker == 1:
                    team.kill(1)
            else:
                ended[message.worker] = message.facts["ended"]
    assert ended[0] == 0 and ended[1] != 0
    assert not runs(processes[1])


def test_leaving_the_block_ends_all():
    with crew.Crew() as team:
        team.start(sleep)
        process = next(team.messages(60)).facts["process"]
        assert runs(process)
    assert not runs(process)
    team.close()


def test_an_exception_in_the_block_ends_all():
    with pytest.raises(KeyboardInterrupt), crew.Crew() as team:
        team.start(sleep)
        process = next(team.messages(60)).facts["process"]
        raise KeyboardInterrupt
    assert not runs(process)


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_said():
    with crew.Crew() as team:
        team.start(sleep)
        messages = team.messages(8)
        process = next(messages).facts["process"]
        with pytest.raises(TargetError, match="within 8 s"):
            list(messages)
        assert not runs(process)


def test_addresses_are_free_and_differ():
    addresses = crew.free_addresses(3)
    assert len(set(addresses)) == 3 and all(address.startswith("127.0.0.1:") for address in addresses)


PARENT = """
import os, signal
from edgelab.scaling import crew
import test_crew

if __name__ == "__main__":
    team = crew.Crew()
    team.start(test_crew.sleep)
    print(next(team.messages(200)).facts["process"], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    wait_for(lambda: not runs(int(done.stdout)))
