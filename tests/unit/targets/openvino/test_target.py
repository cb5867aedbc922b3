"""OpenVINO: quantized by NNCF, or as the file is."""

import numpy as np
import pytest
from onnx_comparison import assert_close, outputs_of

from edgelab import targets
from edgelab.errors import TargetError
from edgelab.targets.onnxruntime import session as onnxruntime_target_session

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_openvino_quantizes_with_nncf(openvino_model, patterns, cpu_outputs):
    assert_close(outputs_of(targets.get("openvino"), openvino_model, patterns), cpu_outputs, 0.99)
    share = onnxruntime_target_session.in_eight_bits(openvino_model.log_rows)
    assert share.accelerated >= 4  # three convolutions and the dense layer


def test_openvino_reads_tflite_as_it_is(files, patterns, cpu_outputs):
    target = targets.get("openvino", threads=1)
    np.testing.assert_allclose(outputs_of(target, files["float32"], patterns), cpu_outputs, atol=1e-4)
    assert_close(outputs_of(target, files["int8"], patterns), cpu_outputs, 0.99, 0.9)


@pytest.mark.parametrize("hint", ["LATENCY", "THROUGHPUT"])
def test_many_inferences_at_once_keep_their_order(hint, files, patterns):
    with targets.get("openvino", threads=2, hint=hint).open(files["float32"]) as session:
        batches = [image[np.newaxis].astype(np.float32) for image in patterns.test_images[:31]]
        many = session.run_many(batches)
        assert session.run_many([]) == []
        assert len(session.run_many(batches[:1])) == 1
        one_by_one = [session.run(batch)[0] for batch in batches]
    np.testing.assert_allclose(np.concatenate(many), np.concatenate(one_by_one), atol=1e-6)


def test_openvino_names_the_devices_that_are_there(files):
    with pytest.raises(TargetError, match="no NPU9"):
        targets.get("openvino", device="NPU9").open(files["float32"])
