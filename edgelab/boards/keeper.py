"""Runs on a board, beside what it does there for us: sent over the link each time, never installed.

It hears from our side at least every few seconds. When it hears nothing more (a cable was pulled, a program
was killed) it ends what it started, and lets the lock go: what runs on a board ends with the link.

    hold           take the board's lock, tell who has it where that fails, keep it until the link ends
    run DIR CMD    run a program in a folder; its input is what we send, its output goes to us
    put PATH SIZE HASH   write a file, whole or not at all
    get PATH       send a file
    unpack ZIP DIR, remove DIR
"""

# Python 3.6 and newer, standard library only: boards with old systems are to be told what they lack.
import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import queue
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

BEAT, DATA = b"b", b"d"
HEADER = struct.Struct(">cQ")  # of each message to us: its kind, and how many bytes follow
LOCK = "edgelab-board.lock"
SPARE_BYTES = 4 * 2**20  # left free on a board's card
KILLED = 143  # as a shell tells the end by SIGTERM
PR_SET_PDEATHSIG = 1


class LinkEndedError(Exception):
    """Nobody is at the other end any more."""


class Line:
    """What comes from the other end, a message at a time.

    Args:
        silence_s: when nothing has come for so long, the link has ended.
    """

    def __init__(self, silence_s):
        self.silence_s, self.heard, self.kept = silence_s, time.monotonic(), bytearray()

    def _more(self):
        while not select.select([0], [], [], 0.5)[0]:
            if time.monotonic() - self.heard > self.silence_s:
                raise LinkEndedError
        data = os.read(0, 1 << 16)
        if not data:
            raise LinkEndedError
        self.heard = time.monotonic()
        return data

    def message(self):
        """The next message that carries data."""
        while True:
            while len(self.kept) < HEADER.size:
                self.kept += self._more()
            kind, size = HEADER.unpack(bytes(self.kept[: HEADER.size]))
            while len(self.kept) < HEADER.size + size:
                self.kept += self._more()
            data = bytes(self.kept[HEADER.size : HEADER.size + size])
            del self.kept[: HEADER.size + size]
            if kind == DATA:
                return data


def say(**answer):
    """One line of JSON to the other end."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


# ------------------------------------------------------------------------------------------------ the lock


def _lock_file():
    """The lock, open; one for all accounts of this board, which is never a link to something else."""
    path = str(Path(tempfile.gettempdir()) / LOCK)
    try:
        handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        with contextlib.suppress(OSError):
            os.fchmod(handle, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(0, "is no file")
    return handle


def hold(line, who):
    """Keep the lock until the link ends; the system frees it however we end."""
    handle = _lock_file()
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        try:
            found = json.loads(os.pread(handle, 4096, 0).decode("utf-8"))
            since_s = max(0.0, time.time() - float(found["at"]))
            say(busy=str(found["who"]), since_s=since_s, at=float(found["at"]))
        except (ValueError, KeyError, TypeError):
            say(busy="", since_s=None, at=None)
        return 0
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps({"who": who, "at": time.time()}).encode("utf-8"), 0)
    say(held=True)
    try:
        while True:
            line.message()
    finally:
        os.ftruncate(handle, 0)


# ------------------------------------------------------------------------------------------- what is run


def _dies_with_us():
    with contextlib.suppress(Exception):  # Linux alone knows it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process):
    """End a program and all it started, gently and then not."""
    for number, wait_s in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    return KILLED


def run(line, folder, *command):
    """Run a program until it ends or the link does; its exit code."""
    words = [str(Path(word).expanduser()) if word.startswith("~/.edgelab/") else word for word in command]
    process = subprocess.Popen(
        words,
        cwd=str(Path(folder).expanduser()),
        stdin=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_dies_with_us,
    )
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(_end(process)))

    waiting = queue.Queue()

    def forward():
        with contextlib.suppress(OSError):  # it ended: its exit code tells
            while True:
                process.stdin.write(waiting.get())
                process.stdin.flush()

    def listen():
        """Never waits for the program, which may take nothing: else the link's end would go unheard."""
        try:
            while True:
                waiting.put(line.message())
        except LinkEndedError:
            os._exit(_end(process))

    for work in (forward, listen):
        threading.Thread(target=work, daemon=True).start()
    code = process.wait()
    with contextlib.suppress(OSError):  # what it left running
        os.killpg(process.pid, signal.SIGKILL)
    return code if code >= 0 else 128 - code


# ------------------------------------------------------------------------------------------------- files


def _room_for(folder, size):
    """Whether so many bytes fit into the folder."""
    free = shutil.disk_usage(str(folder)).free
    if size + SPARE_BYTES > free:
        say(error="space", needed=size, free=free)
        return False
    return True


def put(line, path, size, digest):
    """Write what comes to a file, whole or not at all."""
    path, size = Path(path).expanduser(), int(size)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _room_for(path.parent, size):
        return 1
    say(ready=True)
    part, found, left = path.with_name(path.name + ".part"), hashlib.sha256(), size
    try:
        with part.open("wb") as file:
            while left > 0:
                data = line.message()
                found.update(data)
                file.write(data)
                left -= len(data)
            file.flush()
            os.fsync(file.fileno())
        if left or found.hexdigest() != digest:
            say(error="damaged")
            return 1
        part.replace(path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    say(done=True)
    return 0


def get(line, path):
    """Send a file: a line of JSON with its size and hash, then its bytes."""
    data = Path(path).expanduser().read_bytes()
    say(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
    return 0


def unpack(line, path, folder):
    """Unpack a zip into a folder of its own, and remove the zip."""
    path, folder = Path(path).expanduser(), Path(folder).expanduser()
    with zipfile.ZipFile(str(path)) as archive:
        if not _room_for(path.parent, sum(entry.file_size for entry in archive.infolist())):
            return 1
        archive.extractall(str(folder))
    path.unlink()
    say(done=str(folder))
    return 0


def remove(line, folder):
    """Remove a folder of ours."""
    shutil.rmtree(str(Path(folder).expanduser()), ignore_errors=True)
    say(done=True)
    return 0


def main(arguments):
    """One of the verbs above; 0 when it went well."""
    silence_s, verb, rest = float(arguments[0]), arguments[1], arguments[2:]
    verbs = {"hold": hold, "run": run, "put": put, "get": get, "unpack": unpack, "remove": remove}
    try:
        return verbs[verb](Line(silence_s), *rest)
    except LinkEndedError:
        return KILLED
    except (OSError, zipfile.BadZipFile) as error:
        number = getattr(error, "errno", None)
        words = getattr(error, "strerror", None) or str(error)
        say(error="system", number=number, words=words, path=str(getattr(error, "filename", None) or ""))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
