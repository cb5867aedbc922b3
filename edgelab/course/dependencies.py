"""Which of edgelab's files a chapter depends on, found by following imports in the source; nothing is run.

Three things in edgelab are not imported by name but chosen while it runs, and are followed all the same:

- modules that run as processes of their own, whose names stand in strings: `"edgelab.targets.cpu.worker"`;
- targets: `targets.get("rknn")` counts as an import of that target, `targets.get(name)` as one of each;
- the checks of exercises: a chapter's own, or all where `exercises.progress()` counts them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

from edgelab import targets
from edgelab.machine import artifacts

PACKAGE_DIR = artifacts.PROJECT_ROOT / "edgelab"
NAMED_MODULE = re.compile(r"edgelab(\.\w+)+")
CHECKS_DIR = PACKAGE_DIR / "exercises"


@dataclass(frozen=True)
class _Uses:
    """What one piece of source uses.

    Attributes:
        files: of edgelab, imported or named in a string.
        targets: names given to `targets.get`.
        any_target: it is called with a name that is only known when it runs.
        progress: `exercises.progress()` is called.
    """

    files: frozenset[Path]
    targets: frozenset[str]
    any_target: bool
    progress: bool


def code_of(notebook: Path) -> str:
    """The code of all cells, as Python: magics and shell lines as IPython turns them into calls."""
    from IPython.core.inputtransformer2 import TransformerManager

    transform = TransformerManager().transform_cell
    cells = nbformat.read(notebook, as_version=4).cells
    return "\n".join(transform(cell.source) for cell in cells if cell.cell_type == "code")


def files_behind(notebook: Path) -> tuple[Path, ...]:
    """The files of edgelab that a chapter's cells can reach, sorted.

    Args:
        notebook: named after its chapter, such as `04_quantize.ipynb`.

    Returns:
        None of them where a cell is no Python: such a chapter fails, and is executed again anyway.
    """
    try:
        cells = _uses(ast.parse(code_of(notebook)))
    except SyntaxError:
        return ()
    checks = CHECKS_DIR / f"chapter_{notebook.name[:2]}.py"
    return _closure({*_reached(cells), *([checks] if checks.exists() else [])})


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


def _uses(tree: ast.AST, folder: Path | None = None) -> _Uses:
    files: set[Path] = set()
    names, any_target, progress = set(), False, False
    for node in _running_code(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                files.update(_files_of(f"{node.module}.{alias.name}") or _files_of(node.module or ""))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                files.update(_files_of(alias.name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            files.update(_named(node.value, folder))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = ast.unparse(node.func)
            progress |= called == "exercises.progress"
            if called == "targets.get" and node.args:
                literal = isinstance(node.args[0], ast.Constant)
                names.update([node.args[0].value] if literal else [])
                any_target |= not literal
    known = frozenset(names) & frozenset(targets.names())
    return _Uses(frozenset(files), known, any_target, progress)


def _running_code(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _running_code(node)


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
