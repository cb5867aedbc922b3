"""What chapters show of an emulated board where none is: simulated, dated, never timed."""

import datetime
import re

import pytest

from edgelab import boards


@pytest.mark.parametrize(("chapter", "count"), [("09", 2), ("10", 1), ("13", 3)])
def test_a_recorded_session_says_what_it_is_and_holds_no_time(chapter, count):
    rows, line = boards.recorded_session(chapter)
    assert len(rows) == count
    assert line.startswith("No board ran it. Simulated, recorded on ") and "emulated Cortex-A76" in line
    date = re.search(r"\d{4}-\d\d-\d\d", line)[0]
    assert datetime.date.fromisoformat(date).year >= 2026
    assert re.search(r"ai-edge-litert \d+\.\d+", line) and re.search(r"python 3\.\d+", line)
    assert rows and all(row["provenance"] == "simulated" for row in rows)
    times = [value for row in rows for name, value in row.items() if "(ms)" in name or "(mJ" in name]
    assert times and set(times) <= {"not timed", "not measured"}
