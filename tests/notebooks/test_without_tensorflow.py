"""A machine with the runtimes and without TensorFlow: models run there, and chapters that run models."""

import json
import os
import subprocess
import sys
from pathlib import Path

import kept
import pytest

from edgelab import pipeline
from edgelab.course import execution
from edgelab.machine import artifacts

ROOT = artifacts.PROJECT_ROOT
# TensorFlow, Keras, and what comes with them alone. `None` is Python's own way to refuse an import; child
# processes, kernels among them, find this first on their path.
REFUSING = "import sys\n\nsys.modules.update(tensorflow=None, keras=None, absl=None, h5py=None)\n"
CHAPTERS = ("02", "11")  # one that partly needs it, and one that ends at its set-up
MODEL = pipeline.PRETRAINED_DIR / "mobilenet_v2_shapes-int8-uint8.tflite"

EVERY_MODULE = """
import importlib, pkgutil, sys
import edgelab
names = [found.name for found in pkgutil.walk_packages(edgelab.__path__, "edgelab.")]
names = [name for name in names if not name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names), sys.modules["tensorflow"])
"""

SURVEY = """
import json
from edgelab import pipeline, survey
chain = pipeline.open()
found = survey.run(chain, ["edgetpu", "onnxruntime"], image_count=200)
print(json.dumps({
    "kept": str(chain.converted()),
    "entries": [
        [one.target, one.comparison and one.comparison.candidate_accuracy, one.placement, one.note]
        for one in found.entries
    ],
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Runs Python without TensorFlow, in artifacts of its own; gives what it printed."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "sitecustomize.py").write_text(REFUSING, encoding="utf-8")
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "EDGELAB_ARTIFACTS": str(folder / "artifacts")}
    for name in ("EDGELAB_STRICT", "EDGELAB_LANGUAGE"):
        environment.pop(name, None)

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run


@pytest.mark.slow
def test_every_module_can_be_imported(python):
    count, refused = python("-c", EVERY_MODULE).split()
    assert int(count) > 200 and refused == "None"


@pytest.mark.slow
def test_the_chain_goes_on_with_the_kept_model(python):
    found = json.loads(python("-c", SURVEY).splitlines()[-1])
    assert "kept, made with TensorFlow 2." in found["kept"]
    cpu, edgetpu, onnxruntime = found["entries"]
    card = json.loads((pipeline.PRETRAINED_DIR / "mobilenet_v2_shapes_tflite.json").read_text("utf-8"))
    assert cpu[1] == pytest.approx(card["test_accuracy"][MODEL.name], abs=0.05)
    assert edgetpu[0] == "edgetpu"
    assert "TensorFlow is not installed here" in onnxruntime[3]  # it converts to ONNX


@pytest.mark.slow
def test_a_report_and_a_bundle_are_made_of_a_file(python, tmp_path):
    told = json.loads(
        python(
            "-m",
            "edgelab",
            "report",
            MODEL,
            "--only",
            "cpu,openvino",
            "--out",
            tmp_path / "page.html",
            "--json",
        )
    )
    assert told and (tmp_path / "page.html").stat().st_size > 10_000
    python("-m", "edgelab", "bundle", MODEL, tmp_path / "model.zip", "--count", "4")
    assert (tmp_path / "model.zip").stat().st_size > MODEL.stat().st_size / 2
    assert "TensorFlow is not installed here" in python("-m", "edgelab", "check")


@pytest.mark.notebook
@pytest.mark.slow
def test_chapters_pass_and_say_what_they_went_without(python, tmp_path):
    notebooks = [next(execution.NOTEBOOKS_DIR.glob(f"{number}_*.ipynb")) for number in CHAPTERS]
    content = (*map(kept.chapter_key, notebooks), Path(__file__).read_bytes())
    kept.passes(lambda: chapters_pass_and_say(python, tmp_path), *content)


def chapters_pass_and_say(python, tmp_path):
    python("-m", "edgelab", "run", "--only", ",".join(CHAPTERS), "--build", tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    check, compress = summary["chapters"]
    assert [check["status"], compress["status"]] == ["passed", "passed"]
    assert "cells need TensorFlow" in check["remark"] and compress["remark"] == "it needs TensorFlow"
    index = (tmp_path / "index.html").read_text("utf-8")
    assert check["remark"] in index and compress["remark"] in index
    page = (tmp_path / compress["page"]).read_text("utf-8")
    assert "TensorFlow is not installed here" in page and "Traceback" not in page
