"""Find in a submitted notebook what is to be graded: the cells that answer the chapter's exercises."""

from __future__ import annotations

import ast
import builtins
import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelab.course.release import tags
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

LARGEST_NOTEBOOK_BYTES = 100_000_000  # one with pictures and films in it
# Of a chapter's assignments those are run again whose calls start with one of these: they cost nothing.
CHEAP = {*dir(builtins), "math", "np", "simt", "Counter", "deque"} - {"open", "exec", "eval", "input"}


class SubmissionError(InputError):
    """A submitted file that cannot be graded at all."""


MOST_TRIED = 3  # cells of one exercise that are judged
# Cell magics around Python: what stands below them is the answer.
PYTHON_CELL_MAGICS = {"time", "timeit", "capture", "prun"}


@dataclass(frozen=True)
class Task:
    """One exercise of a chapter.

    Attributes:
        key: such as "04.2".
        cell_id: of the cell to fill in.
        stub: that cell's source as it was handed out.
        answer: the expression that the check looks at, such as the name of a function.
        before: sources of the chapter's own cells before it.
    """

    key: str
    cell_id: str
    stub: str
    answer: str
    before: tuple[str, ...] = field(repr=False)

    @property
    def names(self) -> set[str]:
        """The names that the check looks at."""
        return _loaded(ast.parse(self.answer))


@dataclass(frozen=True)
class Chapter:
    """A chapter as far as grading needs it.

    Attributes:
        name: the notebook's name without ending.
        tasks: its exercises, in order.
        cell_ids: of all its cells, solutions included.
        sources: of its code cells; they tell it where a program has given the cells other ids.
    """

    name: str
    tasks: tuple[Task, ...]
    cell_ids: frozenset[str]
    sources: frozenset[str] = field(repr=False)

    def holds(self, cell: dict[str, Any]) -> bool:
        """Whether a submitted cell is one of the chapter's own, filled in or not."""
        return cell["id"] in self.cell_ids or cell["source"] in self.sources


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell, whose lines a notebook may keep one by one."""
    return "".join(cell["source"])


@functools.cache
def chapters(folder: Path = artifacts.PROJECT_ROOT / "notebooks") -> tuple[Chapter, ...]:
    """The chapters of the course, in order."""
    return tuple(_chapter(path) for path in sorted(folder.glob("*.ipynb")))


def _chapter(path: Path) -> Chapter:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tasks, before, stub = [], [], None
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        if "exercise" in tags(cell):
            stub = cell
        elif "check" in tags(cell):
            for key, answer in _checks(source_of(cell)):
                tasks.append(Task(key, stub["id"], source_of(stub), answer, tuple(before)))
        elif "solution" not in tags(cell):
            before.append(source_of(cell))
    sources = frozenset(source_of(cell) for cell in cells if cell["cell_type"] == "code")
    return Chapter(path.stem, tuple(tasks), frozenset(cell["id"] for cell in cells), sources)


def _checks(source: str) -> list[tuple[str, str]]:
    """Keys and answers of the calls of `exercises.check` in a cell."""
    return [
        (node.args[0].value, ast.unparse(node.args[1]))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "exercises.check"
    ]


def read(path: Path) -> list[dict[str, Any]]:
    """The code cells of a submitted notebook, each with "id", "tags" and "source".

    Raises:
        SubmissionError: it is no notebook.
    """
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_NOTEBOOK_BYTES:
            raise SubmissionError(
                tr("{path} is a link, or too large.", path=path.name), fix=tr("hand in the notebook itself")
            )
        cells = _cells(json.loads(path.read_bytes()))
        found = [
            {
                "id": str(cell.get("id", "")),
                "tags": [str(tag) for tag in cell.get("metadata", {}).get("tags", [])],
                "source": source_of(cell),
            }
            for cell in cells
            if cell["cell_type"] == "code"
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SubmissionError(
            tr("{path} is not a notebook.", path=path.name),
            why=str(error)[:200],
            fix=tr("hand in the .ipynb file, saved"),
        ) from error
    return found


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of a notebook of today's format, or of the third, which keeps them in worksheets."""
    if "worksheets" in notebook:
        old = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        return [{**cell, "source": cell.get("input", cell.get("source", ""))} for cell in old]
    return notebook["cells"]


def chapter_of(cells: list[dict[str, Any]], name: str, known: tuple[Chapter, ...]) -> Chapter:
    """The chapter that a submission belongs to: the one with most cells in common, else by its file name.

    Raises:
        SubmissionError: it belongs to none.
    """
    common = {chapter.name: sum(map(chapter.holds, cells)) for chapter in known if chapter.tasks}
    best = max(common, key=common.__getitem__)
    by_name = [chapter.name for chapter in known if chapter.tasks and chapter.name[:3] in name]
    if not common[best] and not by_name:
        raise SubmissionError(
            tr("{name} has no cell of any chapter.", name=name), fix=tr("hand in the course's own notebook")
        )
    chosen = best if common[best] else by_name[0]
    return next(chapter for chapter in known if chapter.name == chosen)


def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(as_python(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def as_python(source: str) -> str:
    """A cell as Python, as IPython reads it: `%timeit f()`, `!ls` and `f?` become calls of `get_ipython()`.

    A cell in another language, such as `%%bash`, is empty. What IPython does not understand stays as it is.
    """
    first, _, rest = source.lstrip().partition("\n")
    if first.startswith("%%"):
        if first[2:].split(" ")[0] not in PYTHON_CELL_MAGICS:
            return ""
        source = f"\n{rest}"
    try:
        ast.parse(source)
        return source
    except (ValueError, RecursionError, MemoryError):
        return source
    except SyntaxError:
        return _transformed(source)


def _transformed(source: str) -> str:
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return TransformerManager().transform_cell(source)
    except (SyntaxError, ValueError, RecursionError, IndexError):
        return source


def _loaded(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(dir(builtins))


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement at the top of a cell defines."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        nodes = ast.walk(statement)
        return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return set()


def _is_same(source: str, stub: str) -> bool:
    one, other = _tree(source), _tree(stub)
    return one is not None and other is not None and ast.dump(one) == ast.dump(other)


def answer_cells(task: Task, cells: list[dict[str, Any]], chapter: Chapter) -> list[dict[str, Any]]:
    """The cells that answer an exercise, the likeliest first: the last one filled in, should there be copies.

    A cell counts when it has the id of the chapter's own, or is tagged as an exercise and defines the answer;
    where none of these was filled in, a cell of the student's own that defines the answer.
    """

    def defines(cell: dict[str, Any]) -> bool:
        tree = _tree(cell["source"])
        return bool(tree and task.names & set().union(*map(_bound, tree.body)))

    proper = [
        cell for cell in cells if cell["id"] == task.cell_id or ("exercise" in cell["tags"] and defines(cell))
    ]
    own = [cell for cell in cells if not chapter.holds(cell) and defines(cell)]
    filled = [
        cell
        for candidates in (proper, own)
        for cell in reversed(candidates)
        if not is_untouched(task, cell["source"])
    ]
    untouched = proper or [cell for cell in cells if _is_same(cell["source"], task.stub)]
    return filled[:MOST_TRIED] or untouched[:1]


def is_untouched(task: Task, source: str) -> bool:
    """Whether a cell still stands as it was handed out, or its function still has no body."""
    tree = _tree(source)
    if tree is None:
        return False
    if not tree.body or _is_same(source, task.stub):
        return True
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    asked = [functions[name] for name in task.names if name in functions]
    return len(asked) == len(task.names) and all(map(_has_no_body, asked))


def _has_no_body(function: ast.FunctionDef) -> bool:
    return all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )


def _is_cheap(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return True
    calls = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return all(ast.unparse(call.func).split(".")[0] in CHEAP for call in calls)


def statements_for(
    task: Task, cell: dict[str, Any], cells: list[dict[str, Any]], chapter: Chapter
) -> list[str]:
    """What the answer needs to have been run before: imports, functions and constants that it names.

    They come from the chapter's own cells and from cells that the student added or filled in; each name as it
    was defined last. What the chapter computes at length, such as a trained model, is not among them.
    """
    own = [
        other["source"]
        for other in cells
        if other is not cell
        and not {"solution", "check"} & set(other["tags"])
        and ("exercise" in other["tags"] or not chapter.holds(other))
    ]
    known = []
    for source, is_own in [*((text, False) for text in task.before), *((text, True) for text in own)]:
        tree = _tree(source)
        known += [s for s in (tree.body if tree else []) if _bound(s) and (is_own or _is_cheap(s))]
    tree = _tree(cell["source"])
    wanted, chosen = sorted(_loaded(tree)) if tree else [], {}
    seen = set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        position = next((i for i in reversed(range(len(known))) if name in _bound(known[i])), None)
        if position is None:
            continue
        statement = known[position]
        if isinstance(statement, ast.Import | ast.ImportFrom):
            chosen.setdefault(position, []).append(_one_import(statement, name))
        elif position not in chosen:
            chosen[position] = [ast.unparse(statement)]
            wanted += sorted(_loaded(statement))
    return [text for position in sorted(chosen) for text in chosen[position]]


def _one_import(statement: ast.Import | ast.ImportFrom, name: str) -> str:
    """An import of that name alone."""
    aliases = [a for a in statement.names if (a.asname or a.name).split(".")[0] == name]
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(aliases))
    return ast.unparse(ast.ImportFrom(statement.module, aliases, statement.level))
