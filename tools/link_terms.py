"""Link the first use of every glossary term in each chapter to its explanation.

    python tools/link_terms.py

writes the links that are missing into the notebooks. Links that are there stay: where the first use of a word
means something else, move the link by hand, or name the phrase in `OTHER_SENSES`.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgelab.course import glossary
from edgelab.machine import artifacts

ROOT = Path(__file__).resolve().parent.parent
# Where a word stays plain: code, links, headings, formulas, HTML, and an exercise's statement.
UNTOUCHED = re.compile(
    r"```.*?```|^(?: {4}|\t).*?$|`[^`\n]+`|\[[^\]]*\]\([^)]*\)|\$\$.*?\$\$|\$[^$\n]+\$|<[^>]+>"
    r"|^### Exercise.*|^#.*?$",
    re.DOTALL | re.MULTILINE,
)
# Phrases in which a term means something else.
OTHER_SENSES = ("Neural Engine",)
_OTHER = re.compile("|".join(OTHER_SENSES))
_LINKED = re.compile(re.escape(glossary.LINK) + r"#([\w-]+)")


def body(cells: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The text cells in which words are explained: after the title, before the books to read."""
    for cell in cells[1:]:
        if (
            cell["cell_type"] != "markdown"
            or cell["metadata"].get("slideshow", {}).get("slide_type") == "notes"
        ):
            continue
        if "".join(cell["source"]).startswith("## Further reading"):
            return
        yield cell


def plain_use(text: str, term: str) -> re.Match | None:
    """The first use of a term, in the singular or plural, where a link may stand."""
    plain = _OTHER.sub(_blank, UNTOUCHED.sub(_blank, text.split("\n## Further reading")[0]))
    # An abbreviation is written one way; other words also begin sentences.
    first = re.escape(term[0]) if term != term.lower() else f"[{term[0]}{term[0].upper()}]"
    return re.search(rf"(?<![\w-]){first}{re.escape(term[1:])}(?:s|es)?(?![\w-])", plain)


def _blank(found: re.Match) -> str:
    return "\0" * len(found[0])


def linked(cells: list[dict[str, Any]]) -> Counter[str]:
    """How often a chapter links to each anchor of the glossary."""
    return Counter(
        anchor
        for cell in cells
        if cell["cell_type"] == "markdown"
        for anchor in _LINKED.findall("".join(cell["source"]))
    )


def unlinked(cells: list[dict[str, Any]]) -> list[str]:
    """Terms that a chapter uses without a link to their explanation."""
    have = linked(cells)
    return [
        term
        for term, anchor in glossary.terms().items()
        if anchor not in have and any(plain_use("".join(cell["source"]), term) for cell in body(cells))
    ]


def add_links(cells: list[dict[str, Any]]) -> int:
    """Link the first use of each term that has no link yet, in place; the number of links."""
    have, terms = set(linked(cells)), glossary.terms()
    before = len(have)
    for cell in body(cells):
        for term, anchor in terms.items():
            source = "".join(cell["source"])
            use = plain_use(source, term) if anchor not in have else None
            if use:
                link = f"[{source[use.start() : use.end()]}]({glossary.LINK}#{anchor})"
                cell["source"] = (source[: use.start()] + link + source[use.end() :]).splitlines(
                    keepends=True
                )
                have.add(anchor)
    return len(have) - before


def main() -> int:
    """Add what is missing to every chapter, and say how many."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        count = add_links(notebook["cells"])
        if count:
            text = json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            with artifacts.atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        print(f"{path.name}: {count} links added")
    return 0


if __name__ == "__main__":
    sys.exit(main())
