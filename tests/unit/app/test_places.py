import json

import pytest

from edgelab.app import places
from edgelab.detection import Line, Zone
from edgelab.errors import InputError, StorageError

ZONE = {"name": "door", "kind": "zone", "points": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.9]]}
LINE = {"name": "fence", "kind": "line", "points": [[0, 0], [1, 1]]}


def test_they_are_kept_and_read_again(tmp_path):
    path = tmp_path / "places.json"
    kept = places.Places(path)
    kept.put(places.from_json(ZONE))
    kept.put(places.from_json(LINE))
    assert kept.version == 2
    again = places.Places(path)
    assert [places.as_json(one) for one in again.all()] == [ZONE, LINE]
    assert again.all() == (Zone("door", ((0.1, 0.1), (0.5, 0.1), (0.5, 0.9))), Line("fence", (0, 0), (1, 1)))
    assert again.remove("door") and not again.remove("door")
    assert [one.name for one in places.Places(path).all()] == ["fence"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 61},
        {"name": "a\nb"},
        {"name": 3},
        {"kind": "circle"},
        {"points": "0 0"},
        {"points": [[0, 0], [1, 1]]},
        {"points": [[0, 0], [1, 1], [2, 0]]},
        {"points": [[0, 0], [1, 1], [float("nan"), 0]]},
        {"points": [[0, 0], [1, 1], [True, 0]]},
        {"points": [[0, 0], [0.5, 0.5], [1, 1]]},
        {"points": [[0.1, 0.1]] * 51},
        {"kind": "line"},
    ],
)
def test_what_is_no_place_is_refused(change):
    with pytest.raises(InputError, match="no zone and no line"):
        places.from_json({**ZONE, **change})


@pytest.mark.parametrize("value", [None, [], "zone", 3, {}])
def test_any_json_may_come(value):
    with pytest.raises(InputError):
        places.from_json(value)
    with pytest.raises(InputError):
        places.from_json({**LINE, "points": [[0.5, 0.5], [0.5, 0.5]]})


def test_a_damaged_file_is_kept_aside(tmp_path):
    path = tmp_path / "places.json"
    path.write_text('[{"name": ')
    kept = places.Places(path)
    assert kept.all() == () and "cannot be read" in kept.note
    assert (tmp_path / "places.json.damaged").exists()


def test_there_is_a_limit(tmp_path):
    kept = places.Places(tmp_path / "places.json")
    for number in range(places.MOST_PLACES):
        kept.put(places.from_json({**LINE, "name": str(number)}))
    with pytest.raises(InputError, match="already"):
        kept.put(places.from_json({**LINE, "name": "one more"}))
    kept.put(places.from_json({**LINE, "name": "3"}))


def test_a_change_that_cannot_be_kept_is_none(tmp_path):
    (tmp_path / "file").write_text("in the way")
    kept = places.Places(tmp_path / "file" / "places.json")
    with pytest.raises(StorageError):
        kept.put(places.from_json(LINE))
    assert kept.all() == () and kept.version == 0


def test_the_file_is_json_for_everybody(tmp_path):
    kept = places.Places(tmp_path / "places.json")
    kept.put(places.from_json({**LINE, "name": "Zaun ä"}))
    assert json.loads((tmp_path / "places.json").read_text(encoding="utf-8"))[0]["name"] == "Zaun ä"
