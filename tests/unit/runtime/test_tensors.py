"""Quantization of a tensor, against numbers worked out by hand."""

import numpy as np
import pytest

from edgelab.errors import InputError
from edgelab.runtime import Placement, TensorSpec


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32])
@pytest.mark.parametrize("seed", range(5))
def test_quantize_rounds_and_clips(dtype, seed):
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    scale = float(10 ** rng.uniform(-6, 3))
    zero_point = int(rng.integers(limits.min, limits.max, endpoint=True))
    spec = TensorSpec("x", (1,), np.dtype(dtype), scale, zero_point)
    low, high = scale * (limits.min - zero_point), scale * (float(limits.max) - zero_point)

    inside = rng.uniform(low, high, 1000)
    restored = (spec.quantize(inside).astype(np.float64) - zero_point) * scale
    assert np.abs(restored - inside).max() <= scale / 2 * (1 + 1e-6)

    codes = rng.integers(limits.min, limits.max, 1000, dtype, endpoint=True)
    reals = (codes.astype(np.float64) - zero_point) * scale
    np.testing.assert_array_equal(spec.quantize(reals), codes)
    np.testing.assert_allclose(spec.dequantize(codes), reals, rtol=1e-6)

    beyond = [low - scale, low - 300 * scale, -np.inf, high + scale, high + 300 * scale, np.inf]
    assert spec.quantize(beyond).tolist() == [limits.min] * 3 + [limits.max] * 3


def test_quantize_rounds_half_to_even_and_refuses_nan():
    spec = TensorSpec("x", (1,), np.dtype(np.int8), 0.5, 0)
    assert spec.quantize([0.25, 0.75, -0.25, -0.75]).tolist() == [0, 2, 0, -2]
    with pytest.raises(InputError, match="not a number"):
        spec.quantize([np.nan])


def test_specs_without_scale():
    assert TensorSpec("x", (1,), np.dtype(np.uint8)).quantize([300, -5, 7.6]).tolist() == [255, 0, 8]
    assert TensorSpec("x", (1,), np.dtype(np.int64)).quantize([1e300, -1e300])[0] > 0
    floats = TensorSpec("x", (1,), np.dtype(np.float32))
    assert not floats.is_quantized and floats.quantize([0.3]).dtype == np.float32
    assert "31 of 32" in str(Placement(31, 32, (("ARG_MAX", "int64 <output>"),)))
    assert "&lt;output&gt;" in Placement(31, 32, (("ARG_MAX", "int64 <output>"),))._repr_html_()
