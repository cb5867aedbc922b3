"""What a chapter depends on is found without running it: imports, workers, targets, checks."""

import json
import os
import subprocess
import sys
from importlib import metadata

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from edgelab import display, targets
from edgelab.course import dependencies, execution

CHAPTERS = [chapter["notebook"] for chapter in display.chapters()]


@pytest.fixture
def behind(tmp_path):
    """What is behind a chapter of these cells, as paths below `edgelab/`."""

    def files(*cells, name="77_lesson.ipynb"):
        path = tmp_path / name
        nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
        return {
            file.relative_to(dependencies.PACKAGE_DIR).as_posix() for file in dependencies.files_behind(path)
        }

    return files


def rooms(files):
    return {file.split("/")[1] for file in files if file.startswith("targets/") and file.count("/") == 2}


def test_imports_are_followed_to_their_end(behind):
    assert behind("from edgelab.errors import InputError") == {
        "__init__.py",
        "errors.py",
        "texts/__init__.py",
    }
    found = behind("import edgelab.quantization as q")
    assert {"quantization/conversion.py", "quantization/worker.py", "graph/reading.py"} <= found
    assert {"graph/records.py", "machine/artifacts.py"} <= found
    assert not {file for file in found if file.startswith(("targets/", "video/", "grading/", "course/"))}


def test_a_cell_with_magics_and_shell_lines_is_read_as_ipython_reads_it(behind):
    assert "models.py" in behind("%matplotlib inline\n!ls\nfrom edgelab import models\nmodels?")


@pytest.fixture
def chapter(tmp_path):
    """A chapter of one cell."""

    def written(cell):
        path = tmp_path / "77_lesson.ipynb"
        nbformat.write(new_notebook(cells=[new_code_cell(cell)]), path)
        return path

    return written


@pytest.mark.parametrize(
    ("cell", "folders"),
    [
        ("x = 1", set()),
        ('FILE = artifacts.PROJECT_ROOT / "data" / "recorded" / "rknn.json"', {"recorded"}),
        ('open(f"../data/mobile/{name}.csv")', {"mobile"}),
    ],
)
def test_a_folder_of_data_counts_whole_where_it_is_named(chapter, cell, folders):
    found = dependencies.data_behind(chapter(cell))
    assert {path.relative_to(dependencies.DATA_DIR).parts[0] for path in found} == folders
    for folder in folders:
        assert set(found) >= set((dependencies.DATA_DIR / folder).glob("*.*"))


def test_a_folder_of_data_that_a_module_reads_counts(chapter):
    found = dependencies.data_behind(chapter("from edgelab.targets.edgetpu import rules"))
    assert {"operators"} <= {path.parent.name for path in found}
    assert not {"mobile", "recorded"} & {path.parent.name for path in found}


@pytest.mark.parametrize(
    ("cell", "imported", "others"),
    [
        ("x = 1", {"ipykernel", "papermill"}, {"optuna", "tensorflow", "openvino"}),
        ("import optuna.samplers", {"optuna", "sqlalchemy"}, {"openvino", "anywidget"}),
        ('run(["-m", "ethosu.vela"])', {"ethos-u-vela", "flatbuffers"}, {"openvino", "optuna"}),
        ("from edgelab.machine import quiet", {"keras", "numpy"}, {"optuna", "openvino", "anywidget"}),
    ],
)
def test_packages_count_where_they_can_be_imported_with_what_they_need(chapter, cell, imported, others):
    found = dependencies.packages_behind(chapter(cell))
    assert imported <= set(found)
    assert not others & set(found)
    assert found["papermill"] == metadata.version("papermill")


def test_a_target_asked_for_by_name_is_one_and_by_a_variable_is_all(behind):
    one = behind('from edgelab import targets\ntargets.get("ethosu").probe()')
    assert rooms(one) == {"ethosu"}
    every = behind("from edgelab import targets\nfor name in names:\n    targets.get(name)")
    assert rooms(every) == set(targets.names())


def test_workers_are_found_by_their_names(behind):
    found = behind('from edgelab import targets\ntargets.get("rknn")\ntargets.get("cpu")')
    assert {"targets/rknn/worker.py", "targets/cpu/worker.py", "machine/native_probes.py"} <= found


def test_what_only_a_type_checker_reads_does_not_count(behind):
    assert "from edgelab.benchmark import Measurement" in (
        dependencies.PACKAGE_DIR / "results" / "record.py"
    ).read_text(encoding="utf-8")
    assert not {file for file in behind("from edgelab import results") if file.startswith("benchmark/")}


def test_checks_are_the_chapters_own_or_all_where_they_are_counted(behind):
    def checks(files):
        return {file.split("_")[1][:2] for file in files if file.startswith("exercises/chapter_")}

    assert checks(behind("from edgelab import exercises", name="04_x.ipynb")) == {"04"}
    counted = checks(behind("from edgelab import exercises\nexercises.progress()", name="04_x.ipynb"))
    assert counted == {name[:2] for name in CHAPTERS}


def test_a_cell_that_is_no_python_has_nothing_behind_it(behind):
    assert behind("from edgelab import models", "this is no Python") == set()


LOADED = """
import json, sys
namespace = {}
for line in json.load(sys.stdin):
    exec(line, namespace)
print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "edgelab"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_what_a_chapters_imports_load_is_among_it(name):
    """Really imported, in a process of its own."""
    path = execution.NOTEBOOKS_DIR / name
    lines = [
        line
        for line in dependencies.code_of(path).splitlines()
        if line.startswith(("from edgelab", "import edgelab"))
    ]
    lines = [line for line in lines if not line.endswith("(")]
    process = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert process.returncode == 0, process.stderr
    known = {str(file) for file in dependencies.files_behind(path)}
    assert set(json.loads(process.stdout.splitlines()[-1])) <= known


@pytest.mark.slow
def test_rooms_that_make_the_course_are_behind_no_chapter():
    """So that work on them executes nothing again; only the map in chapter 0 comes from there."""
    found = {file for name in CHAPTERS for file in dependencies.files_behind(execution.NOTEBOOKS_DIR / name)}
    names = {file.relative_to(dependencies.PACKAGE_DIR).as_posix() for file in found}
    assert {name for name in names if name.startswith(("course/", "grading/", "commands/"))} == {
        "course/__init__.py",
        "course/course_map.py",
    }
