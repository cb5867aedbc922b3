"""The executed chapters as a static site that needs no server and no network: `make site`.

Sphinx does the work (MyST-NB reads the notebooks); here they are only prepared: formulas become MathML,
solutions, long helpers and what goes deeper fold, and links to the glossary lead to its page.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab.course import core_path, formulas, glossary
from edgelab.course.execution import chapters_executed
from edgelab.course.pages import WEB_FOLDER, link_chapters, without_document_links, without_live_controls
from edgelab.errors import TargetError
from edgelab.machine import artifacts, child, owned_folders
from edgelab.texts import tr

MADE_BY = "site"

if TYPE_CHECKING:
    import nbformat

TIME_LIMIT_S = 900.0


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


def _mark_deeper(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A mark in each part that goes deeper, by which `site.js` folds its section."""
    for start, _ in core_path.deeper_parts(notebook.cells):
        title, _, rest = notebook.cells[start].source.partition("\n")
        notebook.cells[start].source = f'{title}\n\n<span class="deeper-part"></span>\n{rest}'
    return notebook


def _lead_to_pages(notebook: nbformat.NotebookNode, names: set[str]) -> nbformat.NotebookNode:
    """Links in outputs lead to a chapter's page; of those in the text, Sphinx leaves the glossary to us."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = glossary.lead_to("glossary.md", cell.source)
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = link_chapters(output.data["text/html"], "{name}.html", names)
    return notebook


def _prepare(build_dir: Path, source: Path) -> int:
    """Everything that Sphinx reads, in `source`; the number of chapters."""
    import nbformat

    executed = chapters_executed(build_dir)
    for copy in executed.values():
        notebook = without_document_links(without_live_controls(nbformat.read(copy, as_version=4)))
        notebook = _mark_deeper(_fold(formulas.without_latex(notebook)))
        notebook = _lead_to_pages(notebook, {other.stem for other in executed.values()})
        nbformat.write(notebook, source / copy.name)
    listed = "\n".join(copy.stem for copy in executed.values())
    readme = (artifacts.PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    promise = readme.split("\n", 1)[1].split("![", 1)[0].strip()
    contents = f"```{{toctree}}\n:maxdepth: 1\n:caption: Chapters\n\n{listed}\n```\n"
    more = "```{toctree}\n:maxdepth: 1\n:caption: More\n\nglossary\n```\n"
    index = f"# Edge AI Acceleration Workbook\n\n{promise}\n\n{contents}\n{more}"
    (source / "index.md").write_text(index, encoding="utf-8")
    (source / "glossary.md").write_text(glossary.text(), encoding="utf-8")
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
        InputError: `site` in it is not this command's own.
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
            raise TargetError(
                tr("Sphinx failed."), why=finished.tail, fix=tr("run the set-up again: make setup")
            )
        target = build_dir / "site"
        with owned_folders.renewed(target, MADE_BY) as fresh:
            try:
                shutil.copytree(made, fresh, dirs_exist_ok=True)
            except OSError as error:
                raise artifacts.storage_error(error, target) from error
    return count
