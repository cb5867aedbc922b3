"""The checks of chapter 11: zeros, two of four, clusters, channels of a block, a cut, a teacher's answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgelab.exercises.registry import Mistake, exercise
from edgelab.texts import tr

# Shape of a kernel, and the share of its weights that goes: a whole number of them each time.
MASKS = (((1, 1, 8, 4), 0.25), ((1, 1, 16, 5), 0.8), ((3, 3, 2, 10), 0.5), ((40,), 0.9), ((1, 1, 4, 4), 0.0))


def smallest_mask(weights: np.ndarray, share: float) -> np.ndarray:
    """Which weights stay: False for the given share of them, those nearest to zero.

    Args:
        weights: of any shape.
        share: 0 to 1; this part of the weights, rounded to a whole number, is taken out.

    Returns:
        Booleans of the shape of `weights`.
    """
    mask = np.ones(weights.size, bool)
    order = np.argsort(np.abs(weights), axis=None)
    mask[order[: round(share * weights.size)]] = False
    return mask.reshape(weights.shape)


def two_of_four_mask(kernel: np.ndarray) -> np.ndarray:
    """Which weights stay when, of every four neighbouring input channels, the two largest do.

    The pattern of NVIDIA's sparse tensor cores: Mishra et al. 2021, "Accelerating sparse deep neural
    networks".

    Args:
        kernel: `[height, width, inputs, outputs]`, inputs a multiple of 4.
    """
    groups = np.abs(kernel).reshape(*kernel.shape[:2], -1, 4, kernel.shape[3])
    ranks = groups.argsort(axis=3).argsort(axis=3)
    return (ranks >= 2).reshape(kernel.shape)


def clustered(weights: np.ndarray, count: int = 16, rounds: int = 30) -> np.ndarray:
    """The weights, each replaced by the nearest of at most `count` values that k-means found.

    Han et al. 2015, "Deep compression": centres begin evenly spaced, which keeps the few large weights.
    """
    flat = weights.ravel()
    centres = np.linspace(flat.min(), flat.max(), count)
    for _ in range(rounds):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, flat)
        sums, members = np.bincount(nearest, flat, count), np.bincount(nearest, minlength=count)
        centres = np.where(members > 0, sums / np.maximum(members, 1), centres)
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, flat)
    return centres[nearest].reshape(weights.shape).astype(weights.dtype)


def best_cut(times_us: Sequence[float], cuts: Sequence[int]) -> int:
    """The cut with which the slower of two parts is fastest.

    Args:
        times_us: of each operator, in order.
        cuts: operators after which a cut is possible.
    """
    total = sum(times_us)
    return min(cuts, key=lambda cut: max(sum(times_us[: cut + 1]), total - sum(times_us[: cut + 1])))


def cut_block(block: Mapping[str, list[np.ndarray]], kept: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The weights of an inverted residual with only the `kept` of its expanded channels.

    A channel is an output of the expansion, a channel of both normalisations and of the depthwise
    convolution, and an input of the projection; where one of them kept it, shapes would not fit.

    Args:
        block: for each of `BLOCK_LAYERS`, its arrays: kernels `[height, width, inputs, outputs]`, the
            depthwise one `[height, width, channels, 1]`, and four vectors `[channels]` for a normalisation.
        kept: numbers of the channels that stay.
    """
    return {
        "expand": [block["expand"][0][..., kept]],
        "expand_bn": [values[kept] for values in block["expand_bn"]],
        "depthwise": [block["depthwise"][0][:, :, kept]],
        "depthwise_bn": [values[kept] for values in block["depthwise_bn"]],
        "project": [block["project"][0][:, :, kept]],
    }


def softened(logits: np.ndarray, temperature: float) -> np.ndarray:
    """The softmax of logits divided by a temperature, of each row (Hinton et al. 2015).

    Args:
        logits: `[pictures, classes]`, of any size.
        temperature: above 0; the higher, the more alike the answers.
    """
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _weights(seed: int, *shape: int) -> np.ndarray:
    """Mostly small weights, some large, as trained networks have them; half of them negative."""
    return np.random.default_rng(seed).laplace(0.0, 0.1, shape)


def _as_mask(answer: object, weights: np.ndarray) -> np.ndarray:
    """The answer as Booleans of the weights' shape."""
    mask = np.asarray(answer)
    if mask.shape != weights.shape:
        raise Mistake(
            tr("weights of shape {shape}: got a mask of shape {got}", shape=weights.shape, got=mask.shape),
            tr("A mask has an entry for every weight, so it has their shape."),
        )
    if not np.isin(mask, (0, 1)).all():
        raise Mistake(
            tr("the mask holds {got}", got=np.unique(mask)[:4].tolist()),
            tr("Return the mask, True and False, not the weights themselves."),
        )
    return mask.astype(bool)


@exercise(
    "11.1",
    tr("A mask of the smallest weights"),
    hints=(
        tr("Small means near to zero: it is the absolute value that counts."),
        tr("np.argsort(np.abs(weights), axis=None) gives their places, smallest first, counted flat."),
        tr("Begin with a flat array of True, put False at the first round(share * size) places, reshape."),
    ),
    read=tr("the section “Zeros” of this chapter"),
)
def check_smallest(answer: Callable[[np.ndarray, float], np.ndarray]) -> None:
    """True where a weight stays, False for the given share of them that are nearest to zero."""
    for seed, (shape, share) in enumerate(MASKS):
        weights = _weights(seed, *shape)
        mask = _as_mask(answer(weights.copy(), share), weights)
        gone, expected = int((~mask).sum()), round(share * weights.size)
        size = np.abs(weights)
        if gone == expected and (gone == 0 or size[~mask].max() <= size[mask].min()):
            continue
        hint = ""
        if gone == weights.size - expected:
            hint = tr("The mask says what stays: True for the large ones.")
        elif gone == expected and weights[~mask].max() <= weights[mask].min():
            hint = tr("A large negative weight matters as much: compare absolute values.")
        elif gone != expected:
            hint = tr("The share is a part of the number of weights, not of their largest value.")
        raise Mistake(
            tr(
                "{count} weights, share {share}: {expected} should go, {gone} went, the largest {size}",
                count=weights.size,
                share=share,
                expected=expected,
                gone=gone,
                size=round(float(size[~mask].max()), 4) if gone else tr("none"),
            ),
            hint,
        )


KERNELS = ((1, 1, 8, 3), (1, 1, 12, 5), (3, 2, 4, 2), (1, 1, 32, 1))


@exercise(
    "11.2",
    tr("Two of four"),
    hints=(
        tr("Four neighbours lie along axis 2: reshape it into groups of 4, then rank within each group."),
        tr("kernel.reshape(height, width, inputs // 4, 4, outputs) has the groups; argsort along axis 3."),
        tr("argsort twice gives the rank of each of the four, 0 to 3: those of rank 2 and 3 stay."),
    ),
    read=tr("the section “Two of four” of this chapter"),
)
def check_two_of_four(answer: Callable[[np.ndarray], np.ndarray]) -> None:
    """True where a weight stays: the two largest of every four neighbouring input channels."""
    for seed, shape in enumerate(KERNELS):
        kernel = _weights(10 + seed, *shape)
        mask = _as_mask(answer(kernel.copy()), kernel)
        expected = _two_largest(np.abs(kernel), axis=2)
        if np.array_equal(mask, expected):
            continue
        hint = ""
        if np.array_equal(mask, ~expected):
            hint = tr("The mask says what stays: the two large ones.")
        elif np.array_equal(mask, _two_largest(kernel, axis=2)):
            hint = tr("A large negative weight matters as much: compare absolute values.")
        elif int(mask.sum()) != int(expected.sum()):
            hint = tr("Exactly two of every four stay, so half of the kernel.")
        else:
            hint = tr("The four are neighbours along the input channels, axis 2, for each output alone.")
        raise Mistake(
            tr(
                "kernel of shape {shape}, first four weights {weights}: expected {expected}, got {got}",
                shape=shape,
                weights=np.round(kernel[0, 0, :4, 0], 3).tolist(),
                expected=expected[0, 0, :4, 0].astype(int).tolist(),
                got=mask[0, 0, :4, 0].astype(int).tolist(),
            ),
            hint,
        )


def _two_largest(size: np.ndarray, axis: int) -> np.ndarray:
    """True at the two largest of every four neighbours along an axis."""
    groups = np.moveaxis(size, axis, -1)
    ranks = groups.reshape(*groups.shape[:-1], -1, 4).argsort(-1).argsort(-1)
    return np.moveaxis((ranks >= 2).reshape(groups.shape), -1, axis)


# Shape of a kernel, number of values.
CLUSTERS = (((1, 1, 40, 30), 16), ((1, 1, 50, 20), 4), ((3, 3, 8, 20), 8))
MOST_ERROR = 1.1  # times that of twenty rounds of k-means


@exercise(
    "11.3",
    tr("Sixteen values"),
    hints=(
        tr("In turn: each weight goes to its nearest centre, each centre to the mean of its weights."),
        tr("np.abs(flat[:, np.newaxis] - centres).argmin(axis=1) is the number of the nearest centre."),
        tr("A centre to which no weight came keeps its place; after the rounds return centres[nearest]."),
    ),
    read=tr("the section “Sixteen values” of this chapter"),
)
def check_clustered(answer: Callable[..., np.ndarray]) -> None:
    """The weights, each replaced by one of few values, chosen by k-means."""
    for seed, (shape, count) in enumerate(CLUSTERS):
        weights = 0.3 + _weights(20 + seed, *shape)  # mirrored centres would not do
        got = np.asarray(answer(weights.copy(), count), np.float64)
        what = tr("{size} weights, {count} values", size=weights.size, count=count)
        if got.shape != weights.shape:
            raise Mistake(
                what + ": " + tr("got the shape {shape}", shape=got.shape),
                tr("Every weight is replaced by its centre: the shape stays."),
            )
        if not np.isfinite(got).all():
            raise Mistake(
                what + ": " + tr("some are not numbers"),
                tr("The mean of no weights at all is nan: leave an empty centre where it is."),
            )
        found = len(np.unique(got.round(9)))
        if not 1 < found <= count:
            raise Mistake(
                what + ": " + tr("{found} different values are there", found=found),
                tr("Each weight takes the value of its centre, and there are count centres."),
            )
        _check_error(what, weights, got, count)


def _check_error(what: str, weights: np.ndarray, got: np.ndarray, count: int) -> None:
    start = np.linspace(weights.min(), weights.max(), count)
    error = float(np.mean((got - weights) ** 2))
    limit = MOST_ERROR * _error(weights, _moved(weights, start, rounds=20))
    if error <= limit:
        return
    nearest = _error(weights, np.unique(got))
    hint = tr("Move the centres again and again: at least 20 rounds of both steps.")
    if np.isclose(error, _error(weights, start), rtol=1e-6):
        hint = tr("These are the centres of the start: let each move to the mean of its weights.")
    elif error > 1.001 * nearest:
        hint = tr("Some weights take a centre that is not their nearest.")
    raise Mistake(
        what
        + ": "
        + tr("the mean squared error is {error:.3g}, and {limit:.3g} is possible", error=error, limit=limit),
        hint,
    )


def _error(weights: np.ndarray, centres: np.ndarray) -> float:
    """Mean squared distance of the weights to the nearest centre."""
    return float((np.abs(weights.reshape(-1, 1) - centres).min(axis=1) ** 2).mean())


def _moved(weights: np.ndarray, centres: np.ndarray, rounds: int) -> np.ndarray:
    flat = weights.ravel()
    for _ in range(rounds):
        nearest = np.abs(flat[:, np.newaxis] - centres).argmin(axis=1)
        centres = np.array([
            flat[nearest == number].mean() if (nearest == number).any() else centre
            for number, centre in enumerate(centres)
        ])  # fmt: skip
    return centres


# Inputs, expanded channels, outputs, and the channels that stay.
BLOCKS = ((4, 12, 6, (0, 3, 4, 11)), (8, 16, 8, (1, 2, 15)), (3, 8, 5, (7, 0, 2)), (8, 8, 8, (2, 3, 5, 6)))


def _block(seed: int, inputs: int, expanded: int, outputs: int) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(30 + seed)
    return {
        "expand": [rng.normal(size=(1, 1, inputs, expanded))],
        "expand_bn": [rng.normal(size=expanded) for _ in range(4)],
        "depthwise": [rng.normal(size=(3, 3, expanded, 1))],
        "depthwise_bn": [rng.normal(size=expanded) for _ in range(4)],
        "project": [rng.normal(size=(1, 1, expanded, outputs))],
    }


AXES = {"expand": 3, "expand_bn": 0, "depthwise": 2, "depthwise_bn": 0, "project": 2}


@exercise(
    "11.4",
    tr("A channel leaves everywhere"),
    hints=(
        tr("Follow one channel: who makes it, who scales it, who filters it, who reads it?"),
        tr("It is an output of expand (the last axis), and an input of project (axis 2)."),
        tr('{"expand": [block["expand"][0][..., kept]], "project": [block["project"][0][:, :, kept]], …}'),
    ),
    read=tr("the section “Fewer channels” of this chapter"),
)
def check_cut(answer: Callable[[dict, np.ndarray], dict]) -> None:
    """The arrays of a block with only some of its expanded channels."""
    for seed, (inputs, expanded, outputs, stay) in enumerate(BLOCKS):
        block, kept = _block(seed, inputs, expanded, outputs), np.array(stay)
        given = {layer: [array.copy() for array in arrays] for layer, arrays in block.items()}
        got = answer(given, kept)
        if not isinstance(got, dict) or set(got) != set(block):
            raise Mistake(
                tr("expected the layers {layers}", layers=", ".join(block)),
                tr("Return a dictionary with the same five names."),
            )
        for layer, arrays in block.items():
            _check_layer(layer, arrays, got[layer], kept)


def _check_layer(layer: str, arrays: list[np.ndarray], got: list[np.ndarray], kept: np.ndarray) -> None:
    if not isinstance(got, list | tuple) or len(got) != len(arrays):
        raise Mistake(
            tr("{layer}: expected {count} arrays in a list", layer=layer, count=len(arrays)),
            tr("A normalisation has four arrays, a convolution one; all of them stay in their list."),
        )
    for before, after in zip(arrays, map(np.asarray, got), strict=True):
        expected = before.take(kept, axis=AXES[layer])
        if after.shape == expected.shape and np.allclose(after, expected):
            continue
        if after.shape == before.shape:
            hint = tr("This layer has all its channels still: the next one would not fit.")
        elif after.shape == expected.shape:
            hint = tr("The number is right, but these are other channels than those in kept.")
        else:
            hint = tr("It is another axis on which this layer has the channel.")
        raise Mistake(
            tr(
                "{layer}: from {before} to {expected} with kept={kept}, got {got}",
                layer=layer,
                before=before.shape,
                expected=expected.shape,
                kept=kept.tolist(),
                got=after.shape,
            ),
            hint,
        )


# Times of operators, and the places where a cut is possible: one of them is best, by far enough.
CUTS = (
    ((4.0, 1.0, 1.0, 5.0, 1.0), (0, 1, 2, 3)),
    ((1.0, 1.0, 1.0, 9.0), (0, 2)),
    ((9.0, 1.0, 1.0, 1.0), (1, 2)),
    ((2.0, 7.0, 1.0, 3.0, 4.0, 2.0), (1, 4)),
    ((3.0, 3.0, 3.0, 1.0, 1.0, 1.0, 2.0), (0, 3, 5)),
    ((5.0, 6.0), (0,)),
)


@exercise(
    "11.5",
    tr("Where to cut"),
    hints=(
        tr("For each possible cut: the time up to it, with its own operator, and the time of the rest."),
        tr("Of each pair only the larger one counts; choose the cut whose larger one is smallest."),
        tr("min(cuts, key=lambda cut: max(sum(times_us[: cut + 1]), sum(times_us[cut + 1 :])))"),
    ),
    read=tr("the section “Split in two” of this chapter"),
)
def check_best_cut(answer: Callable[[Sequence[float], Sequence[int]], int]) -> None:
    """The cut with which the slower of two parts is fastest."""
    for times_us, cuts in CUTS:
        slower = {cut: max(sum(times_us[: cut + 1]), sum(times_us[cut + 1 :])) for cut in cuts}
        got = answer(list(times_us), list(cuts))
        if got not in slower:
            raise Mistake(
                tr("times {times}, cuts {cuts}: got {got!r}", times=times_us, cuts=cuts, got=got),
                tr("Return one of cuts: the number of the operator after which to cut."),
            )
        best = min(slower, key=slower.__getitem__)
        if slower[got] > slower[best]:
            raise Mistake(
                tr(
                    "times {times}, cuts {cuts}: slower part {least} if cut after {best}, {more} after {got}",
                    times=times_us,
                    cuts=cuts,
                    least=slower[best],
                    best=best,
                    more=slower[got],
                    got=got,
                ),
                _cut_hint(times_us, cuts, got),
            )


def _cut_hint(times_us: Sequence[float], cuts: Sequence[int], got: int) -> str:
    before = {cut: sum(times_us[:cut]) for cut in cuts}
    total = sum(times_us)
    if got == min(cuts, key=lambda cut: max(before[cut], total - before[cut])):
        return tr("The operator of the cut itself belongs to the first part: times_us[: cut + 1].")
    if got == min(cuts, key=lambda cut: abs(cut + 1 - len(times_us) / 2)):
        return tr("Halve the time, not the number of operators.")
    return tr("The slower part sets the pace: make the larger of both times as small as possible.")


# Logits, and a temperature: few and many classes, large ones of which np.exp alone makes infinity.
LOGITS = (
    (((2.0, 1.0, 0.0),), 1.0),
    (((2.0, 1.0, 0.0), (-3.0, 0.5, 4.0)), 4.0),
    (((0.0, 0.0), (5.0, -5.0), (1.0, 2.0)), 2.0),
    (((1000.0, 990.0, 0.0), (-1000.0, -999.0, -1200.0)), 0.5),
)


@exercise(
    "11.6",
    tr("Softer answers"),
    hints=(
        tr("First divide by the temperature; then np.exp; then each row by its sum."),
        tr("The same number taken from a whole row changes nothing: the sum shrinks alike."),
        tr("scaled - scaled.max(axis=1, keepdims=True), and sum(axis=1, keepdims=True) after np.exp"),
    ),
    read=tr("the section “A teacher” of this chapter"),
)
def check_softened(answer: Callable[[np.ndarray, float], np.ndarray]) -> None:
    """Softmax of logits divided by a temperature, row by row, without overflow."""
    for rows, temperature in LOGITS:
        logits = np.array(rows)
        expected = softened(logits, temperature)
        with np.errstate(all="ignore"):
            got = np.asarray(answer(logits.copy(), temperature), float)
        if got.shape != expected.shape or not np.allclose(got, expected, atol=1e-6):
            raise Mistake(
                tr(
                    "logits {logits}, temperature {temperature}: expected {expected}, got {got}",
                    logits=logits.tolist(),
                    temperature=temperature,
                    expected=np.round(expected, 3).tolist(),
                    got=np.round(got, 3).tolist(),
                ),
                _softening_hint(logits, temperature, got),
            )


def _softening_hint(logits: np.ndarray, temperature: float, got: np.ndarray) -> str:
    if got.shape != logits.shape:
        return tr("Each logit becomes a number: the shape stays.")
    if not np.isfinite(got).all():
        return tr("np.exp became infinite, or all of a row zero: subtract the largest of each row before it.")
    for other, hint in (
        (softened(logits, 1.0), tr("This is the softmax without a temperature.")),
        (softened(logits, 1 / temperature), tr("Divide by the temperature: it must make answers softer.")),
        (softened(logits, 1.0) / temperature, tr("The logits are divided, not the probabilities.")),
    ):
        if np.allclose(got, other, atol=1e-6):
            return hint
    if not np.allclose(got.sum(axis=1), 1):
        return tr("The numbers of each row add up to 1: sum along axis 1, with keepdims=True.")
    return tr("np.exp(logits / temperature), each row divided by its own sum.")
