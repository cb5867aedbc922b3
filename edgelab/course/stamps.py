"""Whether a chapter must be executed again: notes of finished runs, named after all that decides a page.

That is the notebook, the code of those before it (it takes what they leave), the files of edgelab that its
cells can reach, the folders of data that they name, the packages that they import and those of Rockchip's
own environment, the settings with the user's own pictures, the machine (it is measured), and what every
target can do (an accelerator may come or go). Where only the making of pages has changed, a page is written
again from the executed copy.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgelab import display
from edgelab.course import dependencies
from edgelab.machine import artifacts, hardware
from edgelab.targets import matrix

# What chapter 21 looks at: a model of the user's, pictures and labels for it.
OF_ONES_OWN = ("EDGELAB_MODEL", "EDGELAB_IMAGES", "EDGELAB_LABELS")
# The map of the course, the table of progress, and reports name other chapters.
TELLS_OF_OTHERS = ("course_map", "exercises.progress(", "report")
# Folders that may stand anywhere: what is in them counts.
WHEREABOUTS = ("EDGELAB_ARTIFACTS", "EDGELAB_DATA")


@dataclass(frozen=True)
class Remembered:
    """A finished run that can be kept.

    Attributes:
        run: its record, as it was given to `remember`.
        page_is_current: the page in the build folder is the one that would be written now.
    """

    run: dict[str, Any]
    page_is_current: bool


def settings(profile: str, dataset: str) -> dict[str, str]:
    """Environment variables of the kernels, whose folder is `notebooks/`: relative paths become absolute."""
    found = {"EDGELAB_PROFILE": profile, "EDGELAB_DATASET": dataset}
    found["EDGELAB_ARTIFACTS"] = str(artifacts.artifacts_dir().absolute())
    if dataset and Path(dataset).exists():
        found["EDGELAB_DATASET"] = str(Path(dataset).absolute())
    if data := os.environ.get("EDGELAB_DATA"):
        found["EDGELAB_DATA"] = str(Path(data).absolute())
    for name in OF_ONES_OWN:
        if given := os.environ.get(name):
            found[name] = str(Path(given).absolute())
    return found


def path(source: Path, settings: Mapping[str, str], *, earlier: Iterable[Path]) -> Path:
    """Where a finished run of this chapter is noted.

    Args:
        source: the notebook.
        settings: as `settings` gives them.
        earlier: the notebooks before it.
    """
    key = artifacts.content_key(
        notebook=source,
        earlier=[dependencies.code_of(path) for path in earlier],
        edgelab=_digest(dependencies.files_behind(source)),
        data=_digest(dependencies.data_behind(source)),
        packages=dependencies.packages_behind(source),
        environment=artifacts.PROJECT_ROOT / "requirements" / "rknn.lock",
        course=_of_the_course(source),
        pictures=[_files(settings.get(name, "")) for name in ("EDGELAB_DATASET", *OF_ONES_OWN)],
        real_data=_names(settings.get("EDGELAB_DATA", "")),
        settings={name: value for name, value in settings.items() if name not in WHEREABOUTS},
        machine=_machine(),
    )
    return artifacts.artifacts_dir() / "executed" / f"{source.stem}-{key}.json"


def remembered(stamp: Path, executed: Path, build_dir: Path) -> Remembered | None:
    """The finished run that made the copy in the build folder, if that is the copy of this stamp.

    Args:
        stamp: as `path` gives it.
        executed: the executed copy of the notebook.
        build_dir: the folder that the page's path in the record starts from.
    """
    if not stamp.exists() or not executed.exists():
        return None
    record = json.loads(stamp.read_text(encoding="utf-8"))
    if artifacts.content_key(copy=executed) != record["copy_key"]:
        return None
    page = build_dir / record["run"]["page"]
    is_current = page.exists() and _page_key(page) == record["page_key"]
    return Remembered(record["run"], is_current)


def remember(stamp: Path, run: dict[str, Any], executed: Path, build_dir: Path) -> None:
    """Note a finished run.

    Raises:
        StorageError: the note cannot be written.
    """
    copy_key = artifacts.content_key(copy=executed)
    record = {"run": run, "copy_key": copy_key, "page_key": _page_key(build_dir / run["page"])}
    with artifacts.atomic_path(stamp) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")


def _page_key(page: Path) -> str:
    """Of the page itself, and of the code that makes pages."""
    maker = _digest(dependencies.files_behind_module("edgelab.course.pages"))
    return artifacts.content_key(page=page, maker=maker)


def _of_the_course(source: Path) -> list[dict[str, str]]:
    """What a chapter shows of the list of chapters: its own entry, or all where it tells of others."""
    code = dependencies.code_of(source)
    tells_of_others = any(word in code for word in TELLS_OF_OTHERS)
    return [one for one in display.chapters() if tells_of_others or one["notebook"] == source.name]


def _files(given: str) -> list[tuple[str, int, int]]:
    """Path, size and time of every file of the user's own; empty for a built-in set."""
    if not given or not Path(given).exists():
        return []
    root = Path(given)
    facts = []
    for path in [root] if root.is_file() else sorted(root.rglob("*")):
        if path.is_file():
            facts.append((str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns))
    return facts


@cache
def _names(folder: str) -> list[tuple[str, int]]:
    """Path and size of every file in a folder that is only read."""
    paths = sorted(Path(folder).rglob("*")) if folder else []
    return [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths if path.is_file()]


def _digest(files: Iterable[Path]) -> bytes:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(artifacts.PROJECT_ROOT)}\n".encode() + path.read_bytes())
    return digest.digest()


@cache
def _machine() -> str:
    return f"{hardware.description()}\n{matrix.matrix()}"
