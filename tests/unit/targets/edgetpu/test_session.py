"""A compiled model on a library made for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest
from waiting import children_with

from edgelab import targets
from edgelab.errors import InputError, ModelError, TargetError


def _workers() -> list[psutil.Process]:
    return children_with("edgelab.targets.edgetpu.worker")


def test_a_model_that_is_not_compiled_is_not_run(model_file):
    with pytest.raises(ModelError, match="has not been compiled"):
        targets.get("edgetpu").open(model_file)


def test_a_compiled_model_without_the_library_says_how_to_get_it(compiled_file):
    with pytest.raises(TargetError, match="library cannot be loaded") as caught:
        targets.get("edgetpu", library="libnothing-of-that-name.so").open(compiled_file)
    assert "libedgetpu" in caught.value.fix
    assert not _workers()


def test_a_compiled_model_on_the_cpu_says_where_it_belongs(compiled_file):
    with pytest.raises(ModelError, match="cannot be run on the CPU") as caught:
        targets.get("cpu").open(compiled_file)
    assert "accelerator" in caught.value.fix


def test_another_library_is_told_from_the_right_one(compiled_file, build_library):
    wrong = build_library("int answer(void) { return 42; }")
    with pytest.raises(TargetError, match="is not the Edge TPU's library"):
        targets.get("edgetpu", library=wrong).open(compiled_file)
    with pytest.raises(TargetError, match="is not the Edge TPU's library"):
        targets.get("edgetpu", library=wrong).devices()


def test_a_library_without_a_device_says_what_may_hold_it(compiled_file, target, monkeypatch):
    monkeypatch.setenv("FAKE_REFUSE", "1")
    with pytest.raises(TargetError, match="No Edge TPU can be opened") as caught:
        target.open(compiled_file)
    assert "another program holds it" in caught.value.why
    assert "no device found" in caught.value.why
    assert not _workers()


def test_runs_and_closes_without_a_trace(compiled_file, target, content):
    with target.open(compiled_file) as session:
        assert (session.target, session.provenance, session.fault) == ("edgetpu", "measured", "")
        assert session.inputs[0].shape == (1, 8, 8, 3)
        assert session.runtime_version.endswith("fake 1")
        assert str(session.placement) == "1 of 1 operators"
        [output] = session.run(np.zeros((1, 8, 8, 3), np.uint8))
        assert output.shape == session.outputs[0].shape
        with pytest.raises(InputError):
            session.run(np.zeros((1, 9, 9, 3), np.uint8))
        folder = Path(session._folder.name)
        assert folder.exists()
    assert not folder.exists()
    assert not _workers()
    with pytest.raises(TargetError):
        session.run(np.zeros((1, 8, 8, 3), np.uint8))


def test_unplugged_in_the_middle_is_an_error_and_the_kernel_lives(compiled_file, target, monkeypatch):
    """Google's library ends the process then; it is not this one."""
    monkeypatch.setenv("FAKE_UNPLUG", "3")
    image = np.zeros((1, 8, 8, 3), np.uint8)
    with target.open(compiled_file) as session:
        session.run(image)
        session.run(image)
        with pytest.raises(TargetError, match="The Edge TPU is gone") as caught:
            session.run(image)
        assert "USB transfer error" in caught.value.why
        assert "open the model again" in caught.value.fix
    assert not _workers()


def test_an_inference_that_fails_is_an_error(compiled_file, target, monkeypatch):
    monkeypatch.setenv("FAKE_FAIL", "1")
    with target.open(compiled_file) as session, pytest.raises(TargetError, match="failed in an inference"):
        session.run(np.zeros((1, 8, 8, 3), np.uint8))


def test_a_library_that_prints_is_heard_all_the_same(compiled_file, target, monkeypatch):
    monkeypatch.setenv("FAKE_NOISE", "1")
    with target.open(compiled_file) as session:
        session.run(np.zeros((1, 8, 8, 3), np.uint8))
