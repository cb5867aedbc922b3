"""A PostgreSQL server of a test's own, on the loopback interface, in a folder that goes with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ports import free_port

START_S = 60


def binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, which Debian keeps off PATH; None where there is no server."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """A server with an empty database; gives its address for SQLAlchemy with psycopg."""
    where = binaries()
    assert where, "ask `binaries` first"
    # It refuses to run as root.
    user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    data, port = folder / "data", free_port()
    if user:
        shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "env": {"LC_ALL": "C"}, **user}
        subprocess.run([where / program, "-D", data, *arguments], check=True, timeout=START_S, **quiet)

    run("initdb", "--username=course", "--auth=trust", "--encoding=UTF8", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "-l", str(folder / "log"), "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://course@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
