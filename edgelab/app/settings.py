"""One TOML file says what the application does; whatever it does not know is refused, with its line."""

from __future__ import annotations

import difflib
import json
import math
import re
import sys
import types
import typing
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

EXAMPLE = artifacts.PROJECT_ROOT / "data" / "app" / "app.toml"
KINDS = ("enter", "leave", "dwell", "cross")
REGIONS = ("moving", "middle", "whole")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def _limits(default: Any, low: float = -math.inf, high: float = math.inf, among: tuple = ()) -> Any:
    """A field with a default and what it may be."""
    about = {"low": low, "high": high, "among": among}
    if isinstance(default, tuple):
        return field(default_factory=lambda: default, metadata=about)
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class SourceSettings:
    """`[source]`: where frames come from."""

    address: str = "scenes"
    fps: float = _limits(0.0, 0, 1000)
    repeat: bool = True
    seed: int = _limits(0, 0, 1_000_000)
    first_wait_s: float = _limits(1.0, 0.05, 3600)
    longest_wait_s: float = _limits(30.0, 0.05, 3600)


@dataclass(frozen=True)
class ModelSettings:
    """`[model]`: what looks at them."""

    file: str = ""
    labels: str = ""
    target: str = "cpu"
    threads: int = _limits(0, 0, 256)
    least_score: float = _limits(0.4, 0.01, 0.99)
    region: str = _limits("moving", among=REGIONS)


@dataclass(frozen=True)
class ViewSettings:
    """`[view]`: the live picture."""

    width: int = _limits(640, 96, 3840)
    quality: int = _limits(80, 10, 100)
    fps: float = _limits(30.0, 0.1, 240)
    viewers: int = _limits(16, 1, 200)


@dataclass(frozen=True)
class AlarmSettings:
    """`[alarms]`: which events are alarms."""

    kinds: tuple[str, ...] = _limits(("enter", "dwell", "cross"), among=KINDS)
    classes: tuple[str, ...] = ()
    dwell_s: float = _limits(2.0, 0.1, 86_400)
    quiet_s: float = _limits(0.0, 0, 86_400)
    log: bool = True
    most_waiting: int = _limits(10_000, 1, 1_000_000)


@dataclass(frozen=True)
class WebhookSettings:
    """`[webhook]`: alarms by HTTP."""

    url: str = ""
    secret_file: str = ""


@dataclass(frozen=True)
class MqttSettings:
    """`[mqtt]`: alarms and the state by MQTT."""

    host: str = ""
    port: int = _limits(1883, 1, 65_535)
    topic: str = "edgelab"
    user: str = ""
    password_file: str = ""
    tls: bool = False
    authority: str = ""
    state_every_s: float = _limits(10.0, 0.5, 86_400)


@dataclass(frozen=True)
class HistorySettings:
    """`[history]`: what is kept on disk."""

    keep_days: float = _limits(30.0, 0.01, 36_500)
    most_mb: float = _limits(200.0, 0.2, 1_000_000)


@dataclass(frozen=True)
class ServerSettings:
    """`[server]`: who may look."""

    address: str = "127.0.0.1"
    port: int = _limits(8090, 0, 65_535)
    other_machines: bool = False
    hosts: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    login_tries_per_minute: int = _limits(5, 1, 1000)
    requests_per_second: float = _limits(20.0, 0.1, 10_000)


@dataclass(frozen=True)
class Settings:
    """The whole file, read by `load`.

    Attributes:
        data_folder: where token, places, history and outboxes are kept.
        base: folder that relative paths start from: that of the file.
    """

    data_folder: str = ""
    source: SourceSettings = field(default_factory=SourceSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    view: ViewSettings = field(default_factory=ViewSettings)
    alarms: AlarmSettings = field(default_factory=AlarmSettings)
    webhook: WebhookSettings = field(default_factory=WebhookSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    base: Path = field(default_factory=Path.cwd, metadata={"hidden": True})

    @property
    def folder(self) -> Path:
        """The data folder as a path."""
        return self.path(self.data_folder) if self.data_folder else artifacts.artifacts_dir() / "app"

    def path(self, text: str) -> Path:
        """A path of the file, from the file's folder."""
        return self.base / Path(text).expanduser()

    def secret(self, text: str) -> str:
        """The first line of a file that holds a secret; empty for no file.

        Raises:
            InputError: it cannot be read.
        """
        if not text:
            return ""
        path = self.path(text)
        try:
            return path.read_text(encoding="utf-8").strip().partition("\n")[0]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                tr("The secret in {path} cannot be read.", path=path),
                why=str(error),
                fix=tr("write it into that file, and make the file readable for this user alone (chmod 600)"),
            ) from error

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.server.address in LOOPBACK


def load(path: Path | str) -> Settings:
    """Read a configuration.

    Raises:
        InputError: no such file, no TOML, an unknown key, a value of the wrong type or out of range; says the
            line and what to write instead.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            tr("The configuration {path} cannot be read.", path=path),
            why=str(error),
            fix=tr("copy data/app/app.toml, which explains every key, and give that file"),
        ) from error
    return parse(text, base=path.resolve().parent, name=path.name)


def parse(text: str, *, base: Path | None = None, name: str = "app.toml") -> Settings:
    """Settings from the text of a configuration; see `load`."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            tr("{name} is no TOML.", name=name),
            why=str(error),
            fix=tr('write texts in quotes, as in address = "scenes", and every key once'),
        ) from error
    reader = _Reader(text, name)
    settings = reader.filled(Settings, content, "")
    if base is not None:
        settings = replace(settings, base=base)
    check(settings, reader)
    return settings


def check(settings: Settings, reader: _Reader | None = None) -> None:
    """What no single key can tell.

    Raises:
        InputError: settings that contradict each other.
    """
    where = reader or _Reader("", "app.toml")
    if not settings.is_loopback and not settings.server.other_machines:
        raise where.key_error(
            "server",
            "address",
            tr("the address {address} lets other machines in", address=settings.server.address),
            tr('write other_machines = true if that is meant, or address = "127.0.0.1"'),
        )
    if bool(settings.server.certificate) != bool(settings.server.key):
        raise where.key_error(
            "server",
            "certificate" if settings.server.certificate else "key",
            tr("encryption needs both files"),
            tr("give certificate and key, or neither"),
        )
    if settings.source.first_wait_s > settings.source.longest_wait_s:
        raise where.key_error(
            "source",
            "first_wait_s",
            tr("it is longer than longest_wait_s"),
            tr("make it at most {seconds:g}", seconds=settings.source.longest_wait_s),
        )


class _Reader:
    """Fills dataclasses from a table, and knows in which line a key stands."""

    def __init__(self, text: str, name: str) -> None:
        self._lines, self._name = text.splitlines(), name

    def filled(self, kind: type, table: dict[str, Any], section: str) -> Any:
        """A dataclass from a table of the file."""
        hints = typing.get_type_hints(kind)
        known = {one.name: one for one in fields(kind) if not one.metadata.get("hidden")}
        values = {}
        for key, value in table.items():
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                raise self.key_error(
                    section,
                    key,
                    tr("there is no such key"),
                    tr("write {key}", key=close[0])
                    if close
                    else tr("leave it out; here stand: {names}", names=", ".join(known)),
                )
            if hasattr(hints[key], "__dataclass_fields__"):
                if not isinstance(value, dict):
                    raise self.key_error(
                        section,
                        key,
                        tr("it is a part of the file"),
                        tr("write [{key}] on a line of its own, and its keys below", key=key),
                    )
                values[key] = self.filled(hints[key], value, key)
            else:
                values[key] = self._value(section, known[key], hints[key], value)
        return kind(**values)

    def _value(self, section: str, about: Any, hint: Any, value: Any) -> Any:
        is_list = typing.get_origin(hint) is tuple or isinstance(hint, types.GenericAlias)
        kind = tuple if is_list else hint
        if not _FITS[kind](value):
            raise self.key_error(
                section,
                about.name,
                tr("{value} is no {kind}", value=_shown(value), kind=_in_words(kind)),
                tr("write {key} = {example}", key=about.name, example=_shown(_example(about, hint, value))),
            )
        if is_list:
            value = tuple(value)
        elif hint is float:
            value = float(value)
        among = about.metadata.get("among", ())
        for one in value if is_list else (value,):
            if among and one not in among:
                raise self.key_error(
                    section,
                    about.name,
                    tr("{value} is not known", value=_shown(one)),
                    tr("choose from {names}", names=", ".join(map(_shown, among))),
                )
        low, high = about.metadata.get("low", -math.inf), about.metadata.get("high", math.inf)
        if hint in (int, float) and not low <= value <= high:
            raise self.key_error(
                section,
                about.name,
                tr("{value} is out of range", value=_shown(value)),
                tr("write a number from {low:g} to {high:g}", low=low, high=high),
            )
        return value

    def key_error(self, section: str, key: str, problem: str, fix: str) -> InputError:
        """What is wrong with a key, with its line where it is found."""
        full = f"{section}.{key}" if section else key
        number = self._line(section, key)
        return InputError(
            tr(
                "{name}, line {number}, {key}: {problem}.",
                name=self._name,
                number=number,
                key=full,
                problem=problem,
            )
            if number
            else tr("{name}, {key}: {problem}.", name=self._name, key=full, problem=problem),
            fix=fix,
        )

    def _line(self, section: str, key: str) -> int:
        at = ""
        for number, line in enumerate(self._lines, 1):
            if heading := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
                at = heading.group(1)
                if not section and at == key:
                    return number
            elif at == section and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
        return 0


_FITS = {
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    tuple: lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
}


def _in_words(kind: type) -> str:
    return {
        str: tr("text in quotes"),
        bool: tr("true or false"),
        int: tr("whole number"),
        float: tr("number"),
        tuple: tr("list of texts"),
    }[kind]


def _shown(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_shown, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _example(about: Any, hint: Any, value: Any) -> Any:
    """The value in the right type where it can be read so, else the default."""
    if hint in (int, float) and isinstance(value, str):
        try:
            return hint(value)
        except ValueError:
            pass
    if hint is bool and str(value).lower() in ("true", "false", "1", "0", "yes", "no"):
        return str(value).lower() in ("true", "1", "yes")
    if hint is str and isinstance(value, int | float):
        return str(value)
    if hint not in (int, float, bool, str) and isinstance(value, str):
        return [value]
    return list(about.default_factory()) if about.default is MISSING else about.default


def changed(
    settings: Settings,
    *,
    address: str | None = None,
    file: str | None = None,
    target: str | None = None,
    port: int | None = None,
    data_folder: str | None = None,
) -> Settings:
    """Settings with what was given on the command line; paths there start from the current folder.

    Raises:
        InputError: a port that is none.
    """
    if port is not None and not 0 <= port <= 65_535:
        raise InputError(tr("{port} is no port.", port=port), fix=tr("give a number from 0 to 65535"))
    here = Path.cwd()
    if address is not None:
        is_file = address != "scenes" and not address.startswith("camera:") and "://" not in address
        text = str(here / address) if is_file else address
        settings = replace(settings, source=replace(settings.source, address=text))
    if file is not None:
        text = str(here / file) if file not in ("", "boxes") else file
        settings = replace(settings, model=replace(settings.model, file=text))
    if target is not None:
        settings = replace(settings, model=replace(settings.model, target=target))
    if port is not None:
        settings = replace(settings, server=replace(settings.server, port=port))
    if data_folder is not None:
        settings = replace(settings, data_folder=str(here / data_folder))
    return settings
