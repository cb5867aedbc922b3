"""The link to a board, over a real ssh server on the loopback interface; and all that goes wrong with one."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from ssh_board import SshBoard, make_key
from waiting import running_with, wait_for

from edgelab import __main__ as program
from edgelab.boards import channel, host_keys, link, registry
from edgelab.boards.link import Link
from edgelab.boards.ssh_words import LinkError, UnknownHostKeyError
from edgelab.errors import InputError, TargetError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A board that is switched on."""
    folder = tmp_path_factory.mktemp("board")
    server = SshBoard(folder, folder / "home of a board")
    yield server
    server.stop()


@pytest.fixture
def board(server, tmp_path, monkeypatch):
    """The same, known and accepted."""
    monkeypatch.setenv("EDGELAB_CONFIG", str(tmp_path / "configuration"))
    board = server.board()
    host_keys.accept(board, host_keys.look(board))
    registry.put(board)
    return board


@pytest.fixture
def hurried(monkeypatch):
    """The other end notices a silence sooner."""
    monkeypatch.setattr(link, "SILENCE_S", 2.0)
    monkeypatch.setattr(channel, "BEAT_S", 0.3)


def reached(board):
    """The link to a board whose Python is known."""
    opened = Link(board)
    opened.python = "python3"
    return opened


def sleeper(opened):
    """Something that runs on the board for long, and how to find it."""
    word = f"edgelab-test-{secrets.token_hex(8)}"
    running = opened.keeper("run", ".", "/bin/sh", "-c", "while :; do sleep 1; done", word)
    wait_for(lambda: running_with("/bin/sh", running_with(word)))
    return running, word


def is_over(word):
    # The keeper has the word among its arguments, too: both have to go.
    return lambda: not running_with(word)


def test_files_go_there_and_come_back_and_programs_run(board, server):
    content = os.urandom(300_000)
    with Link(board) as opened:
        found = opened.facts()
        assert found.kind in ("x86", "arm") and found.python == "python3" and not found.emulated
        told = []
        opened.put(content, "~/into a folder/ä file", told.append)
        assert sum(told) == len(content)
        assert (server.home / "into a folder" / "ä file").read_bytes() == content
        assert opened.get("~/into a folder/ä file") == content
        with opened.running("run", ".", "/bin/sh", "-c", 'echo "a  b"; pwd; exit 3') as running:
            assert list(running.lines(30)) == ["a  b", str(server.home)]
            assert running.returncode() == 3
        opened.verb("remove", "~/into a folder")
    assert not (server.home / "into a folder").exists()


def test_what_the_board_refuses_is_told(board):
    with reached(board) as opened:
        with pytest.raises(TargetError, match="No such file") as told:
            opened.get("~/absent")
        assert "absent" in told.value.why
        with pytest.raises(TargetError, match=r"Not a directory|File exists"):
            opened.put(b"x", "/dev/null/x")


def test_a_full_card_is_told_before_anything_is_written(tmp_path, board):
    mounted = 'mount -t tmpfs -o size=6m tmpfs "$HOME" && cd && exec "$@"'
    small = f"unshare --user --map-root-user --mount sh -c '{mounted}' sh"
    able = subprocess.run(["sh", "-c", f"HOME={tmp_path} {small} true"], capture_output=True)
    if able.returncode:
        pytest.skip(f"no file system of a few megabytes can be made: {able.stderr.decode()}")
    server = SshBoard(tmp_path / "b", tmp_path / "b" / "home", wrapped=small)
    try:
        full = server.board()
        host_keys.accept(full, host_keys.look(full))
        with reached(full) as opened:
            opened.put(bytes(1_000_000), "~/fits")
            with pytest.raises(TargetError, match="card of testboard is full") as told:
                opened.put(bytes(5_000_000), "~/too large")
            assert "5.0 MB are needed" in told.value.why and "free some space" in told.value.fix
    finally:
        server.stop()
    assert not list((tmp_path / "b" / "home").iterdir())


@pytest.mark.parametrize("victim", ["ours", "theirs"])
def test_what_runs_there_ends_when_the_link_is_cut(victim, board, server):
    opened = reached(board)
    running, word = sleeper(opened)
    if victim == "ours":  # this program is killed
        for process in (opened.master._process, running._process):
            process.kill()
    else:  # the board's side of the connection goes
        for session in psutil.Process(server.process.pid).children():
            session.kill()
    wait_for(is_over(word))
    with pytest.raises(LinkError, match="link to testboard broke") as told:
        list(running.lines(30))
        running.returncode()
    assert "run the same command again" in told.value.fix
    opened.close()


def test_what_is_to_run_there_ends_when_the_cable_is_pulled_before_it_has_come():
    start = link.START.format(size=100, silence_s=0.2)
    with subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE) as waiting:
        waiting.stdin.write(b"half of it")
        waiting.stdin.flush()
        try:
            assert waiting.wait(60) == 1
        finally:
            waiting.kill()


def test_what_runs_there_ends_when_the_cable_is_pulled(hurried, board):
    # Nothing is closed when a cable is pulled: both sides only hear nothing more.
    opened = reached(board)
    opened.hold_lock()
    running, word = sleeper(opened)
    stopped = [opened.master._process, running._process, *(one._process for one in opened._channels)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        wait_for(is_over(word))
        with reached(board) as other:  # and the board is free again

            def is_free():
                try:
                    other.hold_lock()
                except TargetError:
                    return False
                return True

            wait_for(is_free)
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)
        opened.close()


def test_what_runs_there_ends_with_its_keeper(board):
    with reached(board) as opened:
        _, word = sleeper(opened)
        keepers = running_with("run", running_with(word))
        assert keepers
        for process in keepers:
            process.kill()
        wait_for(is_over(word))


def test_a_board_that_restarts_breaks_the_link_and_can_be_reached_again(board, server):
    with reached(board) as opened:
        server.stop()
        try:
            with pytest.raises(LinkError, match="broke"):
                opened.shell("true")
            with pytest.raises(LinkError, match="no ssh server answers"):
                Link(board)
        finally:
            server.start()
    with Link(board) as opened:
        assert opened.shell("echo here again") == "here again"


def test_the_second_student_is_told_who_has_the_board_and_since_when(board):
    with reached(board) as first:
        first.hold_lock()
        with reached(board) as second:
            with pytest.raises(TargetError, match=r"testboard is in use by \S+@\S+ since \d\d:\d\d") as told:
                second.hold_lock()
            assert "wait" in told.value.fix
            first.close()

            def is_free():
                try:
                    second.hold_lock()
                except TargetError:
                    return False
                return True

            wait_for(is_free)


def test_a_new_host_key_is_shown_and_accepted_by_its_fingerprint_only(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EDGELAB_CONFIG", str(tmp_path / "configuration"))
    with pytest.raises(UnknownHostKeyError, match="has not been accepted") as told:
        Link(server.board())
    assert "board add testboard" in told.value.fix
    options = [part for option in server.options for part in ("--option", option)]
    command = ["board", "add", "pi", server.destination, *options]
    monkeypatch.setattr("sys.stdin", Path(os.devnull).open())  # noqa: SIM115 - nobody is there to ask
    assert program.main(command) == 1
    shown = capsys.readouterr()
    assert server.fingerprint in shown.out and "--accept-key" in shown.err and not registry.boards()
    assert program.main([*command, "--accept-key", make_key(tmp_path / "another")]) == 1
    assert "another fingerprint" in capsys.readouterr().err and not registry.boards()
    assert program.main([*command, "--accept-key", server.fingerprint]) == 0
    assert "Added pi" in capsys.readouterr().out and registry.get("pi").kind in ("x86", "arm")
    assert program.main(["board", "list"]) == 0 and server.destination in capsys.readouterr().out
    assert program.main(command) == 0  # known by now: nothing is asked
    assert program.main(["board", "remove", "pi"]) == 0 and not registry.boards()


def test_a_changed_host_key_is_refused_until_it_is_accepted_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EDGELAB_CONFIG", str(tmp_path / "configuration"))
    server = SshBoard(tmp_path / "b", tmp_path / "b" / "home")
    try:
        options = [part for option in server.options for part in ("--option", option)]
        command = ["board", "add", "pi", server.destination, *options]
        assert program.main([*command, "--accept-key", server.fingerprint]) == 0
        server.set_up_anew()
        with pytest.raises(LinkError, match="another host key than before: nothing was sent") as told:
            Link(registry.get("pi"))
        assert "--new-key" in told.value.fix
        assert program.main([*command, "--accept-key", server.fingerprint]) == 1
        assert "another host key" in capsys.readouterr().err
        assert program.main([*command, "--new-key", "--accept-key", server.fingerprint]) == 0
        with Link(registry.get("pi")) as opened:
            assert opened.shell("echo in") == "in"
    finally:
        server.stop()


def test_a_board_that_does_not_let_us_in_tells_how_to_give_it_a_key(board, server, tmp_path):
    make_key(tmp_path / "stranger")
    options = (f"IdentityFile={tmp_path}/stranger", "IdentitiesOnly=yes", "IdentityAgent=none")
    stranger = registry.Board("testboard", server.destination, options=options)
    with pytest.raises(LinkError, match="does not let this account in") as told:
        Link(stranger)
    assert f"ssh-copy-id -p {server.port} " in told.value.fix


def test_an_address_where_nobody_is_and_a_port_without_ssh_are_told(board, monkeypatch):
    with pytest.raises(LinkError, match="Nobody knows the name"):
        Link(registry.checked("testboard", "pi@no-such-host.invalid"))
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(LinkError, match="no ssh server answers"):
            Link(registry.checked("testboard", f"pi@127.0.0.1:{silent.getsockname()[1]}"))


def test_a_board_whose_shell_talks_on_login_is_told(board, server):
    (server.home / ".bashrc").write_text("echo welcome to the board\n")
    (server.home / ".profile").write_text("echo welcome to the board\n")
    try:
        with Link(board) as opened:  # a line before our own is passed over
            assert opened.facts().python == "python3"
    finally:
        (server.home / ".bashrc").unlink()
        (server.home / ".profile").unlink()


def test_without_ssh_the_fix_is_told(board, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    with pytest.raises(TargetError, match="ssh is not installed"):
        Link(board)


@pytest.mark.parametrize(
    "place", ["-oProxyCommand=x", "a b", "pi@", "pi@h:0", "pi@h:99999", "", "pi@h;ls", "pi@-x"]
)
def test_what_is_no_destination_never_reaches_ssh(place):
    with pytest.raises(InputError, match="no place where a board is reached"):
        registry.checked("pi", place)


def test_a_slow_link_only_takes_longer(board):
    # Each piece waits, as on a link of some 600 kB/s; no limit is on the whole.
    with reached(board) as opened:
        threads = threading.active_count()
        opened.put(bytes(400_000), "~/slow", lambda _: time.sleep(0.1))
        assert len(opened.get("~/slow")) == 400_000
        opened.verb("remove", "~/slow")
    assert threading.active_count() <= threads
