"""What a computer tells of itself, with its standard library alone."""

import ast
import re
import sys
import time
from pathlib import Path

import pytest
from ssh_board import SshBoard, beside_sysfs, emulated_board, write_power_sensor

from edgelab import benchmark, boards, results
from edgelab.boards import onboard, remote, runner, server, set_up, vendors
from edgelab.machine import energy

QUICK = ("--threads", "1", "--seconds", "0.3", "--openings", "3")
RAIL = "the board's power sensor, rail VDD_IN"


def test_processors_of_one_family_are_no_emulation():
    families = {
        name: onboard.family(name)
        for name in ("x86_64", "AMD64", "i686", "aarch64", "arm64", "armv7l", "riscv64")
    }
    assert families == {
        "x86_64": "x86", "AMD64": "x86", "i686": "x86", "aarch64": "arm", "arm64": "arm", "armv7l": "arm",
        "riscv64": "riscv64",
    }  # fmt: skip


def test_a_board_has_a_name():
    assert onboard.board("", "")["name"] and onboard.board("my Pi", "")["name"] == "my Pi"
    assert set(onboard.state()) == {"governor", "frequency_mhz", "hottest_celsius", "load"}


@pytest.mark.parametrize(
    "module", [onboard, runner, server, set_up, vendors, energy], ids=lambda module: module.__name__
)
def test_what_goes_to_a_board_takes_python_3_9(module):
    """Its grammar, and none of the arguments that came later; the standard library but for what is tried."""
    source = Path(module.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 9))
    assert not re.search(r"strict=(True|False)", source)
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in top}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_energy_is_none_with_a_reason_where_an_accelerator_works():
    counter = onboard.Counter("libedgetpu.so.1")
    counter.sample()
    assert counter.energy_mj() is None and "accelerator" in counter.note


def test_a_counter_that_stops_is_no_energy(monkeypatch, tmp_path):
    """As when a driver is unloaded, or a rail goes to sleep."""
    sensor = tmp_path / "class" / "hwmon" / "hwmon0"
    sensor.mkdir(parents=True)
    for name, text in (("name", "ina219"), ("in1_input", "5000"), ("curr1_input", "400")):
        (sensor / name).write_text(text)
    monkeypatch.setattr(energy.energy_meter, "__defaults__", (tmp_path,))
    counter = onboard.Counter("")
    time.sleep(0.01)
    assert counter.energy_mj() >= 20 and counter.note == "the board's power sensor"
    (sensor / "curr1_input").unlink()
    assert counter.energy_mj() is None and counter.note.startswith("not measured: the energy counter stopped")


@pytest.fixture(scope="module")
def metered(board, server, tmp_path_factory):
    """The board of the other tests, beside a power sensor that shows 2 W all the time."""
    folder = tmp_path_factory.mktemp("sensor")
    write_power_sensor(folder / "sys")
    beside = SshBoard(folder / "ssh", server.home, wrapped=f'"{beside_sysfs(folder / "sys")}"')
    yield beside.added("metered")
    beside.stop()


def is_two_watts(energy_mj, mean_ms):
    """Nothing is used in no time, and what lies between runs uses power, too."""
    return 0.95 * 2 * mean_ms <= energy_mj <= 2 * 2 * mean_ms


@pytest.mark.slow
def test_the_runner_reads_the_boards_counter_around_timed_runs_and_its_rail_is_recorded(metered, board_files):
    ran = remote.run(metered, remote.Wanted(board_files["int8"], count=8, arguments=QUICK, name="metered"))
    latency, throughput, used = ran.collected.records
    assert used.metric == "energy" and is_two_watts(used.value, 1000 / throughput.value)
    assert used.source.endswith(f"energy: {RAIL}") and RAIL in str(ran) and latency.metric == "latency"
    row = ran.row()
    assert row["latency (ms)"].startswith(f"{latency.value:.3f} [") and row["provenance"] == "measured"
    assert (
        row["energy (mJ per run)"] == f"{used.value:.3f}" and row["same answers"] == "100.0% of 8 test inputs"
    )
    stored = results.load()
    assert list(stored[stored["model"] == "metered"]["metric"]) == ["latency", "throughput", "energy"]


@pytest.mark.slow
def test_a_session_there_brings_the_energy_of_its_timed_runs_home(metered, board_files):
    with boards.target("cpu", "metered").open(board_files["int8"]) as session:
        measured = benchmark.measure(session, max_seconds=0.5)
    assert measured.energy_note == RAIL and is_two_watts(measured.energy_mj, measured.mean_ms)


@pytest.mark.slow
def test_without_a_counter_a_session_there_tells_why_there_is_no_energy(board, board_files):
    here, why = energy.energy_meter()
    if here is not None:
        pytest.skip(f"this computer, which is the board of the tests, has a counter: {why}")
    with boards.target("cpu", "pi").open(board_files["int8"]) as session:
        measured = benchmark.measure(session, max_seconds=0.2)
    assert measured.energy_mj is None and measured.energy_note == why


@pytest.mark.slow
def test_an_emulated_board_sees_its_counter_and_books_nothing(configuration, board_files, tmp_path):
    """Its Python reads the files of a sensor; what is not timed has no energy."""
    write_power_sensor(tmp_path / "sys")
    with emulated_board(tmp_path / "arm", "metered-arm", tmp_path / "sys") as found:
        with boards.target("cpu", found.name).open(board_files["int8"]) as session:
            assert session.energy_meter()[1] == RAIL and session.provenance == "simulated"
        ran = remote.run(found, remote.Wanted(board_files["int8"], count=4, arguments=QUICK))
    assert ran.is_right and not ran.collected.records
    assert [record.metric for record in ran.simulated] == ["agreement"]
    row = ran.row()
    assert (row["latency (ms)"], row["energy (mJ per run)"]) == ("not timed", "not measured")
    assert row["provenance"] == "simulated" and "emulated Cortex-A76, cpu, LiteRT" in row["runs on"]
