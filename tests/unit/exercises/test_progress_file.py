"""The progress file."""

import json
import multiprocessing
import os

from exercise_77 import guess_and_reveal, recorded

from edgelab import display, exercises
from edgelab.__main__ import main
from edgelab.exercises import progress_file


def test_a_damaged_progress_file_starts_afresh(own_progress):
    (own_progress / "progress.json").write_text('{"exercises": [1')
    assert exercises.check("77.1", lambda x: 2 * x).passed
    assert recorded()["state"] == "solved"


def record_many(folder, name):
    os.environ["EDGELAB_ARTIFACTS"] = folder
    for number in range(40):
        progress_file.record_try(f"{name}.{number}", "solved")
        progress_file.record_try("shared", "wrong")


def test_two_kernels_at_once_lose_nothing(own_progress):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=record_many, args=(str(own_progress), name)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    record = json.loads((own_progress / "progress.json").read_text())["exercises"]
    assert len(record) == 81 and record["shared"]["failed_tries"] == 80


def test_progress_counts_what_the_student_solved():
    exercises.check("77.1", lambda x: 2 * x)
    progress = exercises.progress()
    row = progress.frame.set_index("exercise").loc["77.1"]
    assert row["state"] == "solved" and progress.solved == 1
    assert str(progress).startswith("1 of ") and "✓ Solved" in progress._repr_html_()


def test_progress_as_text_has_a_line_per_chapter(capsys):
    exercises.check("00.1", 32 * 32 * 27 * 16)
    guess_and_reveal("00.macs", 50, 442, own=60, low=0, high=1000)
    guess_and_reveal("04.size", 50, 27, low=0, high=100)
    assert main(["progress"]) == 0
    lines = capsys.readouterr().out.splitlines()[-1 - len(display.chapters()) :]
    assert lines[0].split() == ["00", "Start", "here", "1", "solved", "0", "open", "1", "guesses"]
    quantize = next(line for line in lines if line.startswith("04"))
    assert "0 solved" in quantize and "0 guesses" in quantize
    assert lines[-1].startswith("1 of ") and lines[-1].endswith(", 1 guess checked")
