"""Two models side by side: verdicts, ties, and what does not fit."""

import numpy as np
import pytest

from edgelab import targets, verification
from edgelab.errors import DataError, InputError, ModelError
from edgelab.runtime import predict
from edgelab.verification import class_scores, compare_outputs, confusion_matrix

NAMES = ("cat", "dog", "fox")


def one_hot(classes, count=3):
    return np.eye(count, dtype=np.float32)[np.asarray(classes)]


def test_scores_of_a_small_confusion_matrix():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    choices = np.array([0, 0, 1, 2, 1, 0, 2, 2, 2, 0])
    confusion = confusion_matrix(labels, choices, 3)
    assert confusion.tolist() == [[2, 1, 1], [1, 1, 0], [1, 0, 3]]
    scores = class_scores(confusion)
    np.testing.assert_allclose(scores.recall, [2 / 4, 1 / 2, 3 / 4])
    np.testing.assert_allclose(scores.precision, [2 / 4, 1 / 2, 3 / 4])
    np.testing.assert_allclose(scores.f1, [1 / 2, 1 / 2, 3 / 4])
    lopsided = class_scores(np.array([[9, 0, 0], [1, 0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(lopsided.recall, [1, 0, np.nan])
    np.testing.assert_allclose(lopsided.precision, [0.9, np.nan, np.nan])
    np.testing.assert_allclose(lopsided.f1, [18 / 19, 0, np.nan])


def comparison(lost, gained, both, neither=0, threshold=3.0):
    """Two models that disagree exactly so, on two classes."""
    labels = np.zeros(lost + gained + both + neither, int)
    reference = one_hot([0] * lost + [1] * gained + [0] * both + [1] * neither, 2)
    candidate = one_hot([1] * lost + [0] * gained + [0] * both + [1] * neither, 2)
    return compare_outputs(reference, candidate, labels, ("a", "b"), threshold_points=threshold)


@pytest.mark.parametrize(
    ("lost", "gained", "both", "verdict", "difference"),
    [
        (10, 2, 988, "pass", "worse than the reference"),  # loss 0.8, surely more than 0 and less than 3
        (6, 6, 988, "pass", "a tie: equal within 1 point"),
        (100, 10, 890, "fail", "worse than the reference"),
        (8, 2, 190, "undecided", "no difference shown"),
        (6, 6, 188, "undecided", "no difference shown"),  # no loss at all, but room for 3 points of it
        (13, 13, 974, "pass", "no difference shown"),  # a pass, though a point may be lost
        (40, 12, 948, "undecided", "worse than the reference"),
        (2, 40, 958, "pass", "better than the reference"),
    ],
)
def test_verdict(lost, gained, both, verdict, difference):
    result = comparison(lost, gained, both)
    assert (result.verdict, result.difference) == (verdict, difference)
    assert result.is_tie == difference.startswith("a tie")
    assert result.image_count == lost + gained + both
    assert result.loss_points == pytest.approx(100 * (lost - gained) / result.image_count)
    assert result.reference_accuracy - result.candidate_accuracy == pytest.approx(result.loss_points / 100)
    assert str(result).startswith(verdict) and str(result).endswith(difference)
    assert (result.more_images_needed() > 0) == (verdict == "undecided")


@pytest.mark.parametrize("power", [0.8, 0.9])
def test_a_fresh_set_with_more_images_decides_as_often_as_wanted(power):
    few = comparison(4, 2, 194)
    assert few.verdict == "undecided"
    count = few.image_count + few.more_images_needed(power)
    lost, gained = 5 / 202, 3 / 202  # with the imaginary images, of which the estimate is made
    rng = np.random.default_rng(0)
    draws = rng.multinomial(count, [lost, gained, 1 - lost - gained], size=100_000)
    low, high = verification.paired_interval(draws[:, 0], draws[:, 1], count)
    assert np.mean((high < 3) | (low > 3)) == pytest.approx(power, abs=0.02)


def test_an_undecided_comparison_says_how_many_images_a_verdict_takes():
    few = comparison(4, 2, 194)
    total = few.image_count + few.more_images_needed()
    assert f"a fresh test set of about {total:,.0f} images would decide with a probability of 80%" in str(few)


def test_threshold_counts():
    assert comparison(20, 5, 975, threshold=1.0).verdict == "undecided"
    assert comparison(20, 5, 975, threshold=5.0).verdict == "pass"
    assert comparison(20, 5, 975, threshold=0.1).verdict == "fail"


def test_untrained_reference_is_named():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    uniform = np.full((600, 3), 1 / 3, np.float32) + rng.normal(0, 1e-4, (600, 3)).astype(np.float32)
    nothing_to_lose = compare_outputs(uniform, uniform, labels, NAMES)
    assert nothing_to_lose.verdict == "pass" and nothing_to_lose.output_error.cosine == pytest.approx(1)
    assert "most common" in nothing_to_lose.warning and "most common" in nothing_to_lose._repr_html_()
    assert compare_outputs(one_hot(labels), uniform, labels, NAMES).warning == ""


def test_comparison_shows_both_models_per_class():
    labels = np.array([0, 0, 1, 1, 2, 2])
    result = compare_outputs(one_hot(labels), one_hot([0, 0, 1, 0, 2, 0]), labels, NAMES)
    frame = result.per_class()
    assert frame.index.tolist() == list(NAMES) and frame["images"].tolist() == [2, 2, 2]
    assert frame["recall_reference"].tolist() == [1, 1, 1]
    assert frame["recall_candidate"].tolist() == [1, 0.5, 0.5]
    assert frame["precision_candidate"].tolist() == [0.5, 1, 1]
    assert (result.lost, result.gained, result.agreement) == (2, 0, pytest.approx(4 / 6))
    assert "<table>" in result._repr_html_() and "2 / 0" in result._repr_html_()


@pytest.mark.parametrize(
    ("outputs", "labels", "names", "error", "text"),
    [
        (one_hot([0, 1]), np.array([0, 1, 2]), NAMES, DataError, "3 labels for 2 images"),
        (one_hot([0, 1]), np.array([0, 3]), NAMES, DataError, "0 to 3"),
        (one_hot([0, 1]), np.array([-1, 1]), NAMES, DataError, "-1 to 1"),
        (one_hot([0, 1]), np.array([0.0, 1.0]), NAMES, DataError, "float64"),
        (one_hot([0, 1]), one_hot([0, 1]).astype(int), NAMES, DataError, "argmax"),
        (one_hot([0, 1]), np.array(["cat", "dog"]), NAMES, DataError, "index"),
        (one_hot([0, 1]), np.array([0, 1]), NAMES[:2], InputError, "[2, 2]"),
        (np.zeros((0, 3), np.float32), np.zeros(0, int), NAMES, InputError, "no images"),
        (np.zeros((2, 1), np.float32), np.array([0, 1]), ("cat", "dog"), InputError, "single output"),
        (np.full((2, 3), np.nan, np.float32), np.array([0, 1]), NAMES, ModelError, "not numbers"),
    ],
)
def test_what_does_not_fit_is_named(outputs, labels, names, error, text):
    with pytest.raises(error) as caught:
        compare_outputs(outputs, outputs, labels, names)
    assert text in str(caught.value) and caught.value.fix


@pytest.mark.slow
def test_compare_sessions(files, patterns):
    images, labels = patterns.test_images, patterns.test_labels
    with targets.get("keras").open(files / "model.keras") as reference:
        expected = predict(reference, images)
        results = {}
        for name in ("float", "int8", "dark"):
            with targets.get("cpu").open(files / f"{name}.tflite") as candidate:
                results[name] = verification.compare(
                    reference, candidate, images, labels, patterns.class_names
                )
        with pytest.raises(DataError):
            verification.compare(reference, reference, images[:5], labels, patterns.class_names)
        with pytest.raises(InputError):
            verification.compare(reference, reference, images[:0], labels[:0], patterns.class_names)
    accuracy = np.mean(expected.argmax(axis=1) == labels)
    assert accuracy > 0.5, "the small model has learnt too little to be a reference"
    assert all(result.reference_accuracy == pytest.approx(accuracy) for result in results.values())
    assert results["float"].agreement == 1 and results["float"].output_error.max_abs < 1e-4
    assert results["float"].lost == results["float"].gained == 0 and results["float"].output_error.snr_db > 60
    assert results["int8"].agreement > 0.9
    assert results["dark"].output_error.snr_db < results["int8"].output_error.snr_db - 6
