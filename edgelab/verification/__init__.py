"""Is the converted model as good as the original? Accuracy and outputs side by side, with a verdict.

Both models see the same images, so their accuracies move together, and the difference is known far better
than either. Only the images on which exactly one of them is right say anything about the difference; its
confidence interval is built from them, and a verdict is given only when it is clear of the threshold.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from edgelab import graph
from edgelab.errors import DataError, InputError, ModelError
from edgelab.runtime import Session, predict
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd

THRESHOLD_POINTS = 3.0
CONFIDENCE = 0.95


# ---- outputs


@dataclass(frozen=True)
class OutputError:
    """How far apart two arrays of outputs are.

    Attributes:
        max_abs: the largest difference of two values.
        mean_abs: the mean difference.
        cosine: of the angle between the arrays as vectors; 1 is the same direction. NaN if one is all zero.
        snr_db: signal-to-noise ratio, 10 log10(sum of squares / sum of squared differences); 6 dB more is
            half the error. Infinite when they are equal.
    """

    max_abs: float
    mean_abs: float
    cosine: float
    snr_db: float

    def __str__(self) -> str:
        return (
            f"SNR {self.snr_db:.1f} dB, cosine {self.cosine:.5f}, "
            f"difference at most {self.max_abs:.4f}, on average {self.mean_abs:.5f}"
        )


def output_error(reference: np.ndarray, candidate: np.ndarray) -> OutputError:
    """Compare outputs with a reference.

    Args:
        reference: real numbers, any shape.
        candidate: the same shape.

    Raises:
        InputError: another shape, or nothing to compare.
    """
    reference, candidate = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    if reference.shape != candidate.shape or not reference.size:
        raise InputError(
            tr(
                "Outputs of shapes {reference} and {candidate} cannot be compared.",
                reference=list(reference.shape),
                candidate=list(candidate.shape),
            ),
            fix=tr("run both models on the same images, at least one"),
        )
    difference = np.abs(reference - candidate)
    signal, noise = float(np.sum(reference**2)), float(np.sum(difference**2))
    norms = math.sqrt(signal * float(np.sum(candidate**2)))
    return OutputError(
        max_abs=float(difference.max()),
        mean_abs=float(difference.mean()),
        cosine=float(np.sum(reference * candidate)) / norms if norms else math.nan,
        snr_db=snr_db(signal, noise),
    )


def snr_db(signal: float, noise: float) -> float:
    """Signal-to-noise ratio in decibels, from sums of squares."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


# ---- statistics


def paired_interval(
    lost: int, gained: int, count: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Confidence interval of the accuracy lost, both models having seen the same images.

    Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data", J. Educational and Behavioral Statistics 37(4): McNemar's standard error, with one
    imaginary image added to each kind of disagreement, so that none in few images is not taken for certainty.

    Args:
        lost: images that only the reference gets right.
        gained: images that only the candidate gets right.
        count: all images.
        confidence: 0 to 1.

    Returns:
        Lower and upper bound of the loss in percentage points, -100 to 100.
    """
    centre, error = _adjusted(lost, gained, count)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return 100 * max(-1.0, centre - reach), 100 * min(1.0, centre + reach)


def _adjusted(lost: int, gained: int, count: int) -> tuple[float, float]:
    """Bonett and Price's estimate of the loss and its standard error, as fractions."""
    only_reference, only_candidate = (lost + 1) / (count + 2), (gained + 1) / (count + 2)
    centre = only_reference - only_candidate
    return centre, math.sqrt((only_reference + only_candidate - centre**2) / (count + 2))


def images_needed(
    disagreement: float, loss_points: float, threshold_points: float = THRESHOLD_POINTS
) -> float:
    """Test images for which the interval of the loss would just clear the threshold.

    Solves z * sqrt((q - d^2) / n) = |threshold - d| for n.

    Args:
        disagreement: q, the fraction of images on which exactly one model is right, 0 to 1.
        loss_points: d, the loss expected.
        threshold_points: the loss allowed.

    Returns:
        A whole number, or infinity when the loss lies on the threshold.
    """
    loss, margin = loss_points / 100, abs(threshold_points - loss_points) / 100
    if margin == 0:
        return math.inf
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    return math.ceil(z**2 * max(0.0, disagreement - loss**2) / margin**2)


def proportion_interval(right: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Confidence interval of one accuracy, 0 to 1 (Wilson 1927, the score interval).

    Args:
        right: images classified correctly.
        count: all images.
        confidence: 0 to 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / count
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - reach, centre + reach


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, class_count: int) -> np.ndarray:
    """How often each class (row) was taken for each class (column), int64 `[classes, classes]`."""
    pairs = np.asarray(labels) * class_count + np.asarray(predictions)
    return np.bincount(pairs, minlength=class_count**2).reshape(class_count, class_count)


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Precision, recall and F1 of each class, float64 `[classes]`, 0 to 1.

    Attributes:
        precision: of the images given this class, the part that belongs to it; NaN when none was.
        recall: of the images that belong to this class, the part that was found; NaN when there are none.
        f1: harmonic mean of the two, 2 TP / (2 TP + FP + FN); NaN when the class never occurs at all.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def class_scores(confusion: np.ndarray) -> ClassScores:
    """Scores from a confusion matrix whose rows are the true classes."""
    hits, given, present = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0/0 is the NaN that the docstring promises
        return ClassScores(hits / given, hits / present, 2 * hits / (given + present))


# ---- comparison of two models


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Two models on the same labelled images.

    Attributes:
        class_names: in the order of the outputs.
        reference_confusion: int64 `[classes, classes]`, rows are the true classes.
        candidate_confusion: the same for the candidate.
        lost: images that only the reference gets right.
        gained: images that only the candidate gets right.
        agreement: part of the images to which both give the same class, right or wrong, 0 to 1.
        output_error: of the candidate's outputs.
        threshold_points: the loss allowed.
    """

    class_names: tuple[str, ...]
    reference_confusion: np.ndarray
    candidate_confusion: np.ndarray
    lost: int
    gained: int
    agreement: float
    output_error: OutputError
    threshold_points: float = THRESHOLD_POINTS

    @property
    def image_count(self) -> int:
        """Images compared."""
        return int(self.reference_confusion.sum())

    @property
    def reference_accuracy(self) -> float:
        """Part of the images the reference gets right, 0 to 1."""
        return float(np.trace(self.reference_confusion)) / self.image_count

    @property
    def candidate_accuracy(self) -> float:
        """Part of the images the candidate gets right, 0 to 1."""
        return float(np.trace(self.candidate_confusion)) / self.image_count

    @property
    def loss_points(self) -> float:
        """Accuracy lost, in percentage points; negative when the candidate is better."""
        return 100 * (self.lost - self.gained) / self.image_count

    @cached_property
    def interval_points(self) -> tuple[float, float]:
        """95 % confidence interval of the loss, in percentage points."""
        return paired_interval(self.lost, self.gained, self.image_count)

    @property
    def verdict(self) -> str:
        """ "pass" or "fail" when the whole interval lies on one side of the threshold, else "undecided"."""
        low, high = self.interval_points
        if high < self.threshold_points:
            return "pass"
        return "fail" if low > self.threshold_points else "undecided"

    @property
    def is_tie(self) -> bool:
        """Whether the interval contains 0: on these images neither model is better."""
        low, high = self.interval_points
        return low <= 0 <= high

    @property
    def more_images_needed(self) -> float:
        """How many more images would decide, if they come out like these; 0 when it is decided."""
        if self.verdict != "undecided":
            return 0
        loss, _ = _adjusted(self.lost, self.gained, self.image_count)
        disagreement = (self.lost + self.gained + 2) / (self.image_count + 2)
        return max(1, images_needed(disagreement, 100 * loss, self.threshold_points) - self.image_count)

    @property
    def warning(self) -> str:
        """Why the comparison says little, if it does: a reference no better than always naming one class."""
        right = int(np.trace(self.reference_confusion))
        commonest = self.reference_confusion.sum(axis=1).max() / self.image_count
        if proportion_interval(right, self.image_count)[0] > commonest:
            return ""
        return (
            f"the reference ({self.reference_accuracy:.1%}) is not clearly better than always naming the "
            f"commonest class ({commonest:.1%}): a model with nothing to lose passes every comparison"
        )

    def per_class(self) -> pd.DataFrame:
        """One row per class: images, and recall, precision and F1 of both models (0 to 1)."""
        import pandas as pd

        reference, candidate = class_scores(self.reference_confusion), class_scores(self.candidate_confusion)
        columns = {"images": self.reference_confusion.sum(axis=1)}
        for score in ("recall", "precision", "f1"):
            columns[f"{score}_reference"] = getattr(reference, score)
            columns[f"{score}_candidate"] = getattr(candidate, score)
        return pd.DataFrame(columns, index=pd.Index(self.class_names, name="class"))

    def __str__(self) -> str:
        low, high = self.interval_points
        text = (
            f"{self.verdict}: loss {self.loss_points:+.2f} points (95% interval {low:+.2f} to {high:+.2f}, "
            f"allowed {self.threshold_points:g})"
        )
        if self.verdict == "undecided":
            more = self.more_images_needed
            needed = f"about {more:,.0f} more images" if more < math.inf else "no number of images"
            text += f"; {needed} would decide"
        return text + ("; a tie: the interval contains 0" if self.is_tie else "")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        error = self.output_error
        rows = {
            "images": f"{self.image_count:,}",
            "accuracy of the reference": f"{self.reference_accuracy:.2%}",
            "accuracy of the candidate": f"{self.candidate_accuracy:.2%}",
            "same answer (top-1 agreement)": f"{self.agreement:.2%}",
            "only the reference right / only the candidate right": f"{self.lost} / {self.gained}",
            "output error": str(error),
            "verdict": f"<strong>{html.escape(str(self))}</strong>",
        }
        if self.warning:
            rows["warning"] = html.escape(self.warning)
        left = 'style="text-align:left"'
        body = "".join(
            f'<tr><th scope="row" {left}>{name}</th><td {left}>{value}</td></tr>'
            for name, value in rows.items()
        )
        return f"<table><caption>Reference against candidate</caption>{body}</table>"


def compare(
    reference: Session,
    candidate: Session,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    threshold_points: float = THRESHOLD_POINTS,
    progress: bool = False,
) -> Comparison:
    """Run two classifiers on the same images and judge the second.

    Args:
        reference: the model one trusts, usually float.
        candidate: the converted model.
        images: uint8 `[N, H, W, 3]`, from the test set.
        labels: integers `[N]`, 0 to classes - 1.
        class_names: in the order of the outputs.
        threshold_points: accuracy it may lose, in percentage points.
        progress: show a progress bar for each model.

    Raises:
        DataError: labels that do not fit the images or the classes.
        InputError: no images, images of another size than the models take, or no classifier.
        ModelError: outputs that are not numbers.
    """
    _check_labels(len(images), labels, class_names)
    return compare_outputs(
        predict(reference, images, progress=progress),
        predict(candidate, images, progress=progress),
        labels,
        class_names,
        threshold_points=threshold_points,
    )


def compare_outputs(
    reference: np.ndarray,
    candidate: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    threshold_points: float = THRESHOLD_POINTS,
) -> Comparison:
    """As `compare`, from outputs that are there already.

    Args:
        reference: float32 `[N, classes]`, as `predict` gives them.
        candidate: the same shape.
        labels, class_names, threshold_points: as for `compare`.

    Raises:
        DataError, InputError, ModelError: as for `compare`.
    """
    labels = _check_labels(len(reference), labels, class_names)
    for role, outputs in ((tr("reference"), reference), (tr("candidate"), candidate)):
        _check_outputs(role, outputs, len(labels), len(class_names))
    reference_choice, candidate_choice = reference.argmax(axis=1), candidate.argmax(axis=1)
    reference_right, candidate_right = reference_choice == labels, candidate_choice == labels
    return Comparison(
        class_names=tuple(class_names),
        reference_confusion=confusion_matrix(labels, reference_choice, len(class_names)),
        candidate_confusion=confusion_matrix(labels, candidate_choice, len(class_names)),
        lost=int(np.sum(reference_right & ~candidate_right)),
        gained=int(np.sum(candidate_right & ~reference_right)),
        agreement=float(np.mean(reference_choice == candidate_choice)),
        output_error=output_error(reference, candidate),
        threshold_points=threshold_points,
    )


def _check_labels(image_count: int, labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    labels = np.asarray(labels)
    if image_count == 0:
        raise InputError(
            tr("There are no images to compare on."), fix=tr("pass some of the dataset's test images")
        )
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            tr(
                "Labels: expected integers [N], got {dtype} {shape}.",
                dtype=labels.dtype,
                shape=list(labels.shape),
            ),
            why=tr("each image has one class, given by its index"),
            fix=tr("for one-hot labels use labels.argmax(axis=1); for names, class_names.index(name)"),
        )
    if len(labels) != image_count:
        raise DataError(
            tr("{count} labels for {image_count} images.", count=len(labels), image_count=image_count),
            why=tr("each image needs its own label, in the same order"),
            fix=tr("take both from one dataset, and cut or shuffle them together"),
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            tr(
                "Labels run from {lowest} to {highest} for {count} class names.",
                lowest=labels.min(),
                highest=labels.max(),
                count=len(class_names),
            ),
            why=tr("a label is the index of a class name, counted from 0"),
            fix=tr("check that labels and class names come from the same dataset"),
        )
    return labels


def _check_outputs(role: str, outputs: np.ndarray, image_count: int, class_count: int) -> None:
    if outputs.shape == (image_count, 1):
        raise InputError(
            # Note: {role} is “reference” or “candidate”.
            tr("The {role} has a single output.", role=role),
            why=tr("the largest of one number is always number 0, whatever the image"),
            fix=tr("make two columns of it, np.hstack([1 - outputs, outputs]), and use compare_outputs"),
        )
    if outputs.shape != (image_count, class_count):
        raise InputError(
            # Note: {role} is “reference” or “candidate”.
            tr(
                "Outputs of the {role}: expected {expected}, got {shape}.",
                role=role,
                expected=[image_count, class_count],
                shape=list(outputs.shape),
            ),
            why=tr(
                "there are {image_count} labels and {class_count} class names",
                image_count=image_count,
                class_count=class_count,
            ),
            fix=tr("check that the model was trained on these classes"),
        )
    if not np.isfinite(outputs).all():
        raise ModelError(
            # Note: {role} is “reference” or “candidate”.
            tr("The {role} gives outputs that are not numbers.", role=role),
            why=tr("NaN or infinity"),
            fix=tr("look for the first layer where they appear with verification.per_layer_error"),
        )


# ---- layer by layer


def per_layer_error(float_path: Path, quantized_path: Path, images: np.ndarray) -> pd.DataFrame:
    """Where a converted model departs from its float original: the error of each layer's output.

    Both models run with every intermediate result kept; results of the same name are compared after
    dequantizing. Each layer's error includes what it inherits from the layers before it.

    Args:
        float_path: the `.tflite` file in float32.
        quantized_path: the same model, quantized.
        images: uint8 `[N, H, W, 3]`; a few suffice.

    Returns:
        One row per matched layer in order of execution: layer, operator, shape, dtype, scale, zero_point,
        snr_db, cosine, max_error, low, high (range of the float values).

    Raises:
        ModelError: a file that cannot be read or run.
        InputError: no images, wrong images, or models with no layer in common.
    """
    import pandas as pd

    from edgelab.targets.cpu.target import CpuTarget

    graphs = [graph.read(path) for path in (float_path, quantized_path)]
    pairs = _matching_layers(*graphs)
    if not pairs:
        raise InputError(
            tr("The two models have no layer in common."),
            why=tr("layers are matched by name"),
            fix=tr("convert both from the same Keras model"),
        )
    if len(images) == 0:
        raise InputError(
            tr("There are no images to compare on."), fix=tr("pass a few of the dataset's images")
        )
    # LiteRT's own kernels: XNNPACK computes many operators in one step and keeps nothing in between.
    target = CpuTarget(kernels="builtin")
    sums = [_Sums() for _ in pairs]
    with (
        target.open(float_path, keep_tensors=True) as reference,
        target.open(quantized_path, keep_tensors=True) as candidate,
    ):
        for image in images:
            for session in (reference, candidate):
                predict(session, image[np.newaxis])
            for (_, float_index, quantized_index), total in zip(pairs, sums, strict=True):
                total.add(reference.tensor(float_index), candidate.tensor(quantized_index))
    # The output's name says nothing: it is that of the function the converter wrapped around the model.
    outputs = set(graphs[1].outputs)
    inner = {index: graphs[1].tensors[index].name for _, _, index in pairs if index not in outputs}
    names = dict(zip(inner, _layer_names(list(inner.values())), strict=True))
    rows = []
    for (operator, _, index), total in zip(pairs, sums, strict=True):
        tensor = graphs[1].tensors[index]
        rows.append(
            {
                "layer": names.get(index, "output"),
                "operator": operator,
                "shape": tensor.shape,
                "dtype": tensor.dtype,
                "scale": tensor.scale,
                "zero_point": tensor.zero_point,
                "snr_db": snr_db(total.signal, total.noise),
                "cosine": total.cosine,
                "max_error": total.max_error,
                "low": total.low,
                "high": total.high,
            }
        )
    return pd.DataFrame(rows)


class _Sums:
    """Running sums of one layer over many images, so that no intermediate result need be kept."""

    def __init__(self) -> None:
        self.signal = self.noise = self.energy = self.product = self.max_error = 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
        difference = reference - candidate
        self.signal += float(np.sum(reference**2))
        self.energy += float(np.sum(candidate**2))
        self.noise += float(np.sum(difference**2))
        self.product += float(np.sum(reference * candidate))
        self.max_error = max(self.max_error, float(np.abs(difference).max(initial=0)))
        self.low, self.high = min(self.low, float(reference.min())), max(self.high, float(reference.max()))

    @property
    def cosine(self) -> float:
        norms = math.sqrt(self.signal * self.energy)
        return self.product / norms if norms else math.nan


def _matching_layers(reference: graph.Graph, candidate: graph.Graph) -> list[tuple[str, int, int]]:
    """Operator name and the two tensor indices of each result that both graphs compute, in order."""
    names = [(reference.tensors[index].name, index) for node in reference.operators for index in node.outputs]
    by_name = {_key(name): index for name, index in names}
    # The model's outputs are matched by position: a conversion with another output type renames them.
    same = dict(zip(candidate.outputs, reference.outputs, strict=False))
    pairs = []
    for operator in candidate.operators:
        for index in operator.outputs:
            match = same.get(index, by_name.get(_key(candidate.tensors[index].name)))
            if match is not None and reference.tensors[match].shape == candidate.tensors[index].shape:
                pairs.append((operator.name, match, index))
    return pairs


def _key(name: str) -> str:
    """A tensor's name without the outermost model's, which the converter numbers anew at each conversion."""
    return ";".join(part.partition("/")[2] or part for part in name.split(";"))


def _layer_names(tensor_names: list[str]) -> list[str]:
    """The Keras layers in tensors' names: `net/block_add/Add;net/...` is `block_add`.

    A model called a second time, as the converter does, gets `_1` after every layer's name; it is dropped.
    """
    paths = [name.split(";")[0].replace("/batchnorm/", "/").split("/") for name in tensor_names]
    names = [path[-2] if len(path) > 1 else path[0] for path in paths]
    called_again = all(name.endswith("_1") for name in names)
    return [name.removesuffix("_1") for name in names] if called_again else names
