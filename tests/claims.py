"""Sentences of the chapters that state what a run has measured, and so may be false in the next run.

`in_chapter` reads a chapter's source. A sentence is suspect when it has a word such as "faster" or "loses", and
nothing lets it change: no condition around it, no word such as "may", no source.

`watch` sits in the kernels of the tests' second run. After each cell it computes the cell's texts once more,
from other results, and notes sentences whose numbers move while their words stay.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# What a result decides. Superlatives are left out: "largest difference: 0.2" names a number and claims nothing.
DIRECTION = re.compile(
    r"\b(?:faster|slower|cheaper|better|worse|falls?|fell|rises?|rose|loses?|wins?|beats?|harms?|hardly|barely"
    r"|(?:gains?|costs?|profits?) (?:nothing|little|nearly|more|less|most|as much)|nothing (?:is )?gained"
    r"|little is won|nearly as|almost as|as (?:good|fast|much|many) as|not as good|repairs? it|lowers? the"
    r"|no difference|more than twice|not one \w+ is)\b",
    re.IGNORECASE,
)
# In code a number stands in the sentence, so that these words are about it.
DIRECTION_IN_CODE = re.compile(
    DIRECTION.pattern + r"|\b(?:smaller|larger|higher|lower|longer|shorter|shrinks?|grows?|drops?|about as many)\b",
    re.IGNORECASE,
)
OPEN = re.compile(
    r"\?|\b(?:if|whether|where|when|unless|until|how|may|might|can|could|would|should|must|often|usually|seldom"
    r"|sometimes|depends|so that|to be|suppose|published|et al|\d{4}\)|asks?|return|write|who(?:ever)?)\b",
    re.IGNORECASE,
)
# Says which way an axis counts, or what a guess is worth; and "3.1 times as fast as": its number may be below 1.
NEUTRAL = re.compile(
    r"(?:lower|higher) is better|the better the guess|no longer|falls? (?:back|into|from)|\w*-shaped fall|\{\} (?:times )?as fast as"
    r"|times as fast as"
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
        for sentence in SENTENCE_END.split(_text(node)):
            if len(sentence.split()) > 3 and "{?}" not in sentence and _states(sentence, DIRECTION_IN_CODE):
                yield " ".join(sentence.split())


def _states(sentence: str, words: re.Pattern[str]) -> bool:
    return bool(words.search(NEUTRAL.sub("", sentence))) and not OPEN.search(sentence)


def _text(node: ast.JoinedStr | ast.Constant) -> str:
    """The literal parts, `{}` for a computed one, `{?}` for one that is chosen by a condition."""
    if isinstance(node, ast.Constant):
        return node.value
    parts = []
    for value in node.values:
        is_chosen = any(isinstance(inner, ast.IfExp) for inner in ast.walk(value))
        parts.append(value.value if isinstance(value, ast.Constant) else "{?}" if is_chosen else "{}")
    return "".join(parts)


def _may_change(node: ast.AST, parents: dict[ast.AST, ast.AST], looked_up: set[str]) -> bool:
    """Whether a condition or a look-up decides that a text is shown, or it is not the chapter's own statement."""
    inner = node
    while (outer := parents.get(inner)) is not None:
        if isinstance(outer, ast.IfExp) and inner is not outer.test:
            return True
        if isinstance(outer, (ast.If, ast.match_case, ast.ExceptHandler, ast.comprehension)):
            return True
        if isinstance(outer, ast.Subscript) and inner is outer.value:
            return True
        if isinstance(outer, ast.Assign) and any(getattr(name, "id", "") in looked_up for name in outer.targets):
            return isinstance(outer.value, (ast.Dict, ast.List, ast.Tuple))
        if isinstance(outer, ast.Dict) and _key_of(outer, inner) in QUOTES:
            return True
        if isinstance(outer, ast.Call) and getattr(outer.func, "attr", "") in ASKING:
            return True
        if isinstance(outer, ast.FunctionDef) and isinstance(inner, ast.Return) and _leaves_before(outer, inner):
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
