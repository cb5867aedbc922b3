"""Models opened again and again: spread, interval, ranking, and whose energy is booked."""

from __future__ import annotations

import numpy as np
import pytest
from timed_sessions import MatmulSession

from edgelab import benchmark
from edgelab.benchmark import measuring, openings
from edgelab.errors import InputError, TargetError
from edgelab.machine import energy


class Opened(MatmulSession):
    """A session that is opened and closed, and does other work at each opening."""

    count = 0

    def __init__(self, work):
        super().__init__(work)

    def __enter__(self):
        type(self).count += 1
        return self

    def __exit__(self, *error):
        self.inputs = ()


def test_every_opening_is_a_fresh_one_and_its_spread_is_told(monkeypatch):
    monkeypatch.setattr(
        openings, "MAX_OTHER_CORES", np.inf
    )  # no round is repeated, so that works run out evenly
    Opened.count = 0
    works = iter([40, 80, 40, 80, 40, 80])
    found = benchmark.measure_openings(lambda: Opened(next(works)), openings=6, max_seconds=0.6)
    assert Opened.count == 6 and len(found.openings_ms) == 6
    assert len(found.samples_ms) == sum(len(samples) for samples in found.openings_ms)
    assert found.between_percent > 15, "the work doubles from one opening to the next"
    medians = [np.median(samples) for samples in found.openings_ms]
    assert found.median_ms == pytest.approx(np.exp(np.mean(np.log(medians))))
    low, high = found.interval_ms
    assert low < found.median_ms < high and high / low > 1.3
    assert "between 6 openings" in str(found)


def test_candidates_are_ranked_by_openings_in_turns():
    openers = {"slow": lambda: Opened(400), "quick": lambda: Opened(20)}
    ranking = benchmark.compare_openings(openers, openings=4, max_seconds=0.4)
    assert ranking.names == ("quick", "slow") and ranking.ranks == {"quick": 1, "slow": 2}
    assert ranking.speed_ups["quick"].difference == "faster" and ranking.rounds == 4


def test_disturbed_rounds_are_repeated_within_limits_and_the_quietest_count(monkeypatch):
    monkeypatch.setattr(openings, "MAX_OTHER_CORES", -1.0)  # nothing is quiet enough
    Opened.count = 0
    found = benchmark.measure_openings(lambda: Opened(5), openings=2, max_seconds=0.1)
    assert Opened.count == 4 and len(found.openings_ms) == 2


def test_one_opening_has_no_spread_between():
    found = benchmark.measure(MatmulSession(20), max_seconds=0.2)
    assert found.between_percent is None and found.within_percent >= 0
    assert "between openings unknown" in str(found)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InputError, match="1 openings"):
        benchmark.measure_openings(lambda: Opened(1), openings=1)
    with pytest.raises(InputError, match="no candidate"):
        benchmark.compare_openings({})

    def faulty():
        session = Opened(1)
        session.fault = "wrong results"
        return session

    with pytest.raises(TargetError, match="wrong results"):
        benchmark.measure_openings(faulty)


def put_counter(root, monkeypatch, counter):
    """A machine with a counter of the processor's energy, or with a board's sensor."""
    if counter == "rapl":
        files = {"energy_uj": "1", "max_energy_range_uj": "1000", "name": "package-0"}
        folder = root / "class/powercap/intel-rapl:0"
    else:
        files = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "1000"}
        folder = root / "class/hwmon/hwmon1"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(measuring, "energy_meter", lambda: energy.energy_meter(root))


@pytest.mark.parametrize(
    ("target", "counter", "is_booked"),
    [
        ("cpu", "rapl", True),
        ("edgetpu", "rapl", False),
        ("rknn", "rapl", False),
        ("tensorrt", "rapl", False),
        ("edgetpu", "board", False),
        ("tensorrt", "board", True),
        ("cpu on a board", "rapl", False),
        ("cpu on a board", "board", False),
        ("web/wasm", "rapl", True),
        ("web/webgpu", "rapl", False),
        ("web/webgpu", "board", True),
    ],
)
def test_what_the_host_uses_is_not_booked_on_another_device(
    tmp_path, monkeypatch, target, counter, is_booked
):
    put_counter(tmp_path, monkeypatch, counter)
    session = MatmulSession()
    session.target = target.split()[0]
    session.is_here = target.split()[0] == target
    found = benchmark.measure(session, max_seconds=0.1)
    assert (found.energy_mj is not None) == is_booked
    assert found.energy_note.startswith("not measured") != is_booked


def test_a_browser_that_may_be_somewhere_else_uses_nobodys_energy_here(tmp_path, monkeypatch):
    put_counter(tmp_path, monkeypatch, "rapl")
    session = MatmulSession()
    session.target, session.is_here = "web/wasm", False
    assert benchmark.measure(session, max_seconds=0.1).energy_note.startswith("not measured")


class EachJoule:
    """A counter that has seen one joule."""

    name, covers_board = "test", False

    def sample(self):
        pass

    def energy_mj(self):
        return 1000.0


def test_energy_is_that_of_one_inference_where_a_sample_is_the_mean_of_several(monkeypatch):
    monkeypatch.setattr(measuring, "energy_meter", lambda: (EachJoule(), "test"))
    session = MatmulSession()
    session.target = "cpu"
    one = benchmark.measure(session, max_seconds=0.1)
    session.runs_per_sample = 8
    eight = benchmark.measure(session, max_seconds=0.1)
    for found, runs in ((one, 1), (eight, 8)):
        assert found.energy_mj == pytest.approx(1000 / (runs * len(found.samples_ms)))

    def reopened():
        session = Opened(1)
        session.target, session.runs_per_sample = "cpu", 8
        return session

    many = benchmark.measure_openings(reopened, openings=2, max_seconds=0.1)
    assert many.energy_mj == pytest.approx(2 * 1000 / (8 * len(many.samples_ms)))
