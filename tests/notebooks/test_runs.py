"""The course run as a user runs it: again from what the first pass left, and chapters alone from nothing.

`make test` first executes every notebook under nbval into the empty folder EDGELAB_TEST_ARTIFACTS, the last
chapter first, so that each runs before those it would otherwise lean on. The tests here come after that.
"""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import kept
import nbformat
import pytest
from course_runs import models_in, run_course
from live_controls import NOTE, controls_in

from edgelab import display
from edgelab.course import execution, pages

pytestmark = pytest.mark.notebook
NUMBERS = [chapter["number"] for chapter in display.chapters()]
LONGEST_STDERR_LINES = 5
WITHOUT_BROWSER = ["02", "15"]


def executed(build: Path):
    paths = sorted((build / "notebooks").glob("*.ipynb"))
    return [(path, nbformat.read(path, as_version=4)) for path in paths]


def test_a_second_run_passes_and_makes_no_model_again(second_run):
    for code, text in second_run.outputs:
        assert code == 0, text
    assert models_in(Path(os.environ["EDGELAB_TEST_ARTIFACTS"])) == second_run.models_before


def test_a_third_run_has_nothing_left_to_execute(second_run):
    code, text = second_run.whole
    assert code == 0, text
    summary = json.loads((second_run.build / "summary.json").read_text(encoding="utf-8"))
    assert {chapter["status"] for chapter in summary["chapters"]} == {"unchanged"}


def test_it_writes_pages_an_index_times_and_results(second_run):
    build = second_run.build
    summary = json.loads((build / "summary.json").read_text(encoding="utf-8"))
    assert [chapter["number"] for chapter in summary["chapters"]] == NUMBERS
    index = (build / "index.html").read_text(encoding="utf-8")
    for chapter in summary["chapters"]:
        assert chapter["status"] in execution.DONE and chapter["duration_s"] > 0
        assert f'href="{chapter["page"]}"' in index and (build / chapter["page"]).exists()
    with (build / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"accuracy", "latency", "size"} <= {row["metric"] for row in rows}
    assert {row["provenance"] for row in rows} <= set(display.PROVENANCES)


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def test_a_second_run_prints_the_same(second_run):
    """nbval compared the marked cells of the first run; here the artifacts of that run are there."""
    build = second_run.build
    for path, notebook in executed(build):
        ran = {cell.id: printed(cell) for cell in notebook.cells if cell.cell_type == "code"}
        kept = nbformat.read(execution.NOTEBOOKS_DIR / path.name, as_version=4).cells
        marked = {cell.id: printed(cell) for cell in kept if "keep_output" in cell.metadata.get("tags", [])}
        assert marked, f"{path.stem} has no marked cell"
        assert {key: ran.get(key) for key in marked} == marked, path.stem


def test_pages_need_no_network(second_run):
    build = second_run.build
    for page in (build / "notebooks").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        scripts = re.findall(r'<script[^>]*src="([^"]+)"', text)
        assert not scripts, f"{page.name} loads {scripts}"
        assert "import(" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL) or "mermaid" not in text


def test_every_picture_has_alt_text(second_run):
    build = second_run.build
    for path, notebook in executed(build):
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                assert "image/png" not in data, (
                    f"{path.stem}: show figures by display.figure: {cell.source[:60]}"
                )
                for picture in re.findall(r"<img[^>]*>", "".join(data.get("text/html", ""))):
                    alt = re.search(r'alt="([^"]+)"', picture)
                    assert alt, f"{path.stem}: a picture without alt text: {cell.source[:60]}"


def test_every_control_has_a_picture_that_says_where_the_live_one_is(second_run):
    build = second_run.build
    for path, notebook in executed(build):
        data = [
            output.data for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output
        ]
        shown = [entry["text/html"] for entry in data if pages.WIDGET in entry and "text/html" in entry]
        assert len(shown) == controls_in(execution.NOTEBOOKS_DIR / path.name), path.stem
        assert all(NOTE in content and "make lab" in content for content in shown), path.stem
        page = path.with_suffix(".html").read_text(encoding="utf-8")
        assert page.count(NOTE) == len(shown) and pages.WIDGET not in page, path.stem


def test_no_cell_shows_a_wall_of_logs(second_run):
    build = second_run.build
    for path, notebook in executed(build):
        for cell in notebook.cells:
            lines = [
                line
                for output in cell.get("outputs", [])
                if output.output_type == "stream" and output.name == "stderr"
                for line in output.text.splitlines()
            ]
            assert len(lines) <= LONGEST_STDERR_LINES, f"{path.stem}: {cell.source[:60]}\n" + "\n".join(
                lines[:9]
            )


def chapters_to_run_alone() -> list[str]:
    wanted = os.environ.get("EDGELAB_ALONE", "")
    return NUMBERS if wanted == "all" else [number for number in wanted.split(",") if number]


@pytest.mark.parametrize("number", chapters_to_run_alone())
def test_a_chapter_runs_alone_in_an_empty_folder(number, tmp_path):
    process = run_course(tmp_path / "artifacts", tmp_path / "build", "--only", number)
    assert process.returncode == 0, process.stdout + process.stderr


def wrong_without_a_browser(made: Path, folder: Path) -> list[str]:
    """Chapters that do not pass, or say nowhere what would help."""
    shutil.copytree(made / "models", folder / "artifacts" / "models")
    missing = {"EDGELAB_BROWSER": "no-such-browser"}
    run_course(folder / "artifacts", folder / "build", "--only", ",".join(WITHOUT_BROWSER), settings=missing)
    summary = json.loads((folder / "build" / "summary.json").read_text(encoding="utf-8"))
    assert [chapter["number"] for chapter in summary["chapters"]] == WITHOUT_BROWSER
    wrong = [chapter["number"] for chapter in summary["chapters"] if chapter["status"] != "passed"]
    pages_made = [(folder / "build" / chapter["page"]) for chapter in summary["chapters"]]
    return wrong + [page.stem for page in pages_made if "install Chromium" not in page.read_text("utf-8")]


def test_lessons_go_on_without_a_browser(tmp_path):
    made = os.environ.get("EDGELAB_TEST_ARTIFACTS", "")
    if not made:
        pytest.skip("`make test` sets EDGELAB_TEST_ARTIFACTS: models to start from")
    notebooks = [next(execution.NOTEBOOKS_DIR.glob(f"{number}_*.ipynb")) for number in WITHOUT_BROWSER]
    content = (*map(kept.chapter_key, notebooks), Path(__file__).read_bytes())
    assert kept.nothing_found(lambda: wrong_without_a_browser(Path(made), tmp_path), *content) == []
