import json
import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from waiting import running_in, wait_for

from edgelab import __main__ as command_line
from edgelab import display
from edgelab.course import execution, pages
from edgelab.errors import InputError, StorageError

pytestmark = pytest.mark.slow

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A course of its own: notebooks, build and artifacts in a temporary folder."""
    notebooks, build = tmp_path / "notebooks", tmp_path / "build"
    notebooks.mkdir()
    monkeypatch.setattr(execution, "NOTEBOOKS_DIR", notebooks)
    monkeypatch.setattr(execution, "BUILD_DIR", build)
    monkeypatch.setattr(display, "COURSE_FILE", tmp_path / "course.json")
    monkeypatch.setattr(display, "MINUTES_FILE", tmp_path / "minutes.json")
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))
    return notebooks, build


def add_chapter(folders, number, *sources):
    notebooks, _ = folders
    name = f"{number}_lesson.ipynb"
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), notebooks / name)
    entries = json.loads(display.COURSE_FILE.read_text())["chapters"] if display.COURSE_FILE.exists() else []
    facts = {"title": f"Lesson {number}", "promise": "p", "takes": "t", "leaves": "l", "needs": "n"}
    entries.append({"number": number, "notebook": name, **facts})
    display.COURSE_FILE.write_text(json.dumps({"chapters": entries}))


def test_select_takes_numbers_in_any_form_and_keeps_the_order(folders):
    for number in ("01", "04", "10"):
        add_chapter(folders, number, "1")
    assert [c["number"] for c in execution.select([])] == ["01", "04", "10"]
    assert [c["number"] for c in execution.select(["10", " 4"])] == ["04", "10"]
    with pytest.raises(InputError, match="chapter 07"):
        execution.select(["4", "7"])


def test_a_failing_chapter_is_reported_with_its_cell_and_the_others_go_on(folders, capsys):
    _, build = folders
    add_chapter(folders, "01", "x = 1", "raise ValueError('the <reason>')", "print('never')")
    add_chapter(
        folders, "02", "import os\nprint(os.environ['EDGELAB_PROFILE'], os.environ['EDGELAB_DATASET'])"
    )
    add_chapter(folders, "03", "1")
    (folders[0] / "03_lesson.ipynb").unlink()
    assert command_line.main(["run", "--dataset", "shapes", "--build", str(build)]) == 1
    shown = capsys.readouterr().out
    assert "ValueError: the <reason>" in shown and "raise ValueError('the <reason>')" in shown
    assert "1 of 3 chapters passed" in shown
    summary = json.loads((build / "summary.json").read_text())
    assert [chapter["status"] for chapter in summary["chapters"]] == ["failed", "passed", "missing"]
    assert not summary["passed"]
    second = nbformat.read(build / "notebooks" / "02_lesson.ipynb", 4)
    assert second.cells[-1].outputs[0].text == "fast shapes\n"
    index = (build / "index.html").read_text(encoding="utf-8")
    assert "the &lt;reason&gt;" in index and 'href="notebooks/01_lesson.html"' in index


@pytest.mark.parametrize(
    "limits, words",
    [((2, 60), "The cell did not end within 2 s"), ((60, 8), "The notebook did not end within 8 s")],
    ids=["cell", "notebook"],
)
def test_a_chapter_that_does_not_end_is_ended_with_its_kernel(folders, monkeypatch, limits, words):
    add_chapter(folders, "01", "import time", "while True: time.sleep(0.1)")
    monkeypatch.setitem(execution.TIME_LIMITS_S, "fast", limits)
    marker = f"never-{os.getpid()}-{limits[0]}"
    (chapter,) = execution.select([])
    record = execution.run_chapter(chapter, dataset=marker, build_dir=folders[1])
    assert record.status == "failed" and words in record.error
    wait_for(lambda: not running_in("EDGELAB_DATASET", marker))


NOISY = r"""
import os, sys
sys.stdout.buffer.write(b'{"cell": 3}\n\xff\n{"cell": 4}\n')
sys.stdout.buffer.flush()
os._exit(7)
"""


def test_bytes_that_are_no_text_between_the_messages_do_no_harm(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NOISY)
    cells, out = [], tmp_path / "out.ipynb"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    error, _ = execution._run_process(tmp_path / "in.ipynb", out, environment, (20, 20), cells.append)
    assert cells == [3, 4]
    assert "ended with code 7" in error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_fails_leaves_nobody_waiting():
    command = [sys.executable, "-c", r"import os; os.write(1, b'first\n\xff\n')"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", bufsize=1) as process:
        assert len(list(execution._lines_within(process, 20))) <= 1


def test_a_kernel_that_dies_is_a_failed_chapter(folders):
    add_chapter(folders, "01", "import os", "os._exit(7)")
    (chapter,) = execution.select([])
    record = execution.run_chapter(chapter, build_dir=folders[1])
    assert record.status == "failed" and "kernel died" in record.error and "os._exit(7)" in record.error


def test_a_build_folder_that_cannot_be_written_is_an_error_on_purpose(folders):
    add_chapter(folders, "01", "1")
    (chapter,) = execution.select([])
    folders[1].write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="Cannot write"):
        execution.run_chapter(chapter, build_dir=folders[1])


def test_minutes_are_recorded_for_passed_chapters_and_shown_in_headers(folders):
    _, build = folders
    add_chapter(folders, "01", "import time; time.sleep(0.2)")
    add_chapter(folders, "02", "1 / 0")
    assert command_line.main(["run", "--record-minutes", "--build", str(build)]) == 1
    record = json.loads(display.MINUTES_FILE.read_text())
    assert set(record["seconds"]) == {"01_lesson.ipynb"} and record["seconds"]["01_lesson.ipynb"] >= 0.2
    assert "to run in the fast profile, recorded" in display.minutes_text("01_lesson.ipynb")
    assert display.minutes_text("02_lesson.ipynb") == "not timed yet"


def test_minutes_of_another_profile_are_refused_before_anything_runs(folders, capsys):
    _, build = folders
    add_chapter(folders, "01", "1")
    assert command_line.main(["run", "--profile", "full", "--record-minutes", "--build", str(build)]) != 0
    assert "are not kept" in capsys.readouterr().err
    assert not build.exists() and not display.MINUTES_FILE.exists()


def test_a_chapter_is_executed_again_only_when_something_changed(folders, capsys):
    _, build = folders
    for number in ("01", "02"):
        add_chapter(folders, number, f"import os; {int(number)}, os.environ['EDGELAB_DATASET']")

    def statuses(*options):
        assert command_line.main(["run", "--build", str(build), *options]) == 0
        capsys.readouterr()
        summary = json.loads((build / "summary.json").read_text())
        return [chapter["status"] for chapter in summary["chapters"]]

    assert statuses() == ["passed", "passed"]
    assert statuses() == ["unchanged", "unchanged"]
    page = build / "notebooks" / "02_lesson.html"
    page.unlink()
    assert statuses() == ["unchanged", "unchanged"] and page.exists()  # written from the executed copy
    assert statuses("--only", "02", "--dataset", "other") == ["passed"]
    assert statuses("--only", "02") == ["passed"]  # the page in the folder was that of the other data
    assert statuses("--only", "02", "--again") == ["passed"]
    page.with_suffix(".ipynb").unlink()
    assert statuses() == ["unchanged", "passed"]


def test_errors_made_on_purpose_are_printed_without_a_traceback(folders, capsys):
    add_chapter(folders, "01", "1")
    assert command_line.main(["run", "--only", "99"]) == 1
    shown = capsys.readouterr().err
    assert "There is no chapter 99" in shown and "Traceback" not in shown


def test_check_prints_the_report(capsys):
    assert command_line.main(["check"]) == 0
    assert f"Python: {sys.version_info[0]}.{sys.version_info[1]}" in capsys.readouterr().out


def page_of(tmp_path, *cells):
    source = tmp_path / "executed.ipynb"
    nbformat.write(new_notebook(cells=list(cells), metadata={**KERNEL, "widgets": {"state": {}}}), source)
    pages.write_page(source, tmp_path / "page.html", "A <title>")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_page_has_no_live_parts_and_folds_solutions_and_helpers(tmp_path):
    def widget(**more):
        return new_output("display_data", {pages.WIDGET: {"model_id": "1"}, **more})

    cell = new_code_cell("controls()")
    cell.outputs = [
        widget(**{"text/plain": "VBox(...)", "text/html": "<p>static picture</p>"}),
        widget(**{"text/plain": "training: 0%|          | 0/9"}),
        widget(**{"text/plain": "converting net to int8: 00:07"}),
        widget(**{"text/plain": "IntSlider(value=3)"}),
    ]
    solution = new_code_cell("answer = 42", metadata={"jupyter": {"source_hidden": True}})
    helper = new_code_cell("def helper(): ...", metadata={"slideshow": {"slide_type": "skip"}})
    page = page_of(tmp_path, new_markdown_cell("# Title"), cell, solution, helper)
    assert "<p>static picture</p>" in page and "VBox(" not in page
    assert "training: 0%" not in page
    assert page.count("A live control: open the notebook") == 1
    assert "00:07" not in page and "IntSlider(" not in page
    assert page.count("<summary>Show the code</summary>") == 2
    assert "<title>A &lt;title&gt;</title>" in page
    assert "require.min.js" not in page and "embed-amd" not in page and "mermaid.esm" not in page
