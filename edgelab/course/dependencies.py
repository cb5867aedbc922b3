"""What a chapter depends on, found by following imports in the source; nothing is run.

That is edgelab's files, the folders of `data/` that these or the cells name, and the installed packages that
they import, with what those need in turn.

Three things in edgelab are not imported by name but chosen while it runs, and are followed all the same:

- modules that run as processes of their own, whose names stand in strings: `"edgelab.targets.cpu.worker"`;
- targets: `targets.get("rknn")` counts as an import of that target, `targets.get(name)` as one of each;
- the checks of exercises: a chapter's own, or all where `exercises.progress()` counts them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import nbformat
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edgelab import targets
from edgelab.machine import artifacts

PACKAGE_DIR = artifacts.PROJECT_ROOT / "edgelab"
DATA_DIR = artifacts.PROJECT_ROOT / "data"
NAMED_MODULE = re.compile(r"edgelab(\.\w+)+")
ANY_MODULE = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
RUNS_ANY_NOTEBOOK = ("ipykernel", "nbclient", "papermill")
CHECKS_DIR = PACKAGE_DIR / "exercises"


@dataclass(frozen=True)
class _Uses:
    """What one piece of source uses.

    Attributes:
        files: of edgelab, imported or named in a string.
        modules: of others, imported or named in a string: the part before the first dot.
        words: the parts of every string between slashes, of which some are folders of `data/`.
        targets: names given to `targets.get`.
        any_target: it is called with a name that is only known when it runs.
        progress: `exercises.progress()` is called.
    """

    files: frozenset[Path]
    modules: frozenset[str]
    words: frozenset[str]
    targets: frozenset[str]
    any_target: bool
    progress: bool


def code_of(notebook: Path) -> str:
    """The code of all cells, as Python: magics and shell lines as IPython turns them into calls."""
    return _code(notebook.read_text(encoding="utf-8"))


# A chapter's code counts for each that follows.
@cache
def _code(content: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    transform = TransformerManager().transform_cell
    cells = nbformat.reads(content, as_version=4).cells
    return "\n".join(transform(cell.source) for cell in cells if cell.cell_type == "code")


def files_behind(notebook: Path) -> tuple[Path, ...]:
    """The files of edgelab that a chapter's cells can reach, sorted.

    Args:
        notebook: named after its chapter, such as `04_quantize.ipynb`.

    Returns:
        None of them where a cell is no Python: such a chapter fails, and is executed again anyway.
    """
    try:
        cells = _uses_of_code(code_of(notebook))
    except SyntaxError:
        return ()
    checks = CHECKS_DIR / f"chapter_{notebook.name[:2]}.py"
    return _closure({*_reached(cells), *([checks] if checks.exists() else [])})


def data_behind(notebook: Path) -> tuple[Path, ...]:
    """The files in those folders of `data/` that a chapter's cells, or what they reach, name; sorted.

    A folder counts whole. What lies in `data/` itself is the course's, not a chapter's.
    """
    words = frozenset().union(*(uses.words for uses in _all_uses(notebook)))
    named = [folder for folder in DATA_DIR.iterdir() if folder.is_dir() and folder.name in words]
    return tuple(sorted(path for folder in named for path in folder.rglob("*") if path.is_file()))


def packages_behind(notebook: Path) -> dict[str, str]:
    """The version of each installed package that a chapter's cells, or what they reach, can import.

    Those that run any notebook are among them, and what each needs, as its metadata says.
    """
    modules = frozenset().union(*(uses.modules for uses in _all_uses(notebook)))
    of_modules = _packages_of_modules()
    waiting = {*RUNS_ANY_NOTEBOOK, *(name for module in modules for name in of_modules.get(module, ()))}
    found: dict[str, str] = {}
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found and name != PACKAGE_DIR.name and (version := _version(name)):
            found[name] = version
            waiting.update(_needs(name))
    return dict(sorted(found.items()))


@cache
def _packages_of_modules() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _needs(package: str) -> frozenset[str]:
    requirements = map(Requirement, metadata.requires(package) or ())
    return frozenset(
        one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})
    )


def _all_uses(notebook: Path) -> list[_Uses]:
    """Of a chapter's cells, and of every file behind them; nothing where a cell is no Python."""
    try:
        cells = _uses_of_code(code_of(notebook))
    except SyntaxError:
        return []
    return [cells, *map(_uses_of, files_behind(notebook))]


def files_behind_module(module: str) -> tuple[Path, ...]:
    """The files of edgelab that a module of its can reach, itself among them, sorted."""
    return _closure(set(_files_of(module)))


def _closure(files: set[Path]) -> tuple[Path, ...]:
    found, waiting = set(files), set(files)
    while waiting:
        waiting = set(_reached(_uses_of(waiting.pop()))) - found | waiting
        found |= waiting
    return tuple(sorted(found))


def _reached(uses: _Uses) -> Iterator[Path]:
    yield from uses.files
    for name in targets.names() if uses.any_target else uses.targets:
        yield from _files_of(targets.module_of(name))
    if uses.progress:
        yield from CHECKS_DIR.glob("chapter_*.py")


@cache
def _uses_of(path: Path) -> _Uses:
    """What a file of edgelab uses."""
    return _uses(ast.parse(path.read_text(encoding="utf-8")), path.parent)


@cache
def _uses_of_code(code: str) -> _Uses:
    return _uses(ast.parse(code))


def _uses(tree: ast.AST, folder: Path | None = None) -> _Uses:
    files: set[Path] = set()
    modules: set[str] = set()
    words: set[str] = set()
    names, any_target, progress = set(), False, False
    for node in _running_code(tree):
        if isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
            for alias in node.names:
                files.update(_files_of(f"{node.module}.{alias.name}") or _files_of(node.module or ""))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                modules.add(alias.name.partition(".")[0])
                files.update(_files_of(alias.name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.update(node.value.split("/"))
            modules.update([node.value.partition(".")[0]] if ANY_MODULE.fullmatch(node.value) else [])
            files.update(_named(node.value, folder))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            progress |= called == "exercises.progress"
            if called == "targets.get" and node.args:
                literal = isinstance(node.args[0], ast.Constant)
                names.update([node.args[0].value] if literal else [])
                any_target |= not literal
    known = frozenset(names) & frozenset(targets.names())
    return _Uses(frozenset(files), frozenset(modules), frozenset(words), known, any_target, progress)


def _running_code(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker reads, in any order."""
    waiting = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
                yield node
                waiting.append(node)


def _named(text: str, folder: Path | None) -> tuple[Path, ...]:
    """Files that a string names: a module by its full name, or a worker beside the file that runs it."""
    if NAMED_MODULE.fullmatch(text):
        return _files_of(text)
    beside = folder and text.endswith(".py") and "/" not in text and folder / text
    return (beside,) if beside and beside.is_file() else ()


@cache
def _files_of(module: str) -> tuple[Path, ...]:
    """A module's file and those of the packages around it; empty where edgelab has no such module."""
    first, *rest = module.split(".")
    if first != PACKAGE_DIR.name:
        return ()
    files, place = [PACKAGE_DIR / "__init__.py"], PACKAGE_DIR
    for part in rest:
        place = place / part
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not file.is_file():
            return ()
        files.append(file)
    return tuple(files)
