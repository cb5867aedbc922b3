"""The executed chapters as a static site that needs no server and no network: `make site`.

Sphinx does the work (MyST-NB reads the notebooks); here they are only prepared: formulas become MathML,
solutions and long helpers fold, and the first use of each glossary term in a chapter leads to the glossary.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab import artifacts, child, formulas
from edgelab.course import chapters_executed
from edgelab.errors import TargetError
from edgelab.pages import link_chapters, without_live_controls

if TYPE_CHECKING:
    import nbformat

WEB_FOLDER = Path(__file__).parent / "web"
GLOSSARY = artifacts.PROJECT_ROOT / "docs" / "glossary.md"
TIME_LIMIT_S = 900.0
# Where a term must not become a link: code, links, headings, formulas and HTML.
UNTOUCHED = re.compile(
    r"```.*?```|`[^`\n]+`|\[[^\]]*\]\([^)]*\)|^#.*?$|<math.*?</math>|<[^>]+>", re.DOTALL | re.MULTILINE
)


def glossary_terms() -> dict[str, str]:
    """Each term of the glossary to the anchor of its explanation, longest first."""
    text = GLOSSARY.read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    terms = {}
    for heading in headings:
        anchor = re.sub(r"[^a-z0-9 -]", "", heading.lower()).strip().replace(" ", "-")
        for term in heading.split(", "):
            terms[term] = anchor
    return dict(sorted(terms.items(), key=lambda item: -len(item[0])))


def link_terms(notebook: nbformat.NotebookNode, terms: dict[str, str]) -> nbformat.NotebookNode:
    """The same notebook, changed in place: the first use of each term links to the glossary."""
    linked: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for term, anchor in terms.items():
            if anchor not in linked:
                before, cell.source = cell.source, _link_first(cell.source, term, anchor)
                if cell.source != before:
                    linked.add(anchor)
    return notebook


def _link_first(markdown: str, term: str, anchor: str) -> str:
    """The text with the first plain occurrence of a term as a link."""
    spans = [found.span() for found in UNTOUCHED.finditer(markdown)]
    for found in re.finditer(rf"(?<![\w-]){re.escape(term)}(?![\w-])", markdown, re.IGNORECASE):
        if not any(start <= found.start() < end for start, end in spans):
            link = f"[{found[0]}](glossary.md#{anchor})"
            return markdown[: found.start()] + link + markdown[found.end() :]
    return markdown


def _fold(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Solutions fold whole, helper code folds its source."""
    for cell in notebook.cells:
        tags = cell.metadata.setdefault("tags", [])
        if "solution" in tags:
            tags.append("hide-cell")
        elif cell.cell_type == "code" and (
            cell.metadata.get("jupyter", {}).get("source_hidden")
            or cell.metadata.get("slideshow", {}).get("slide_type") == "skip"
        ):
            tags.append("hide-input")
    return notebook


def _lead_to_pages(notebook: nbformat.NotebookNode, names: set[str]) -> nbformat.NotebookNode:
    """Outputs that link to a chapter lead to its page; Sphinx itself sees to the links in the text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = link_chapters(output.data["text/html"], "{name}.html", names)
    return notebook


def _prepare(build_dir: Path, source: Path) -> int:
    """Everything that Sphinx reads, in `source`; the number of chapters."""
    import nbformat

    terms = glossary_terms()
    executed = chapters_executed(build_dir)
    for copy in executed.values():
        notebook = without_live_controls(nbformat.read(copy, as_version=4))
        notebook = _fold(link_terms(formulas.without_latex(notebook), terms))
        notebook = _lead_to_pages(notebook, {other.stem for other in executed.values()})
        nbformat.write(notebook, source / copy.name)
    listed = "\n".join(copy.stem for copy in executed.values())
    readme = (artifacts.PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    promise = readme.split("\n", 1)[1].split("![", 1)[0].strip()
    contents = f"```{{toctree}}\n:maxdepth: 1\n:caption: Chapters\n\n{listed}\n```\n"
    more = "```{toctree}\n:maxdepth: 1\n:caption: More\n\nglossary\n```\n"
    index = f"# Edge AI Acceleration Workbook\n\n{promise}\n\n{contents}\n{more}"
    (source / "index.md").write_text(index, encoding="utf-8")
    shutil.copyfile(GLOSSARY, source / "glossary.md")
    shutil.copyfile(WEB_FOLDER / "conf.py", source / "conf.py")
    (source / "_static").mkdir()
    for name in ("site.css", "site.js"):
        shutil.copyfile(WEB_FOLDER / name, source / "_static" / name)
    return len(executed)


def write_site(build_dir: Path) -> int:
    """The site, in `site/` of the build folder, from the chapters that have been executed.

    Args:
        build_dir: where `make run` left the executed chapters.

    Returns:
        The number of chapters in it.

    Raises:
        TargetError: Sphinx fails or is not installed.
        StorageError: the disk is full or the folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="edgelab-") as folder:
        source, made = Path(folder) / "source", Path(folder) / "site"
        source.mkdir()
        count = _prepare(build_dir, source)
        command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-j", "auto", source, made]
        finished = child.run(command, folder=Path(folder), time_limit_s=TIME_LIMIT_S)
        if finished.returncode:
            raise TargetError("Sphinx failed.", why=finished.tail, fix="run the set-up again: make setup")
        target = build_dir / "site"
        try:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(made, target)
        except OSError as error:
            raise artifacts.storage_error(error, target) from error
    return count
