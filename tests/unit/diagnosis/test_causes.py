"""The causes: each named once, with a chapter that teaches it."""

from edgelab import display
from edgelab.diagnosis import CAUSES


def test_each_is_told_whole():
    for name, cause in CAUSES.items():
        assert cause.name == name and cause.what and cause.fix and "." in cause.evidence
    assert len({cause.what for cause in CAUSES.values()}) == len(CAUSES) >= 10


def test_each_leads_to_a_chapter():
    known = {chapter["number"] for chapter in display.chapters()}
    assert {cause.chapter for cause in CAUSES.values()} <= known
