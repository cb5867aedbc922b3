"""Energy counters, from trees of files."""

from __future__ import annotations

import pytest

from edgelab.machine import energy


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
    [channel] = energy._sensor_channels(tmp_path / chip)
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
