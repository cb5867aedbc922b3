"""Reads the package for texts that people see: what is in `tr(...)`, and what should be and is not."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1] / "edgelab"
TRANSLATORS = {"tr": 1, "tr_later": 1, "tr_plural": 2}  # and how many of the arguments are the text
# What people see, and how many of the first arguments are keys for code.
SHOWN = {"exercise": 1, "Mistake": 0, "Finding": 2, "Availability": 0, "_native_row": 2, "_cuda_part": 3}
WORD = re.compile(r"[^\W\d_]{2}")
SENTENCE = re.compile(r"\w[^\s\w]*\s+[^\s\w]*\w")
OF_STRINGS = {"join", "format", "strip", "get", "capitalize"}  # their result holds what they are given


@dataclass
class Source:
    """One module: its path, its tree, and for each node its parent."""

    path: Path

    def __post_init__(self) -> None:
        self.name = self.path.relative_to(PACKAGE).as_posix()
        self.tree = ast.parse(self.path.read_text(encoding="utf-8"))
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.functions = {
            node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)
        }

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Every call with the bare name of what is called."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield _called(node), node

    def scope(self, node: ast.AST) -> ast.AST:
        """The function around a node, or the module."""
        while node is not self.tree and not isinstance(node, ast.FunctionDef):
            node = self.parents[node]
        return node

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, from the inside out."""
        while node in self.parents:
            node = self.parents[node]
            yield node


def sources() -> list[Source]:
    """Every module of the package."""
    return [Source(path) for path in sorted(PACKAGE.rglob("*.py"))]


def error_classes(modules: list[Source]) -> set[str]:
    """Names of `EdgelabError` and all that inherit from it, also at second hand."""
    classes = [node for module in modules for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]
    found, before = {"EdgelabError"}, set()
    while found != before:
        before = set(found)
        found |= {node.name for node in classes if found & {_name(base) for base in node.bases}}
    return found


def _name(node: ast.AST) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


def _called(call: ast.Call) -> str:
    return _name(call.func)


def makers(modules: list[Source], shown: set[str]) -> set[str]:
    """Functions that return something shown, by their annotation: what they are given may be a text."""
    functions = [node for module in modules for node in module.functions.values()]
    return {node.name for node in functions if node.returns is not None and _name(node.returns) in shown}


def untranslated(module: Source, shown: dict[str, int], helpers: set[str]) -> Iterator[tuple[int, str]]:
    """Line and text of every literal that reaches what people see without passing through a translator.

    Followed are conditions, sums, joins, names, loops and the module's own functions that return texts. What
    stands in the call itself is a text; what comes from elsewhere is one when it has two words, for single
    words are names, such as a data type's.

    Args:
        module: to read.
        shown: names of calls whose arguments are shown, and how many of the first ones are not.
        helpers: names of calls whose arguments may be shown.
    """
    for name, call in module.calls():
        if name in shown or name in helpers:
            arguments = [*call.args[shown.get(name, 0) :], *(keyword.value for keyword in call.keywords)]
            for argument in arguments:
                yield from _literals(module, argument, set(), WORD if name in shown else SENTENCE)


def _literals(module: Source, node: ast.AST, seen: set, kind: re.Pattern) -> Iterator[tuple[int, str]]:
    if node in seen:
        return
    seen.add(node)
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and kind.search(node.value):
            yield node.lineno, node.value
        return
    is_elsewhere = isinstance(node, ast.Name | ast.Call | ast.Subscript)
    for part in _parts(module, node):
        yield from _literals(module, part, seen, SENTENCE if is_elsewhere else kind)


def _parts(module: Source, node: ast.AST) -> list[ast.AST]:
    """The expressions of which this one's text is made."""
    if isinstance(node, ast.Call):
        if _called(node) in TRANSLATORS:
            return [keyword.value for keyword in node.keywords]
        if isinstance(node.func, ast.Attribute) and node.func.attr in OF_STRINGS:
            return [node.func.value, *(node.args[1:] if node.func.attr == "get" else node.args)]
        if isinstance(node.func, ast.Name) and node.func.id in module.functions:
            inside = ast.walk(module.functions[node.func.id])
            return [step.value for step in inside if isinstance(step, ast.Return) and step.value]
        return []
    if isinstance(node, ast.JoinedStr):
        return node.values
    if isinstance(node, ast.FormattedValue | ast.Subscript | ast.Starred):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.BoolOp | ast.Dict):
        return node.values
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [node.left, node.right]
    if isinstance(node, ast.Tuple | ast.List):
        return node.elts
    if isinstance(node, ast.GeneratorExp | ast.ListComp):
        return [node.elt]
    if isinstance(node, ast.Name):
        return _meant_by(module, node)
    return []


def _meant_by(module: Source, name: ast.Name) -> list[ast.AST]:
    """What a name stands for, by assignments and loops, in its function or else in the module."""
    for scope in (module.scope(name), module.tree):
        found = _assigned(module, scope, name.id)
        for step in ast.walk(scope):
            if isinstance(step, ast.For | ast.comprehension) and module.scope(step) is scope:
                for item in _items(module, step.iter):
                    found += _value_for(name.id, step.target, item)
        if found:
            return found
    return []


def _assigned(module: Source, scope: ast.AST, name: str) -> list[ast.AST]:
    found = []
    for step in ast.walk(scope):
        if isinstance(step, ast.Assign | ast.AnnAssign | ast.AugAssign) and module.scope(step) is scope:
            targets = step.targets if isinstance(step, ast.Assign) else [step.target]
            found += [value for target in targets for value in _value_for(name, target, step.value)]
    return found


def _items(module: Source, node: ast.AST) -> list[ast.AST]:
    """What a loop over this expression yields, as far as it is written out."""
    if isinstance(node, ast.Call) and _called(node) == "items":
        return [
            ast.Tuple(list(pair))
            for table in _tables(module, node.func.value)
            for pair in zip(table.keys, table.values, strict=True)
        ]
    return [item for table in _tables(module, node) for item in getattr(table, "elts", [])]


def _tables(module: Source, node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Name):
        here = _assigned(module, module.scope(node), node.id) or _assigned(module, module.tree, node.id)
    else:
        here = [node]
    return [table for table in here if isinstance(table, ast.Tuple | ast.List | ast.Dict)]


def _value_for(name: str, target: ast.AST, value: Any) -> list[ast.AST]:
    """The part of a value that lands in a name, where one is assigned to the other."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=False)
        return [found for inner, part in pairs for found in _value_for(name, inner, part)]
    return [value] if isinstance(value, ast.AST) and _name(target) == name else []


def sentences(module: Source) -> Iterator[tuple[int, str]]:
    """Line and text of every literal of two words or more outside translators; docstrings aside."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        around = list(module.around(node))
        is_translated = any(isinstance(outer, ast.Call) and _called(outer) in TRANSLATORS for outer in around)
        if not is_translated and not isinstance(around[0], ast.Expr) and SENTENCE.search(node.value):
            yield node.lineno, node.value


def translated(module: Source) -> Iterator[tuple[ast.Call, list[ast.expr]]]:
    """Every translating call, and the arguments that are its text."""
    if module.name != "texts.py":
        for name, call in module.calls():
            if name in TRANSLATORS:
                yield call, call.args[: TRANSLATORS[name]]


def placeholders(template: str) -> set[str]:
    """Names of the placeholders of a `str.format` template."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
