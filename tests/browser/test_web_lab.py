"""A notebook in JupyterLab whose models run in the browser that shows it, and has its camera."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time

import nbformat
import pytest
import web_models
from ports import free_port

from edgelab.commands.lab import settings as lab_settings
from edgelab.machine.child import kill_tree
from edgelab.targets.web import files
from edgelab.targets.web.session import TICKS

START_S, RUN_S = 180, 600

# Beside other work JupyterLab takes longer to load the widget than a student would like to wait.
SHOW = f"from edgelab.targets.web import engine, widget\nengine.HELLO_S = {START_S}\nwidget.show()"
# One cell, which blocks from a model's opening to the number: no message of the widget reaches it meanwhile.
RUN = """
import json, pathlib
import numpy as np
from edgelab import benchmark
from edgelab.targets.cpu.target import CpuTarget
from edgelab.targets.gpu.trial import sample_inputs
from edgelab.targets.web.target import WebTarget

# The page's `ask`, and what is asked of its clock is kept.
def noting(ask, asked):
    def noted(kind, *parts, **fields):
        if kind == "time":
            asked.append([fields["batch"], fields["least_ms"]])
        return ask(kind, *parts, **fields)
    return noted

record = {}
for name, accelerator in (("float32", "wasm"), ("int8", "wasm")):
    path = pathlib.Path("models") / f"{name}.tflite"
    target = WebTarget(accelerator, "auto")
    with target.open(path) as session, CpuTarget().open(path) as cpu:
        rows = list(sample_inputs(session.inputs, 8))
        found = record[f"{name} {accelerator}"] = {
            "place": session.page.place, "fault": session.fault, "provenance": session.provenance,
            "same": all(np.allclose(session.run(*row)[0], cpu.run(*row)[0], atol=1e-6) for row in rows),
            "clock_ms": session.page.clock_ms, "browser": session.page.browser,
        }
        if not session.fault:
            found["asked"] = []
            session.page.ask = noting(session.page.ask, found["asked"])
            found["median_ms"] = benchmark.measure(session, rows[0], max_seconds=0.5).median_ms
            found["batch"] = session.runs_per_sample
pathlib.Path("result.json").write_text(json.dumps(record))
"""


CAMERA = """
import json, pathlib, time
import numpy as np
from edgelab.targets.web.target import WebTarget
from edgelab.web import camera

record = {}
camera.FRAME_S = 180.0
with camera.open_camera("browser:0", frame_count=12) as eye:
    frames, ages_ms = [], []
    for frame in eye:
        ages_ms.append(1000 * (time.perf_counter() - frame.captured_s))
        frames.append(frame.image)
    with WebTarget("wasm", page=eye.page).open(pathlib.Path("models") / "float32.tflite") as session:
        beside = camera.run_beside(eye, session, 10)
record = {
    "place": eye.page.place, "notes": eye.notes, "shapes": [list(image.shape) for image in frames],
    "contrast": [int(np.ptp(image)) for image in frames], "ages_ms": ages_ms,
    "moves": any((a != b).any() for a, b in zip(frames, frames[1:])),
    "beside_ms": beside.latencies_ms, "answers": beside.answers,
    "left": [p.name for p in pathlib.Path(".").glob("web-mail-*/*")],
}
pathlib.Path("camera.json").write_text(json.dumps(record))
"""
FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab on a folder with the notebook and the models; its address with the token."""
    if reason := files.missing():
        pytest.skip(f"{reason}; {files.fix()}")
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "course"
    (root / "notes ü" / "models").mkdir(parents=True)
    subprocess.run(
        [sys.executable, web_models.__file__, str(root / "notes ü" / "models")],
        check=True,
        capture_output=True,
    )
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for name, work in (("web", RUN), ("camera", CAMERA)):
        cells = [nbformat.v4.new_code_cell(source) for source in (SHOW, work)]
        whole = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(whole, root / "notes ü" / f"{name}.ipynb")
    token = secrets.token_hex(16)
    port = free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={token}",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]  # fmt: skip
    own = {
        **lab_settings(), "EDGELAB_ARTIFACTS": str(folder / "artifacts"), "HOME": str(folder),
        files.FOLDER_VARIABLE: str(files.folder()), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data"),
    }  # fmt: skip
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log.txt").read_text()
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}", token, root / "notes ü"
        kill_tree(process)


# Both cells have their number, so the result is written to its end; or one tells of an error.
ENDED = """() => document.querySelector('[data-mime-type="application/vnd.jupyter.error"]') ||
  [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
    .every(prompt => /\\d/.test(prompt.innerText))"""


def run_all(lab, browser, notebook, result):
    """What a notebook writes when all its cells are run, its page, and requests to other places."""
    address, token, folder = lab
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page, outside = context.new_page(), []
    page.on(
        "request", lambda r: None if r.url.startswith((address, "blob:", "data:")) else outside.append(r.url)
    )
    page.goto(f"{address}/lab/tree/notes%20%C3%BC/{notebook}?reset&token={token}")
    page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")
    page.wait_for_selector("#jp-bottom-panel >> text=/\\| Idle/")
    page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-item:visible", has_text=re.compile("^Run All Cells$")).click()
    page.wait_for_function(ENDED, timeout=RUN_S * 1000)
    errors = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert errors.count() == 0, errors.first.inner_text()
    return json.loads((folder / result).read_text()), page, outside


def test_the_browser_that_shows_a_notebook_runs_its_models(lab, chromium):
    record, page, outside = run_all(lab, chromium, "web.ipynb", "result.json")
    page.locator("[role=status]", has_text="Keep it in view").first.wait_for()
    assert outside == []
    for name in ("float32 wasm", "int8 wasm"):
        found = record[name]
        assert (found["place"], found["fault"], found["same"]) == ("lab", "", True), record
        assert found["median_ms"] > 0 and found["clock_ms"] > 0.05
        # First it is told how long a sample lasts by this clock; how many inferences these are, it says then.
        [batch, least_ms], *others = found["asked"]
        assert batch == 0 and least_ms == pytest.approx(TICKS * found["clock_ms"])
        assert others and {batch for batch, _ in others} == {found["batch"]} and found["batch"] >= 1
    page.context.close()


def test_the_camera_of_that_browser_is_a_source_and_a_model_runs_beside_it(lab, launch):
    seeing = launch(*FAKE_CAMERA)
    record, _, outside = run_all(lab, seeing, "camera.ipynb", "camera.json")
    seeing.close()
    assert (record["place"], record["notes"], outside) == ("lab", [], [])
    assert record["shapes"] == [[240, 320, 3]] * 12 and min(record["contrast"]) > 100 and record["moves"]
    assert min(record["ages_ms"]) > 0 and min(record["beside_ms"]) > 0
    assert len(record["answers"]) == 10 and all(0 <= answer < 10 for answer in record["answers"])
    assert record["left"] == []  # every frame was taken out of the mailbox
