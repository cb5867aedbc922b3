"""Sentences of the chapters that state what a run has measured, and so may be false in the next run.

`in_chapter` reads a chapter's source. A sentence is suspect when it has a word such as "faster" or "loses",
and nothing lets it change: no condition around it, no word such as "may", no source.

`watch` sits in the kernels of the tests' second run. After each cell it computes the cell's texts once more,
from other results, and notes sentences whose numbers move while their words stay.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import copy
import io
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

# What a result decides. Superlatives are left out: "largest difference: 0.2" claims nothing.
DIRECTION = re.compile(
    r"\b(?:faster|slower|cheaper|better|worse|falls|fell|rises|rose|loses?|wins?|beats?|harms?|hardly|barely"
    r"|(?:gains?|costs?|profits?) (?:nothing|little|nearly|more|less|most|as much)|nothing (?:is )?gained"
    r"|little is won|nearly as|almost as|as (?:good|fast|much|many) as|not as good|repairs? it|lowers? the"
    r"|more than twice|not one \w+ is)\b",
    re.IGNORECASE,
)
# In code a number stands in the sentence, so that these words are about it.
DIRECTION_IN_CODE = re.compile(
    DIRECTION.pattern
    + r"|\b(?:smaller|larger|higher|lower|longer|shorter|shrinks?|grows?|drops?|about as many)\b",
    re.IGNORECASE,
)
OPEN = re.compile(
    r"\?|\b(?:if|whether|where|when|unless|until|how|may|might|can|could|would|should|must|often|usually|seldom"
    r"|sometimes|depends|so that|to be|suppose|published|et al|\d{4}\)|asks?|return|write|who(?:ever)?)\b",
    re.IGNORECASE,
)
# Says which way an axis counts, or what a guess is worth; "3.1 times as fast as" may have a number below 1.
NEUTRAL = re.compile(
    r"(?:lower|higher) is better|the better the guess|no longer|falls? (?:back|into)|\w*-shaped fall"
    r"|\{\} (?:times )?as fast as|times as fast as"
)
LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
NO_PROSE = re.compile(r"```.*?```|\$\$.*?\$\$", re.DOTALL)
SENTENCE_END = re.compile(r"(?<=[.!?:;])[*_)\"”]*\s+|\n\s*\n|\n- |\n\|")
# Arguments that quote others, and what asks.
QUOTES = {"claim", "what"}
ASKING = {"predict"}


@dataclass(frozen=True)
class Claim:
    """A sentence that stays whatever is measured."""

    cell: str
    sentence: str


def in_chapter(cells: list[dict[str, Any]]) -> Iterator[Claim]:
    """Every suspect sentence of a chapter, in order."""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            sentences = _of_markdown(cell["source"])
        elif {"exercise", "solution"} & set(cell["metadata"].get("tags", [])):
            continue
        else:
            sentences = _of_code(cell["source"])
        yield from (Claim(cell["id"], sentence) for sentence in sentences)


def _of_markdown(source: str) -> Iterator[str]:
    if "## Further reading" in source:
        source = source[: source.index("## Further reading")]
    for sentence in SENTENCE_END.split(NO_PROSE.sub("", LINK.sub(r"\1", source))):
        if not sentence.startswith("#") and _states(sentence, DIRECTION):
            yield " ".join(sentence.split())


def _of_code(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    looked_up = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr) and not (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            continue
        if isinstance(parents.get(node), (ast.JoinedStr, ast.Expr)) or _may_change(node, parents, looked_up):
            continue
        for sentence in SENTENCE_END.split(_text(node, _assigned_before(node, tree))):
            if len(sentence.split()) > 3 and "{?}" not in sentence and _states(sentence, DIRECTION_IN_CODE):
                yield " ".join(sentence.split())


def _states(sentence: str, words: re.Pattern[str]) -> bool:
    return bool(words.search(NEUTRAL.sub("", sentence))) and not OPEN.search(sentence)


def _text(node: ast.JoinedStr | ast.Constant, made: Mapping[str, ast.expr]) -> str:
    """The literal parts, `{}` for a computed one, `{?}` for one that is chosen by a condition."""
    if isinstance(node, ast.Constant):
        return node.value
    parts = []
    for value in node.values:
        is_chosen = any(isinstance(inner, ast.IfExp) for inner in ast.walk(value)) or (
            isinstance(value, ast.FormattedValue)
            and isinstance(value.value, ast.Name)
            and any(DIRECTION_IN_CODE.search(words) for words in _choices(value.value.id, made))
        )
        parts.append(value.value if isinstance(value, ast.Constant) else "{?}" if is_chosen else "{}")
    return "".join(parts)


def _assigned_before(node: ast.expr, tree: ast.Module) -> dict[str, ast.expr]:
    """What the names above a text were assigned last, in the same function or outside of all."""
    within = [
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.FunctionDef) and one.lineno <= node.lineno <= (one.end_lineno or 0)
    ]
    scope = within[-1] if within else tree
    assigned = [
        one
        for one in _outside_functions(scope)
        if isinstance(one, ast.Assign) and one.lineno < node.lineno and isinstance(one.targets[0], ast.Name)
    ]
    return {one.targets[0].id: one.value for one in sorted(assigned, key=lambda one: one.lineno)}


def _choices(name: str, made: Mapping[str, ast.expr]) -> list[str]:
    """The words among which a condition or a table, one assignment back, has chosen what a name says."""
    value = made.get(name)
    if isinstance(value, ast.IfExp):
        tables: list[ast.expr] = [value.body, value.orelse]
    elif isinstance(value, ast.Subscript):
        tables = [value.value]
    elif isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "get":
        tables = [value.func.value, *value.args[1:]]
    else:
        return []
    tables = [made.get(getattr(table, "id", ""), table) for table in tables]
    words = [one for table in tables for one in (table.values if isinstance(table, ast.Dict) else [table])]
    return [
        inner.value
        for one in words
        for inner in ast.walk(one)
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str)
    ]


def _may_change(node: ast.AST, parents: dict[ast.AST, ast.AST], looked_up: set[str]) -> bool:
    """Whether a condition or a look-up decides that a text is shown, or it quotes or asks."""
    inner = node
    while (outer := parents.get(inner)) is not None:
        if isinstance(outer, ast.IfExp) and inner is not outer.test:
            return True
        if isinstance(outer, (ast.If, ast.match_case, ast.ExceptHandler, ast.comprehension)):
            return True
        if isinstance(outer, ast.Subscript) and inner is outer.value:
            return True
        if isinstance(outer, ast.Assign) and any(
            getattr(name, "id", "") in looked_up for name in outer.targets
        ):
            return isinstance(outer.value, (ast.Dict, ast.List, ast.Tuple))
        if isinstance(outer, ast.Dict) and _key_of(outer, inner) in QUOTES:
            return True
        if isinstance(outer, ast.Call) and getattr(outer.func, "attr", "") in ASKING:
            return True
        if (
            isinstance(outer, ast.FunctionDef)
            and isinstance(inner, ast.Return)
            and _leaves_before(outer, inner)
        ):
            return True
        inner = outer
    return False


def _leaves_before(function: ast.FunctionDef, last: ast.stmt) -> bool:
    """Whether a condition above may have returned another text."""
    earlier = function.body[: function.body.index(last)]
    return any(isinstance(node, ast.Return) for one in earlier for node in ast.walk(one))


def _key_of(dictionary: ast.Dict, value: ast.AST) -> str:
    keys = [key for key, one in zip(dictionary.keys, dictionary.values, strict=True) if one is value]
    return getattr(keys[0], "value", "") if keys else ""


# ---- the same texts from other results

NUMBER = re.compile(r"[+−-]?(?:\d[\d.,]*(?:e[+-]?\d+)?|\bnan\b|\binf\b)")
LONGEST_S = 0.5  # a text that takes longer measures something itself


def _negated(values: np.ndarray) -> np.ndarray:
    return -values


def _inverse(values: np.ndarray) -> np.ndarray:
    return 1 / np.where(values == 0, np.inf, values)


def _equal(values: np.ndarray) -> np.ndarray:
    return np.full_like(values, values.mean() if values.size else 0)


def _swapped(values: np.ndarray) -> np.ndarray:
    """The ranks turned round: the best gets the number of the worst."""
    flat = np.sort(values, axis=None)
    ranks = values.argsort(axis=None).argsort()
    return flat[::-1][ranks].reshape(values.shape)


PERTURBATIONS = (_negated, _inverse, _equal, _swapped)


def perturbed(value: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """A result with other numbers: a number, an array, or these in a mapping, a list or a dataclass.

    What is no result (a text, one flag, a session) stays what it is.
    """
    if isinstance(value, (bool, np.bool_)):
        return value
    if isinstance(value, (int, float, np.number)):
        changed = float(change(np.array([value], float))[0])
        return (
            type(value)(changed) if isinstance(value, (float, np.floating)) or changed.is_integer() else value
        )
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "b":  # such as which pictures are right
            return change(np.where(value, 1.0, -1.0)) > 0
        return change(value.astype(float)) if value.dtype.kind in "fiu" else value
    if isinstance(value, Mapping) and value:
        return dict(zip(value, _together(list(value.values()), change), strict=True))
    if isinstance(value, (list, tuple)) and value:
        return type(value)(_together(list(value), change)) if type(value) in (list, tuple) else value
    if is_dataclass(value) and not isinstance(value, type):
        numbers = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
        with contextlib.suppress(Exception):  # one whose numbers must keep an order
            return replace(value, **{name: perturbed(one, change) for name, one in numbers.items()})
    return value


def _together(values: list[Any], change: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
    if all(
        isinstance(one, (int, float, np.number)) and not isinstance(one, (bool, np.bool_)) for one in values
    ):
        return list(change(np.array(values, float)))
    return [perturbed(one, change) for one in values]


def stays(source: str, names: dict[str, Any]) -> list[str]:
    """Sentences of a cell whose numbers move with other results, while their words never do.

    Args:
        source: of a cell that has run.
        names: the kernel's, as the cell left them. They are changed for a moment, and put back.
    """
    found = []
    tree = ast.parse(source)
    for shown in _texts(tree):
        text = _with_choices(shown, _assigned_before(shown, tree), names)
        code = compile(ast.Expression(text), "<a text>", "eval")
        began = time.perf_counter()
        base = _evaluated(code, names)
        if base is None or time.perf_counter() - began > LONGEST_S:
            continue
        found += _unmoved(base, _from_other_results(code, text, names))
    return found


def _from_other_results(code: Any, text: ast.expr, names: dict[str, Any]) -> Iterator[str]:
    """The text from results that are changed all together, then one by one, each in every way."""
    results = {name: names[name] for name in _names_read(text, names)}
    for change in PERTURBATIONS:
        for chosen in (list(results), *([name] for name in results)):
            changed = {name: perturbed(results[name], change) for name in chosen}
            if (other := _evaluated(code, names, changed)) is not None:
                yield other


def _with_choices(text: ast.expr, made: Mapping[str, ast.expr], names: dict[str, Any]) -> ast.expr:
    """The text with what chose its words in place of their name, where it chooses the same once more."""

    class Choice(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            if not _choices(node.id, made):
                return node
            chosen = _evaluated(compile(ast.Expression(made[node.id]), "<a choice>", "eval"), names)
            return made[node.id] if chosen is not None and chosen == names.get(node.id) else node

    return Choice().visit(copy.deepcopy(text))


def _unmoved(base: str, others: Iterable[str]) -> list[str]:
    """Suspect sentences whose numbers move while their words stay; no text is asked for once none is left."""
    suspects = {
        sentence: False
        for sentence in _sentences(base)
        if NUMBER.search(sentence) and _states(sentence, DIRECTION_IN_CODE)
    }
    waiting = iter(others)
    while suspects and (other := next(waiting, None)) is not None:
        seen = {part: NUMBER.sub("#", part) for part in _sentences(other)}
        for sentence in [one for one in suspects if one not in seen]:
            if NUMBER.sub("#", sentence) in seen.values():
                suspects[sentence] = True
            else:
                del suspects[sentence]
    return [sentence for sentence, has_moved in suspects.items() if has_moved]


def _sentences(text: str) -> list[str]:
    return [" ".join(part.split()) for part in SENTENCE_END.split(text) if part.strip()]


def _texts(tree: ast.Module) -> Iterator[ast.expr]:
    """What is handed over to be shown: computed texts, and calls of functions named `..._text`."""
    for node in _outside_functions(tree):
        if not isinstance(node, ast.Call):
            continue
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            is_text = isinstance(argument, (ast.JoinedStr, ast.IfExp, ast.BinOp))
            made = any(isinstance(inner, ast.JoinedStr) and inner.values for inner in ast.walk(argument))
            called = isinstance(argument, ast.Call) and getattr(argument.func, "id", "").endswith("_text")
            if (is_text and made) or called:
                yield argument


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.GeneratorExp, ast.ListComp)):
            yield node
            yield from _outside_functions(node)


def _names_read(text: ast.AST, names: Mapping[str, Any]) -> list[str]:
    """Names of results that a text is computed from, also by the chapter's own functions."""
    waiting = [node.id for node in ast.walk(text) if isinstance(node, ast.Name)]
    read: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name in read or name not in names or hasattr(builtins, name):
            continue
        read[name] = None
        if isinstance(names[name], FunctionType) and names[name].__module__ == "__main__":
            waiting += names[name].__code__.co_names
    kinds = (int, float, np.number, np.ndarray, Mapping, list, tuple)
    return [
        name
        for name in read
        if not name.isupper()  # settings
        and (
            isinstance(names[name], kinds)
            or (is_dataclass(names[name]) and not isinstance(names[name], type))
        )
    ]


def _evaluated(code: Any, names: dict[str, Any], changed: Mapping[str, Any] | None = None) -> str | None:
    """The text; None where other numbers make no sense to it."""
    before = {name: names[name] for name in changed or {}}
    names.update(changed or {})
    try:
        with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            found = eval(code, names)
    except Exception:
        return None
    finally:
        names.update(before)
    return found if isinstance(found, str) else None


def watch(folder: str) -> None:
    """After every cell of this kernel, note in `folder` which of its sentences stay with other results."""
    from IPython import get_ipython

    from edgelab import display

    shell, show_header = get_ipython(), display.header
    chapter = ""

    def header(notebook: str) -> None:
        nonlocal chapter
        chapter = notebook
        (Path(folder) / f"{chapter}.claims").write_text("", encoding="utf-8")
        show_header(notebook)

    def after(result: Any) -> None:
        if not chapter or not result.success or result.info.raw_cell.startswith(("%", "!")):
            return
        found = stays(result.info.raw_cell, shell.user_ns)
        with (Path(folder) / f"{chapter}.claims").open("a", encoding="utf-8") as file:
            file.write("".join(f"{sentence}\n" for sentence in found))

    display.header = header
    shell.events.register("post_run_cell", after)
