"""Verification: statistics against values worked out by hand or published, verdicts, and damage found."""

import math

import numpy as np
import pytest

from edgelab import targets, verification
from edgelab.errors import DataError, InputError, ModelError
from edgelab.runtime import predict
from edgelab.verification import (
    class_scores,
    compare_outputs,
    confusion_matrix,
    images_needed,
    paired_interval,
)

NAMES = ("cat", "dog", "fox")


def one_hot(classes, count=3):
    return np.eye(count, dtype=np.float32)[np.asarray(classes)]


# ---- statistics


def test_paired_interval_against_a_worked_example():
    """Bentur et al. 2009 (airway responsiveness before and after a transplantation): 1 and 7 of 21 disagree.

    By hand: p12 = 2/23, p21 = 8/23, difference -6/23 = -0.26087, standard error
    sqrt((10/23 - 0.26087^2) / 23) = 0.126274, times 1.959964 = 0.247493.
    """
    low, high = paired_interval(1, 7, 21)
    assert (low, high) == (pytest.approx(-50.836, abs=1e-3), pytest.approx(-1.338, abs=1e-3))
    assert paired_interval(7, 1, 21) == (pytest.approx(-high), pytest.approx(-low))


def test_paired_interval_covers_the_truth():
    """Of intervals from simulated tests, about 95 % contain the true loss, here 4 % - 2 % = 2 points."""
    rng = np.random.default_rng(0)
    lost, gained, _ = rng.multinomial(500, [0.04, 0.02, 0.94], size=4000).T
    intervals = np.array([paired_interval(int(b), int(c), 500) for b, c in zip(lost, gained, strict=True)])
    covered = np.mean((intervals[:, 0] <= 2) & (intervals[:, 1] >= 2))
    # Four standard errors of a proportion of 0.95 in 4000 trials are 0.014.
    assert 0.936 < covered < 0.97


def test_agreement_of_few_images_is_no_certainty():
    low, high = paired_interval(0, 0, 20)
    assert low < -3 and high > 3, "a plain Wald interval would have no width"
    assert paired_interval(0, 0, 5000)[1] < 0.1
    assert paired_interval(1, 0, 1)[1] == 100


def test_images_needed_is_where_the_interval_clears_the_threshold():
    count = images_needed(0.06, 1.0, 3.0)
    # By hand: 1.959964^2 * (0.06 - 0.01^2) / 0.02^2 = 575.26...
    assert count == 576
    lost, gained = 0.035, 0.025
    assert paired_interval(round(lost * 5000), round(gained * 5000), 5000)[1] < 3
    assert paired_interval(round(lost * 300), round(gained * 300), 300)[1] > 3
    assert images_needed(0.06, 3.0, 3.0) == math.inf


def test_proportion_interval_against_a_published_value():
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I."""
    assert verification.proportion_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert verification.proportion_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert verification.proportion_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


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


def test_output_error_by_hand():
    error = verification.output_error(np.array([[3.0, 4.0]]), np.array([[3.0, 3.5]]))
    assert error.max_abs == 0.5 and error.mean_abs == 0.25
    assert error.snr_db == pytest.approx(10 * math.log10(25 / 0.25))  # 20 dB
    assert error.cosine == pytest.approx((9 + 14) / (5 * math.hypot(3, 3.5)))
    assert verification.output_error(np.ones(3), np.ones(3)).snr_db == math.inf
    assert math.isnan(verification.output_error(np.zeros(3), np.ones(3)).cosine)
    for sizes in (((2, 3), (3, 2)), ((0, 3), (0, 3))):
        with pytest.raises(InputError):
            verification.output_error(*map(np.zeros, sizes))


# ---- verdicts


def comparison(lost, gained, both, neither=0, threshold=3.0):
    """Two models that disagree exactly so, on two classes."""
    labels = np.zeros(lost + gained + both + neither, int)
    reference = one_hot([0] * lost + [1] * gained + [0] * both + [1] * neither, 2)
    candidate = one_hot([1] * lost + [0] * gained + [0] * both + [1] * neither, 2)
    return compare_outputs(reference, candidate, labels, ("a", "b"), threshold_points=threshold)


@pytest.mark.parametrize(
    ("lost", "gained", "both", "verdict", "tie"),
    [
        (10, 2, 988, "pass", False),  # loss 0.8, surely more than 0 and less than 3
        (6, 6, 988, "pass", True),
        (100, 10, 890, "fail", False),
        (8, 2, 190, "undecided", True),
        (40, 12, 948, "undecided", False),
        (2, 40, 958, "pass", False),  # better than the reference
    ],
)
def test_verdict(lost, gained, both, verdict, tie):
    result = comparison(lost, gained, both)
    assert (result.verdict, result.is_tie) == (verdict, tie)
    assert result.image_count == lost + gained + both
    assert result.loss_points == pytest.approx(100 * (lost - gained) / result.image_count)
    assert result.reference_accuracy - result.candidate_accuracy == pytest.approx(result.loss_points / 100)
    assert str(result).startswith(verdict) and ("tie" in str(result)) == tie
    assert (result.more_images_needed > 0) == (verdict == "undecided")


def test_more_images_would_decide():
    few = comparison(4, 2, 194)
    assert few.verdict == "undecided" and few.more_images_needed > 100
    times = 1.2 * (1 + few.more_images_needed / few.image_count)
    assert comparison(round(4 * times), round(2 * times), round(194 * times)).verdict == "pass"
    half = times / 2
    assert comparison(round(4 * half), round(2 * half), round(194 * half)).verdict == "undecided"
    assert f"about {few.more_images_needed:,.0f} more images would decide" in str(few)


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
    assert "commonest" in nothing_to_lose.warning and "commonest" in nothing_to_lose._repr_html_()
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


# ---- what does not fit


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


# ---- real sessions and graphs


@pytest.fixture(scope="module")
def files(small_model, patterns, tmp_path_factory):
    """The small model in float, in int8, and in int8 calibrated on pictures far too dark."""
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("models")
    small_model.save(folder / "model.keras")
    pixels = keras.Input((32, 32, 3), batch_size=1)
    wrapped = keras.Model(pixels, small_model(pixels))
    calibration = {
        "float": None,
        "int8": patterns.train_images[:100],
        "dark": patterns.train_images[:100] // 8,
    }
    for name, images in calibration.items():
        converter = tf.lite.TFLiteConverter.from_keras_model(wrapped)
        if images is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda images=images: (
                [image[np.newaxis].astype(np.float32)] for image in images
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    return folder


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
    assert results["float"].is_tie and results["float"].output_error.snr_db > 60
    assert results["int8"].agreement > 0.9
    assert results["dark"].output_error.snr_db < results["int8"].output_error.snr_db - 6


def test_per_layer_error_finds_the_damage(files, patterns):
    images = patterns.test_images[:8]
    good = verification.per_layer_error(files / "float.tflite", files / "int8.tflite", images)
    dark = verification.per_layer_error(files / "float.tflite", files / "dark.tflite", images)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} <= set(good["operator"])
    assert good["layer"].iloc[-1] == "output" and "dense" in good["layer"].iloc[-2]
    assert (good["dtype"] == "int8").sum() >= 6
    # Eight bits over the whole range give about 40 dB; 15 leaves room for skewed values and inherited error.
    assert good["snr_db"].min() > 15 and good["cosine"].min() > 0.98
    assert dark["snr_db"].iloc[0] < 15, "calibrated on an eighth of the brightness, the first layer clips"
    assert (dark["snr_db"] < good["snr_db"]).all()
    row = good.iloc[0]
    assert row["max_error"] <= 1.5 * row["scale"], "the first layer's error is about half a step"


def test_per_layer_error_of_a_model_with_itself(files, patterns):
    frame = verification.per_layer_error(
        files / "int8.tflite", files / "int8.tflite", patterns.test_images[:1]
    )
    assert (frame["max_error"] == 0).all() and np.isinf(frame["snr_db"]).all()


def test_per_layer_error_refuses(files, patterns, tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"not a model")
    with pytest.raises(ModelError):
        verification.per_layer_error(
            files / "float.tflite", tmp_path / "broken.tflite", patterns.test_images[:1]
        )
    with pytest.raises(InputError, match="no images"):
        verification.per_layer_error(files / "float.tflite", files / "int8.tflite", patterns.test_images[:0])


@pytest.mark.real_data
def test_models_without_a_common_layer(real_data, files, patterns):
    other = real_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite"
    with pytest.raises(InputError, match="no layer in common"):
        verification.per_layer_error(files / "float.tflite", other, patterns.test_images[:1])
