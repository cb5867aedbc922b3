"""What the CPU opens, and what it refuses."""

import numpy as np
import pytest

from edgelab import targets
from edgelab.errors import ModelError
from edgelab.targets.cpu.session import trial_input


def test_compiling_for_the_cpu_copies(int8_path, tmp_path):
    compiled = targets.get("cpu").compile(int8_path, tmp_path / "copy.tflite")
    assert compiled.path.read_bytes() == int8_path.read_bytes()
    assert compiled.placement.accelerated == compiled.placement.total > 3
    with targets.get("cpu").open(compiled) as session:
        assert session.outputs[0].shape == (1, 10)


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"hello, I am a text file, not a model\n" * 50, bytes(4096)]
)
def test_files_of_other_kinds(tmp_path, content):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        targets.get("cpu").open(path)
    with pytest.raises(ModelError):
        targets.get("keras").open(path.rename(tmp_path / "model.keras"))


def test_missing_file(tmp_path):
    for name, path in (
        ("cpu", tmp_path / "none.tflite"),
        ("keras", tmp_path / "none.keras"),
        ("cpu", tmp_path),
    ):
        with pytest.raises(ModelError, match=path.name):
            targets.get(name).open(path)


@pytest.mark.real_data
def test_model_for_another_accelerator(real_data):
    path = real_data / "edgetpu_pairs" / "split_concat_edgetpu.tflite"
    with pytest.raises(ModelError, match="edgetpu-custom-op") as caught:
        targets.get("cpu").open(path)
    assert "accelerator" in caught.value.fix


def test_file_overwritten_while_open(int8_path, tmp_path):
    """LiteRT maps files; one cut short under a running model would end the process."""
    path = tmp_path / "model.tflite"
    path.write_bytes(int8_path.read_bytes())
    with targets.get("cpu").open(path) as session:
        arrays = tuple(trial_input(spec) for spec in session.inputs)
        before = session.run(*arrays)[0]
        path.write_bytes(b"")
        np.testing.assert_array_equal(session.run(*arrays)[0], before)
