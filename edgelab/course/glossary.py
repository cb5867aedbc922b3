"""The words of the course: `docs/glossary.md`, and where links to it lead on pages without the project."""

from __future__ import annotations

import re

from edgelab.machine import artifacts

PATH = artifacts.PROJECT_ROOT / "docs" / "glossary.md"
LINK = "../docs/glossary.md"  # from a notebook
# JupyterLab makes anchors of headings in its own way; where that differs, the heading carries ours.
_ANCHOR = re.compile(r'<a id="[^"]*"></a>')


def anchor(heading: str) -> str:
    """What a link to a heading ends in, as GitHub and Sphinx make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def text() -> str:
    """The glossary's Markdown, without marks that only JupyterLab needs."""
    return _ANCHOR.sub("", PATH.read_text(encoding="utf-8"))


def terms() -> dict[str, str]:
    """Each term of the glossary to the anchor of its explanation, longest first."""
    found = {
        term: anchor(heading)
        for heading in re.findall(r"^### (.+)$", text(), re.MULTILINE)
        for term in heading.split(", ")
    }
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def lead_to(page: str, content: str) -> str:
    """Markdown or HTML from a notebook, whose links to the glossary lead to `page` instead."""
    return content.replace(f"{LINK}#", f"{page}#")


def as_html() -> str:
    """The explanations, each under a heading with its anchor."""
    import mistune

    _, explanations = mistune.html(text()).split("</h1>", 1)
    return re.sub(
        "<h3>(.+?)</h3>",
        lambda heading: f'<h2 id="{anchor(heading[1])}">{heading[1]}</h2>',
        explanations,
    )
