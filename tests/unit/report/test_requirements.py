"""Conditions on a report, from text."""

from __future__ import annotations

import pytest

from edgelab import report
from edgelab.errors import InputError


class Numbers:
    def __init__(self, **values):
        self.values = values

    def value(self, metric, of=""):
        return self.values.get(f"{metric}_{of}".rstrip("_"))


@pytest.mark.parametrize(
    ("text", "numbers", "is_met"),
    [
        ("edgetpu=100%", {"placement_edgetpu": 1.0}, True),
        ("edgetpu=100%", {"placement_edgetpu": 0.99}, False),
        ("edgetpu=100%", {}, False),
        ("latency_ms[rk3588]<20", {"latency_ms_rk3588": 19.9}, True),
        ("latency_ms[rk3588] < 20", {"latency_ms_rk3588": 20}, False),
        ("accuracy[cpu]>=90%", {"accuracy_cpu": 0.9}, True),
        ("size_bytes<=1e6", {"size_bytes": 1e6}, True),
        ("latency_ms[ethos-u55-128]<20", {"latency_ms_ethos-u55-128": 3}, True),
    ],
)
def test_a_condition_is_met_or_not(text, numbers, is_met):
    [one] = report.parse(text)
    assert one.judged(Numbers(**numbers))[0] is is_met


def test_several_are_separated_by_commas():
    assert [one.text for one in report.parse("edgetpu=100%, macs<5 ,")] == ["edgetpu=100%", "macs<5"]
    assert report.parse("") == ()


@pytest.mark.parametrize("text", ["edgetpu", "speed<3", "latency_ms<3", "macs[cpu]<3", "macs<x", "<3"])
def test_what_cannot_be_understood_is_refused(text):
    with pytest.raises(InputError, match="cannot be understood"):
        report.parse(text)
