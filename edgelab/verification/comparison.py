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
from typing import TYPE_CHECKING

import numpy as np

from edgelab.errors import DataError, InputError, ModelError
from edgelab.runtime import Session, predict
from edgelab.texts import tr

if TYPE_CHECKING:
    import pandas as pd
from edgelab.verification.intervals import (
    MARGIN_POINTS,
    POWER,
    THRESHOLD_POINTS,
    adjusted,
    images_needed,
    paired_interval,
    proportion_interval,
)
from edgelab.verification.output_error import OutputError, output_error


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
        margin_points: a difference that does not matter; models that surely differ by less are a tie.
    """

    class_names: tuple[str, ...]
    reference_confusion: np.ndarray
    candidate_confusion: np.ndarray
    lost: int
    gained: int
    agreement: float
    output_error: OutputError
    threshold_points: float = THRESHOLD_POINTS
    margin_points: float = MARGIN_POINTS

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
        """Whether the models are equal for practical purposes: the whole interval is inside the margin."""
        low, high = self.interval_points
        return -self.margin_points < low and high < self.margin_points

    @property
    def difference(self) -> str:
        """Which model is better: a tie, "worse", "better", or that these images show no difference.

        The last is no tie: an interval that contains 0 and is wide leaves room for a large difference.
        """
        low, high = self.interval_points
        if self.is_tie:
            unit = "point" if self.margin_points == 1 else "points"
            return f"a tie: equal within {self.margin_points:g} {unit}"
        if low <= 0 <= high:
            return "no difference shown"
        return "worse than the reference" if low > 0 else "better than the reference"

    def more_images_needed(self, power: float = POWER) -> float:
        """How many more images than here a fresh test set needs for a verdict; 0 when there is one already.

        Args:
            power: the wanted probability of a verdict, if the models differ as they do on these images.
        """
        if self.verdict != "undecided":
            return 0
        loss, _ = adjusted(self.lost, self.gained, self.image_count)
        disagreement = (self.lost + self.gained + 2) / (self.image_count + 2)
        needed = images_needed(disagreement, 100 * float(loss), self.threshold_points, power)
        return max(1, needed - self.image_count)

    @property
    def warning(self) -> str:
        """Why the comparison says little, if it does: a reference no better than always naming one class."""
        right = int(np.trace(self.reference_confusion))
        most_common = self.reference_confusion.sum(axis=1).max() / self.image_count
        if proportion_interval(right, self.image_count)[0] > most_common:
            return ""
        return (
            f"the reference ({self.reference_accuracy:.1%}) is not clearly better than always naming the "
            f"most common class ({most_common:.1%}): a model with nothing to lose passes every comparison"
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
            total = self.image_count + self.more_images_needed()
            needed = f"a fresh test set of about {total:,.0f} images" if total < math.inf else "no test set"
            text += f"; {needed} would decide with a probability of {POWER:.0%}"
        return f"{text}; {self.difference}"

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
