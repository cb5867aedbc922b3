"""A folder that is filled again: only what the command wrote is ever replaced or deleted."""

import pytest

from edgelab.errors import InputError
from edgelab.machine import owned_folders

WHAT = "tests' pages"


@pytest.fixture
def publish(tmp_path):
    """Brings tmp_path / "out" to the files given."""

    def bring(files, made_by=WHAT):
        fresh = tmp_path / "fresh"
        for name, text in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_text(text)
        owned_folders.publish(fresh, tmp_path / "out", made_by)
        return tmp_path / "out"

    return bring


def held(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != owned_folders.MARK
    }


def test_what_is_gone_goes_and_what_others_wrote_stays(publish):
    out = publish({"a": "1", "deep/down/b": "2", "c": "3"})
    (out / "deep" / "mine").write_text("own")
    (out / "notes").write_text("own")
    publish({"a": "new", "d/e": "4"})
    assert held(out) == {"a": "new", "d/e": "4", "deep/mine": "own", "notes": "own"}
    assert not (out / "deep" / "down").exists()


@pytest.mark.parametrize("name", ["a", "gone", "new"])
def test_a_file_that_somebody_changed_or_wrote_is_never_lost(publish, name):
    out = publish({"a": "1", "gone": "2"})
    (out / name).write_text("hours of work")
    before = held(out)
    with pytest.raises(InputError, match=f"changed {name}"):
        publish({"a": "other", "new": "3"})
    assert held(out) == before


def test_a_folder_in_the_place_of_a_file_is_not_replaced(publish):
    out = publish({"a": "1"})
    (out / "b").mkdir()
    with pytest.raises(InputError, match="would be lost"):
        publish({"a": "1", "b": "2"})


def test_a_folder_of_another_command_or_with_a_damaged_mark_is_refused(publish, tmp_path):
    out = publish({"a": "1"})
    with pytest.raises(InputError, match="holds something else"):
        publish({"a": "2"}, made_by="slides")
    (out / owned_folders.MARK).write_text("{")
    with pytest.raises(InputError, match="holds something else"):
        publish({"a": "2"})
    assert held(out) == {"a": "1"}


def test_an_interrupted_call_can_be_repeated(publish, monkeypatch):
    out = publish({"a": "1", "b": "2", "gone": "3"})
    real = owned_folders.Path.replace

    def stop(path, target):
        if path.name == "b":
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owned_folders.Path, "replace", stop)
        publish({"a": "new", "b": "new"})
    publish({"a": "new", "b": "new"})
    assert held(out) == {"a": "new", "b": "new"}


def test_an_empty_folder_is_taken(publish, tmp_path):
    (tmp_path / "out").mkdir()
    assert held(publish({"a": "1"})) == {"a": "1"}
