"""A folder is read as it is, and a folder of something else is told."""

import numpy as np
import pytest

from edgelab import diagnosis
from edgelab.errors import DataError


@pytest.mark.slow
def test_all_parts_fit_together(chain, tmp_path):
    case = diagnosis.read(diagnosis.write_one(chain, tmp_path / "case", diagnosis.HEALTHY, 1))
    assert case.pixels.shape == case.fed.shape == (80, 32, 32, 3) and case.pixels.dtype == np.uint8
    assert case.reference.shape == case.outputs.shape == (80, len(case.classes))
    assert np.allclose(case.reference, case.outputs, atol=1e-6)
    assert len(case.latencies_ms) == len(case.clocks_mhz) == 60
    assert case.accuracy == case.promised_accuracy
    assert case.as_dict()["name"] == "case" and "promised" in repr(case)


def test_a_folder_without_a_deployment_is_told(tmp_path):
    with pytest.raises(DataError, match="no deployment"):
        diagnosis.read(tmp_path)
