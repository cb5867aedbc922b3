"""Browsers that are not there, that tell their version, and that do not."""

import os

import pytest

from edgelab.machine import browsers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="puts a shell script on PATH")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty PATH; the function puts a program there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(browsers.VARIABLE, raising=False)
    monkeypatch.setattr(browsers, "ELSEWHERE", ())

    def put(name, script):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return put


def test_none_is_found_where_none_is(place):
    assert browsers.find() == ""


def test_one_on_the_path_is_found_and_asked_for_its_version_alone(place):
    path = place("google-chrome", '[ "$*" = "--version" ] && echo "Google Chrome 131.0.6778.85 beta"')
    assert browsers.find() == path
    assert browsers.name_of(path) == "Google Chrome 131"


@pytest.mark.parametrize("script", ["exit 3", "echo 12", "echo nonsense"])
def test_one_that_does_not_tell_goes_by_its_file(place, script):
    assert browsers.name_of(place("chromium", script)) == "chromium"


def test_a_named_one_wins_and_a_wrong_name_finds_none(place, monkeypatch):
    place("chromium", "exit 0")
    own = place("mine", "exit 0")
    monkeypatch.setenv(browsers.VARIABLE, own)
    assert browsers.find() == own
    monkeypatch.setenv(browsers.VARIABLE, "no-such-browser")
    assert browsers.find() == ""
