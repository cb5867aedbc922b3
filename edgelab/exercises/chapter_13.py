"""The checks of chapter 13: a threshold for a cascade, warm models, tiles with a halo.

Those of the load, 13.1 to 13.3, are in `chapter_13_load`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgelab.exercises.chapter_13_load import arrivals, highest_rate, open_loop
from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

__all__ = ["arrivals", "choose_threshold", "highest_rate", "open_loop", "tile_spans", "warm_models"]


def choose_threshold(
    confidence: np.ndarray,
    small_right: np.ndarray,
    large_right: np.ndarray,
    thresholds: Sequence[float],
    least: float,
) -> float:
    """The first threshold with which a cascade is right often enough; the last where none is.

    Args:
        confidence: of the small network in each picture, 0 to 1.
        small_right, large_right: whether each network was right, Booleans.
        thresholds: rising; below it a picture goes on to the large network.
        least: the wanted share of right answers, 0 to 1.
    """
    for threshold in thresholds:
        right = np.where(confidence >= threshold, small_right, large_right)
        if right.mean() >= least:
            return threshold
    return thresholds[-1]


def warm_models(load: Callable[[str], tuple[Any, int]], budget_bytes: int) -> Callable[[str], Any]:
    """A function that gives a model by name, and keeps those used last as far as the budget goes.

    Args:
        load: gives a model and its size in bytes.
        budget_bytes: what may be kept after each request.
    """
    kept: dict[str, tuple[Any, int]] = {}

    def get(name: str) -> Any:
        model, size = kept.pop(name) if name in kept else load(name)
        kept[name] = model, size  # last in the dictionary: used last
        while sum(size for _, size in kept.values()) > budget_bytes:
            del kept[next(iter(kept))]
        return model

    return get


def tile_spans(length: int, tile: int, halo: int) -> list[tuple[int, int, int, int]]:
    """Along one side of a picture: what each tile reads, and what of it counts.

    Args:
        length: of the side, in pixels.
        tile: pixels that count, in each tile; the last may have fewer.
        halo: pixels read beyond on each side, where there are any.

    Returns:
        For each tile, in order: first and end of what it reads, first and end of what counts.
    """
    spans = []
    for first in range(0, length, tile):
        end = min(first + tile, length)
        spans.append((max(0, first - halo), min(length, end + halo), first, end))
    return spans


def _answers(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence in hundredths, the small network right as often as it is sure, the large in nine of ten."""
    rng = np.random.default_rng(160 + seed)
    confidence = np.round(rng.uniform(0.2, 1.0, count), 2)
    return confidence, rng.random(count) < confidence, rng.random(count) < 0.92


def _cascade_accuracy(
    confidence: np.ndarray, small: np.ndarray, large: np.ndarray, threshold: float
) -> float:
    sure = confidence >= threshold
    return (int(small[sure].sum()) + int(large[~sure].sum())) / len(confidence)


THRESHOLDS = (*(round(0.05 * step, 2) for step in range(21)), 1.01)


@exercise(
    "13.4",
    tr("A threshold"),
    hints=(
        tr("For one threshold: who answers each picture, and how often is that answer right?"),
        tr("np.where(confidence >= threshold, small_right, large_right).mean() is the cascade's accuracy."),
        tr("Return the first threshold whose accuracy is at least `least`; after the loop, the last one."),
    ),
    read=tr("the section “Two networks, one answer” of this chapter"),
)
def check_threshold(answer: Callable[..., float]) -> None:
    """The first threshold with which the cascade is right often enough."""
    cases = [(seed, least) for seed in range(3) for least in (0.0, 0.7, 0.8, 0.85, 0.9, 1.0)]
    for seed, least in cases:
        confidence, small, large = _answers(seed)
        reached = [_cascade_accuracy(confidence, small, large, t) for t in THRESHOLDS]
        wanted = [*(r for r in sorted(reached) if r >= least)][:1] or [least]
        _check_choice(answer, (confidence, small, large), wanted[0], reached)
    # Two pictures just at a threshold each: sure enough is sure.
    edge = np.array(THRESHOLDS[9:11]), np.array([False, True]), np.array([True, False])
    _check_choice(answer, edge, 1.0, [_cascade_accuracy(*edge, t) for t in THRESHOLDS])


def _check_choice(
    answer: Callable[..., float],
    pictures: tuple[np.ndarray, np.ndarray, np.ndarray],
    least: float,
    reached: list[float],
) -> None:
    enough = [t for t, accuracy in zip(THRESHOLDS, reached, strict=True) if accuracy >= least]
    expected = enough[0] if enough else THRESHOLDS[-1]
    got = answer(*(values.copy() for values in pictures), list(THRESHOLDS), least)
    if isinstance(got, int | float | np.number) and np.isclose(float(got), expected):
        return
    confidence, small, large = pictures
    hint = ""
    if not isinstance(got, int | float | np.number) or got not in THRESHOLDS:
        hint = tr("Return one of the thresholds that were handed in.")
    elif not enough:
        hint = tr(
            "No threshold is enough here: return the last one, with which the large network answers all."
        )
    elif reached[THRESHOLDS.index(got)] < least:
        turned = [t for t in THRESHOLDS if _cascade_accuracy(confidence, large, small, t) >= least]
        hint = (
            tr("The small network answers where it is sure: at the threshold or above.")
            if got == (turned or THRESHOLDS[-1:])[0]
            else tr("With that threshold the cascade is right too seldom.")
        )
    elif got > expected:
        hint = tr("A lower threshold is enough, and sends fewer pictures to the large network.")
    raise Mistake(
        tr(
            "at least {least:.4f} right: expected the threshold {expected}, got {got}",
            least=least,
            expected=expected,
            got=got,
        ),
        hint,
    )


SIZES = {"a": 40, "b": 30, "c": 20, "d": 10, "e": 100}
# Budget, and the models asked for, in order.
REQUESTS = (
    (100, "abcabcdd"),
    (70, "abacabcb"),
    (60, "abcdabcdcc"),
    (50, "aabbaabcdcd"),
    (0, "aabb"),
    (200, "abcdeabcde"),
    (90, "abceabc"),
    (100, "aeaebb"),
)


def _loads(budget: int, names: str) -> list[str]:
    """Which requests load, when the models used last are kept."""
    kept: list[str] = []
    loaded = []
    for name in names:
        if name in kept:
            kept.remove(name)
        else:
            loaded.append(name)
        kept.append(name)
        while sum(SIZES[one] for one in kept) > budget:
            kept.pop(0)
    return loaded


@exercise(
    "13.5",
    tr("Warm models"),
    hints=(
        tr(
            "A dictionary keeps the order in which keys were put in. Taken out and put in again, one is last."
        ),
        tr("Is it kept? Then no load. Either way it becomes the last. Then drop from the front."),
        tr("While sum(size for _, size in kept.values()) > budget_bytes: del kept[next(iter(kept))]"),
    ),
    read=tr("the section “Warm models” of this chapter"),
)
def check_warm_models(answer: Callable[..., Callable[[str], Any]]) -> None:
    """Models used last are kept, as many as the budget allows."""
    for budget, names in REQUESTS:
        loaded: list[str] = []

        def load(name: str, loaded=loaded) -> tuple[str, int]:
            loaded.append(name)
            return f"model {name}", SIZES[name]

        get = answer(load, budget)
        if not callable(get):
            raise Mistake(
                tr("got {got!r}", got=get), tr("Return the inner function get, without calling it.")
            )
        given = [get(name) for name in names]
        if given != [f"model {name}" for name in names]:
            raise Mistake(
                tr("asked for {asked!r}, got {got!r}", asked=names[0], got=given[0]),
                tr("get(name) returns the model alone, also when it cannot be kept."),
            )
        expected = _loads(budget, names)
        if loaded != expected:
            raise Mistake(
                tr(
                    "budget {budget}, sizes {sizes}, asked for {names}: expected loads {expected}, got {got}",
                    budget=budget,
                    sizes={name: SIZES[name] for name in sorted(set(names))},
                    names=" ".join(names),
                    expected=" ".join(expected),
                    got=" ".join(loaded),
                ),
                _hint_for_loads(budget, names, loaded, expected),
            )


def _hint_for_loads(budget: int, names: str, loaded: list[str], expected: list[str]) -> str:
    if loaded == list(names):
        return tr("Every request loads here: what is kept need not be loaded again.")
    if loaded == list(dict.fromkeys(names)):
        return tr(
            "Nothing is ever dropped here: after each request the sizes kept may not exceed the budget."
        )
    if loaded == _first_in_first_out(budget, names):
        return tr("The one *loaded* longest ago goes here; it should be the one *used* longest ago.")
    if len(loaded) > len(expected):
        return tr("Drop no more than needed: what fits exactly may stay.")
    return ""


def _first_in_first_out(budget: int, names: str) -> list[str]:
    kept: list[str] = []
    loaded = []
    for name in names:
        if name not in kept:
            loaded.append(name)
            kept.append(name)
        while sum(SIZES[one] for one in kept) > budget:
            kept.pop(0)
    return loaded


SIDES = ((640, 160, 16), (100, 30, 8), (64, 64, 12), (65, 16, 0), (10, 40, 3), (96, 32, 40))


@exercise(
    "13.6",
    tr("Tiles with a halo"),
    hints=(
        tr("range(0, length, tile) gives the first pixel that counts in each tile."),
        tr("What counts ends a tile further, or at the end of the picture."),
        tr("It reads from max(0, first - halo) to min(length, end + halo)."),
    ),
    read=tr("the section “A large picture in tiles” of this chapter"),
)
def check_tiles(answer: Callable[[int, int, int], Sequence[Sequence[int]]]) -> None:
    """What each tile along a side reads, and what of it counts."""
    for length, tile, halo in SIDES:
        got = [tuple(int(edge) for edge in span) for span in answer(length, tile, halo)]
        expected = [
            (max(0, at - halo), min(length, at + tile + halo), at, min(length, at + tile))
            for at in range(0, length, tile)
        ]
        if got == expected:
            continue
        raise Mistake(
            tr(
                "length {length}, tile {tile}, halo {halo}: expected {expected}, got {got}",
                length=length,
                tile=tile,
                halo=halo,
                expected=expected[:3],
                got=got[:3],
            ),
            _hint_for_tiles(got, expected, length),
        )


def _hint_for_tiles(
    got: list[tuple[int, ...]], expected: list[tuple[int, int, int, int]], length: int
) -> str:
    if any(len(span) != 4 for span in got):
        return tr("Four numbers a tile: first and end of what it reads, first and end of what counts.")
    if len(got) != len(expected):
        return tr("Begin a tile every `tile` pixels until the picture ends; the last may be smaller.")
    if any(span[0] < 0 or span[1] > length for span in got):
        return tr("There are no pixels beyond the picture: stop at 0 and at length.")
    if any(span[3] > length for span in got):
        return tr("What counts ends with the picture, too.")
    if [span[2:] for span in got] == [span[:2] for span in expected]:
        return tr("First what it reads, then what counts.")
    if [span[2:] for span in got] == [span[2:] for span in expected]:
        return tr("The halo lies on both sides of what counts.")
    return ""
