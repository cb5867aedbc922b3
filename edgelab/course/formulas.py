"""Formulas for pages that work without a network: LaTeX becomes MathML, which browsers draw by themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nbformat

# Code is matched first, so that a dollar sign in it is no formula.
PARTS = re.compile(
    r"(?P<code>^```.*?^```|`[^`\n]+`)|\$\$(?P<display>.+?)\$\$"
    r"|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$(?![\d$])",
    re.DOTALL | re.MULTILINE,
)


def to_mathml(markdown: str) -> str:
    """Markdown with its `$…$` and `$$…$$` formulas as MathML; code stays as it is.

    Args:
        markdown: text of a cell.
    """
    from latex2mathml.converter import convert

    def replace(found: re.Match) -> str:
        if found["code"] is not None:
            return found[0]
        if found["display"] is not None:
            return convert(found["display"].strip(), display="block")
        return convert(found["inline"])

    return PARTS.sub(replace, markdown)


def without_latex(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The same notebook, changed in place: formulas in its text are MathML."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = to_mathml(cell.source)
    return notebook
