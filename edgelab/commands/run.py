"""Execute the chapters into build/."""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from edgelab import results
from edgelab.course import execution
from edgelab.errors import InputError
from edgelab.texts import tr

GROUP = "learn"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which chapters, on what data, and where everything goes."""
    parser.add_argument("--only", default="", help="chapters, such as 04,08; all by default")
    parser.add_argument("--profile", choices=sorted(execution.TIME_LIMITS_S), default="fast")
    parser.add_argument(
        "--dataset", default="", help="a name, folder or archive; the profile's own by default"
    )
    parser.add_argument("--build", type=Path, default=execution.BUILD_DIR, help="where everything goes")
    parser.add_argument("--again", action="store_true", help="execute also what has not changed")
    parser.add_argument("--record-minutes", action="store_true", help="keep the times in data/minutes.json")


def _cell_count(chapters: list[dict[str, str]]) -> int:
    import nbformat

    paths = [execution.NOTEBOOKS_DIR / chapter["notebook"] for chapter in chapters]
    return sum(len(nbformat.read(path, 4).cells) for path in paths if path.exists())


def run(options: argparse.Namespace) -> int:
    """Execute them, a line per chapter; 1 when any of them failed.

    Raises:
        InputError: minutes of another profile than the fast one are to be kept.
    """
    if options.record_minutes and options.profile != "fast":
        raise InputError(
            tr("Minutes of the {profile} profile are not kept.", profile=options.profile),
            why=tr("a chapter's header tells how long the fast one takes"),
            fix=tr("leave --profile or --record-minutes out"),
        )
    chapters = execution.select(options.only.split(",") if options.only else [])
    with tqdm(total=_cell_count(chapters), unit="cell", disable=None, leave=False) as bar:

        def on_cell(chapter: dict[str, str], index: int) -> None:
            bar.set_description(f"{chapter['number']} {chapter['title']}")
            bar.update()

        def on_chapter(record: execution.ChapterRun) -> None:
            tqdm.write(str(record))
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
    print(f"\n{results.comparison_table().brief()}\n\n{finished.summary}")
    print(f"Open {options.build / 'index.html'}")
    return 0 if finished.passed else 1
