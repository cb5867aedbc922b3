"""Clock times width, and the share of it."""

import numpy as np
import pytest

from edgelab.machine import hardware
from edgelab.processor_models import peak

CORE = peak.Peak(3.0, 16, 32, "AVX2", "two units", 1.5, 2)


def test_a_multiply_add_counts_as_two():
    assert CORE.gops("float32") == 96 and CORE.gops("int8") == 192
    assert np.isclose(CORE.share(48_000_000, 2e-3, "float32"), 0.5)
    assert np.isclose(CORE.share(48_000_000, 2e-3, "int8"), 0.25)
    assert "96 GFLOP/s" in str(CORE) and "1.5 of 2 cores" in str(CORE)


@pytest.mark.parametrize(
    ("sets", "floats", "codes"),
    [
        (("AVX2",), 16, 32),
        (("AVX2", "AVX-512", "AVX-512 VNNI"), 32, 128),
        (("NEON", "NEON dot product"), 8, 32),
        ((), 4, 8),
    ],
)
def test_the_widest_instructions_count(monkeypatch, sets, floats, codes):
    monkeypatch.setattr(hardware, "instruction_sets", lambda: sets)
    monkeypatch.setattr(peak, "measured_clock_ghz", lambda: 2.5)
    found = peak.measure_peak(0.01)
    assert (found.float_macs_per_cycle, found.int8_macs_per_cycle) == (floats, codes)
    assert found.clock_ghz == 2.5 and 0 <= found.free_cores <= found.cores


def test_the_clock_is_one_that_a_processor_can_have():
    assert 0.3 < peak.measured_clock_ghz(50) < 8
