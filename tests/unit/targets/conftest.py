"""Models, images and outputs that runtimes starting from ONNX share."""

import pytest

from edgelab import quantization, targets
from edgelab.runtime import predict
from edgelab.targets import onnx_model


@pytest.fixture(scope="module")
def images(patterns):
    return patterns.train_images[:60]


@pytest.fixture(scope="module")
def files(small_model, images):
    return {
        mode: quantization.convert(
            small_model, mode, images, io_dtype="uint8" if mode == "int8" else "float32", name="small"
        ).path
        for mode in ("float32", "int8", "dynamic_range")
    }


@pytest.fixture(scope="module")
def float_onnx(files):
    return onnx_model.from_tflite(files["float32"])


@pytest.fixture(scope="module")
def cpu_outputs(files, patterns):
    with targets.get("cpu").open(files["float32"]) as session:
        return predict(session, patterns.test_images)


@pytest.fixture(scope="module")
def openvino_model(files, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("openvino") / "small.zip"
    return targets.get("openvino", threads=1).compile(files["float32"], out, calibration=images)
