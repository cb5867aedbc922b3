"""The command line: `python -m edgelab check | targets | run | lab`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from edgelab import environment, results
from edgelab.course import execution
from edgelab.errors import EdgelabError
from edgelab.machine import artifacts
from edgelab.targets import matrix


def check(options: argparse.Namespace) -> int:
    """Print what this machine has. What is missing is no failure."""
    print(environment.report())
    return 0


def targets(options: argparse.Namespace) -> int:
    """Print what every accelerator can do here. What is missing is no failure."""
    print(matrix.matrix())
    return 0


def progress(options: argparse.Namespace) -> int:
    """Print how many exercises are solved, chapter by chapter."""
    from edgelab import exercises

    print(exercises.progress().by_chapter)
    return 0


def _cell_count(chapters: list[dict[str, str]]) -> int:
    import nbformat

    paths = [execution.NOTEBOOKS_DIR / chapter["notebook"] for chapter in chapters]
    return sum(len(nbformat.read(path, 4).cells) for path in paths if path.exists())


def run(options: argparse.Namespace) -> int:
    """Execute the chapters; 1 when any of them failed."""
    chapters = execution.select(options.only.split(",") if options.only else [])
    with tqdm(total=_cell_count(chapters), unit="cell", disable=None, leave=False) as bar:

        def on_cell(chapter: dict[str, str], index: int) -> None:
            bar.set_description(f"{chapter['number']} {chapter['title']}")
            bar.update()

        def on_chapter(record: execution.ChapterRun) -> None:
            tqdm.write(f"{record.number}  {record.title:<20} {record.status:<9} {record.duration_s:7.1f} s")
            if record.error:
                tqdm.write(f"\n{record.error}\n")

        finished = execution.run(
            chapters,
            profile=options.profile,
            dataset=options.dataset,
            build_dir=options.build,
            again=options.again,
            on_chapter=on_chapter,
            on_cell=on_cell,
        )
    if options.record_minutes:
        execution.record_minutes(finished)
    print(f"\n{results.comparison_table()}\n\n{finished.summary}")
    print(f"Open {options.build / 'index.html'}")
    return 0 if finished.passed else 1


def student(options: argparse.Namespace) -> int:
    """Write the edition to hand out to students."""
    from edgelab.course import release

    print(release.write(options.out))
    return 0


def slides(options: argparse.Namespace) -> int:
    """Write slides of the executed chapters."""
    from edgelab.course import slides

    for title, count in slides.write_all(options.build).items():
        print(f"{title:30} {count:3} slides")
    print(f"Open {options.build / 'slides' / 'index.html'}")
    return 0


def site(options: argparse.Namespace) -> int:
    """Write the executed chapters as a site."""
    from edgelab.course import website

    print(f"{website.write_site(options.build)} chapters. Open {options.build / 'site' / 'index.html'}")
    return 0


def grade(options: argparse.Namespace) -> int:
    """Grade a folder of submitted notebooks."""
    from edgelab.grading import grade as grading
    from edgelab.grading.answers import Limits

    limits = Limits(options.cpu_s, options.wall_s, options.memory_mb << 20)
    total = len(grading.find_submissions(options.folder))
    with tqdm(total=total, unit="notebook", disable=None, leave=False) as bar:
        grades = grading.grade(
            options.folder,
            options.out,
            jobs=options.jobs,
            limits=limits,
            trusted=options.trust_submissions,
            on_submission=lambda submission: bar.update(),
        )
    print(grades)
    return 0


def board(options: argparse.Namespace) -> int:
    """Put the results of a class into one table and plot."""
    from edgelab.course import class_board

    print(class_board.write(options.folder, options.out))
    return 0


def lab(options: argparse.Namespace) -> int:
    """Open JupyterLab on the first notebook, with whatever options it takes."""
    # By default only the first notebook's folder is served, and links to docs/ would lead nowhere.
    served = ["notebooks/00_start_here.ipynb", f"--ServerApp.root_dir={artifacts.PROJECT_ROOT}"]
    command = [sys.executable, "-m", "jupyterlab", *served, *options.jupyter]
    env = {**os.environ, **lab_settings()}
    return subprocess.run(command, cwd=artifacts.PROJECT_ROOT, env=env).returncode


def lab_settings() -> dict[str, str]:
    """Environment of a JupyterLab that shows Markdown as a page and asks for no news; users' settings win."""
    paths = [
        str(Path(__file__).parent / "course" / "web" / "jupyter"),
        os.environ.get("JUPYTER_CONFIG_PATH", ""),
    ]
    return {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line as a namespace; `command` is the function to call."""
    parser = argparse.ArgumentParser(prog="python -m edgelab", description="Edge AI Acceleration Workbook")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("check", help="print what this machine has").set_defaults(command=check)
    commands.add_parser("targets", help="print what every accelerator can do here").set_defaults(
        command=targets
    )
    commands.add_parser("progress", help="print which exercises are solved").set_defaults(command=progress)
    commands.add_parser("lab", help="open JupyterLab, with its own options").set_defaults(command=lab)
    handout = commands.add_parser("student", help="write the students' edition, without solutions")
    handout.set_defaults(command=student)
    handout.add_argument("--out", type=Path, default=execution.BUILD_DIR / "student", help="where it goes")
    for name, command, text in (
        ("slides", slides, "write slides of the executed chapters into build/slides"),
        ("site", site, "write a site of the executed chapters into build/site"),
    ):
        writer = commands.add_parser(name, help=text)
        writer.set_defaults(command=command)
        writer.add_argument("--build", type=Path, default=execution.BUILD_DIR, help="where the chapters are")
    grader = commands.add_parser("grade", help="grade a folder of submitted notebooks")
    grader.set_defaults(command=grade)
    grader.add_argument("folder", type=Path, help="notebooks, or a folder of notebooks per student")
    grader.add_argument(
        "--out", type=Path, default=execution.BUILD_DIR / "grades", help="where the table goes"
    )
    grader.add_argument(
        "--jobs", type=int, default=0, help="submissions at once; one per processor by default"
    )
    grader.add_argument("--cpu-s", type=int, default=10, help="processor time of one exercise, in seconds")
    grader.add_argument("--wall-s", type=float, default=40.0, help="time of one exercise on the clock")
    grader.add_argument("--memory-mb", type=int, default=2048, help="memory of one exercise")
    grader.add_argument(
        "--trust-submissions", action="store_true", help="run them unprotected, where you have read them all"
    )
    boarder = commands.add_parser("board", help="put a class's results into one table and plot")
    boarder.set_defaults(command=board)
    boarder.add_argument("folder", type=Path, help="results.jsonl files, named after their students")
    boarder.add_argument("--out", type=Path, default=execution.BUILD_DIR / "board", help="where it goes")
    runner = commands.add_parser("run", help="execute the chapters into build/")
    runner.set_defaults(command=run)
    runner.add_argument("--only", default="", help="chapters, such as 04,08; all by default")
    runner.add_argument("--profile", choices=sorted(execution.TIME_LIMITS_S), default="fast")
    runner.add_argument(
        "--dataset", default="", help="a name, folder or archive; the profile's own by default"
    )
    runner.add_argument("--build", type=Path, default=execution.BUILD_DIR, help="where everything goes")
    runner.add_argument("--again", action="store_true", help="execute also what has not changed")
    runner.add_argument("--record-minutes", action="store_true", help="keep the times in data/minutes.json")
    options, options.jupyter = parser.parse_known_args(arguments)
    if options.jupyter and options.command is not lab:
        parser.error(f"unrecognized arguments: {' '.join(options.jupyter)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run one command; an error made on purpose is printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # a console may lack the marks used in tables
    options = parse(arguments)
    try:
        return options.command(options)
    except EdgelabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Everything finished so far is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
