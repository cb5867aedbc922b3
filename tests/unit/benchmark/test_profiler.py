"""The profile names the operators that the file holds; wrong input and a dying child are clear errors."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from edgelab import graph
from edgelab.benchmark import profiler
from edgelab.errors import InputError, ModelError, TargetError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model_path(real_data):
    return real_data / "edgetpu_pairs" / "mobilenet_v1_0.25_128_quant.tflite"


def test_builtin_profile_has_exactly_the_operators_of_the_file(model_path):
    profile = profiler.operator_profile(model_path, kernels="builtin", runs=20)
    in_file = collections.Counter(operator.name for operator in graph.read(model_path).operators)
    assert collections.Counter(profile.names) == in_file
    assert profile.times_us.shape == (20, len(profile.names))
    assert (profile.times_us.sum(axis=1) <= profile.run_us).all()
    assert profile.times_us.sum() > 0


def test_xnnpack_profile_names_kernels_and_formats(model_path):
    profile = profiler.operator_profile(model_path, runs=20)
    kinds = profile.by_kind()
    assert "Convolution DWConv" in set(kinds["kind"])
    assert "QU8" in set(profile.frame()["format"])
    assert kinds["share"].sum() == pytest.approx(1)
    assert kinds["total_us"].is_monotonic_decreasing
    assert "1 thread(s)" in str(profile)
    assert "<table" in profile._repr_html_()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Convolution (NHWC, F32) IGEMM", ("Convolution IGEMM", "F32")),
        ("Fully Connected (NC, QS8, QC8W) GEMM", ("Fully Connected GEMM", "QS8, QC8W")),
        ("Add (ND)", ("Add", "")),
        ("CONV_2D", ("CONV_2D", "")),
    ],
)
def test_kernel_names_are_split(name, expected):
    assert profiler.split_name(name) == expected


def test_kinds_side_by_side_end_with_their_sum():
    def profile(names, times):
        return profiler.OperatorProfile("xnnpack", 1, names, np.array(times), np.array([99.0]), "LiteRT")

    table = profiler.kinds_table(
        {
            "float32": profile(("Convolution (NHWC, F32) IGEMM", "Add (ND)"), [[10.0, 1.0]]),
            "int8": profile(("Convolution (NHWC, QC8) IGEMM", "Convolution (NHWC, QC8) IGEMM"), [[2.0, 2.0]]),
        }
    )
    assert table.index.tolist() == ["Convolution IGEMM", "Add", "all operators"]
    assert table["int8"].tolist() == [4.0, 0.0, 4.0]
    assert table["float32"].tolist() == [10.0, 1.0, 11.0]


@pytest.mark.parametrize("wrong", [{"kernels": "fast"}, {"threads": 0}, {"runs": 0}])
def test_wrong_settings_are_refused(wrong, tmp_path):
    with pytest.raises(InputError):
        profiler.operator_profile(tmp_path / "model.tflite", **wrong)


def test_a_damaged_file_is_refused_before_native_code_sees_it(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + b"\xff" * 200)
    with pytest.raises(ModelError):
        profiler.operator_profile(path)


def test_a_child_that_hangs_is_a_clear_error(model_path, monkeypatch):
    monkeypatch.setattr(profiler, "TIMEOUT_S", 0.001)
    with pytest.raises(TargetError, match="could not be profiled"):
        profiler.operator_profile(model_path)
