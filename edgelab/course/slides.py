"""Executed chapters as reveal.js slides that need no network: `make slides`.

Each chapter becomes a folder with one page; all share one folder with reveal.js, our style and our script. A
slide is laid out at 1280 x 720; what does not fit goes on to another slide (`web/slides.js`).
"""

from __future__ import annotations

import ast
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from edgelab.course import core_path, formulas, glossary
from edgelab.course.execution import chapters_executed
from edgelab.course.pages import (
    GLOSSARY_PAGE,
    WEB_FOLDER,
    link_chapters,
    without_live_controls,
    write_glossary,
    write_list,
)
from edgelab.errors import TargetError
from edgelab.machine import artifacts, owned_folders
from edgelab.texts import tr

MADE_BY = "slides"

SHARED_FOLDER = "reveal.js"
# Of reveal.js, what a page loads.
REVEAL_PARTS = ("dist/reveal.css", "dist/reveal.js", "plugin/notes", "LICENSE")
KEYS = "Arrow keys or space to go on, Esc for an overview, S for speaker notes. On paper, a page each."


def _reveal() -> Path:
    """The copy of reveal.js that the package sphinx-revealjs brings."""
    found = find_spec("sphinx_revealjs")
    if found is None or found.origin is None:
        raise TargetError(
            tr("There is no reveal.js here."),
            why=tr("slides take it from the package sphinx-revealjs, which the set-up installs"),
            fix=tr("run the set-up again: make setup"),
        )
    return Path(found.origin).parent / "_static" / "revealjs"


def write_shared(folder: Path) -> None:
    """What all chapters' slides load, beside them.

    Raises:
        TargetError: reveal.js is not installed.
        StorageError: the disk is full or the folder cannot be written.
    """
    source, shared = _reveal(), folder / SHARED_FOLDER
    copies = {source / part: shared / part for part in REVEAL_PARTS}
    copies |= {WEB_FOLDER / name: shared / "course" / name for name in ("slides.css", "slides.js")}
    for origin, copy in copies.items():
        artifacts.make_folder(copy.parent)
        try:
            if origin.is_dir():
                shutil.copytree(origin, copy, dirs_exist_ok=True)
            else:
                shutil.copyfile(origin, copy)
        except OSError as error:
            raise artifacts.storage_error(error, copy) from error


def only_shows(source: str) -> bool:
    """Whether a code cell does nothing but show: a figure, a table, a question, the check of an answer."""
    if source.lstrip().startswith(("%", "!")):
        return False
    calls = [getattr(statement, "value", None) for statement in ast.parse(source).body]
    return all(
        isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[0] in ("display", "exercises")
        for call in calls
    )


def write_slides(executed: Path, page: Path, title: str, *, deeper: bool = False) -> int:
    """One executed chapter as slides; `write_shared` fills the folder that they load from.

    Args:
        executed: the `.ipynb` file with its outputs.
        page: the `index.html` to write, in a folder of its own.
        title: shown in the browser's tab.
        deeper: with what lies beside the core path, too.

    Returns:
        The number of slides, before long ones go on to another.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import SlidesExporter

    notebook = formulas.without_latex(without_live_controls(nbformat.read(executed, as_version=4)))
    notebook.metadata["title"] = title
    notebook.cells = [cell for cell in notebook.cells if deeper or not core_path.is_deeper(cell)]
    for cell in notebook.cells:
        if cell.cell_type == "code" and only_shows(cell.source):
            cell.metadata["transient"] = {"remove_source": True}  # the room is for what it shows
    template = (WEB_FOLDER / "slides.html.j2").read_text(encoding="utf-8")
    exporter = SlidesExporter(
        extra_loaders=[DictLoader({"course": template})],
        template_file="course",
        reveal_url_prefix=f"../{SHARED_FOLDER}",
        reveal_theme="none",
    )
    content, _ = exporter.from_notebook_node(notebook)
    content = re.sub(
        r"<link[^>]*dist/theme/none\.css[^>]*>", "", content
    )  # our style is all the theme there is
    content = glossary.lead_to(f"../{GLOSSARY_PAGE}", link_chapters(content, "../{name}/index.html"))
    with artifacts.atomic_path(page) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return content.count("<section") - content.count("<section><section")


def write_all(build_dir: Path, *, deeper: bool = False) -> dict[str, int]:
    """Slides of every chapter that has been executed, in `slides/`, and a page that leads to them.

    Args:
        build_dir: where `make run` left the executed chapters.
        deeper: with what lies beside the core path, too.

    Returns:
        The number of slides by chapter title.

    Raises:
        InputError: `slides` in it is not this command's own.
        StorageError: the disk is full or the folder cannot be written.
    """
    with owned_folders.renewed(build_dir / "slides", MADE_BY) as folder:
        write_shared(folder)
        write_glossary(folder)
        counts, links = {}, {}
        for title, executed in chapters_executed(build_dir).items():
            page = folder / executed.stem / "index.html"
            counts[title] = write_slides(executed, page, title, deeper=deeper)
            links[title] = f"{executed.stem}/index.html"
        write_list(folder / "index.html", "Slides", links, KEYS)
    return counts
