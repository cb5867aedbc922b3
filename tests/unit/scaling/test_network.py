import numpy as np
import pytest

from edgelab.scaling import network


def test_the_same_seed_gives_the_same_weights():
    first, second, other = (network.tiny((32, 32, 3), 4, seed).get_weights() for seed in (0, 0, 1))
    np.testing.assert_array_equal(network.flat(first), network.flat(second))
    assert not np.array_equal(network.flat(first), network.flat(other))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_logits_and_weights_are_float32_under_each_policy(policy):
    model = network.tiny((16, 16, 3), 4, policy=policy)
    assert model(np.zeros((2, 16, 16, 3), np.float32)).dtype == "float32"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.layers[1].compute_dtype == policy.removeprefix("mixed_")


def test_a_normalised_network_has_batchnorm_and_the_plain_one_none():
    kinds = [
        {type(layer).__name__ for layer in network.tiny((16, 16, 3), 4, normalised=normalised).layers}
        for normalised in (False, True)
    ]
    assert "BatchNormalization" not in kinds[0] and "BatchNormalization" in kinds[1]


def test_a_gradient_is_what_a_small_change_of_the_loss_says(shapes):
    model = network.tiny(shapes.image_shape, shapes.class_count)
    gradient = network.gradient_function(model)
    pictures, labels = network.some_pictures(shapes, 8)
    loss, parts = gradient(pictures, labels)
    assert [part.shape for part in parts] == [tuple(weight.shape) for weight in model.trainable_weights]
    bias, step = model.trainable_weights[-1], 1e-2
    bias.assign(bias + step * np.eye(shapes.class_count)[0])
    assert gradient(pictures, labels)[0] - loss == pytest.approx(step * parts[-1][0], rel=0.1, abs=1e-5)


def test_pictures_are_drawn_from_the_training_set_with_their_labels(shapes):
    pictures, labels = network.some_pictures(shapes, 20, seed=1)
    assert pictures.shape == (20, *shapes.image_shape) and labels.dtype == np.int32
    for picture, label in zip(pictures, labels, strict=True):
        places = np.flatnonzero((shapes.train_images == picture).all(axis=(1, 2, 3)))
        assert label in np.ravel(shapes.train_labels)[places]
    np.testing.assert_array_equal(labels, network.some_pictures(shapes, 20, seed=1)[1])
