"""The rules of the house: what a lesson finds at the top, which room uses which, and where tests are."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import edgelab
from edgelab.machine import artifacts

tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")

ROOT = artifacts.PROJECT_ROOT
PACKAGE = ROOT / "edgelab"
TESTS = ROOT / "tests" / "unit"
MOST_LESSON_NAMES = 20
PARTS_OF_A_TARGET = {
    "__init__", "target", "session", "engine", "worker", "trial", "rules", "log", "arena", "firmware",
    "files", "server", "widget", "pycoral", "package", "interpreter",
}  # fmt: skip
LINT = "from importlinter.cli import lint_imports; exit(lint_imports(no_cache=True, no_logo=True))"


def contracts():
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["tool"]["importlinter"]["contracts"]


def rooms():
    """Names at the top of the package, as the contract lists them, from the highest down."""
    return [name.strip() for line in contracts()[0]["layers"] for name in line.split("|")]


def check_contracts(folder):
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True, env=env)


def test_each_room_uses_only_what_stands_below_it():
    checked = check_contracts(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(contracts())} kept, 0 broken" in checked.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("datasets.py", "from edgelab import training", "Rooms use only"),
        ("targets/onnx_model.py", "from edgelab.targets.openvino import target", "Targets stand on"),
        ("machine/quiet.py", "from edgelab.machine import child as c\n", "No room has a circle"),
    ],
)
def test_the_contract_breaks_where_an_import_climbs_or_goes_round(tmp_path, file, line, contract):
    shutil.copytree(PACKAGE, tmp_path / "edgelab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changed = tmp_path / "edgelab" / file
    changed.write_text(f"{changed.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    if file == "machine/quiet.py":
        other = tmp_path / "edgelab" / "machine" / "child.py"
        other.write_text(f"{other.read_text(encoding='utf-8')}\nfrom edgelab.machine import quiet\n", "utf-8")
    checked = check_contracts(tmp_path)
    assert checked.returncode == 1
    assert re.search(rf"{contract}.* BROKEN", checked.stdout), checked.stdout


def test_files_at_the_top_are_what_lessons_import():
    imported = set()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            imported |= set(re.findall(r"^\s*from edgelab\.(\w+)", "".join(cell["source"]), re.MULTILINE))
            for names in re.findall(r"^\s*from edgelab import (\([^)]*\)|.*)", "".join(cell["source"]), re.M):
                imported |= set(re.findall(r"\w+", names))
    assert set(edgelab.__all__) <= imported
    assert len(edgelab.__all__) <= MOST_LESSON_NAMES
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert files <= set(edgelab.__all__), "what serves lessons has a room"


def test_no_room_is_named_after_nothing():
    names = {path.stem for path in PACKAGE.rglob("*")} | {path.stem for path in (ROOT / "tests").rglob("*")}
    assert not names & {"utils", "util", "common", "misc", "helpers"}


def test_every_room_stands_in_the_contract_and_in_contributing():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    places = {path.stem for path in PACKAGE.glob("[a-z]*") if path.suffix in ("", ".py")}
    assert set(rooms()) == places | {"__main__"}
    lines = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert lines == [name for name in rooms() if name not in ("__main__",)]
    picture = text.split("```mermaid")[1].split("```")[0]
    assert set(re.findall(r"\b[a-z][a-z_]+\b", picture)) >= set(lines)


def test_every_target_has_the_same_file_names():
    for folder in (path for path in (PACKAGE / "targets").iterdir() if (path / "__init__.py").exists()):
        parts = {path.stem for path in folder.glob("*.py")}
        assert "target" in parts and parts <= PARTS_OF_A_TARGET, f"{folder.name}: {parts}"


@pytest.mark.parametrize(
    "test",
    [path for path in sorted(TESTS.rglob("test_*.py")) if path.parent.name != "project"],
    ids=lambda path: path.relative_to(TESTS).as_posix(),
)
def test_tests_stand_where_their_module_stands(test):
    place = PACKAGE / test.relative_to(TESTS).parent / test.stem.removeprefix("test_")
    is_room = test.stem == f"test_{test.parent.name}" and test.parent != TESTS
    is_family = any(place.parent.glob(f"{place.name}_*.py"))  # such as the checks, a file a chapter
    assert place.with_suffix(".py").exists() or is_room or is_family, "name it after its module"


def test_no_module_grows_past_what_one_can_hold_in_mind():
    """Lines of code and comments; a longer file holds two subjects, or is named here with its only one."""
    one_subject = {
        "environment.py": "a probe a row",
        "targets/onnx_model.py": "ONNX files: made, quantized, checked",
        "targets/edgetpu/rules.py": "a rule an operator",
    }
    long = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if len(path.read_text(encoding="utf-8").splitlines()) > 500
    }
    assert long <= set(one_subject)


def test_importing_the_package_loads_none_of_it():
    code = "import sys, edgelab; print([n for n in sys.modules if n.startswith('edgelab.')])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_room_docstrings_say_what_lives_there():
    for init in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))), init
