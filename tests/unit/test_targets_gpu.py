"""LiteRT's GPU path, on Chromium's software GPU: right results, wrong ones found out, all ways to fail."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgelab import benchmark, environment, graph, targets
from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts, gpu_adapter
from edgelab.runtime import predict
from edgelab.targets import cache
from edgelab.targets.gpu import trial as gpu_module_trial
from edgelab.targets.gpu.target import TOLERANCES
from edgelab.targets.gpu.trial import Verdict, difference, sample_inputs

NOISE = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    """Notebooks that run at the same time have temporary folders too; `leftovers` must not count them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def gpu():
    """The software GPU; results are asserted here, never speed."""
    target = targets.get("gpu", software=True)
    available = target.probe()
    if not available.can_run:
        pytest.skip(f"no software GPU: {available.detail}; {available.fix}")
    return target


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


def convert(function, shape, folder, name):
    """A float model of a few operators."""
    import tensorflow as tf

    concrete = tf.function(
        function, input_signature=[tf.TensorSpec(shape, tf.float32)]
    ).get_concrete_function()
    path = Path(folder) / f"{name}.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    return path


@pytest.fixture(scope="module")
def odd_models(tmp_path_factory):
    """Small models that GPUs treat each in its own way, by name."""
    import tensorflow as tf

    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 3, 3, 8)).astype(np.float32))
    functions = {
        "reversed": (lambda x: tf.reverse(x, [1]), [1, 10]),
        "cumulated": (lambda x: tf.cumsum(x, -1), [1, 10]),
        "largest": (lambda x: tf.math.top_k(x, 3)[0], [1, 10]),
        "looped": (
            lambda x: tf.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a * 2), [0, x])[1],
            [1, 10],
        ),
        "backwards": (lambda x: tf.nn.relu(x)[:, ::-1] * 2, [1, 10]),
        "self_product": (lambda x: tf.matmul(x, x, transpose_b=True), [1, 3, 8, 8]),
        "any_batch": (lambda x: tf.nn.conv2d(x, kernel, 2, "SAME"), [None, 16, 16, 3]),
        "any_size": (lambda x: tf.nn.conv2d(x, kernel, 2, "SAME"), [1, None, None, 3]),
        "chain": (lambda x: tf.tanh(tf.exp(-tf.abs(tf.sin(x))) * 3), [1, 64]),
    }
    folder = tmp_path_factory.mktemp("odd")
    return {name: convert(function, shape, folder, name) for name, (function, shape) in functions.items()}


@pytest.fixture(scope="module")
def trained(small_model, patterns, tmp_path_factory):
    """The trained network as float32 and as int8 with pixels in and out."""
    import keras
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("trained")
    pixels = keras.Input((32, 32, 3), batch_size=1)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, small_model(pixels)))
    (folder / "float32.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    (folder / "partly.tflite").write_bytes(converter.convert())  # integer weights, float activations
    converter.representative_dataset = lambda: (
        [image[np.newaxis].astype(np.float32)] for image in patterns.train_images[:100]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    (folder / "int8.tflite").write_bytes(converter.convert())
    return {path.stem: path for path in folder.iterdir()}


def children():
    return {process.pid for process in psutil.Process().children(recursive=True)}


def leftovers():
    return set(Path(tempfile.gettempdir()).glob("edgelab-gpu-*"))


def remembered():
    return set((artifacts.artifacts_dir() / "checked").glob("gpu-*.json"))


# ---- results


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-4), ("partly", 0.05), ("int8", 0.1)])
def test_results_equal_the_cpus(gpu, trained, patterns, name, tolerance):
    images = patterns.test_images[:60]
    with gpu.open(trained[name]) as session, targets.get("cpu").open(trained[name]) as reference:
        found, expected = predict(session, images), predict(reference, images)
    assert found.shape == expected.shape == (60, 10) and found.dtype == np.float32
    assert expected.std(axis=0).max() > 0.05  # a network that always says the same would pass anything
    assert difference(expected, found) < tolerance
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.95


def test_what_a_session_tells(gpu, trained):
    with gpu.open(trained["float32"]) as session:
        total = len(graph.read(trained["float32"]).operators)
        assert (session.placement.accelerated, session.placement.total) == (total, total)
        assert "a software GPU on" in session.device  # never taken for a real one
        assert session.target == "gpu" and session.provenance == "measured" and session.fault == ""
        assert session.runtime_version.startswith("LiteRT ") and session.runtime_version.endswith("GPU")
        assert session.inputs[0].shape == (1, 32, 32, 3) and session.inputs[0].dtype == np.float32
        measured = benchmark.measure(session, min_samples=5, max_seconds=0.2)
        assert measured.placement == session.placement and measured.device == session.device


def test_enqueue_and_read_are_a_run(gpu, trained):
    image = NOISE.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    with gpu.open(trained["float32"]) as session:
        session.enqueue(image)
        np.testing.assert_array_equal(session.read()[0], session.run(image)[0])


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


def test_a_batch_of_any_size_runs_as_one(gpu, odd_models):
    image = NOISE.uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    with (
        gpu.open(odd_models["any_batch"]) as session,
        targets.get("cpu").open(odd_models["any_batch"]) as cpu,
    ):
        assert difference(cpu.run(image)[0], session.run(image)[0]) < 1e-5


def test_two_processes_use_one_gpu(gpu, trained):
    script = (
        "import sys, numpy as np\n"
        "from edgelab import targets\n"
        "image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype('float32')\n"
        "path = sys.argv[1]\n"
        "with targets.get('gpu', software=True).open(path) as gpu, targets.get('cpu').open(path) as cpu:\n"
        "    expected = cpu.run(image)[0]\n"
        "    assert all(np.abs(gpu.run(image)[0] - expected).max() < 1e-4 for _ in range(100))\n"
    )
    gpu.check(trained["float32"])
    command = [sys.executable, "-c", script, str(trained["float32"])]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        _, words = process.communicate(timeout=120)
        assert process.returncode == 0, words[-2000:]


# ---- wrong results


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


# ---- operators that stay on the CPU


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


# ---- bad models


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


def test_wrong_inputs_and_closed_sessions(gpu, trained):
    with gpu.open(trained["float32"]) as session:
        with pytest.raises(InputError):
            session.run(np.zeros((1, 32, 32, 3), np.uint8))
        with pytest.raises(InputError):
            session.run()
    session.close()
    with pytest.raises(TargetError, match="closed"):
        session.run(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(InputError):
        targets.get("gpu", precision="int4")


# ---- a library that crashes or hangs


def test_a_model_that_ends_the_process(gpu, odd_models):
    """LiteRT 2.3 gives up on `matmul(x, x)`, and takes its process with it."""
    before = children(), leftovers(), remembered()
    try:
        gpu.open(odd_models["self_product"]).close()
    except TargetError as error:
        assert "ends the process" in error.what and "Check failed" in error.why
        assert (children(), leftovers(), remembered()) == before
    else:
        pytest.skip("this LiteRT runs it")


def test_a_gpu_that_does_not_answer(gpu, odd_models):
    hasty = targets.get("gpu", software=True)
    hasty.time_limit_s = 0.05
    before = children(), leftovers(), remembered()
    path = odd_models["any_batch"]
    fresh = path.with_name("fresh.tflite")
    fresh.write_bytes(path.read_bytes() + b"\0\0\0\0")  # never tried before
    with pytest.raises(TargetError, match="did not finish"):
        hasty.open(fresh)
    assert (children(), leftovers(), remembered()) == before
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
    monkeypatch.setattr(gpu_adapter, "TIME_LIMIT_S", 4.0)
    before = children()
    available = targets.get("gpu", software=False).probe()
    assert not available.can_run and expected in available.detail and "driver" in available.fix
    assert children() == before


# ---- no GPU


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


# ---- LiteRT's log


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
    found = gpu_module_trial.read_log(log, ("Following operations are not supported", "Validation error: no"))
    assert (found["left_on_cpu"], found["counted"]) == (3, 5)
    assert found["reasons"] == (
        ("MUL", "Can't parse inputs with const tensors"),
        ("QUANTIZE", "Tensor type(INT16) is not supported"),
    )
    assert found["complaints"] == ("Validation error: no",)
    none = gpu_module_trial.read_log(
        "No operations will run on the GPU, and all 2 operations will run on the CPU.", ()
    )
    assert (none["left_on_cpu"], none["counted"]) == (2, 2)


def test_a_count_that_does_not_fit_is_told(trained):
    content = trained["float32"].read_bytes()
    placement = targets.get("gpu")._placement(content, Verdict("runs", left_on_cpu=1, counted=3))
    assert placement.reasons[-1][0] == "unknown"


def test_a_verdict_survives_its_file():
    verdict = Verdict(
        "runs", error=0.5, left_on_cpu=1, reasons=(("MUL", "no"),), parts=2, complaints=("bad",)
    )
    assert gpu_module_trial.verdict_of(json.loads(json.dumps(asdict(verdict)))) == verdict
