"""Packages made, smaller ways of keeping weights, and everything that can be refused."""

import sys

import numpy as np
import pytest

from edgelab import environment, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.runtime import predict
from edgelab.targets import cache
from edgelab.targets.coreml import package
from edgelab.targets.coreml.target import PRECISIONS


@pytest.mark.slow
def test_packages_get_smaller_and_answer_as_keras(tools, small_model, patterns, tmp_path):
    small_model.save(tmp_path / "small.keras")
    images = np.concatenate([patterns.test_images, patterns.train_images])[:256]
    keras = small_model.predict(images.astype(np.float32), verbose=0)
    sizes, same = {}, {}
    for precision in PRECISIONS:
        target = targets.get("coreml", precision=precision, where="simulator")
        made = target.compile(tmp_path / "small.keras", tmp_path / f"{precision}.mlpackage")
        assert made.placement is None and "placed on the device" in str(made)
        assert made.size_bytes == package.size_bytes(made.path)
        counts = {row["operator"]: row["count"] for row in made.log_rows if "operator" in row}
        assert counts["conv"] and counts["softmax"] == 1
        assert (precision == "float16") == (not [row for row in made.log_rows if "weights kept as" in row])
        with target.open(made) as session:
            answers = predict(session, images)
        sizes[precision] = made.size_bytes
        same[precision] = (answers.argmax(1) == keras.argmax(1)).mean()
        if precision == "float16":
            assert np.abs(answers - keras).max() < 0.01
    assert sizes["float16"] > sizes["int8 weights"] > sizes["4-bit palette"] > sizes["2-bit palette"]
    assert same["float16"] > 0.99 and same["float16"] >= same["2-bit palette"]


@pytest.mark.slow
def test_a_package_is_made_once_and_replaced_only_by_a_package(tools, keras_file, tmp_path):
    target = targets.get("coreml")
    first = cache.compiled(target, keras_file)
    assert cache.compiled(target, keras_file) == first and first.placement is None
    out = tmp_path / "own.mlpackage"
    package.copy(first.path, out)
    before = sorted(one.name for one in out.rglob("*"))
    target.compile(keras_file, out)
    assert sorted(one.name for one in out.rglob("*")) == before
    assert [one.name for one in tmp_path.iterdir()] == ["own.mlpackage"]


def test_nothing_of_others_is_replaced(keras_file, tmp_path):
    own = tmp_path / "mine.mlpackage"
    own.mkdir()
    (own / "letter.txt").write_text("kept")
    with pytest.raises(InputError, match="no Core ML package"):
        targets.get("coreml").compile(keras_file, own)
    with pytest.raises(InputError, match="no name"):
        targets.get("coreml").compile(keras_file, tmp_path / "model.zip")
    assert (own / "letter.txt").read_text() == "kept"


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
def test_converted_models_are_sent_back_to_keras(tmp_path, name):
    (tmp_path / name).write_bytes(b"0")
    with pytest.raises(ModelError, match="does not read") as error:
        targets.get("coreml").compile(tmp_path / name, tmp_path / "out.mlpackage")
    assert "Keras" in error.value.why and "model.keras" in error.value.fix
    with pytest.raises(ModelError, match="no "):
        targets.get("coreml").compile(tmp_path / "absent.keras", tmp_path / "out.mlpackage")


@pytest.mark.slow
def test_a_damaged_keras_file_is_told(tools, tmp_path):
    (tmp_path / "damaged.keras").write_bytes(b"0" * 99)
    with pytest.raises(ModelError, match=r"damaged\.keras"):
        targets.get("coreml").compile(tmp_path / "damaged.keras", tmp_path / "out.mlpackage")
    assert not (tmp_path / "out.mlpackage").exists()


def test_without_coremltools_packages_can_still_be_checked(no_tools, keras_file, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    found = targets.get("coreml").probe()
    assert (found.can_compile, found.can_run, found.is_simulated) == (False, True, True)
    assert "NumPy" in found.detail and found.fix == "make coreml"
    with pytest.raises(TargetError, match="make coreml"):
        targets.get("coreml").compile(keras_file, tmp_path / "out.mlpackage")
    targets.get("coreml").open(kept["float16"]).close()


@pytest.mark.parametrize(("system", "machine"), [("win32", "AMD64"), ("linux", "aarch64")])
def test_systems_without_wheels_are_told_another_way(no_tools, monkeypatch, system, machine):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(environment.platform, "machine", lambda: machine)
    found = targets.get("coreml").probe()
    assert not found.can_compile and "no wheels" in found.detail and "WSL 2" in found.fix


@pytest.mark.skipif(sys.platform == "darwin", reason="here Core ML runs")
def test_the_device_is_asked_for_in_vain(kept):
    target = targets.get("coreml", where="device")
    found = target.probe()
    assert not found.can_run and found.fix
    with pytest.raises(TargetError, match="does not run here") as error:
        target.open(kept["float16"])
    assert "Mac" in error.value.fix


@pytest.mark.parametrize("wrong", [{"precision": "int4"}, {"where": "cloud"}])
def test_unknown_options_are_refused(wrong):
    with pytest.raises(InputError, match="not known"):
        targets.get("coreml", **wrong)


def test_settings_tell_what_decides_the_package():
    names = [targets.get("coreml", precision=one).settings["precision"] for one in PRECISIONS]
    assert names == list(PRECISIONS)
    assert "iOS17" in targets.get("coreml").settings.values()
