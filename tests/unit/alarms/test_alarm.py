import json

import pytest

from edgelab.alarms import Alarm
from edgelab.errors import InputError

ALARM = Alarm(1700000000.5, "enter", "door", "person", 7, "person entered door")


def test_json_and_back():
    assert Alarm.from_json(json.loads(json.dumps({"id": "x", **ALARM.as_json()}))) == ALARM
    assert str(ALARM) == "person entered door"


@pytest.mark.parametrize("change", [{"time_s": "noon"}, {"track_id": None}, {"time_s": float("nan")}])
def test_what_is_no_alarm_is_refused(change):
    with pytest.raises(InputError):
        Alarm.from_json({**ALARM.as_json(), **change})
    with pytest.raises(InputError):
        Alarm.from_json({})
