"""LiteRT's log, and how far two results are apart."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from edgelab import targets
from edgelab.machine import gpu_adapter
from edgelab.targets.gpu import trial
from edgelab.targets.gpu.trial import Verdict, difference, sample_inputs


def test_the_size_of_a_difference():
    ones = np.ones(4)
    assert difference(ones, ones) == 0 and difference(ones, ones * 1.1) == pytest.approx(0.1)
    assert difference(ones, np.array([1, 1, 1, np.nan])) == np.inf
    assert (
        difference(np.array([1, np.inf]), np.array([1, 3e38])) == 0
    )  # where the CPU overflows, nothing counts
    assert difference(np.full(2, np.nan), ones[:2]) == np.inf
    assert difference(np.zeros(2), np.zeros(2)) == 0 and difference(np.zeros(2), ones[:2]) == np.inf


def test_samples_differ_and_fit(trained):
    for name in trained:
        with targets.get("cpu").open(trained[name]) as session:
            samples = [arrays[0] for arrays in sample_inputs(session.inputs)]
            assert all(a.shape == (1, 32, 32, 3) and a.dtype == session.inputs[0].dtype for a in samples)
            assert len({a.tobytes() for a in samples}) == len(samples)
            assert samples[0].max() == 0 and samples[1].min() == 255


def test_the_adapter_in_the_log():
    line = "I0 environment.cc:532] Selected adapter: {}, backend=Vulkan, adapterType={}\nmore"
    real = gpu_adapter.read_log(
        line.format("AMD Radeon 780M (RADV), arch=rdna-3, vendor=amd", "Integrated GPU")
    )
    assert str(real) == "AMD Radeon 780M (RADV) (Integrated GPU, Vulkan)" and not real.is_software
    mesa = gpu_adapter.read_log(line.format("llvmpipe (LLVM 19), arch=, vendor=mesa", "CPU / Software"))
    assert mesa.is_software and "a software GPU on" in str(mesa)
    assert gpu_adapter.read_log(line.format("Some GPU", "Unknown")).kind == ""


def test_reasons_in_the_log():
    old = (
        "Warning: Vulkan shaderUniform*ArrayDynamicIndexing required.\n - While initializing adapter\n"
        "ERROR: [delegate_webgpu.cc:359] Failed to initialize WebGPU environment: INTERNAL: No adapters found"
    )  # Mesa 22.3 of Debian 12
    assert "too old" in gpu_adapter.read_log(old).reason
    missing = "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file"
    assert "loader cannot be loaded: libvulkan.so.1" in gpu_adapter.read_log(missing).reason
    assert gpu_adapter.read_log("INTERNAL: No adapters found").reason == "no driver offers a GPU"


def test_placement_in_the_log():
    log = (
        "ERROR: Following operations are not supported by GPU delegate:\n"
        "MUL: Can't parse inputs with const tensors.\nMUL: Can't parse inputs with const tensors.\n"
        "QUANTIZE: Tensor type(INT16) is not supported. serving_default\n"
        "2 operations will run on the GPU, and the remaining 3 operations will run on the CPU.\n"
    )
    found = trial.read_log(log, ("Following operations are not supported", "Validation error: no"))
    assert (found["left_on_cpu"], found["counted"]) == (3, 5)
    assert found["reasons"] == (
        ("MUL", "Can't parse inputs with const tensors"),
        ("QUANTIZE", "Tensor type(INT16) is not supported"),
    )
    assert found["complaints"] == ("Validation error: no",)
    none = trial.read_log("No operations will run on the GPU, and all 2 operations will run on the CPU.", ())
    assert (none["left_on_cpu"], none["counted"]) == (2, 2)


def test_a_count_that_does_not_fit_is_told(trained):
    content = trained["float32"].read_bytes()
    placement = targets.get("gpu")._placement(content, Verdict("runs", left_on_cpu=1, counted=3))
    assert placement.reasons[-1][0] == "unknown"


def test_a_verdict_survives_its_file():
    verdict = Verdict(
        "runs", error=0.5, left_on_cpu=1, reasons=(("MUL", "no"),), parts=2, complaints=("bad",)
    )
    assert trial.verdict_of(json.loads(json.dumps(asdict(verdict)))) == verdict
