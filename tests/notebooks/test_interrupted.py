"""A student stops or loses the kernel at any moment; the next Run All works, and nothing is left broken.

The moments come from EDGELAB_SEED, and EDGELAB_INTERRUPTED=03,09 chooses other chapters.
"""

import json
import os
import random
import shutil
from pathlib import Path

import kept
import nbformat
import pytest
import student_kernel
from course_runs import models_in
from student_kernel import INTERRUPTED, StudentKernel, in_cell
from waiting import runs, wait_for

from edgelab import graph
from edgelab.course import dependencies, execution

pytestmark = pytest.mark.notebook
# It converts a model, runs it in processes that may die, and draws.
CHAPTERS = [number for number in os.environ.get("EDGELAB_INTERRUPTED", "08").split(",") if number]
WAYS = ("interrupt", "interrupt", "kill")
LATEST_S = 1.0
SEED = int(os.environ.get("EDGELAB_SEED", "0"))

TRAINING = """
import keras
from edgelab import datasets, training

def build():
    return keras.Sequential([
        keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(8, 3, strides=4),
        keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax"),
    ])

data = datasets.load("shapes", train_count=400, test_count=50, seed=1)
path, result = training.train(build, data, name="stopped", epochs=200, batch_size=32)
"""
EPOCHS = 200  # long enough that the stop comes before the end
TRIED_BY = [Path(path).read_bytes() for path in (__file__, student_kernel.__file__)]


def broken_files(artifacts: Path) -> list[str]:
    """Files that cannot be read, and models half made."""
    broken = [path.name for path in artifacts.rglob(".*") if path.suffix in {".keras", ".tflite"}]
    for path in artifacts.rglob("*.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            broken.append(path.name)
    for path in artifacts.glob("models/*.tflite"):
        graph.read(path)
    return broken


@pytest.mark.parametrize("number", CHAPTERS)
def test_run_all_works_after_interrupts(number, tmp_path):
    made = os.environ.get("EDGELAB_TEST_ARTIFACTS", "")
    if not made:
        pytest.skip("`make test` sets EDGELAB_TEST_ARTIFACTS: models to start from")
    notebook = next(execution.NOTEBOOKS_DIR.glob(f"{number}_*.ipynb"))
    content = (kept.chapter_key(notebook), str(SEED), *TRIED_BY)
    kept.passes(lambda: goes_on_after_interrupts(notebook, Path(made), tmp_path), *content)


def goes_on_after_interrupts(notebook, made, tmp_path):
    artifacts = tmp_path / "artifacts"
    shutil.copytree(made, artifacts, ignore=shutil.ignore_patterns(".*"))  # the second run writes there
    for path in artifacts.glob("models/*.tflite"):  # so that conversions are interrupted, too
        path.unlink()
    before = models_in(artifacts)
    draw = random.Random(f"{SEED} {notebook.name[:2]}")
    student = StudentKernel(notebook, artifacts, tmp_path / "log")
    code = [index for index, source in enumerate(student.sources) if source]
    moments = [(draw.choice(code[:-1]), draw.uniform(0, LATEST_S)) for _ in WAYS]
    try:
        for moment, how in zip(moments, WAYS, strict=True):
            run = student.run_all(in_cell(*moment), how)
            ended = not run.error  # before the moment came
            assert ended or run.error.startswith(INTERRUPTED), f"{how} at {moment}, {run.cell}: {run.error}"
        run = student.run_all()
        assert not run.error, f"after {moments}: cell {run.cell}: {run.error}"
        assert broken_files(artifacts) == []
        assert models_in(artifacts) >= before
        children = student.process.children(recursive=True)
    finally:
        student.close()
    wait_for(lambda: not any(map(runs, children)))


def epochs_done(artifacts: Path) -> int:
    """Epochs in the record of an unfinished training."""
    for path in artifacts.glob("unfinished/*/history.json"):
        return len(json.loads(path.read_text(encoding="utf-8"))["epochs"])
    return 0


def test_training_goes_on_where_it_was(tmp_path):
    """After the stop button in the same kernel, after JupyterLab was closed in a new one."""
    behind = [dependencies.files_behind_module(f"edgelab.{name}") for name in ("training", "datasets")]
    content = [path.read_bytes() for files in behind for path in files]
    kept.passes(lambda: goes_on_after_stops(tmp_path), *content, *TRIED_BY)


def goes_on_after_stops(tmp_path):
    notebook, artifacts = tmp_path / "training.ipynb", tmp_path / "artifacts"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TRAINING)]), notebook)
    student = StudentKernel(notebook, artifacts, tmp_path / "log")
    try:
        run = student.run_all(lambda cell: epochs_done(artifacts) >= 3)
        assert run.error.startswith(INTERRUPTED)
        (history,) = artifacts.glob("unfinished/*/history.json")
        record = json.loads(history.read_text(encoding="utf-8"))
        record["epochs"][0]["loss"] = 123.0  # a training that begins anew would not know it
        history.write_text(json.dumps(record), encoding="utf-8")
        more = epochs_done(artifacts) + 3
        run = student.run_all(lambda cell: epochs_done(artifacts) >= more, "close")
        assert run.error.startswith(INTERRUPTED)
        assert not list(artifacts.glob("models/*.keras"))
        assert student.run_all().error == ""
    finally:
        student.close()
    (result,) = (json.loads(path.read_text(encoding="utf-8")) for path in artifacts.glob("models/*.json"))
    assert result["epochs"] == EPOCHS
    assert result["history"]["loss"][0] == 123.0
    assert not list(artifacts.glob("unfinished/*"))
    assert list(artifacts.glob("models/*.keras"))
