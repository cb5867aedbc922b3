"""The error of outputs, by hand."""

import math

import numpy as np
import pytest

from edgelab import verification
from edgelab.errors import InputError


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
