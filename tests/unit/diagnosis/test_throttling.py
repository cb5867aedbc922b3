"""The thermal model: it warms to where physics says, and a hot device lowers its clock."""

import numpy as np

from edgelab.diagnosis.throttling import HYSTERESIS_K, LOWEST_MHZ, Cooling, simulate

TIMES = np.arange(0.0, 1000.0, 5.0)


def test_a_cooled_device_warms_to_its_balance_and_keeps_its_clock():
    cooling = Cooling()
    temperatures, clocks = simulate(cooling, TIMES)
    assert temperatures[0] == cooling.air_c
    assert np.isclose(
        temperatures[-1], cooling.air_c + cooling.power_w * cooling.resistance_k_per_w, atol=0.1
    )
    after_one = simulate(cooling, np.array([0.0, cooling.time_constant_s]))[0][1]
    assert np.isclose((after_one - 25) / (temperatures[-1] - 25), 1 - np.exp(-1), atol=0.01)
    assert (clocks == cooling.clock_mhz).all()


def test_a_hot_device_lowers_its_clock_and_stays_near_its_limit():
    cooling = Cooling(resistance_k_per_w=20.0)
    temperatures, clocks = simulate(cooling, TIMES)
    assert clocks[0] == cooling.clock_mhz and LOWEST_MHZ <= clocks.min() < 0.9 * cooling.clock_mhz
    assert np.abs(temperatures[100:] - cooling.limit_c).max() < 4 * HYSTERESIS_K
