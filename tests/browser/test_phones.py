"""Twenty phones in a class, played by headless browsers: a QR code's address, a page, a record, one board."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import web_models
from accessibility import findings

from edgelab.targets.web import files
from edgelab.web import phones

PHONES, AT_ONCE = 20, 5
START_S, RUN_S = 180, 600
SOFTWARE_GPU = (
    "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan",
)  # fmt: skip


def hears_ctrl_c():
    """A test run in the background ignores it, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """`python -m edgelab web MODEL --class` on loopback: its process, its two addresses, its artifacts."""
    if reason := files.missing():
        pytest.skip(f"{reason}; {files.fix()}")
    folder = tmp_path_factory.mktemp("class")
    subprocess.run([sys.executable, web_models.__file__, str(folder)], check=True, capture_output=True)
    command = [
        sys.executable, "-m", "edgelab", "web", str(folder / "float32.tflite"), "--class",
        "--address", "127.0.0.1", "--name", "small",
    ]  # fmt: skip
    # No window for the wall; records in a folder of the test's own.
    own = {"BROWSER": "true", "EDGELAB_ARTIFACTS": str(folder / "artifacts")}
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=log, stderr=log, cwd=folder,
            preexec_fn=hears_ctrl_c,
        )  # fmt: skip
    told = lambda: (folder / "log.txt").read_text(encoding="utf-8")  # noqa: E731 - short, and used twice
    deadline = time.monotonic() + START_S
    while "Ctrl-C ends it" not in told():
        assert process.poll() is None and time.monotonic() < deadline, told()
        time.sleep(0.2)
    yield process, re.search(r"https://\S+", told())[0], re.search(r"http://\S+", told())[0], folder, told
    process.kill()
    process.wait()


def join(browser, address, names):
    """Pages of phones that join at the same time, and what each says at the end."""
    context = browser.new_context(
        ignore_https_errors=True, viewport={"width": 375, "height": 720}, is_mobile=True
    )
    pages, outside = [context.new_page() for _ in names], []
    origin = address.rsplit("/", 2)[0]
    context.on("request", lambda r: r.url.startswith((origin, "data:", "blob:")) or outside.append(r.url))
    for page, name in zip(pages, names, strict=True):
        page.goto(address)
        page.fill("#name", name)
        page.click("#run")
    ended = "() => /Done|Not taken|did not work/.test(document.querySelector('#state').textContent)"
    for page in pages:
        page.wait_for_function(ended, timeout=RUN_S * 1000)
    found = [page.inner_text("main") for page in pages]
    assert findings(pages[0]) == []
    widest = max(page.evaluate("document.documentElement.scrollWidth") for page in pages)
    context.close()
    return found, outside, widest


@pytest.mark.slow
def test_twenty_phones_are_on_one_board(lesson, launch, chromium, page):
    process, address, wall, folder, told = lesson
    names = [f"phone-{number:02}" for number in range(PHONES - 1)]
    for start in range(0, len(names), AT_ONCE):
        texts, outside, widest = join(chromium, address, names[start : start + AT_ONCE])
        assert outside == [] and widest <= 375
        assert all("Done" in text and "ms [" in text and "no GPU" in text for text in texts), texts
    with_gpu = launch(*SOFTWARE_GPU, gpu=True)
    [text], outside, _ = join(with_gpu, address, ["software"])
    with_gpu.close()
    assert "webgpu:" in text and "simulated, no time" in text and outside == []
    boards = lambda: list(folder.glob("artifacts/class/*/board/board.csv"))  # noqa: E731 - short
    deadline = time.monotonic() + START_S
    while not boards() or "software" not in boards()[0].read_text(encoding="utf-8"):
        assert process.poll() is None and time.monotonic() < deadline, told()
        time.sleep(0.3)
    records = sorted(folder.glob("artifacts/class/*/records/*.jsonl"))
    assert len(records) == PHONES
    rows = [json.loads(line) for path in records for line in path.read_text(encoding="utf-8").splitlines()]
    times = [row for row in rows if row["metric"] == "latency"]
    assert len(times) == PHONES and {(row["target"], row["provenance"]) for row in times} == {
        ("web/wasm", "measured")
    }
    assert all(row["samples"]["low"] <= row["value"] <= row["samples"]["high"] for row in times)
    assert [row["metric"] for row in rows if row["provenance"] == "simulated"] == ["agreement"]
    page.context.set_offline(False)
    page.goto(wall)
    board = page.frame_locator("iframe")
    # The wall loads the board anew as often as it has changed: wait for the last phone's row.
    board.locator("tr", has_text="simulated").first.wait_for()
    # The row of the whole class names the fastest phone, which may be this one.
    own_row = board.get_by_role("row", name=re.compile(r"^phone \d\d phone-07"))
    own_row.wait_for()
    assert own_row.count() == 1
    assert board.locator("tr", has_text="simulated").count() == 1
    assert f"{PHONES} of at most {phones.MOST_RECORDS} records" in page.inner_text("main").replace("\n", " ")
    assert findings(page) == []
    process.send_signal(signal.SIGINT)
    assert process.wait(START_S) == 0 and "Board:" in told()
