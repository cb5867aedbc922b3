"""The course as a student meets it: JupyterLab with its own security, in a real browser."""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from ports import free_port

from edgelab.commands.lab import settings as lab_settings
from edgelab.machine.child import kill_tree

ROOT = Path(__file__).resolve().parents[2]
START_S, RUN_S = 180, 600


class Lab:
    """A JupyterLab on a folder of copied notebooks, with a token of its own."""

    def __init__(self, folder: Path, artifacts: str) -> None:
        self.token = secrets.token_hex(16)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.notebooks = folder / "course" / "notebooks"
        self.notebooks.mkdir(parents=True)
        shutil.copytree(ROOT / "docs", folder / "course" / "docs")
        for path in (ROOT / "notebooks").glob("*.ipynb"):
            shutil.copy(path, self.notebooks)
        # A notebook shows all cells, not only those in view; a cell out of view cannot be looked at.
        settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        chosen = {"windowingMode": "none"}
        (settings / "tracker.jupyterlab-settings").write_text(json.dumps(chosen), encoding="utf-8")
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={self.port}",
            "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder / 'course'}",
            f"--IdentityProvider.token={self.token}",
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        own = {
            **lab_settings(),
            "EDGELAB_ARTIFACTS": artifacts,
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "HOME": str(folder),
        }
        self.log = (folder / "log.txt").open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **own}, stdout=self.log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + START_S
        while self.status("/api") != 200:
            assert self.process.poll() is None and time.monotonic() < deadline, Path(
                self.log.name
            ).read_text()
            time.sleep(0.3)

    def status(self, path: str, **headers: str) -> int:
        """The code of the answer to a plain request."""
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.address + path, headers=headers)
            ) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def close(self) -> None:
        kill_tree(self.process)
        self.log.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    artifacts = os.environ.get("EDGELAB_TEST_ARTIFACTS", "")
    if not artifacts:
        pytest.skip("`make test` sets EDGELAB_TEST_ARTIFACTS: models to start from")
    started = Lab(tmp_path_factory.mktemp("lab"), artifacts)
    yield started
    started.close()


@pytest.fixture
def browser_page(chromium):
    context = chromium.new_context(viewport={"width": 1500, "height": 1000})
    yield context.new_page()
    context.close()


@pytest.fixture
def open_chapter(lab, browser_page):
    """Log in by token, open a chapter and wait for its kernel."""

    def opened(name):
        page = browser_page
        page.goto(f"{lab.address}/lab/tree/notebooks/{name}?reset&token={lab.token}")
        page.wait_for_selector(".jp-NotebookPanel:visible .jp-Cell")
        wait_until_idle(page)
        return page

    return opened


def wait_until_idle(page):
    """The status bar says so; a cell run before the kernel is there would ask which kernel to take."""
    page.wait_for_selector("#jp-bottom-panel >> text=/\\| Idle/", timeout=RUN_S * 1000)


def run(page, what):
    page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-item:visible", has_text=re.compile(f"^{what}$")).click()


def run_all(page):
    run(page, "Run All Cells")


# Every cell that holds code has run: "[7]:", neither "[*]:" nor "[ ]:".
ALL_RAN = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
  .every(prompt => /\\d/.test(prompt.innerText))"""


def run_all_to_the_end(page):
    run_all(page)
    page.wait_for_function(ALL_RAN, timeout=RUN_S * 1000)
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0


RAN_ANEW = "([prompt, before]) => /\\d/.test(prompt.innerText) && prompt.innerText !== before"


@contextlib.contextmanager
def runs_anew(page, cell):
    """Around what runs a cell again; at the end it has, with all that it shows: its number is another."""
    prompt = cell.locator(".jp-InputArea-prompt")
    before = prompt.inner_text()
    yield
    page.wait_for_function(RAN_ANEW, arg=[prompt.element_handle(), before], timeout=RUN_S * 1000)


def cell_with(page, text):
    return page.locator(".jp-CodeCell", has=page.locator(".cm-content", has_text=text)).first


def run_to(page, cell):
    """Run what stands above a cell, and the cell.

    Not all of the chapter and the stop button: what it interrupts as it begins never gets its answer from
    ipykernel, so that its "[*]:" would stay.
    """
    cell.locator(".cm-content").click()
    with runs_anew(page, cell):
        run(page, "Run All Above Selected Cell")
        cell.locator(".cm-content").click()
        page.keyboard.press("ControlOrMeta+Enter")


def rewrite(page, cell, text, last):
    """Replace a cell's source as a student types it, and run it with the two cells to `last`."""
    cell.locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type(text)
    with runs_anew(page, last):
        for _ in range(3):
            page.keyboard.press("Shift+Enter")


def test_a_refused_token_and_a_foreign_origin_stay_out(lab, browser_page):
    assert lab.status("/api/contents") == 403
    assert lab.status("/api/contents", Authorization="token wrong") == 403
    assert lab.status("/api/contents", Authorization=f"token {lab.token}") == 200
    browser_page.goto(f"{lab.address}/lab?token=wrong")
    assert "/login" in browser_page.url
    # Another site in the same browser, which holds the cookie of a student who logged in.
    browser_page.goto(f"{lab.address}/lab?token={lab.token}")
    browser_page.goto(f"http://localhost:{lab.port}/static/favicon.ico")
    stolen = browser_page.evaluate(
        """address => fetch(address + '/api/contents', {credentials: 'include'})
        .then(() => 'read', () => 'refused')""",
        lab.address,
    )
    assert stolen == "refused"


def test_log_in_by_the_form(lab, browser_page):
    browser_page.goto(f"{lab.address}/lab")
    browser_page.fill("input[name=password]", lab.token)
    browser_page.keyboard.press("Enter")
    browser_page.wait_for_selector("#jp-main-dock-panel")


def test_a_chapter_that_was_run_and_saved_is_stripped_to_what_it_was(open_chapter, lab):
    page = open_chapter("00_start_here.ipynb")
    saved = lab.notebooks / "00_start_here.ipynb"
    before = saved.read_text(encoding="utf-8")
    run_all_to_the_end(page)
    page.keyboard.press("ControlOrMeta+s")
    deadline = time.monotonic() + START_S
    # JupyterLab also saves by itself every two minutes, so half a chapter may have been saved while it ran.
    while not all(cell.get("execution_count", 1) for cell in json.loads(saved.read_bytes())["cells"]):
        assert time.monotonic() < deadline, "it was not saved"
        page.wait_for_timeout(300)
    assert saved.read_text(encoding="utf-8") != before
    subprocess.run([sys.executable, str(ROOT / "tools" / "strip_notebooks.py"), str(saved)], check=True)
    assert saved.read_text(encoding="utf-8") == before


def test_run_all_then_an_exercise_wrong_then_right(open_chapter):
    page = open_chapter("00_start_here.ipynb")
    run_all_to_the_end(page)
    stub = cell_with(page, "layer_macs = ...")
    check = cell_with(page, 'exercises.check("00.1", layer_macs)')
    assert "passes" in check.inner_text() or "done" in check.inner_text().lower()
    rewrite(page, stub, "layer_macs = 32 * 32 * 16", check)
    wrong = check.locator(".jp-OutputArea").inner_text()
    assert "Not yet right" in wrong and "hint" in wrong.lower()
    rewrite(page, cell_with(page, "layer_macs = 32 * 32 * 16"), "layer_macs = 32 * 32 * 27 * 16", check)
    right = check.locator(".jp-OutputArea").inner_text()
    assert "Solved" in right and "hint" not in right.lower()


def test_the_map_opens_a_chapter_by_keyboard(open_chapter):
    page = open_chapter("00_start_here.ipynb")
    run_all_to_the_end(page)
    page.locator("nav[aria-label='Map of the course'] a", has_text="02 Environment check").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".lm-TabBar-tab.lm-mod-current >> text=02_environment_check.ipynb")


def test_a_word_opens_its_explanation(open_chapter):
    page = open_chapter("04_quantize.ipynb")
    page.locator("a[href*='glossary.md']", has_text="zero point").first.click()
    heading = page.locator(".jp-MarkdownViewer h3", has_text="zero point")
    heading.wait_for()
    page.wait_for_function(
        "heading => heading.getBoundingClientRect().bottom < innerHeight", arg=heading.element_handle()
    )


def test_a_slider_changes_the_picture(open_chapter):
    page = open_chapter("04_quantize.ipynb")
    cell = cell_with(page, "show_steps,")
    run_to(page, cell)
    alt = cell.locator(".jp-OutputArea img").first.get_attribute("alt")
    handle = cell.locator("[role=slider]").last
    handle.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([cell, old]) => cell.querySelector('.jp-OutputArea img').alt !== old",
        arg=[cell.element_handle(), alt],
    )


def test_a_guess_is_taken_from_its_slider_and_compared(open_chapter):
    page = open_chapter("00_start_here.ipynb")
    run_all_to_the_end(page)
    slider = cell_with(page, "guess = exercises.predict(").locator("[role=slider]")
    before = slider.get_attribute("aria-valuenow")
    slider.focus()
    page.keyboard.press("ArrowRight")
    moved = "([slider, old]) => slider.getAttribute('aria-valuenow') !== old"
    page.wait_for_function(moved, arg=[slider.element_handle(), before])
    compared = cell_with(page, "guess.reveal(macs / 1000)")
    assert page.locator(".live-note").count() == 0, "the message of the still picture beside a live control"
    with runs_anew(page, compared):
        compared.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
    assert "You guessed " in compared.locator(".jp-OutputArea").inner_text()


# Counts in the page, which misses none: the live picture is there for three seconds, then a still one is.
COUNT_PICTURES = """cell => {
  window.pictures = new Set();
  new MutationObserver(changes => {
    for (const {target, oldValue} of changes) {
      if (target.tagName === 'IMG') [oldValue, target.src].filter(Boolean).forEach(src => pictures.add(src));
    }
  }).observe(cell, {subtree: true, attributeFilter: ['src'], attributeOldValue: true});
}"""


def test_the_video_demo_draws_frames(open_chapter):
    page = open_chapter("10_video_demo.ipynb")
    cell = cell_with(page, "live_stats = video.run(camera")
    cell.evaluate(COUNT_PICTURES)
    run_all(page)
    cell.locator(".jp-OutputArea img").first.wait_for(timeout=RUN_S * 1000)
    page.wait_for_function("pictures.size >= 5")
