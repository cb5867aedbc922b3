"""A record says what it is, or is refused."""

from __future__ import annotations

import pytest
from timed_sessions import MatmulSession

from edgelab import benchmark, results
from edgelab.errors import InputError
from edgelab.results import Result


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"provenance": "guessed"}, "measured, simulated, published, estimated"),
        ({"provenance": "published"}, "source"),
        ({"provenance": "published", "source": "  "}, "source"),
        ({"unit": "s"}, "'ms'"),
        ({"value": float("nan")}, "finite"),
    ],
)
def test_a_number_that_cannot_be_trusted_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Result(**{"metric": "latency", "value": 1.0, **wrong})


def test_records_of_a_measurement_carry_samples_and_provenance():
    measured = benchmark.measure(MatmulSession(), min_samples=20, max_seconds=0.3)
    records = {
        record.metric: record for record in results.from_measurement(measured, model="m", precision="p")
    }
    assert records["latency"].value == measured.median_ms
    assert records["latency"].samples.n == len(measured.samples_ms)
    assert (records["latency"].target, records["latency"].provenance) == ("numpy", "measured")
    assert ("energy" in records) == (measured.energy_mj is not None)


def test_the_number_of_pictures_is_read_from_the_source():
    assert results.Result("accuracy", 0.9, source="200 test images").image_count == 200
    assert results.Result("accuracy", 0.9, source="200 test images", image_count=50).image_count == 50
    assert results.Result("accuracy", 0.9, source="a paper, 2 test images").image_count == 0
