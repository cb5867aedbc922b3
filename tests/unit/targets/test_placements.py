"""Where operators run, asked of the targets: file and count agree, and "unknown" is not zero."""

import importlib.util
import sys

import numpy as np
import pytest

from edgelab import graph, models, quantization
from edgelab.errors import ModelError
from edgelab.targets import placements
from edgelab.targets.ethosu import target as ethosu

HAS_VELA = importlib.util.find_spec("ethosu") is not None
needs_vela = pytest.mark.skipif(not HAS_VELA, reason="Vela is not installed")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELAB_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        patch.setenv("PATH", "")  # no edgetpu_compiler, wherever the tests run
        yield


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def build(images):
    def convert(**options):
        import keras

        keras.utils.set_random_seed(0)
        model = models.accelerator_cnn(**options)
        return {"int8": quantization.convert(model, "int8", images, io_dtype="uint8").path}

    return convert


def names(path, answer, place):
    operators = graph.read(path).operators
    return [op.name for op, where in zip(operators, answer.places, strict=True) if where == place]


def test_the_friendly_network_is_taken_whole_by_the_edge_tpu(build):
    files = build()
    answer = placements.ask("edgetpu", files)
    count = len(graph.read(files["int8"]).operators)
    assert str(answer) == f"{count} of {count}" and answer.share == 1
    assert set(answer.places) == {placements.ACCELERATOR}


def test_what_the_edge_tpu_refuses_is_zero_with_its_reason(build):
    answer = placements.ask("edgetpu", build(activation="gelu"))
    assert answer.share == 0 and "GELU" in answer.note
    assert set(answer.places) == {placements.CPU}


def test_behind_the_first_obstacle_all_stays_on_the_cpu(build):
    files = build(activation="hard_swish")
    answer = placements.ask("edgetpu", files)
    first = answer.places.index(placements.CPU)
    assert graph.read(files["int8"]).operators[first].name == "HARD_SWISH"
    assert set(answer.places[first:]) == {placements.CPU}
    assert answer.places.count(placements.ACCELERATOR) == answer.placement.accelerated


@needs_vela
def test_vela_leaves_the_resize_alone_and_comes_back(build):
    files = build(shrink="resize")
    answer = placements.ask("ethosu", files)
    assert names(files["int8"], answer, placements.CPU) == ["RESIZE_BILINEAR"]
    assert answer.placement.accelerated == len(answer.places) - 1
    assert answer.places[-1] == placements.ACCELERATOR


@needs_vela
def test_options_reach_the_target(build):
    asked = []
    original = ethosu.EthosUTarget.__init__

    def note(self, *arguments, **options):
        asked.append(options)
        original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ethosu.EthosUTarget, "__init__", note)
        answer = placements.ask("ethosu", build(), accelerator="ethos-u85-256")
    assert asked == [{"accelerator": "ethos-u85-256"}] and answer.share == 1


def test_a_missing_tool_is_unknown_not_zero(build, monkeypatch):
    monkeypatch.setattr(ethosu, "_version", str)
    answer = placements.ask("ethosu", build())
    assert answer.placement is None and answer.share is None
    assert str(answer) == "unknown here" and answer.note == "Vela is not installed"


def test_what_the_device_decides_is_unknown_here():
    answer = placements.ask("coreml", {})
    assert answer.placement is None and answer.note == "decided on the device"


def test_a_tool_that_breaks_is_unknown_with_its_words(build, monkeypatch):
    broken = (sys.executable, "-c", "import sys; sys.exit('no space left for dreams')")
    monkeypatch.setattr(ethosu, "COMMAND", broken)
    monkeypatch.setattr(ethosu, "_version", lambda: "9.9")
    answer = placements.ask("ethosu", build())
    assert answer.placement is None and "dreams" in answer.note


@pytest.mark.skipif(importlib.util.find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
def test_a_refused_model_is_zero_of_all(build):
    files = build(activation="gelu")
    answer = placements.ask("micro", files)
    assert answer.placement.accelerated == 0 and "GELU" in answer.note
    assert answer.placement.total == len(graph.read(files["int8"]).operators)
    assert set(answer.places) <= {placements.CPU}


def test_a_damaged_file_is_an_error(build, tmp_path):
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(build()["int8"].read_bytes()[:999])
    with pytest.raises(ModelError):
        placements.ask("edgetpu", {"int8": damaged})
