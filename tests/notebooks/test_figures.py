"""Every figure of the course can be read by all; `figure_rules.py` says what that takes."""

import json

import pytest

from edgelab import display

pytestmark = pytest.mark.notebook


@pytest.fixture(scope="module")
def figures(second_run):
    """What the kernels of the second run noted: chapter, alt text and findings of each figure."""
    lines = [
        line for path in second_run.figures.glob("*.jsonl") for line in path.read_text("utf-8").splitlines()
    ]
    return [json.loads(line) for line in lines]


def test_every_chapter_has_been_watched(figures):
    chapters = {f"{figure['chapter']}.ipynb" for figure in figures}
    assert chapters == {chapter["notebook"] for chapter in display.chapters()}


def test_nobody_trips_over_a_figure(figures):
    assert not [
        f"{figure['chapter']}, {figure['alt'][:60]!r}: {finding}"
        for figure in figures
        for finding in figure["findings"]
    ]
