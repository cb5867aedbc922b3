"""ONNX Runtime, and what it has in common with the other targets that start from ONNX."""

import os
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
from onnx_comparison import damage

from edgelab import targets
from edgelab.errors import InputError, ModelError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_threads_are_handed_on(name, float_onnx, files):
    model = float_onnx if name == "onnxruntime" else files["float32"]
    with targets.get(name, threads=1).open(model) as session:
        assert session.threads == 1
        if name == "onnxruntime":
            assert session._session.get_session_options().intra_op_num_threads == 1
        else:
            assert session._compiled.get_property("INFERENCE_NUM_THREADS") == 1
    with pytest.raises(InputError):
        targets.get(name, threads=0)
    with pytest.raises(ModelError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_wrong_inputs_are_refused_before_native_code_sees_them(name, float_onnx, files):
    with targets.get(name).open(float_onnx if name == "onnxruntime" else files["float32"]) as session:
        with pytest.raises(InputError):
            session.run(np.zeros((1, 32, 32, 3), np.float64))
        with pytest.raises(InputError):
            session.run(np.zeros((1, 3, 32, 32), np.float32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt"])
@pytest.mark.parametrize("mode", ["int8", "dynamic_range"])
def test_quantized_models_are_not_quantized_again(name, mode, files, images, tmp_path):
    target = targets.get(name)
    prepare = (
        target.prepare
        if name == "tensorrt"
        else lambda model, **rest: target.compile(model, tmp_path / "out", **rest)
    )
    with pytest.raises(ModelError, match="quantized already"):
        prepare(files[mode], calibration=images)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [None, "float", "size"])
def test_calibration_images_must_fit(wrong, files, images, tmp_path):
    given = {None: None, "float": images / 255.0, "size": images[:, :16]}[wrong]
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(InputError, match="Calibration images"):
            targets.get(name).compile(files["float32"], tmp_path / "out", calibration=given)


def test_damaged_models_are_refused(files, float_onnx, openvino_model, images, tmp_path):
    whole = float_onnx.read_bytes()
    for number, content in enumerate((b"", b"rubbish" * 99, whole[: len(whole) // 2])):
        with pytest.raises(ModelError):
            targets.get("onnxruntime").open(damage(tmp_path / f"{number}.onnx", content))
    archive = openvino_model.path.read_bytes()
    for number, content in enumerate((b"", b"rubbish" * 99, archive[: len(archive) // 2])):
        with pytest.raises(ModelError):
            targets.get("openvino").open(damage(tmp_path / f"{number}.zip", content))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("model.xml", "<net/>")
        other.writestr("model.bin", b"")
    with pytest.raises(ModelError):
        targets.get("openvino").open(tmp_path / "other.zip")
    cut = damage(tmp_path / "cut.tflite", files["float32"].read_bytes()[:2000])
    for name in ("onnxruntime", "openvino"):
        with pytest.raises(ModelError):
            targets.get(name).compile(cut, tmp_path / "out", calibration=images)
        with pytest.raises(ModelError):
            targets.get(name).open(tmp_path / "missing")
    with pytest.raises(ModelError):
        targets.get("tensorrt").prepare(cut, calibration=images)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "tensorrt"])
def test_probe_tells_what_is_missing(name, monkeypatch):
    monkeypatch.setattr("edgelab.machine.hardware.version_of", lambda package: "")
    monkeypatch.setattr("edgelab.machine.hardware.native", lambda name: ([], "cannot be loaded"))
    found = targets.get(name).probe()
    assert not found.can_compile and not found.can_run
    assert found.detail and found.why_it_matters and found.fix


def test_nothing_is_reported_to_anyone(float_onnx, files, tmp_path):
    """Both tools write an identifier into the home folder before they report; none appears."""
    script = tmp_path / "work.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import numpy as np
            from pathlib import Path
            from edgelab import targets
            images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
            targets.get("onnxruntime").open(Path({str(float_onnx)!r})).close()
            model, out = Path({str(files["float32"])!r}), Path({str(tmp_path / "out.zip")!r})
            targets.get("openvino").compile(model, out, calibration=images)
            print("done")
            """
        )
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "TF_BUILD", "JENKINS_URL", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "NNCF_CI")
    } | {"HOME": str(home), "USERPROFILE": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.stdout.strip() == "done", done.stderr[-500:]
    assert done.stderr == ""
    written = [str(path.relative_to(home)) for path in home.rglob("*")]
    assert not [name for name in written if "intel" in name or "onnxruntime" in name or "deviceid" in name]
