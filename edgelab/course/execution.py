"""Execute the chapters in order, each in a process of its own, and write what a reader can open.

`build/notebooks/` holds the executed copies and their pages, `build/index.html` leads to them, and
`build/summary.json` says how long each took. A chapter that fails does not stop the others. One for which
nothing has changed since its last finished run is not executed again (see `stamps`): its page is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from edgelab import display, results
from edgelab.course import pages, stamps
from edgelab.errors import InputError
from edgelab.machine import artifacts, hardware
from edgelab.texts import tr

NOTEBOOKS_DIR = display.NOTEBOOKS_DIR
BUILD_DIR = artifacts.PROJECT_ROOT / "build"

# Longest time of a cell and of a notebook, in seconds: it ends what hangs and leaves time to what is slow. A
# chapter run alone on a busy or an old machine trains in its first cell; the full profile may for hours.
TIME_LIMITS_S = {"fast": (1800, 3600), "full": (4 * 3600, 5 * 3600)}
DONE = ("passed", "unchanged")


@dataclass(frozen=True)
class ChapterRun:
    """How one chapter went.

    Attributes:
        number, title, notebook: as in `data/course.json`.
        status: "passed", "unchanged" (its page from an earlier run was kept), "failed" or "missing".
        duration_s: sum of its cells' durations.
        error: the failing cell and its error; empty when it passed.
        page: the page's path below the build folder; empty when there is none.
        remark: what it went without, on a machine without TensorFlow; else empty.
    """

    number: str
    title: str
    notebook: str
    status: str
    duration_s: float = 0.0
    error: str = ""
    page: str = ""
    remark: str = ""

    def __str__(self) -> str:
        remark = f"  {self.remark}" if self.remark else ""
        return f"{self.number}  {self.title:<20} {self.status:<9} {self.duration_s:7.1f} s{remark}"


@dataclass(frozen=True)
class CourseRun:
    """How a run went.

    Attributes:
        chapters: one record per chapter, in order.
        profile: "fast" or "full".
        duration_s: wall-clock seconds of the whole.
    """

    chapters: tuple[ChapterRun, ...]
    profile: str
    duration_s: float

    @property
    def passed(self) -> bool:
        """Whether every chapter ran to its end."""
        return all(chapter.status in DONE for chapter in self.chapters)

    @property
    def summary(self) -> str:
        """One sentence."""
        count = sum(chapter.status in DONE for chapter in self.chapters)
        return (
            f"{count} of {len(self.chapters)} chapters passed in {self.duration_s / 60:.1f} min "
            f"({self.profile} profile)."
        )

    def __str__(self) -> str:
        return "\n".join([*map(str, self.chapters), self.summary])


def select(numbers: list[str]) -> list[dict[str, str]]:
    """The chapters with these numbers ("4" and "04" are the same), in the course's order; all when empty.

    Raises:
        InputError: a number that is not in `data/course.json`.
    """
    chapters = display.chapters()
    wanted = {number.strip().zfill(2) for number in numbers if number.strip()}
    unknown = wanted - {chapter["number"] for chapter in chapters}
    if unknown:
        raise InputError(
            tr("There is no chapter {unknown}.", unknown=", ".join(sorted(unknown))),
            why=tr(
                "the course has {chapters}", chapters=", ".join(chapter["number"] for chapter in chapters)
            ),
            fix=tr("correct the numbers after --only"),
        )
    return [chapter for chapter in chapters if not wanted or chapter["number"] in wanted]


def _end_with_children(process: subprocess.Popen) -> None:
    """End a process and its kernel, which lives in a session of its own."""
    try:
        processes = [*psutil.Process(process.pid).children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def _lines_within(process: subprocess.Popen, limit_s: float) -> Iterator[str]:
    """Lines of the process's stdout as they come.

    Raises:
        TimeoutError: it did not end within the limit; it has been ended.
    """
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        try:
            for line in process.stdout:
                lines.put(line)
        finally:  # whatever ends the reading, nobody waits for lines that cannot come
            lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + limit_s
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            _end_with_children(process)
            raise TimeoutError from None
        if line is None:
            return
        yield line


def _run_process(
    notebook: Path, out: Path, env: dict[str, str], limits_s: tuple[int, int], on_cell: Callable[[int], None]
) -> tuple[str, str]:
    """Execute a notebook in a child process; the error and its cell, or "" when all is well, and a remark."""
    cell_limit_s, notebook_limit_s = limits_s
    command = [sys.executable, "-m", "edgelab.course.execute", str(notebook), str(out), str(cell_limit_s)]
    log = out.with_suffix(".log")
    cell, failed, remark = 0, None, ""
    with log.open("w", encoding="utf-8") as errors:
        # Native code of a chapter's libraries may print bytes that are no text in any encoding.
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8", errors="replace", env=env
        )
        try:
            for line in _lines_within(process, notebook_limit_s):
                message = json.loads(line) if line.startswith("{") else {}
                failed = message.get("failed", failed)
                remark = message.get("without_tensorflow", remark)
                if "cell" in message:
                    cell = message["cell"]
                    on_cell(cell)
        except TimeoutError:
            return f"The notebook did not end within {notebook_limit_s} s; it was in its cell {cell}.", ""
        except BaseException:
            _end_with_children(process)
            raise
        code = process.wait()
    if failed:
        return f"{failed['error']}\n\nin the cell\n\n{failed['source']}", ""
    if code:
        return f"The process ended with code {code}.\n\n{log.read_text(encoding='utf-8')[-3000:]}", ""
    log.unlink()
    return "", remark


def _duration_s(executed: Path) -> float:
    """Sum of the cells' durations that papermill recorded."""
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    return sum(cell["metadata"].get("papermill", {}).get("duration") or 0.0 for cell in cells)


def run_chapter(
    chapter: dict[str, str],
    *,
    profile: str = "fast",
    dataset: str = "",
    build_dir: Path = BUILD_DIR,
    again: bool = False,
    on_cell: Callable[[int], None] = lambda index: None,
) -> ChapterRun:
    """Execute one chapter and write its page, or keep the page when nothing has changed since.

    Args:
        chapter: its entry in `data/course.json`.
        profile: "fast" or "full".
        dataset: as for `datasets.load`; empty for the profile's own.
        build_dir: where the executed copy and the page go, below `notebooks/`.
        again: execute it even when nothing has changed.
        on_cell: called with each cell's index when it begins.

    Returns:
        How it went; a failing chapter is a result, not an exception.
    """
    facts = {key: chapter[key] for key in ("number", "title", "notebook")}
    source = NOTEBOOKS_DIR / chapter["notebook"]
    if not source.exists():
        return ChapterRun(**facts, status="missing", error=f"There is no {source.name} in notebooks/.")
    settings = stamps.settings(profile, dataset)
    stamp = stamps.path(source, settings, earlier=before(source))
    out = build_dir / "notebooks" / source.name
    title = f"{chapter['number']} {chapter['title']}"
    remembered = None if again else stamps.remembered(stamp, out, build_dir)
    if remembered:
        if not remembered.page_is_current:
            pages.write_page(out, build_dir / remembered.run["page"], title)
            stamps.remember(stamp, remembered.run, out, build_dir)
        return ChapterRun(**{**remembered.run, "status": "unchanged"})
    artifacts.make_folder(out.parent)
    out.unlink(missing_ok=True)
    env = {**os.environ, **settings}
    error, remark = _run_process(source, out, env, TIME_LIMITS_S[profile], on_cell)
    error = pages.strip_terminal_codes(error)
    page, duration_s = "", 0.0
    if out.exists():
        duration_s = _duration_s(out)
        page = f"notebooks/{source.stem}.html"
        pages.write_page(out, build_dir / page, title)
    status = "failed" if error else "passed"
    run = ChapterRun(**facts, status=status, duration_s=duration_s, error=error, page=page, remark=remark)
    if run.status == "passed" and not remark:  # with TensorFlow there would be more
        stamps.remember(stamp, asdict(run), out, build_dir)
    return run


def before(source: Path) -> list[Path]:
    """The chapters before this one, which takes what they leave.

    Args:
        source: a notebook.
    """
    return [path for path in sorted(NOTEBOOKS_DIR.glob("*.ipynb")) if path.name < source.name]


def chapters_executed(build_dir: Path) -> dict[str, Path]:
    """Number and title of each chapter, to its executed copy in the build folder, in the course's order.

    Raises:
        InputError: none has been executed.
    """
    copies = {f"{c['number']} {c['title']}": build_dir / "notebooks" / c["notebook"] for c in select([])}
    found = {title: copy for title, copy in copies.items() if copy.exists()}
    if not found:
        raise InputError(
            tr("No executed chapter in {build_dir}.", build_dir=build_dir),
            fix=tr("execute them first: make run"),
        )
    return found


def write_records(run: CourseRun, build_dir: Path = BUILD_DIR) -> None:
    """Write the index page, the results and the summary of times into the build folder.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    frame = results.latest(results.load())
    with artifacts.atomic_path(build_dir / "results.csv") as temporary:
        frame.to_csv(temporary, index=False)
    with artifacts.atomic_path(build_dir / "summary.json") as temporary:
        temporary.write_text(json.dumps({"passed": run.passed, **asdict(run)}, indent=1), encoding="utf-8")
    rows: list[dict[str, Any]] = [{**asdict(c), "minutes": c.duration_s / 60} for c in run.chapters]
    pages.write_index(
        build_dir / "index.html", rows, run.summary, results.comparison_table(frame)._repr_html_()
    )


def record_minutes(run: CourseRun) -> None:
    """Keep each passed chapter's duration in `data/minutes.json`, which the chapters' headers show.

    Args:
        run: of the fast profile: it is what the headers tell of.

    Raises:
        StorageError: the file cannot be written.
    """
    path = display.MINUTES_FILE
    seconds = json.loads(path.read_text(encoding="utf-8"))["seconds"] if path.exists() else {}
    seconds |= {
        c.notebook: round(c.duration_s, 1) for c in run.chapters if c.status == "passed" and not c.remark
    }
    record = {"date": date.today().isoformat(), "machine": hardware.description(), "seconds": seconds}
    with artifacts.atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def run(
    chapters: list[dict[str, str]],
    *,
    profile: str = "fast",
    dataset: str = "",
    build_dir: Path = BUILD_DIR,
    again: bool = False,
    on_chapter: Callable[[ChapterRun], None] = lambda chapter: None,
    on_cell: Callable[[dict[str, str], int], None] = lambda chapter, index: None,
) -> CourseRun:
    """Execute chapters in order; the others go on when one fails.

    Args:
        chapters: as `select` gives them.
        profile: "fast" (generated pictures, minutes) or "full" (real pictures).
        dataset: as for `datasets.load`; empty for the profile's own.
        build_dir: where everything goes.
        again: execute also the chapters in which nothing has changed.
        on_chapter: called with the record of each chapter when it ends.
        on_cell: called with the chapter and the cell's index when a cell begins.
    """
    started = time.perf_counter()
    records = []
    for chapter in chapters:
        record = run_chapter(
            chapter,
            profile=profile,
            dataset=dataset,
            build_dir=build_dir,
            again=again,
            on_cell=lambda index, chapter=chapter: on_cell(chapter, index),
        )
        records.append(record)
        on_chapter(record)
    finished = CourseRun(tuple(records), profile, time.perf_counter() - started)
    write_records(finished, build_dir)
    return finished
