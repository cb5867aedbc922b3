"""Executed notebooks as pages that can be read without a network, and the index of a run."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab import display
from edgelab.course import core_path, formulas, glossary
from edgelab.display import WIDGET
from edgelab.machine import artifacts

if TYPE_CHECKING:
    import nbformat

WEB_FOLDER = Path(__file__).parent / "web"
GLOSSARY_PAGE = "glossary.html"
DOCUMENT_LINK = re.compile(r"\[[^\]]+\]\(\.\./docs/(?!glossary)([\w/]+\.md)[^)]*\)")
# The plain text of a control, such as "IntSlider(value=3)"; a progress bar says how far it came.
CONTROL = re.compile(r"\w+\(.+\)", re.DOTALL)

# nbconvert's own page, without the scripts it fetches from the web, and with the source of solutions and of
# helpers, and all that goes deeper, folded up.
TEMPLATE = """{% extends 'index.html.j2' %}
{% block html_head_js %}{% endblock %}
{% block jupyter_widgets %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_css %}<style>
.jp-InputPrompt,.jp-OutputPrompt{color:#595959!important;opacity:1!important}
.jp-RenderedHTMLCommon a{text-decoration:underline!important;color:#0b57d0!important}
.highlight :is(.o,.ow){color:#7a1fd1!important}
.highlight :is(.c,.c1,.cm){color:#2f6b6b!important}
.highlight :is(.m,.mb,.mf,.mh,.mi,.mo,.il){color:#006600!important}
.course{font:15px/1.6 sans-serif;margin:.8em 1em;color:#1a1a1a}.course a{color:#0b57d0;margin-right:1.2em}
.course ul{columns:2 20em;margin:.3em 0}.course summary{cursor:pointer}
</style>{% endblock %}
{% block any_cell %}
{%- if cell.metadata.get("deeper_begins") %}<details class="course"><summary>Going deeper:
{{ cell.metadata["deeper_begins"] | e }}</summary>{% endif %}
{{- super() -}}
{% if cell.metadata.get("deeper_ends") %}</details>{% endif -%}
{% endblock %}
{% block input_group %}
{% if cell.metadata.get("jupyter", {}).get("source_hidden")
      or cell.metadata.get("slideshow", {}).get("slide_type") == "skip" %}
<details><summary>Show the code</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{% endblock %}
{% block markdowncell %}
{% if cell.source.startswith("**For instructors.**") %}
<details class="course"><summary>For instructors</summary>{{ super() }}</details>
{% else %}{{ super() }}{% endif %}
{% endblock %}
"""
# A heading of nbconvert's page: its anchor and its text.
HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', re.DOTALL)

INDEX_STYLE = """body{font-family:sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1a1a1a}
table{border-collapse:collapse}th,td{text-align:left;padding:.3em .8em;border-bottom:1px solid #bbb}
caption{text-align:left;font-weight:bold;padding:.3em 0}pre{background:#f3f3f3;padding:.6em;
overflow-x:auto}.wide{overflow-x:auto}"""


def without_live_controls(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Widgets need a kernel: keep the static picture each brought along, drop finished progress bars."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        kept = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if WIDGET in data:
                del data[WIDGET]
                if "text/html" not in data:
                    plain = data.get("text/plain", "")
                    if "%|" in plain or not CONTROL.fullmatch(plain):
                        continue
                    data["text/html"] = "<p><i>A live control: open the notebook to use it.</i></p>"
            kept.append(output)
        if cell.cell_type == "code":
            cell.outputs = kept
    return notebook


def link_chapters(content: str, page: str, names: Collection[str] | None = None) -> str:
    """HTML whose links to notebooks lead to their pages.

    Args:
        content: the HTML.
        page: a chapter's page, with `{name}` for the notebook's name, such as "{name}.html".
        names: the notebooks that have a page, where not all have; links to others lead nowhere.
    """

    def lead(link: re.Match) -> str:
        return f'href="{page.format(name=link[1])}"' if names is None or link[1] in names else ""

    return re.sub(r'href="(\d\d_\w+)\.ipynb"', lead, content)


def without_document_links(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Documents that lie in the course's folder, but not beside its pages, are named there and not linked."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = DOCUMENT_LINK.sub(r"`docs/\1`", cell.source)
    return notebook


def write_page(executed: Path, page: Path, title: str) -> None:
    """One executed notebook as an HTML page, with the glossary beside it.

    Args:
        executed: the `.ipynb` file with its outputs.
        page: where the page goes.
        title: shown in the browser's tab.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="lab", extra_loaders=[DictLoader({"course": TEMPLATE})], template_file="course"
    )
    notebook = without_live_controls(nbformat.read(executed, as_version=4))
    notebook = formulas.without_latex(without_document_links(notebook))
    notebook.metadata["title"] = title
    for start, end in core_path.deeper_parts(notebook.cells):
        notebook.cells[start].metadata["deeper_begins"] = core_path.heading(notebook.cells[start])[1]
        notebook.cells[end - 1].metadata["deeper_ends"] = True
    content, _ = exporter.from_notebook_node(notebook)
    content = glossary.lead_to(GLOSSARY_PAGE, link_chapters(content, "{name}.html"))
    with artifacts.atomic_path(page) as temporary:
        temporary.write_text(_with_navigation(content, page), encoding="utf-8")
    write_glossary(page.parent)


def _with_navigation(content: str, page: Path) -> str:
    """A page with ways to other chapters at its top and bottom, and at its top to its sections."""
    parts = [
        f'<li><a href="#{anchor}">{re.sub("<[^>]+>", "", text).strip()}</a></li>'
        for anchor, text in HEADING.findall(content)
    ]
    ways = _ways_on(page)
    sections = (
        f"<details><summary>In this chapter</summary><ul>{''.join(parts)}</ul></details>" if parts else ""
    )
    top = f'<nav class="course" aria-label="Course">{ways}{sections}</nav>'
    bottom = f'<nav class="course" aria-label="On">{ways}</nav>'
    return content.replace("<main>", f"<main>{top}", 1).replace("</main>", f"{bottom}</main>", 1)


def _ways_on(page: Path) -> str:
    """Links to the run's index and to the chapters before and after."""
    chapters = display.chapters()
    names = [Path(one["notebook"]).stem for one in chapters]
    place = names.index(page.stem) if page.stem in names else None
    links = ['<a href="../index.html">All chapters</a>']
    if place is not None:
        near = (("Previous", place - 1), ("Next", place + 1))
        links += [
            f'<a href="{names[index]}.html">{word}: {html.escape(chapters[index]["title"])}</a>'
            for word, index in near
            if 0 <= index < len(names)
        ]
    return f"<p>{''.join(links)}</p>"


def write_index(path: Path, runs: Iterable[Mapping[str, Any]], summary: str, results_html: str) -> None:
    """The page that leads to all others.

    Args:
        path: where it goes.
        runs: per chapter: "number", "title", "status", "minutes", "error", "page" (a relative link, or "")
            and, if wished, "remark".
        summary: one sentence on the whole run.
        results_html: the comparison table; it is not escaped.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    marks = {
        "passed": "✓ passed",
        "unchanged": "✓ passed before",
        "failed": "✗ failed",
        "missing": "✗ missing",
    }
    rows, errors = [], []
    for run in runs:
        name = html.escape(f"{run['number']} {run['title']}")
        link = f'<a href="{html.escape(run["page"])}">{name}</a>' if run["page"] else name
        remark = f"; {html.escape(run['remark'])}" if run.get("remark") else ""
        cells = f"<td>{marks[run['status']]}{remark}</td><td>{run['minutes']:.1f}</td>"
        rows.append(f'<tr><th scope="row">{link}</th>{cells}</tr>')
        if run["error"]:
            errors.append(f"<h2>{name} {run['status']}</h2><pre>{html.escape(run['error'])}</pre>")
    content = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Edge AI Acceleration Workbook</title><style>{INDEX_STYLE}</style></head>
<body><main><h1>Edge AI Acceleration Workbook</h1><p>{html.escape(summary)}</p>
<table><caption>Chapters</caption>
<thead><tr><th scope="col">Chapter</th><th scope="col">Status</th><th scope="col">Minutes</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table>{"".join(errors)}
<h2>Results</h2><div role="region" aria-label="Results" tabindex="0" class="wide">{results_html}</div>
<p><a href="results.csv">All results as CSV</a></p></main></body></html>
"""
    with artifacts.atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def write_list(path: Path, title: str, links: Mapping[str, str], remark: str) -> None:
    """A small page of links.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    items = "".join(
        f'<li><a href="{html.escape(link)}">{html.escape(name)}</a></li>' for name, link in links.items()
    )
    _write_text_page(path, title, f"<p>{html.escape(remark)}</p><ul>{items}</ul>")


def write_glossary(folder: Path) -> None:
    """The glossary, beside pages that link to it.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    _write_text_page(folder / GLOSSARY_PAGE, "Glossary", glossary.as_html())


def _write_text_page(path: Path, title: str, body: str) -> None:
    content = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{INDEX_STYLE}</style></head>
<body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>
"""
    with artifacts.atomic_path(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def strip_terminal_codes(text: str) -> str:
    """Without the colour codes that a traceback carries."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
