"""The mailbox between a notebook's page and its kernel; `tests/browser/test_web_lab.py` shows the whole."""

import json
import threading
import time
import uuid

import pytest

from edgelab.errors import TargetError
from edgelab.targets.web import engine, files
from edgelab.targets.web import widget as web_widget
from edgelab.targets.web.server import PageGoneError, pack

PAGE = str(uuid.UUID(int=7))


class FakePage:
    """What page/widget.js writes, and what it has been sent."""

    def __init__(self, runner, page=PAGE):
        self.page, self.sent = page, []
        self.box = runner._boxes[0]
        runner.send = lambda message, buffers=None: self.sent.append((message, buffers or []))

    def begin(self, variant="jspi_"):
        (self.box / "page.json").write_text(json.dumps({"page": self.page, "variant": variant}))

    def write(self, number, message):
        (self.box / f"{number}.part").write_bytes(message)
        (self.box / f"{number}.done").write_bytes(b"1")

    def answer(self, number, head=None, parts=()):
        self.write(number, pack({"number": number, "page": self.page, "ok": True, **(head or {})}, parts))


@pytest.fixture
def runner(tmp_path, monkeypatch):
    if reason := files.missing():
        pytest.skip(f"{reason}; {files.fix()}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))
    shown = web_widget.show()
    yield shown
    web_widget.close_all()
    assert not list(tmp_path.rglob("web-mail-*"))


@pytest.fixture
def connected(runner):
    page = FakePage(runner)
    page.begin()
    page.answer(0, {"agent": "a browser"})
    assert runner.hello(5)["agent"] == "a browser"
    return runner, page


def test_a_page_that_begins_gets_its_files_and_says_what_it_is(connected):
    runner, page = connected
    [(message, contents)] = page.sent
    assert message["kind"] == "files" and message["page"] == PAGE
    assert "wasm/litert_wasm_jspi_internal.wasm" in message["names"] and len(message["names"]) == len(
        contents
    )
    assert runner.is_connected and engine.remembered("lab").browser == "a browser"


def test_an_answer_is_taken_whole_and_the_mailbox_is_empty_after_it(connected):
    runner, page = connected
    threading.Timer(0.2, lambda: page.answer(1, {"rows": 1}, [b"abc"])).start()
    head, parts = runner.exchange({"kind": "run"}, [b"in"], 10)
    assert head["rows"] == 1 and parts == [b"abc"]
    assert page.sent[-1][0] == {"kind": "request", "page": PAGE, "number": 1, "head": {"kind": "run"}}
    assert not list(page.box.iterdir())


@pytest.mark.parametrize(
    "message",
    [b"", b"rubbish", pack({"number": 2, "page": PAGE, "ok": True}),
     pack({"number": 1, "page": "another", "ok": True}), pack({"number": 1, "page": PAGE, "ok": "yes"}),
     pack({"number": 1, "ok": True}), pack({"page": PAGE, "ok": True})],
)  # fmt: skip
def test_what_is_no_expected_answer_is_thrown_away(connected, message):
    runner, page = connected
    page.write(1, message)
    with pytest.raises(TimeoutError):
        runner.exchange({"kind": "run"}, [], 0.3)
    assert not list(page.box.iterdir())


def test_files_of_other_names_are_not_looked_at(connected):
    runner, page = connected
    page.answer(5)
    with pytest.raises(TimeoutError):
        runner.exchange({"kind": "run"}, [], 0.2)
    assert (page.box / "5.done").exists()


def test_a_page_that_is_loaded_again_ends_what_was_open(connected):
    runner, _ = connected
    again = FakePage(runner, str(uuid.UUID(int=8)))
    threading.Timer(0.2, again.begin).start()
    with pytest.raises(PageGoneError):
        runner.exchange({"kind": "run"}, [], 30)
    assert not runner.is_connected
    again.answer(0, {"agent": "again"})
    assert runner.hello(5)["agent"] == "again" and runner.is_connected


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"page": "../x", "variant": "jspi_"}),
                                  json.dumps({"page": PAGE, "variant": "../../etc/"})])  # fmt: skip
def test_a_page_that_introduces_itself_otherwise_gets_nothing(runner, text):
    page = FakePage(runner)
    (page.box / "page.json").write_text(text)
    assert runner.hello(0.2) is None and page.sent == []


def test_without_a_page_the_wait_is_short_and_the_fix_is_told(runner, monkeypatch):
    monkeypatch.setattr(engine, "HELLO_S", 0.2)
    started = time.monotonic()
    with pytest.raises(TargetError, match="No page of JupyterLab") as caught:
        engine.remembered("lab")
    assert "show()" in caught.value.fix and time.monotonic() - started < 5


def test_a_new_widget_takes_the_place_of_the_one_before(runner):
    folders = list(runner._boxes)
    assert web_widget.show() is web_widget.shown() is not runner
    assert not any(folder.exists() for folder in folders)
