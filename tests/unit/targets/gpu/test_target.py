"""What the GPU target takes, refuses and finds wrong."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from waiting import leaving_nothing_running

from edgelab import benchmark, environment, graph, targets
from edgelab.errors import ModelError, TargetError
from edgelab.machine import artifacts, gpu_adapter
from edgelab.targets import cache
from edgelab.targets.gpu.target import TOLERANCES
from edgelab.targets.gpu.trial import difference

NOISE = np.random.default_rng(1)


@pytest.fixture
def forget_adapters():
    """Adapters are tried once per process; a test that changes the system asks again."""
    gpu_adapter._tried.cache_clear()
    yield
    gpu_adapter._tried.cache_clear()


@pytest.fixture
def no_drivers(monkeypatch, forget_adapters):
    """A system without any Vulkan driver."""
    if sys.platform != "linux":
        pytest.skip("only Vulkan on Linux can be told which drivers there are")
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"):
        monkeypatch.setenv(name, "/nowhere/no.json")
    monkeypatch.delenv(gpu_adapter.SOFTWARE_VARIABLE, raising=False)


@pytest.fixture
def temporary(tmp_path_factory, monkeypatch):
    """The folder for temporary folders, which other tests do not use."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def remembered():
    return set((artifacts.artifacts_dir() / "checked").glob("gpu-*.json"))


def test_compiled_once_then_reused(gpu, trained):
    first = cache.compiled(gpu, trained["float32"])
    assert first.path.read_bytes() == trained["float32"].read_bytes()
    assert first.duration_s > 0.1  # the trial's
    assert str(first.placement) == f"{first.placement.total} of {first.placement.total} operators"
    before = remembered()
    assert cache.compiled(gpu, trained["float32"]) == first
    with gpu.open(first) as session:
        assert session.placement == first.placement
    assert remembered() == before


@pytest.mark.parametrize("name", ["reversed", "cumulated", "largest"])
def test_a_wrong_result_is_a_fault_and_is_not_timed(gpu, odd_models, name):
    """These are wrong in LiteRT 2.3; once they are right, there must be no fault either."""
    draws = NOISE.uniform(0, 255, (50, 1, 10)).astype(np.float32)  # the three largest are wrong for some only
    with gpu.open(odd_models[name]) as session, targets.get("cpu").open(odd_models[name]) as cpu:
        expected, found = ([one.run(values)[0] for values in draws] for one in (cpu, session))
        is_wrong = difference(np.stack(expected), np.stack(found)) > TOLERANCES["float32"]
        assert bool(session.fault) == is_wrong
        if not is_wrong:
            return
        with pytest.raises(TargetError) as caught:
            benchmark.measure(session, max_seconds=0.1)
        assert "results are wrong" in caught.value.what and "differ from the CPU's by" in caught.value.why


def test_a_fault_is_remembered_with_its_reason(gpu, odd_models):
    verdict = gpu.check(odd_models["largest"])
    if verdict.error <= TOLERANCES["float32"]:
        pytest.skip("this LiteRT finds them")
    assert any("TopK" in text for text in verdict.complaints)
    assert gpu.check(odd_models["largest"]) == verdict  # from its file


def test_strict_refuses_what_the_gpu_does_not_take(gpu, odd_models):
    with pytest.raises(ModelError) as caught:
        gpu.open(odd_models["looped"])
    assert "takes 0 of the 1 operators" in caught.value.what and "WHILE" in caught.value.why
    with pytest.raises(ModelError) as caught:
        gpu.open(odd_models["backwards"])
    assert "STRIDED_SLICE: Reverse slices are not supported" in caught.value.why
    assert "fallback=True" in caught.value.fix


def test_fallback_tells_what_stays_on_the_cpu(gpu, odd_models):
    values = NOISE.uniform(-1, 1, (1, 10)).astype(np.float32)
    with targets.get("gpu", software=True, fallback=True).open(odd_models["backwards"]) as session:
        assert session.placement.accelerated < session.placement.total
        assert session.placement.reasons[0] == ("STRIDED_SLICE", "Reverse slices are not supported")
        with targets.get("cpu").open(odd_models["backwards"]) as cpu:
            np.testing.assert_allclose(session.run(values)[0], cpu.run(values)[0], rtol=1e-5)


def test_a_cut_in_the_graph(gpu, odd_models):
    total = len(graph.read(odd_models["chain"]).operators)
    cut = targets.get("gpu", software=True, keep_on_cpu=(2,))
    values = NOISE.uniform(-1, 1, (1, 64)).astype(np.float32)
    with cut.open(odd_models["chain"]) as session, targets.get("cpu").open(odd_models["chain"]) as cpu:
        assert (session.placement.accelerated, session.placement.total) == (total - 1, total)
        assert session.placement.reasons[0][1] == "kept on the CPU by request"
        np.testing.assert_allclose(session.run(values)[0], cpu.run(values)[0], atol=1e-4)
    assert (gpu.check(odd_models["chain"]).parts, cut.check(odd_models["chain"]).parts) == (1, 2)
    assert "LITERT_GPU_DEBUG_EXCLUDE_NODES" not in os.environ


def test_corrupt_and_missing_models(gpu, trained, tmp_path):
    content = trained["float32"].read_bytes()
    for number, damaged in enumerate((b"", b"not a model", content[: len(content) // 2])):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(damaged)
        with pytest.raises(ModelError):
            gpu.open(path)
    with pytest.raises(ModelError):
        gpu.open(tmp_path / "none.tflite")


def test_images_of_any_size_are_refused(gpu, odd_models):
    with pytest.raises(ModelError, match="inputs of any size"):
        gpu.open(odd_models["any_size"])


def test_a_model_that_ends_the_process(gpu, odd_models, temporary):
    """LiteRT 2.3 gives up on `matmul(x, x)`, and takes its process with it."""
    before = remembered()
    with leaving_nothing_running():
        try:
            gpu.open(odd_models["self_product"]).close()
        except TargetError as error:
            assert "ends the process" in error.what and "Check failed" in error.why
        else:
            pytest.skip("this LiteRT runs it")
    assert not list(temporary.iterdir()) and remembered() == before


def test_a_gpu_that_does_not_answer(gpu, odd_models, temporary):
    hasty = targets.get("gpu", software=True)
    hasty.time_limit_s = 0.05
    before = remembered()
    path = odd_models["any_batch"]
    fresh = path.with_name("fresh.tflite")
    fresh.write_bytes(path.read_bytes() + b"\0\0\0\0")  # never tried before
    with leaving_nothing_running(), pytest.raises(TargetError, match="did not finish"):
        hasty.open(fresh)
    assert not list(temporary.iterdir()) and remembered() == before
    gpu.open(fresh).close()  # not held against it


@pytest.mark.parametrize(
    ("body", "expected"),
    [("abort();", "ends the process"), ("for (;;) sleep(1);", "does not answer")],
    ids=["crashes", "hangs"],
)
def test_a_broken_driver_library(tmp_path, monkeypatch, forget_adapters, body, expected):
    if sys.platform != "linux" or not shutil.which("gcc"):
        pytest.skip("needs Linux and gcc, to build a library that breaks")
    source = tmp_path / "broken.c"
    source.write_text(
        "#include <stdlib.h>\n#include <unistd.h>\n"
        f"__attribute__((constructor)) void start(void) {{ {body} }}\n"
    )
    command = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "libvulkan.so.1"), str(source)]
    subprocess.run(command, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    if "not answer" in expected:
        monkeypatch.setattr(gpu_adapter, "TIME_LIMIT_S", 4.0)
    with leaving_nothing_running():
        available = targets.get("gpu", software=False).probe()
    assert not available.can_run and expected in available.detail and "driver" in available.fix


def test_without_a_driver_it_says_so(no_drivers, trained):
    target = targets.get("gpu", software=False)
    available = target.probe()
    assert not available.can_compile and not available.can_run
    assert available.why_it_matters and "driver" in available.fix
    with pytest.raises(TargetError) as caught:
        target.open(trained["float32"])
    assert caught.value.what == "No GPU that LiteRT can use." and caught.value.fix == available.fix
    with pytest.raises(TargetError):
        target.compile(trained["float32"], Path("unused.tflite"))
    assert not Path("unused.tflite").exists()


def test_the_software_gpu_is_offered_and_must_be_asked_for(gpu, no_drivers, monkeypatch):
    assert f"set {gpu_adapter.SOFTWARE_VARIABLE}=1" in targets.get("gpu").probe().fix
    monkeypatch.setenv(gpu_adapter.SOFTWARE_VARIABLE, "1")
    assert targets.get("gpu").probe().can_run
    assert not targets.get("gpu", software=False).probe().can_run


def test_without_a_browser_there_is_no_software_gpu(no_drivers, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_adapter, "SOFTWARE_FOLDERS", (str(tmp_path),))
    monkeypatch.setenv(gpu_adapter.SOFTWARE_VARIABLE, "1")
    for software in (None, True):
        available = targets.get("gpu", software=software).probe()
        assert not available.can_run and "chromium" in available.fix


def test_a_wheel_without_the_gpu_library(monkeypatch, tmp_path):
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ai_edge_litert")
    available = targets.get("gpu").probe()
    assert not available.can_run and available.detail == "this LiteRT has no GPU library"


@pytest.mark.parametrize("setting", ["0", "1"])
def test_chapter_2_agrees(no_drivers, monkeypatch, setting):
    monkeypatch.setenv(gpu_adapter.SOFTWARE_VARIABLE, setting)
    finding, available = environment.litert_gpu(), targets.get("gpu").probe()
    assert (finding.status == environment.MISSING) != available.can_run
    assert available.can_run or finding.fix == available.fix
    if available.can_run:
        assert finding.status == environment.WARNING and "software" in finding.detail
