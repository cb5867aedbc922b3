"""Two ways to prepare pixels inside a model."""

import numpy as np
import pytest

from edgelab.errors import InputError
from edgelab.few_pictures import resnet


def test_the_convolution_turns_channels_round_and_takes_means_off():
    kernel, bias = resnet.preparation()
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3))
    found = np.einsum("nhwi,io->nhwo", pixels, kernel[0, 0]) + bias
    np.testing.assert_allclose(found, pixels[..., ::-1] - np.array(resnet.MEANS_BGR), atol=1e-4)


@pytest.mark.slow
def test_both_ways_give_the_same_answer():
    slim = {flip: resnet.resnet50(flip, 32, thin=16) for flip in resnet.FLIPS}
    sources = slim["slice"].layers[-2].get_weights()
    slim["convolution"].layers[-2].set_weights(sources)
    slim["convolution"].layers[-1].set_weights(slim["slice"].layers[-1].get_weights())
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    first, second = (slim[flip](pixels).numpy() for flip in resnet.FLIPS)
    assert first.shape == (2, 1)
    np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.slow
def test_a_thinner_one_has_the_same_layers_and_few_weights():
    thin, thinner = (resnet.resnet50("convolution", 32, thin=thin) for thin in (8, 16))
    assert [type(layer) for layer in thin.layers] == [type(layer) for layer in thinner.layers]
    assert thinner.count_params() < 0.4 * thin.count_params() < 0.4 * 25e6 / 30


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match="slice, convolution"):
        resnet.resnet50("mirror")
