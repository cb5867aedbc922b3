import dataclasses
import re

import pytest

from edgelab.app import settings
from edgelab.errors import InputError


def refusal(text):
    with pytest.raises(InputError) as caught:
        settings.parse(text)
    return str(caught.value)


def test_the_example_holds_every_key_with_its_default():
    text = settings.EXAMPLE.read_text(encoding="utf-8")
    read = settings.load(settings.EXAMPLE)
    assert dataclasses.replace(read, base=settings.Settings().base) == dataclasses.replace(
        settings.Settings(), base=settings.Settings().base
    )
    for section in dataclasses.fields(settings.Settings):
        if dataclasses.is_dataclass(section.default_factory):
            part = text.split(f"[{section.name}]")[1].split("\n[")[0]
            for key in dataclasses.fields(section.default_factory):
                assert re.search(rf"^{key.name} = ", part, re.M), f"{section.name}.{key.name}"


def test_every_key_of_the_example_is_explained():
    lines = settings.EXAMPLE.read_text(encoding="utf-8").splitlines()
    blocks = "\n".join(lines).split("\n\n")
    assert all("#" in block for block in blocks if " = " in block)


def test_an_unknown_key_is_refused_with_its_line_and_what_was_meant():
    said = refusal('[source]\n\naddr = "scenes"\n')
    assert "line 3" in said and "source.addr" in said and "write address" in said
    assert "line 1" in refusal("[src]\n") and "write source" in refusal("[src]\n")
    assert "here stand" in refusal("[view]\nxyzzy = 1\n")


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ('[server]\nport = "8090"', "write port = 8090"),
        ("[source]\nrepeat = 1", "write repeat = true"),
        ('[source]\nrepeat = "no"', "write repeat = false"),
        ("[source]\naddress = 0", 'write address = "0"'),
        ('[alarms]\nkinds = "enter"', 'write kinds = ["enter"]'),
        ("[view]\nwidth = 640.5", "write width = 640"),
        ('[alarms]\nkinds = ["enter", "fly"]', 'choose from "enter", "leave", "dwell", "cross"'),
        ('[model]\nregion = "left"', 'choose from "moving"'),
        ("[view]\nquality = 101", "from 10 to 100"),
        ("[view]\nfps = nan", "from 0.1 to 240"),
        ("source = 3", "write [source] on a line of its own"),
    ],
)
def test_wrong_values_are_refused_with_what_to_write(text, fix):
    said = refusal(text)
    assert fix in said
    assert f"line {len(text.splitlines())}" in said or "source" in said


def test_whole_numbers_are_numbers_too():
    assert settings.parse("[view]\nfps = 10").view.fps == 10.0


def test_no_toml_says_where():
    assert "line 1" in refusal("address = scenes")
    assert "no TOML" in refusal("[source\n")


def test_a_missing_file_names_the_example(tmp_path):
    with pytest.raises(InputError, match="copy data"):
        settings.load(tmp_path / "none.toml")


def test_other_machines_are_let_in_only_when_asked():
    said = refusal('[server]\naddress = "0.0.0.0"')
    assert "other_machines = true" in said and "line 2" in said
    read = settings.parse('[server]\naddress = "0.0.0.0"\nother_machines = true')
    assert not read.is_loopback


def test_settings_that_contradict_each_other_are_refused():
    assert "both files" in refusal('[server]\nkey = "key.pem"')
    assert "longest_wait_s" in refusal("[source]\nfirst_wait_s = 40")


def test_paths_start_from_the_file(tmp_path):
    file = tmp_path / "app.toml"
    file.write_text('data_folder = "kept"\n[mqtt]\npassword_file = "secret"\n')
    (tmp_path / "secret").write_text("geheim\n")
    read = settings.load(file)
    assert read.folder == tmp_path / "kept"
    assert read.secret(read.mqtt.password_file) == "geheim" and read.secret("") == ""
    with pytest.raises(InputError, match="none"):
        read.secret("none")


def test_the_command_line_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read = settings.changed(settings.Settings(), address="clip.mp4", file="m.tflite", port=0, data_folder="d")
    assert read.source.address == str(tmp_path / "clip.mp4") and read.folder == tmp_path / "d"
    assert settings.changed(read, address="rtsp://a/b", file="boxes").source.address == "rtsp://a/b"
    with pytest.raises(InputError):
        settings.changed(read, port=70_000)
