"""Every chapter has the anatomy that readers and tools rely on; messages say what to change."""

import ast
import importlib
import json
import re
import symtable
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from lesson_table import counts_as_core

from edgelab import display
from edgelab.course import core_path, glossary
from edgelab.exercises import checking, registry

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import link_terms  # noqa: E402 - a tool, not a package
import strip_notebooks  # noqa: E402 - a tool, not a package

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CODE = ("benchmarks", "edgelab", "tests", "tools")
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
CLOSING_SECTIONS = ["## Claim against measurement", "## Summary", "## What next", "## Further reading"]
PARAMETERS = {
    "PROFILE": 'os.environ.get("EDGELAB_PROFILE", "fast")',
    "DATASET": 'os.environ.get("EDGELAB_DATASET", "")',
    "SEED": "0",
}
LONGEST_SLIDE_CODE = 12
MOST_CORE_CELLS = 60
LONGEST_CORE_MINUTES = 45
LONGEST_CODE = 60
LONGEST_KEPT_OUTPUT = 2000
# Rule and chapter of what may break it, with the reason; the test of the rule asks that it is still needed.
EXCEPTIONS = {
    ("LONGEST_CODE", "09_benchmark"): "one table of published claims beside measurements, a row per claim",
}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem, scope="module")
def path(request):
    return request.param


@pytest.fixture(scope="module")
def cells(path):
    return nbformat.read(path, as_version=4).cells


def tags(cell):
    return cell.metadata.get("tags", [])


def tagged(cells, tag):
    return [cell for cell in cells if tag in tags(cell)]


def slide_type(cell):
    return cell.metadata.get("slideshow", {}).get("slide_type")


def headings(cells, level):
    """Headings of one level, with their markdown marks."""
    pattern = re.compile(rf"^{'#' * level} .+$", re.MULTILINE)
    return [line for cell in cells if cell.cell_type == "markdown" for line in pattern.findall(cell.source)]


def test_the_course_file_and_the_folder_list_the_same_notebooks():
    listed = [entry["notebook"] for entry in json.loads((ROOT / "data/course.json").read_text())["chapters"]]
    assert [path.name for path in PATHS] == listed


def test_it_is_a_valid_notebook_of_the_python_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids)), "two cells share an id"


def test_it_begins_with_title_promise_and_objectives(path, cells):
    first = cells[0]
    assert first.cell_type == "markdown", "the first cell must be the title, in markdown"
    number = int(path.stem[:2])
    assert re.match(rf"# {number}\. \S", first.source), f"the title must read '# {number}. ...'"
    assert re.search(r"^[*_].+[*_]$", first.source, re.MULTILINE), (
        "a one-sentence promise in italics is missing"
    )
    assert "You will be able to" in first.source
    objectives = re.findall(r"^[-*] .+$", first.source.split("You will be able to")[1], re.MULTILINE)
    assert 3 <= len(objectives) <= 5, f"{len(objectives)} objectives; 3 to 5 can be remembered"


def test_parameters_come_from_the_environment(cells):
    (cell,) = tagged(cells, "parameters")
    assert slide_type(cell) == "skip"
    values = {
        node.targets[0].id: ast.unparse(node.value).replace("'", '"')
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign)
    }
    assert {name: values.get(name) for name in PARAMETERS} == PARAMETERS
    position = cells.index(cell)
    assert all(earlier.cell_type == "markdown" for earlier in cells[:position]), "code runs before parameters"


def test_set_up_follows_the_parameters(path, cells):
    position = cells.index(tagged(cells, "parameters")[0])
    set_up = next(cell for cell in cells[position + 1 :] if cell.cell_type == "code")
    assert slide_type(set_up) == "skip"
    assert "display.use_style()" in set_up.source
    assert f'display.header("{path.stem}")' in set_up.source


def test_every_cell_has_a_slide_type(cells):
    without = [cell.source[:60] for cell in cells if slide_type(cell) not in SLIDE_TYPES]
    assert not without, f"cells without a slide type: {without}"


def test_the_core_path_takes_one_lesson(path, cells):
    core, _ = display.working_minutes(path.name)
    assert core <= LONGEST_CORE_MINUTES, f"{core} minutes to read and solve"
    count = sum(counts_as_core(cell) for cell in cells)
    assert count <= MOST_CORE_CELLS, f"{count} cells: tag some parts 'deeper'"


def test_what_goes_deeper_is_whole_parts_and_folded(cells):
    parts = core_path.deeper_parts(cells)
    inside = {index for start, end in parts for index in range(start, end)}
    assert inside == {index for index, cell in enumerate(cells) if core_path.is_deeper(cell)}, (
        "tag every cell of a part, from its heading on"
    )
    for start, _ in parts:
        assert cells[start].metadata.get(core_path.COLLAPSED) is True, "make strip folds it"
        assert "deeper" in cells[start].source or "## Claim against" in cells[start].source, (
            f"say that it goes deeper: {cells[start].source[:60]}"
        )


def names_needed(source):
    """Names that a cell takes from cells before it."""
    top = symtable.symtable(source, "cell", "exec")
    own = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    needed, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        needed |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (table is top or symbol.is_global())
        }
    return needed - own, own


def test_the_core_path_needs_nothing_that_goes_deeper(cells):
    maker = {}
    for cell in cells:
        if cell.cell_type != "code":
            continue
        needed, own = names_needed(cell.source)
        if not core_path.is_deeper(cell):
            missing = [name for name in sorted(needed) if name in maker and core_path.is_deeper(maker[name])]
            assert not missing, f"{missing} come from what goes deeper: {cell.source[:60]}"
        maker |= dict.fromkeys(own, cell)


def test_code_on_slides_fits_a_slide(cells):
    long = [
        f"{len(cell.source.splitlines())} lines: {cell.source.splitlines()[0]}"
        for cell in cells
        if cell.cell_type == "code"
        and slide_type(cell) not in ("skip", "notes")
        and "solution" not in tags(cell)
        and len(cell.source.splitlines()) > LONGEST_SLIDE_CODE
    ]
    assert not long, f"more than {LONGEST_SLIDE_CODE} lines; shorten, split, or mark 'skip': {long}"


def code_longer_than_a_page(cells):
    return [
        cell.id for cell in cells if cell.cell_type == "code" and len(cell.source.splitlines()) > LONGEST_CODE
    ]


def test_code_off_slides_fits_a_page(path, cells):
    long = code_longer_than_a_page(cells)
    if ("LONGEST_CODE", path.stem) in EXCEPTIONS:
        assert long, f"{path.stem} needs its exception no more: delete it from EXCEPTIONS"
    else:
        assert not long, f"cells of more than {LONGEST_CODE} lines: {long}"


def test_lines_that_break_a_rule_of_style_say_why():
    sources = [*PATHS, *(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))]
    silent = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"#\snoqa", line) and not re.search(r"#\snoqa: [A-Z]+\d+ - \w", line)
    ]
    assert not silent, f"write the rule and the reason, as CONTRIBUTING.md says: {silent}"


def test_the_file_diffs_well(path):
    text = path.read_text(encoding="utf-8")
    ordered = json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    assert text == ordered, "write the file with sorted keys and an indent of 1: make strip"
    assert text == strip_notebooks.stripped(path), "it holds more than sources and tags: make strip"


def test_cell_ids_are_unique_in_the_whole_course():
    found = [(cell.id, path.stem) for path in PATHS for cell in nbformat.read(path, as_version=4).cells]
    odd = [entry for entry in found if not re.fullmatch(r"[0-9a-z-]{8,40}", entry[0])]
    assert not odd, "an id has eight hexadecimal digits"
    counts = Counter(key for key, _ in found)
    assert not [entry for entry in found if counts[entry[0]] > 1], "give a copied cell an id of its own"


def test_figures_are_shown_with_alt_text_only(cells):
    for cell in cells:
        if cell.cell_type != "code":
            continue
        assert not re.search(r"\b(Image\(|savefig\(|\.plot\.show)|<img", cell.source), (
            f"a picture without alt text; use display.figure: {cell.source[:60]}"
        )
        for call in ast.walk(ast.parse(cell.source)):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "display.figure":
                starred = [arg for arg in call.args if isinstance(arg, ast.Starred)]  # figure and alt text
                alt = [
                    *(starred or call.args[1:2]),
                    *[key.value for key in call.keywords if key.arg == "alt"],
                ]
                assert alt, f"no alt text: {ast.unparse(call)[:60]}"
                text = alt[0].value if isinstance(alt[0], ast.Constant) else "made when it runs"
                assert len(text) > 10, f"alt text that says nothing: {text!r}"


def test_students_predict_before_they_run(cells):
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert "predict(" in code and ".reveal(" in code, "no guess is asked for, or none is compared"


def test_a_chapter_that_predicts_ends_with_its_guesses(path, cells):
    code = [cell for cell in cells if cell.cell_type == "code"]
    predicts = [index for index, cell in enumerate(code) if "exercises.predict(" in cell.source]
    closing = [index for index, cell in enumerate(code) if "exercises.guesses(" in cell.source]
    if not predicts:
        return
    assert closing and code[closing[-1]].source == f'exercises.guesses("{path.stem[:2]}")'
    assert closing[-1] > max(index for index, cell in enumerate(code) if ".reveal(" in cell.source), (
        "the guesses are shown before the last one is compared"
    )
    summary = next(i for i, cell in enumerate(cells) if cell.source.startswith("## Summary"))
    assert cells.index(code[closing[-1]]) == summary - 1, "show the guesses right before the summary"


def test_pitfalls_are_announced_and_run(path, cells):
    pitfalls = tagged(cells, "pitfall")
    if path.stem.startswith("00"):
        return
    assert pitfalls, "no cell is tagged 'pitfall'"
    for cell in pitfalls:
        before = cells[: cells.index(cell)]
        markdown = [earlier for earlier in before if earlier.cell_type == "markdown"]
        recent = markdown[-1].source if markdown else ""
        assert cell.cell_type == "code" and "### Pitfall: " in recent, (
            f"a pitfall cell needs '### Pitfall: ...' right above it: {cell.source[:60]}"
        )


def exercise_keys(cells):
    return [
        key
        for cell in tagged(cells, "check")
        for key in re.findall(r'exercises\.check\("([\d.]+)"', cell.source)
    ]


def test_exercises_have_statement_stub_solution_and_check(path, cells):
    keys = exercise_keys(cells)
    least = 1 if path.stem.startswith("00") else 3
    assert len(keys) >= least, f"{len(keys)} exercises; at least {least} are needed"
    chapter = path.stem[:2]
    assert keys == [f"{chapter}.{number}" for number in range(1, len(keys) + 1)]
    for tag in ("exercise", "solution"):
        assert len(tagged(cells, tag)) == len(keys), f"one cell tagged {tag!r} per exercise"
    numbers = [f"### Exercise {int(chapter)}.{number}" for number in range(1, len(keys) + 1)]
    found = [heading for heading in headings(cells, 3) if heading.startswith("### Exercise")]
    assert [heading[: len(name)] for heading, name in zip(found, numbers, strict=True)] == numbers


def test_each_exercise_has_hints_and_a_place_to_read(path, cells):
    importlib.import_module(f"edgelab.exercises.chapter_{path.stem[:2]}")
    for key in exercise_keys(cells):
        entry = registry.registered[key]
        assert len(entry.hints) >= 2 and entry.read, f"exercise {key} needs two hints and a place to read"


def test_solutions_are_hidden_and_let_the_students_answer_win(cells):
    for cell in tagged(cells, "solution"):
        assert cell.metadata.get("jupyter", {}).get("source_hidden") is True, cell.source[:60]
        assert cell.source.startswith("if exercises.untouched("), cell.source[:60]


def test_stubs_are_untouched(cells):
    for cell in tagged(cells, "exercise"):
        namespace = {}
        # What a stub needs besides the dots, such as annotations, is not looked at here.
        exec(
            compile(ast.parse("from __future__ import annotations\n" + cell.source), "stub", "exec"),
            namespace,
        )
        answers = {
            name: value
            for name, value in namespace.items()
            if name not in ("__builtins__", "annotations") and not name.isupper()
        }
        assert any(checking._is_placeholder(value) for value in answers.values()), cell.source[:60]


def names_in(source, context):
    tree = ast.parse(source)
    found = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)
    }
    if context is ast.Store:
        found |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return found


def test_cells_that_go_on_with_an_answer_ask_whether_it_passed(cells):
    answers = {}
    for cell in cells:
        if cell.cell_type != "code" or "solution" in tags(cell):
            continue
        if "exercise" in tags(cell):
            answers.update(dict.fromkeys(names_in(cell.source, ast.Store)))
        elif "check" in tags(cell):
            for key in re.findall(r'exercises\.check\("([\d.]+)"', cell.source):
                answers.update(dict.fromkeys(answers.keys() & names_in(cell.source, ast.Load), key))
        else:
            for name in answers.keys() & names_in(cell.source, ast.Load):
                assert f'exercises.passed("{answers[name]}")' in cell.source, (
                    f"{name} may be unsolved or wrong: ask exercises.passed: {cell.source[:60]}"
                )
            for name in names_in(cell.source, ast.Store):
                answers.pop(name, None)


def test_what_comes_from_earlier_chapters_is_an_exercise_there(path, cells):
    for key in [key for cell in cells for key in re.findall(r'exercises\.own\("([\d.]+)"', cell.source)]:
        assert registry.find(key).key[:2] < path.stem[:2], f"{key} is not of an earlier chapter"


def test_it_closes_with_claims_summary_next_and_reading(path, cells):
    expected = CLOSING_SECTIONS[1:] if path.stem.startswith("00") else CLOSING_SECTIONS
    assert headings(cells, 2)[-len(expected) :] == expected
    if not path.stem.startswith("00"):
        assert any("claim_vs_measured(" in cell.source for cell in cells)


def test_outputs_are_kept_only_where_they_are_compared(cells):
    for cell in cells:
        if cell.cell_type != "code":
            continue
        kept = "keep_output" in tags(cell)
        assert kept == ("nbval-check-output" in tags(cell)), "the two tags belong together"
        if not kept:
            assert not cell.outputs and cell.execution_count is None, f"strip the outputs: {cell.source[:60]}"
            continue
        assert cell.outputs, f"run it once and keep its text: {cell.source[:60]}"
        assert cell.execution_count == 1, f"a count of 1 tells nbval that it was run: {cell.source[:60]}"
        text = "".join("".join(output.get("text", "")) for output in cell.outputs)
        assert all(output.output_type == "stream" for output in cell.outputs), "keep printed text only"
        assert 0 < len(text) <= LONGEST_KEPT_OUTPUT
    assert tagged(cells, "keep_output"), "at least one cell's output is compared"


def test_figures_have_alt_text_and_no_cell_installs_or_escapes(cells):
    for cell in cells:
        source = cell.source
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\]\(", source), "a picture without alt text"
            continue
        assert "plt.show(" not in source, f"use display.figure: {source[:60]}"
        assert not re.search(r"^\s*[!%]", source, re.MULTILINE), f"shell or magic: {source[:60]}"
        assert not re.search(r"['\"](/home|/root|/tmp|/work|[A-Z]:\\)", source), (
            f"absolute path: {source[:60]}"
        )


def test_every_column_of_a_table_has_a_name(cells):
    for cell in cells:
        if cell.cell_type == "markdown":
            nameless = re.search(r"^\|(?:.*\|)? *\|.*\n\|[ :|-]+\|$", cell.source, re.MULTILINE)
            assert not nameless, f"screen readers read an empty header: {nameless[0]}"


def test_speaker_notes_help_an_instructor(cells):
    notes = [cell.source for cell in cells if slide_type(cell) == "notes"]
    assert len(notes) >= 2, f"{len(notes)} cells hold speaker notes; two are the least"
    for note in notes:  # whoever learns alone reads them, too
        assert note.startswith("**For instructors.**"), f"say whom it is for: {note[:60]}"


def test_helper_code_is_folded_in_jupyterlab(cells):
    for cell in cells:
        if cell.cell_type == "code" and slide_type(cell) == "skip" and "parameters" not in tags(cell):
            assert cell.metadata.get("jupyter", {}).get("source_hidden") is True, cell.source[:60]


def test_each_term_of_the_glossary_is_linked_once(cells):
    linked = link_terms.linked(cells)
    assert not link_terms.unlinked(cells), "add the links: python tools/link_terms.py"
    assert not [term for term, count in linked.items() if count > 1], "one link is enough"
    assert set(linked) <= set(glossary.terms().values())
