"""No chapter states a result that the next run may contradict; `claims.py` says how sentences are judged."""

from pathlib import Path

import claims
import nbformat
import pytest

from edgelab import display

PATHS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
# Reviewed sentences that stay, by the reason why they may: cell, and how the sentence begins.
REVIEWED = {
    "a law, or arithmetic: no run can contradict it": (
        ("b1ba3764", "The nearer a memory is to the lanes,"),
        ("7900ac6c", "Switching costs nothing, since each"),
        ("b397585f", "a piece never costs less than that;"),
        ("104d0828", "intensity rises fourfold without"),
        ("104d0828", "- Layers that memory limits gain"),
        ("46f0219a", "it only reads, and the triad that gave"),
        ("cc14ec2f", "The matrix product does two thousand"),
        ("cc14ec2f", "A cable is slower:"),
        ("f696b7ce", "without it, it happens on some days"),
        ("1a6ce642", "So there is a size below which the CPU"),
        ("39b3327c", "| the CPU wins | the GPU wins |"),
        ("4c841c06", "it leaves a 2x2 map, and costs less"),
        ("67072f7d", "the error stays within half a step of"),
        ("55746540", "Cutting off doubles the largest error,"),
        ("907ac4b6", "The fix costs nothing:"),
        ("6e37d05d", "On a GPU, eight images at once are"),
        ("669ef4da", "- One foreign operator early in the"),
        ("c5cdbb48", "not one image is faster."),
        ("c5cdbb48", "a small network hardly."),
        ("81940ffd", "Not one image gets faster:"),
        ("223799d0", "*Weights* lie around zero, and lose"),
        ("1dc3470a", "Units that one image leaves idle make"),
        ("2b45d1c3", "A run that loses its processor waits"),
        ("d5b35f07", "A zero looks like a measurement, and"),
        ("ad52daa1", "An estimate is as good as the figures"),
        ("dc59995d", "An accelerator that makes inference"),
        ("6b9c3114", "Dropping does not make the model"),
        ("36085cc6", "the frame rate looks fine, and the"),
        ("933688c5", "A method that lowers one price need"),
        ("41f3d213", "Many weights are so small that they"),
        ("391c9478", "the slower one sets the pace."),
        ("ef41ca9e", "BatchNorm straight after the"),
        ("43c4e331", "A late one costs little;"),
        ("a8913585", "beyond that, looking twice costs more"),
        ("88e421c9", "a server of all sends as much as it"),
        ("62f5e322", "A network that computes little per"),
        ("c4eb98f6", "The answers are just worse."),
        ("4c5e2652", "Exactly as much as is needed is enough"),
        ("9fd38ecc", "`Sram_Only` assumes on-chip memory as"),
        ("6cedecda", "And a box is as good as it overlaps:"),
        ("bace4b05", "Lower the threshold bit by bit:"),
        ("bace4b05", "more is found (recall rises), more of"),
        ("c1caa117", "the accuracy is that of guessing, and"),
        ("c77504c4", "Swapping blue and red (OpenCV reads"),
    ),
    "published figures of other devices, with their source": (
        ("0379a8ae", "the GPU's starts higher and climbs"),
        ("a01e732b", "So it gains on large networks and"),
        ("919ae626", "three operators in the middle cut"),
        ("1ed6f19d", "One user saw a model with 85 operators"),
        ("f0417f9e", "A fourth is worse:"),
        ("084340fc", "Accelerators save energy because they"),
        ("084340fc", "The faster setting of the same chip is"),
        ("c051fff0", "the array hardly waits."),
        ("871b2ad8", "5 ms is near the smaller one"),
        ("871b2ad8", "{} at {}x{} pixels, a far smaller"),
        ("7af2a585", "Here is why the smallest network loses"),
        ("e1c100a1", "the STM32U575 is slower than the"),
        ("12aa643e", "TOPS per dollar is a poor guide alone,"),
    ),
    "quoted: what others claim or ask": (
        ("a6c048a2", "trains a smaller student"),
        ("84adefb2", "better than one network"),
        ("81d689f6", "“the GPU delegate is always faster”"),
        ("1870cdce", "loses under 2 points"),
        ("5f6c0647", '"I compiled my model and it is no'),
        ("371704bf", "*Edge TPU 3.12 ms, CPU 45.23 ms, 14.5"),
        ("c3564ee4", '*"accelerators are 10 to 50 times'),
        ("5f6dd58e", '"int8 is slower than float on my'),
        ("a6c048a2", "{} times fewer MACs, so as much faster"),
        ("a6c048a2", "better than drawing them"),
        ("da390230", '"The cascade is faster" is said of the'),
        ("84adefb2", "faster at the same accuracy"),
        ("eb3a85a3", "better than those by hand"),
        ("49244405", "loses less than 3 points"),
        ("883a125a", "an LSTM understands sentences better"),
        ("5e416b92", "- **Accuracy fell after int8."),
        ("5e416b92", "- **The accelerator is no faster."),
    ),
    "where to look, what to do, or what counts": (
        ("c11d0029", "the smallest download that loses at"),
        ("2823ce23", "a at the left, b at the top, c at the"),
        ("e78fa2ba", "Chapter 9 comes back to the roofline,"),
        ("e245425e", "A loss that falls is the sign that the"),
        ("a8ee93ad", "shorter on a GPU"),
        ("a8ee93ad", "lower on a GPU"),
        ("d0fd2bd1", "Up and left is better."),
        ("9fd43b3f", "- Layer by layer, look for the layer"),
        ("a0e5032e", '- say "faster", "slower", "a tie" or "'),
        ("a0e5032e", "- explain from the times of single"),
        ("f70684f4", "- **Wrong is worse than slow."),
        ("9c4a1df2", "Up and to the left is better."),
        ("005457c2", "queue of 2, drop the oldest"),
        ("a30e0696", "a model whose interval shows no"),
        ("663ad290", "On the Pareto front are the models"),
        ("d6b017ca", "smaller ones run well on small chips;"),
        ("e7fe5b2a", "**count for longer before you promise"),
    ),
    "a setting of an experiment, or its seeded draws: the same everywhere": (
        ("9df42c79", "A conversion that loses 4 points,"),
        ("9c326fe4", "The interval hardly ever does:"),
        ("4e5b3ed7", "bilinear, 2 times larger"),
        ("6507a271", "We take the"),
    ),
    "computed, with the number beside it": (
        ("24ada0db", "in {} layers moving data takes longer"),
        ("c84718ca", "the latter falls by {} dB at layer {},"),
    ),
}
# The same for those that stay although the results of the second run were changed: how the sentence begins.
REVIEWED_WHEN_RUN = {
    # The size of the pictures is a setting: the network of the claim takes 224 pixels.
    "09_benchmark": ("MobileNetV2 0.35 at",),
}


def in_chapter(path):
    return list(claims.in_chapter(nbformat.read(path, as_version=4).cells))


def is_reviewed(claim):
    return any(
        claim.cell == cell and claim.sentence.startswith(begin)
        for sentences in REVIEWED.values()
        for cell, begin in sentences
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_no_sentence_states_what_another_run_may_contradict(path):
    found = [f"{claim.cell}: {claim.sentence}" for claim in in_chapter(path) if not is_reviewed(claim)]
    assert not found, "compute it from the run, make it conditional, or enter it in REVIEWED with its reason"


def test_what_is_reviewed_is_still_there():
    claimed = [claim for path in PATHS for claim in in_chapter(path)]
    gone = [
        (cell, begin)
        for sentences in REVIEWED.values()
        for cell, begin in sentences
        if not any(claim.cell == cell and claim.sentence.startswith(begin) for claim in claimed)
    ]
    assert not gone, "take them out of REVIEWED"


@pytest.mark.notebook
def test_no_sentence_stays_when_the_results_change(second_run):
    files = {path.stem: path for path in second_run.figures.glob("*.claims")}
    assert {f"{name}.ipynb" for name in files} == {chapter["notebook"] for chapter in display.chapters()}
    found = {
        (name, sentence)
        for name, path in files.items()
        for sentence in path.read_text(encoding="utf-8").splitlines()
    }
    assert not {
        (name, sentence)
        for name, sentence in found
        if not any(sentence.startswith(begin) for begin in REVIEWED_WHEN_RUN.get(name, ()))
    }
