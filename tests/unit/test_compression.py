import numpy as np
import pytest

from edgelab import compression, models
from edgelab.errors import InputError
from edgelab.exercises import chapter_11


def kernel(*shape):
    return np.random.default_rng(0).laplace(0.0, 0.1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    """A MobileNetV2 whose normalisations are not the identity, as after training."""
    import keras

    keras.utils.set_random_seed(0)
    model = models.mobilenet_v2((16, 16, 3), 4)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([rng.uniform(0.5, 1.5, values.shape) for values in layer.get_weights()])
    return model


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_a_mask_takes_out_the_smallest_and_no_other(share):
    weights = kernel(1, 1, 10, 10)
    mask = chapter_11.smallest_mask(weights, share)
    assert mask.shape == weights.shape and np.count_nonzero(~mask) == round(100 * share)
    assert share in (0.0, 1.0) or np.abs(weights[~mask]).max() <= np.abs(weights[mask]).min()


def test_equal_weights_are_taken_out_by_number():
    assert np.count_nonzero(chapter_11.smallest_mask(np.ones(10), 0.3)) == 7


def test_two_of_every_four_inputs_stay_the_larger_ones():
    weights = kernel(1, 1, 12, 5)
    mask = chapter_11.two_of_four_mask(weights)
    for output in range(5):
        for first in range(0, 12, 4):
            four = np.abs(weights[0, 0, first : first + 4, output])
            stays = mask[0, 0, first : first + 4, output]
            assert stays.sum() == 2 and four[stays].min() > four[~stays].max()


def test_clusters_are_few_and_nearer_than_even_steps():
    weights = kernel(1, 1, 40, 50)
    found = chapter_11.clustered(weights, 16)
    assert found.dtype == weights.dtype and len(np.unique(found)) <= 16
    even = np.linspace(weights.min(), weights.max(), 16)
    nearest = even[np.abs(weights[..., np.newaxis] - even).argmin(axis=-1)]
    assert np.mean((found - weights) ** 2) < np.mean((nearest - weights) ** 2)


def test_few_distinct_weights_are_their_own_clusters():
    weights = np.array([-1.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(chapter_11.clustered(weights, 3), weights)


@pytest.mark.slow
@pytest.mark.parametrize("by", compression.SCORES)
def test_half_of_the_channels_stay(network, by):
    kept = compression.chosen_channels(network, 0.5, by)
    assert list(kept) == compression.block_names(network) and len(kept) == 16
    for name, channels in kept.items():
        width = network.get_layer(f"{name}_expand").filters
        assert len(channels) % 8 == 0 and abs(len(channels) - width / 2) <= 4
        assert (np.diff(channels) > 0).all() and channels.max() < width


@pytest.mark.slow
def test_an_unknown_choice_is_refused(network):
    with pytest.raises(InputError, match="norm, gamma, random"):
        compression.chosen_channels(network, 0.5, "luck")


@pytest.mark.slow
def test_a_channel_without_effect_can_leave_and_nothing_changes(network):
    """Channels that project does not read go; the narrower network answers as the wide one did."""
    import keras

    wide = keras.models.clone_model(network)
    wide.set_weights(network.get_weights())
    kept = compression.chosen_channels(wide, 0.5, "random", seed=1)
    for name, channels in kept.items():
        layer = wide.get_layer(f"{name}_project")
        values = np.zeros(layer.kernel.shape, np.float32)
        values[:, :, channels] = layer.kernel.numpy()[:, :, channels]
        layer.kernel.assign(values)
    narrow = compression.without_channels(wide, kept, chapter_11.cut_block)
    pixels = np.random.default_rng(2).uniform(0, 255, (5, 16, 16, 3)).astype(np.float32)
    np.testing.assert_allclose(narrow(pixels), wide(pixels), atol=1e-5)
    assert narrow.count_params() < wide.count_params()


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["zeros", "clusters"])
def test_fine_tuning_moves_weights_and_holds_what_it_must(shapes, keep, tmp_path, monkeypatch):
    import keras

    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input(shapes.image_shape), keras.layers.Conv2D(4, 1, name="narrow"),
        keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(shapes.class_count, activation="softmax"),
    ])  # fmt: skip
    change = {
        "zeros": lambda values: values * chapter_11.smallest_mask(values, 0.5),
        "clusters": lambda values: chapter_11.clustered(values, 3),
    }[keep]
    [(_, start)] = compression.changed_kernels(model, change).items()
    model.get_layer("narrow").kernel.assign(start)
    weights = model.get_weights()
    small = {"picture_count": 64, "epochs": 1, "test_count": 50, "learning_rate": 1e-4}
    tuned = compression.fine_tuned(model, weights, shapes, keep=keep, **small)
    after = tuned.weights[0]
    assert not np.array_equal(after, start)
    if keep == "zeros":
        assert (after[start == 0] == 0).all()
    else:
        assert all(len(np.unique(after[start == value])) == 1 for value in np.unique(start))
    assert tuned.right_after.shape == (50,) and 0 <= tuned.accuracy_before <= 1

    # The second time nothing is trained, though this model was never compiled.
    fresh = keras.models.clone_model(model)
    monkeypatch.setattr(compression, "_fit", None)
    again = compression.fine_tuned(fresh, weights, shapes, keep=keep, **small)
    np.testing.assert_array_equal(again.weights[0], after)
    np.testing.assert_array_equal(fresh.get_weights()[0], after)


@pytest.mark.slow
def test_something_unknown_to_keep_is_refused(network, shapes):
    with pytest.raises(InputError, match="zeros"):
        compression.fine_tuned(network, network.get_weights(), shapes, keep="half")


def test_a_cluster_of_zeros_stays_zero_while_others_move_as_one():
    start = np.array([[0.0, 1.0, 1.0, 0.0, -2.0]])
    held = compression.HOLDERS["clusters"](start)(start + np.array([[0.3, 0.1, 0.3, 0.5, 0.2]]))
    np.testing.assert_allclose(held, [[0.0, 1.2, 1.2, 0.0, -1.8]])


def test_what_is_taught_is_the_labels_at_first_and_the_teacher_at_last():
    labels, wrong = np.array([0, 1], np.int32), np.array([[0.0, 9.0], [9.0, 0.0]], np.float32)
    right = -wrong
    assert compression.taught_loss(labels, right, wrong, 0.0) < compression.taught_loss(
        labels, wrong, wrong, 0.0
    )
    losses = [float(compression.taught_loss(labels, one, wrong, 1.0)) for one in (wrong, wrong / 2, right)]
    assert losses == sorted(losses) and losses[0] < losses[2]


@pytest.fixture
def student(shapes, tmp_path, monkeypatch):
    import keras

    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    layers = keras.layers
    network = keras.Sequential([
        keras.Input(shapes.image_shape), layers.Rescaling(1 / 127.5, -1.0), layers.Conv2D(8, 3, 4),
        layers.BatchNormalization(), layers.ReLU(), layers.Flatten(), layers.Dense(shapes.class_count),
    ])  # fmt: skip
    return compression.Student(network, shapes, test_count=60)


@pytest.mark.slow
def test_a_student_begins_anew_with_each_seed_and_is_kept(student, monkeypatch):
    first = student.right(6, 1, pictures=64)
    weights = student.network.get_weights()
    student.right(6, 2, pictures=64)
    assert not np.array_equal(student.network.get_weights()[0], weights[0])
    trained_again = compression.Student(student.network, student.dataset, test_count=60)
    trained_again._train(6, 1, 64, None, 0.0)
    for found, expected in zip(trained_again.network.get_weights(), weights, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
    monkeypatch.setattr(student, "_train", None)
    np.testing.assert_array_equal(student.right(6, 1, pictures=64), first)
    np.testing.assert_array_equal(student.network.get_weights()[0], weights[0])


@pytest.mark.slow
def test_a_student_takes_over_what_its_teacher_says_and_not_the_labels(student):
    """A teacher that always says class 3: its student does, too; another loss is another training."""
    says_three = np.zeros((2, len(student.dataset.train_images), student.dataset.class_count), np.float32)
    says_three[..., 3] = 12.0
    right = student.right(40, 0, pictures=200, answers=says_three, share=1.0)
    answers = student.network.predict(student.dataset.test_images[:60].astype(np.float32), verbose=0)
    assert (answers.argmax(axis=1) == 3).mean() > 0.9
    np.testing.assert_array_equal(right, student.dataset.test_labels[:60] == answers.argmax(axis=1))


@pytest.mark.slow
def test_a_teacher_answers_once_to_pictures_and_mirror_images(student, monkeypatch):
    answers = compression.teacher_answers(student.network, student.dataset)
    images = student.dataset.train_images
    assert answers.shape == (2, len(images), student.dataset.class_count)
    expected = student.network(images[:5, :, ::-1].astype(np.float32)).numpy()
    np.testing.assert_allclose(answers[1, :5], expected, atol=1e-4)
    monkeypatch.setattr(type(student.network), "predict", None)
    np.testing.assert_array_equal(compression.teacher_answers(student.network, student.dataset), answers)
