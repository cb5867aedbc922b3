"""Mutants of a given solution: the same code with one operator or one constant changed.

A check bites where it notices each of them. Scored like a test suite (DeMillo, Lipton and Sayward 1978).
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.MatMult: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.USub: ast.UAdd,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
CHANGEABLE = ast.BinOp | ast.AugAssign | ast.BoolOp | ast.UnaryOp | ast.Compare | ast.Constant
# A boundary moved by one value, which a condition turned round does not show.
BOUNDARIES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


@dataclass(frozen=True)
class Mutant:
    """A changed copy of some code.

    Attributes:
        line: the line that differs, as it reads now.
        source: the whole code.
    """

    line: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Each operator (but `not`) and each constant of some code changed, one at a time.

    Args:
        source: Python, such as a solution cell.

    Yields:
        The mutants, in the order of the code. Documentation, annotations, and texts of errors stay, too.
    """
    tree = ast.parse(source)
    places = list(_places(tree))
    for number in range(len(places)):
        for change in _changes(places[number]):
            changed = copy.deepcopy(tree)
            change(list(_places(changed))[number])
            text = ast.unparse(changed)
            if text != ast.unparse(tree):
                yield Mutant(_difference(ast.unparse(tree), text), text)


def _places(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that hold an operator or are a constant, without those that change nothing when they change."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Raise) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            continue
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None
        if isinstance(
            node, ast.BinOp | ast.AugAssign | ast.BoolOp | ast.UnaryOp | ast.Compare | ast.Constant
        ):
            yield node
        yield from _places(node)


def _changes(node: ast.AST):
    """Functions that each change such a node in one way."""
    if isinstance(node, ast.Constant):
        return [
            lambda place, value=value: setattr(place, "value", value) for value in _other_values(node.value)
        ]
    if isinstance(node, ast.Compare):
        changes = [
            (at, table[type(op)])
            for at, op in enumerate(node.ops)
            for table in (OPERATORS, BOUNDARIES)
            if type(op) in table
        ]
        return [lambda place, at=at, kind=kind: place.ops.__setitem__(at, kind()) for at, kind in changes]
    kind = OPERATORS.get(type(node.op))
    return [lambda place: setattr(place, "op", kind())] if kind else []


def _other_values(value: object) -> list:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [value + 1]
    return [value + "x"] if isinstance(value, str) else []


def _difference(before: str, after: str) -> str:
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next(new.strip() for old, new in pairs if old != new)
