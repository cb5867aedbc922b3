"""Which names a notebook's cell reads from those before it, and which it makes or changes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = (ast.stmt, ast.excepthandler, ast.match_case)
# Their targets hold a value before their body reads it; an assignment reads first.
_BINDS_FIRST = (ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.Import, ast.ImportFrom)


def read_and_made(cell: ast.Module) -> tuple[set[str], set[str]]:
    """Names that must be there before the cell runs, and names that are there, or another, after it.

    A list that is appended to counts as read, not as made; one whose entry is set counts as both.

    Args:
        cell: parsed.
    """
    reads: set[str] = set()
    later: set[str] = set()  # read when a function is called, which may be after the cell has made them
    made: set[str] = set()
    for statement in _in_order(cell.body):
        if isinstance(statement, _FUNCTIONS):
            later |= _free(statement)
            made.add(statement.name)
            continue
        parts = [one for one in ast.iter_child_nodes(statement) if not isinstance(one, _BLOCKS)]
        read, bound = _names(parts)
        if isinstance(statement, ast.AugAssign):
            read |= bound
        if isinstance(statement, ast.ExceptHandler) and statement.name:
            bound.add(statement.name)
        reads |= read - made - (bound if isinstance(statement, _BINDS_FIRST) else set())
        made |= bound
    return reads | (later - made), made


def _in_order(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Statements as they stand, those inside of blocks after the block's head; functions stay closed."""
    for statement in statements:
        yield statement
        if not isinstance(statement, _FUNCTIONS):
            yield from _in_order(one for one in ast.iter_child_nodes(statement) if isinstance(one, _BLOCKS))


def _names(parts: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """Names read and names bound in parts of one statement; what a comprehension binds stays inside."""
    read, bound, inner = set(), set(), set()
    for node in (node for part in parts for node in ast.walk(part)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            inner.add(node.arg)
        elif isinstance(node, ast.comprehension):
            inner |= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            bound |= {name.id for name in ast.walk(node.value) if isinstance(name, ast.Name)}
    return read - inner, bound - inner


def _free(function: ast.AST) -> set[str]:
    """Names that a function or class takes from outside of it."""
    read, bound = set(), set()
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, _FUNCTIONS):
            bound.add(node.name)
    return read - bound
