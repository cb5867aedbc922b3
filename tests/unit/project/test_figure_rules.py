"""The rules for figures find what they are there for, and leave a good figure alone."""

import json

import matplotlib.pyplot as plt
import pytest
from figure_rules import findings, watch

from edgelab import display


@pytest.fixture
def figure():
    display.use_style()
    fig, axes = plt.subplots()
    axes.plot([1, 2, 3], [1, 5, 2], label="one")
    axes.plot([1, 2, 3], [4, 4.4, 5], label="two")
    axes.set(xlabel="time in ms", ylabel="size in kB", ylim=(0, 9))
    axes.legend(loc="upper left")
    yield fig
    plt.close(fig)


def test_a_good_figure_has_no_findings(figure):
    assert findings(figure) == []


BREAK = {
    "small: 'tiny'": lambda axes: axes.text(2, 7, "tiny", fontsize=5),
    "pale: 'faint'": lambda axes: axes.text(2, 7, "faint", color="#AAAAAA"),
    "pale: 'on blue'": lambda axes: axes.text(
        2.5, 7, "on blue", color="black", bbox={"facecolor": display.PALETTE[0], "pad": 9}
    ),
    "pale: Line2D": lambda axes: axes.plot([2, 3], [8, 8], color="#CCCCCC"),
    "overlap: 'this' and 'that'": lambda axes: [axes.text(2, 7, name) for name in ("this", "that")],
    "covered:": lambda axes: axes.set_ylim(0, 5),
    "no label: x": lambda axes: axes.set_xlabel(""),
    "colour alone: 'one' and 'two'": lambda axes: [
        [line.set_linestyle("-") for line in axes.lines],
        axes.legend(loc="upper left"),
    ],
}


@pytest.mark.parametrize("expected", BREAK)
def test_what_is_wrong_is_found(figure, expected):
    BREAK[expected](figure.axes[0])
    (finding,) = findings(figure)
    assert finding.startswith(expected)


def test_figures_shown_are_noted_with_their_chapter(figure, tmp_path, monkeypatch):
    for name in ("figure", "header"):
        monkeypatch.setattr(display, name, getattr(display, name))
    monkeypatch.setattr(display, "show_html", lambda content, plain: None)
    watch(str(tmp_path))
    display.header("04_quantize")
    figure.axes[0].set_ylabel("")
    display.figure(figure, "two lines")
    (path,) = tmp_path.glob("*.jsonl")
    noted = json.loads(path.read_text("utf-8"))
    assert (noted["chapter"], noted["alt"]) == ("04_quantize", "two lines")
    assert noted["findings"][0].startswith("no label: y")
