"""What one test run leaves to the next, each piece under the content that it follows from.

EDGELAB_TEST_KEPT names a folder for it; without one, or where it is empty, everything is made and tried anew.

`python tests/kept.py` with

- `begin FOLDER NOTEBOOK ...` fills the folder with artifacts of earlier runs, and prints the notebooks that
  have not passed with the content that they have now,
- `passed REPORT NOTEBOOK ...` prints those of which every code cell has passed by pytest's JUnit report,
- `end FOLDER [NOTEBOOK ...]` takes the folder's artifacts in, and notes that these notebooks have passed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.etree import ElementTree

LONGEST_KEPT_S = 30 * 24 * 3600
PASSED = "passed"
OF_A_RUN = ("results", "progress.json", "answers")  # measured, and solved
REPLACED = (*OF_A_RUN, "executed")  # notes of the chapters in the second run's folder, which may be new


def folder() -> Path | None:
    """Where things are kept; None where nothing is."""
    given = os.environ.get("EDGELAB_TEST_KEPT", "")
    return Path(given) if given else None


def begin(artifacts: Path, notebooks: Iterable[Path]) -> list[Path]:
    """Lend what earlier runs have made; what they measured only where a chapter need not run.

    Args:
        artifacts: the folder that the chapters will use. What is there already stays.
        notebooks: the chapters.

    Returns:
        Those that have not passed with the content that they have now.
    """
    given = list(notebooks)
    untried = [path for path in given if not _is_noted(chapter_key(path))]
    if kept := folder():
        without = OF_A_RUN if len(untried) == len(given) else ()
        _copy_missing(kept / "artifacts", artifacts, without)
    return untried


def passed(report: Path, notebooks: Iterable[Path]) -> list[Path]:
    """Those of which every code cell has passed, so that a chapter that fails costs the others nothing.

    Args:
        report: pytest's JUnit XML of a run of nbval; one that is missing tells of no chapter.
        notebooks: the chapters.
    """
    if not report.exists():
        return []
    found: dict[str, list[bool]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname", "").removesuffix(".ipynb").split(".")[-1]
        bad = [part.tag for part in case if part.tag in ("failure", "error")]
        found.setdefault(name, []).append(not bad)
    return [path for path in notebooks if found.get(path.stem) == [True] * _code_cells(path)]


def _code_cells(notebook: Path) -> int:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


def end(artifacts: Path, notebooks: Iterable[Path]) -> None:
    """Note that these chapters have passed, take in what the run has made, and forget what is old."""
    for path in notebooks:
        _note(chapter_key(path))
    if kept := folder():
        for path in (kept / "artifacts" / name for name in REPLACED):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        _copy_missing(artifacts, kept / "artifacts", ("unfinished",))
        for path in kept.rglob("*"):
            if path.is_file() and path.stat().st_mtime < time.time() - LONGEST_KEPT_S:
                path.unlink()


def _copy_missing(source: Path, target: Path, without: tuple[str, ...]) -> None:
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        copy = target / relative
        if relative.parts[0] in without or path.name.startswith(".") or not path.is_file() or copy.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = copy.with_name(f".{copy.name}.{os.getpid()}")
        shutil.copy2(path, unfinished)
        unfinished.replace(copy)


def nothing_found(judge: Callable[[], list], *content: bytes | str) -> list:
    """What a judge finds; it is not asked again about content in which it has found nothing."""
    key = hashlib.sha256()
    for part in content:
        key.update(hashlib.sha256(part.encode() if isinstance(part, str) else part).digest())
    name = f"judged-{key.hexdigest()[:32]}"
    if _is_noted(name):
        return []
    found = judge()
    if not found:
        _note(name)
    return found


def passes(test: Callable[[], None], *content: bytes | str) -> None:
    """Run a test, which raises where it fails; not again with content with which it has passed."""

    def judge() -> list:
        test()
        return []

    nothing_found(judge, *content)


def chapter_key(notebook: Path) -> str:
    """As `make run` names a finished run: notebook, those before it, edgelab, data, settings, machine."""
    from edgelab.course import execution, stamps

    settings = stamps.settings("fast", "")
    return stamps.path(notebook.absolute(), settings, earlier=execution.before(notebook)).stem


def _is_noted(name: str) -> bool:
    kept = folder()
    return kept is not None and (kept / PASSED / name).exists()


def _note(name: str) -> None:
    if kept := folder():
        (kept / PASSED).mkdir(parents=True, exist_ok=True)
        (kept / PASSED / name).write_text(json.dumps({"at": time.strftime("%Y-%m-%d %H:%M")}))


def main(arguments: list[str]) -> int:
    """One of the words above."""
    word, artifacts, *notebooks = arguments
    paths = [Path(name) for name in notebooks]
    if word == "passed":
        print(*passed(Path(artifacts), paths))
        return 0
    if word == "end":
        end(Path(artifacts), paths)
        return 0
    untried = begin(Path(artifacts), paths)
    if len(untried) < len(paths):
        told = f"{len(paths) - len(untried)} of {len(paths)} chapters have passed before as they are now."
        print(told, file=sys.stderr)
    print(*untried)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
