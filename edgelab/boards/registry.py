"""The boards this user knows, by name: where each is reached, and what it said it is. No password is kept.

They stand in `boards.json` in the user's configuration, or in the folder that EDGELAB_CONFIG names, beside
`known_hosts` with the host keys that the user accepted.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import filelock
import platformdirs

from edgelab.errors import DataError, InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
# user@host, host or an alias of ~/.ssh/config, with a port where it is another; an IPv6 address in brackets.
DESTINATION = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.%A-Za-z0-9]+)\]|(?P<host>[A-Za-z0-9_][A-Za-z0-9._-]*))(?::(?P<port>\d{1,5}))?"
)
ADB = re.compile(r"adb:(?P<serial>[A-Za-z0-9][A-Za-z0-9.:_-]*)?")


@dataclass(frozen=True)
class Board:
    """A board by the name its user gave it.

    Attributes:
        name: in commands and tables.
        destination: `user@host[:port]`, an alias of the user's ssh configuration, or `adb:SERIAL`.
        kind: one of `facts.KINDS`, found by asking it; "" where it has not been asked.
        model: what it calls itself, such as "Raspberry Pi 5 Model B Rev 1.0".
        added: day, ISO 8601.
        options: of ssh, `-o` each, for what the user's own configuration does not say.
    """

    name: str
    destination: str
    kind: str = ""
    model: str = ""
    added: str = ""
    options: tuple[str, ...] = field(default=())

    @property
    def uses_adb(self) -> bool:
        """Whether it is reached by adb rather than ssh."""
        return self.destination.startswith("adb:")

    @property
    def address(self) -> tuple[str, int | None]:
        """`user@host` as ssh takes it, and the port where one is given."""
        found = DESTINATION.fullmatch(self.destination)
        user = f"{found['user']}@" if found["user"] else ""
        return user + (found["six"] or found["host"]), int(found["port"]) if found["port"] else None

    def __str__(self) -> str:
        known = self.model or self.kind or tr("not asked yet")
        return f"{self.name}: {self.destination}, {known}"


def folder() -> Path:
    """Where the user's boards and the host keys they accepted are kept."""
    return Path(os.environ.get("EDGELAB_CONFIG") or platformdirs.user_config_path("edgelab"))


def checked(name: str, destination: str) -> Board:
    """A board of this name at this place.

    Raises:
        InputError: one of the two is no name or no destination.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            tr("{name!r} is no name for a board.", name=name),
            why=tr("names of files and columns of tables are made of it"),
            fix=tr("take letters, digits, dots and dashes, 40 at most, such as pi5"),
        )
    given = ADB.fullmatch(destination) or DESTINATION.fullmatch(destination)
    port = given.groupdict().get("port") if given else None
    if not given or (port and not 0 < int(port) < 65536):
        raise InputError(
            tr("{destination!r} is no place where a board is reached.", destination=destination),
            fix=tr("give user@host, user@host:2222, an alias of ~/.ssh/config, or adb:SERIAL for a phone"),
        )
    return Board(name, destination)


def boards() -> dict[str, Board]:
    """All boards by name, in the order they were added.

    Raises:
        DataError: the file was damaged.
    """
    path = folder() / "boards.json"
    try:
        rows = json.loads(path.read_text("utf-8"))
        return {
            row["name"]: Board(**{**row, "options": tuple(row.get("options", ()))}) for row in rows["boards"]
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            tr("{path} cannot be read.", path=path),
            why=str(error),
            fix=tr("correct it, or delete it and add the boards again"),
        ) from error


def get(name: str) -> Board:
    """The board of that name.

    Raises:
        InputError: there is none.
    """
    known = boards()
    if name not in known:
        raise InputError(
            tr("No board is called {name!r}.", name=name),
            why=tr("known are: {names}", names=", ".join(known) or tr("none yet")),
            fix=tr("python -m edgelab board add {name} user@host", name=name),
        )
    return known[name]


def put(board: Board) -> None:
    """Keep a board, in place of one of the same name.

    Raises:
        StorageError: the configuration cannot be written.
    """
    _change(lambda known: {**known, board.name: board})


def remove(name: str) -> Board:
    """Forget a board.

    Raises:
        InputError: there is none of that name.
        StorageError: the configuration cannot be written.
    """
    board = get(name)
    _change(lambda known: {key: kept for key, kept in known.items() if key != name})
    return board


def _change(change) -> None:
    artifacts.make_folder(folder())
    with filelock.FileLock(folder() / ".boards.lock"):
        changed: Mapping[str, Board] = change(boards())
        text = json.dumps({"boards": [asdict(board) for board in changed.values()]}, indent=1)
        with artifacts.atomic_path(folder() / "boards.json") as temporary:
            temporary.write_text(text, "utf-8")
