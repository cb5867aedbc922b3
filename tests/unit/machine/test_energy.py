"""Energy counters, from trees of files."""

from __future__ import annotations

import json

import pytest

from edgelab.machine import artifacts, energy


def write_tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_a_counter_energy_is_none_with_the_reason_never_zero(tmp_path):
    meter, note = energy.energy_meter(tmp_path)
    assert meter is None
    assert note.startswith("not measured: ")


def test_rapl_counter_is_read_and_its_overflow_counted(tmp_path):
    domain = "class/powercap/intel-rapl:0"
    write_tree(
        tmp_path,
        {
            f"{domain}/energy_uj": "9000\n",
            f"{domain}/max_energy_range_uj": "10000\n",
            "class/powercap/intel-rapl:0:0/energy_uj": "5\n",
        },
    )
    meter, note = energy.energy_meter(tmp_path)
    assert "RAPL" in note
    (tmp_path / domain / "energy_uj").write_text("9500\n")
    meter.sample()
    (tmp_path / domain / "energy_uj").write_text("1500\n")
    meter.sample()
    assert meter.energy_mj() == pytest.approx((500 + 2000) / 1e3)


def test_board_sensor_is_integrated_over_time(tmp_path):
    chip = "class/hwmon/hwmon0"
    write_tree(
        tmp_path,
        {f"{chip}/name": "ina3221\n", f"{chip}/in1_input": "5000\n", f"{chip}/curr1_input": "400\n"},
    )
    clock = iter([0.0, 2.0]).__next__
    [(_, channel)] = energy._sensor_channels(tmp_path / chip)
    meter = energy.PowerSensorMeter([channel], clock)
    (tmp_path / chip / "curr1_input").write_text("800\n")
    meter.sample()
    assert meter.energy_mj() == pytest.approx(2.0 * (2000 + 4000) / 2)
    assert energy.energy_meter(tmp_path)[1] == "the board's power sensor"


def test_another_chip_is_not_taken_for_a_power_sensor(tmp_path):
    write_tree(tmp_path, {"class/hwmon/hwmon0/name": "coretemp", "class/hwmon/hwmon0/power1_input": "1"})
    assert energy.energy_meter(tmp_path)[0] is None


def test_a_counter_with_garbage_is_not_measured(tmp_path):
    domain = "class/powercap/intel-rapl:0"
    write_tree(tmp_path, {f"{domain}/energy_uj": "x", f"{domain}/max_energy_range_uj": "10"})
    meter, note = energy.energy_meter(tmp_path)
    assert meter is None
    assert "cannot be read" in note


# As files of /sys/class/powercap show them on a laptop with
# an Intel Core of the sixth generation or later: the platform zone holds the package and the display.
LAPTOP = {
    "intel-rapl:0": ("package-0", 1_000_000),
    "intel-rapl:0:0": ("core", 600_000),
    "intel-rapl:0:1": ("uncore", 100_000),
    "intel-rapl:0:2": ("dram", 150_000),
    "intel-rapl:1": ("psys", 5_000_000),
}
TWO_SOCKETS = {"intel-rapl:0": ("package-0", 1_000_000), "intel-rapl:1": ("package-1", 3_000_000)}
# As the driver of Nvidia shows them: Orin Nano and NX, the first Nano, and AGX Orin, without such an input.
ORIN_NANO = {1: ("VDD_IN", 5000, 1000), 2: ("VDD_CPU_GPU_CV", 5000, 300), 3: ("VDD_SOC", 5000, 250)}
NANO = {1: ("POM_5V_IN", 5000, 800), 2: ("POM_5V_GPU", 5000, 200), 3: ("POM_5V_CPU", 5000, 300)}
AGX_ORIN = {1: ("VDD_GPU_SOC", 20_000, 150), 2: ("VDD_CPU_CV", 20_000, 60), 3: ("VIN_SYS_5V0", 5000, 700)}


def write_rapl(root, zones):
    for zone, (name, energy_uj) in zones.items():
        facts = {"name": f"{name}\n", "energy_uj": f"{energy_uj}\n", "max_energy_range_uj": "262143328850\n"}
        write_tree(root, {f"class/powercap/{zone}/{file}": text for file, text in facts.items()})


@pytest.mark.parametrize(("zones", "expected_mj"), [(LAPTOP, 500), (TWO_SOCKETS, 1000)])
def test_packages_are_added_and_the_platform_that_holds_them_is_not(tmp_path, zones, expected_mj):
    write_rapl(tmp_path, zones)
    meter, _ = energy.energy_meter(tmp_path)
    write_rapl(tmp_path, {zone: (name, count + 500_000) for zone, (name, count) in zones.items()})
    meter.sample()
    assert meter.energy_mj() == pytest.approx(expected_mj)


def write_ina(root, channels):
    files = {"name": "ina3221\n"}
    for number, (label, millivolts, milliamperes) in channels.items():
        files |= {f"in{number}_label": f"{label}\n", f"in{number}_input": f"{millivolts}\n"}
        files |= {f"curr{number}_input": f"{milliamperes}\n"}
    write_tree(root, {f"class/hwmon/hwmon1/{file}": text for file, text in files.items()})


@pytest.mark.parametrize(("channels", "expected_mw"), [(ORIN_NANO, 5000), (NANO, 4000)])
def test_the_input_of_a_board_is_taken_without_its_own_rails(tmp_path, channels, expected_mw):
    write_ina(tmp_path, channels)
    meter, note = energy.energy_meter(tmp_path)
    assert note == "the board's power sensor"
    assert meter._read() == pytest.approx(expected_mw)


def test_rails_without_a_known_input_are_not_added_up(tmp_path):
    write_ina(tmp_path, AGX_ORIN)
    meter, note = energy.energy_meter(tmp_path)
    assert meter is None and note.startswith("not measured") and "VDD_GPU_SOC" in note


@pytest.fixture(scope="module")
def recorded():
    """What tools and files told of power on boards."""
    kept = artifacts.PROJECT_ROOT / "data" / "recorded" / "power.json"
    return json.loads(kept.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def printed(recorded):
    """Lines that `tegrastats` printed on boards, by board."""
    return recorded["tegrastats"]["lines"]


def test_files_of_a_real_ina219_give_the_power_of_the_chip(tmp_path, recorded):
    files = {"name": "ina219\n"} | {name: f"{text}\n" for name, text in recorded["hwmon"]["files"].items()}
    write_tree(tmp_path, {f"class/hwmon/hwmon2/{name}": text for name, text in files.items()})
    meter, _ = energy.energy_meter(tmp_path)
    volts_times_amperes = int(files["in1_input"]) * int(files["curr1_input"]) / 1e3
    assert meter._read() == 176
    assert meter._read() == pytest.approx(abs(volts_times_amperes), rel=0.05)


@pytest.mark.parametrize(
    ("board", "rails", "whole"),
    [
        ("Jetson Orin, newer", {"VDD_IN": 5299, "VDD_CPU_GPU_CV": 773, "VDD_SOC": 1424}, 5299),
        ("Jetson Nano", {"POM_5V_IN": 1022, "POM_5V_GPU": 0, "POM_5V_CPU": 204}, 1022),
        ("Jetson AGX Orin", {"VDD_GPU_SOC": 4940, "VDD_CPU_CV": 988, "VIN_SYS_5V0": 4442}, None),
    ],
)
def test_rails_of_a_printed_line_with_and_without_units(printed, board, rails, whole):
    found = energy.tegrastats_rails(printed[board])
    assert found == rails
    assert energy.board_power_mw(found) == whole


def test_now_is_taken_and_not_the_mean_and_memory_is_no_rail():
    assert energy.tegrastats_rails("RAM 1/2MB IRAM 0/252kB(lfb 1kB) VDD_IN 2532/2698") == {"VDD_IN": 2532}
    assert energy.tegrastats_rails("permission denied") == {}
