"""PyCoral's own names, arguments and results: as its documentation and its own tests have them."""

from __future__ import annotations

import ctypes
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from coral_models import BOXES, CHANNELS, HEIGHT, SCALE, WIDTH, classifier, detector, with_signature
from edgetpu_models import as_compiled
from PIL import Image

from edgelab.errors import InputError, ModelError, TargetError
from edgelab.machine import artifacts
from edgelab.targets.edgetpu import pycoral
from edgelab.targets.edgetpu import target as edgetpu

FAKE_LIBRARY = Path(__file__).with_name("fake_libedgetpu.c")
BBox = pycoral.detect.BBox
# Names and arguments of the reference at coral.ai, module by module.
DOCUMENTED = {
    "edgetpu": {
        "make_interpreter": ["model_path_or_content", "device", "delegate"],
        "load_edgetpu_delegate": ["options"],
        "list_edge_tpus": [],
        "get_runtime_version": [],
        "run_inference": ["interpreter", "input_data"],
    },
    "dataset": {"read_label_file": ["file_path"]},
    "common": {
        "input_details": ["interpreter", "key"],
        "input_size": ["interpreter"],
        "input_tensor": ["interpreter"],
        "output_tensor": ["interpreter", "i"],
        "set_input": ["interpreter", "data"],
        "set_resized_input": ["interpreter", "size", "resize"],
    },
    "classify": {
        "num_classes": ["interpreter"],
        "get_scores": ["interpreter"],
        "get_classes_from_scores": ["scores", "top_k", "score_threshold"],
        "get_classes": ["interpreter", "top_k", "score_threshold"],
        "Class": ["id", "score"],
    },
    "detect": {
        "get_objects": ["interpreter", "score_threshold", "image_scale"],
        "Object": ["id", "score", "bbox"],
        "BBox": ["xmin", "ymin", "xmax", "ymax"],
    },
    "segment": {"get_output": ["interpreter"]},
}
TUTORIAL = """
import sys
from edgelab.targets.edgetpu import pycoral as names
print(names.provide())

from PIL import Image
from pycoral.adapters import classify
from pycoral.adapters import common
from pycoral.utils.dataset import read_label_file
from pycoral.utils.edgetpu import get_runtime_version, list_edge_tpus, make_interpreter

labels = read_label_file(sys.argv[2])
interpreter = make_interpreter(*sys.argv[1].split('@'))
interpreter.allocate_tensors()
size = common.input_size(interpreter)
image = Image.open(sys.argv[3]).convert('RGB').resize(size, Image.LANCZOS)
common.set_input(interpreter, image)
interpreter.invoke()
for c in classify.get_classes(interpreter, 2, 0.0):
    print('%s: %.5f' % (labels.get(c.id, c.id), c.score))
if sys.argv[4:]:
    print(list_edge_tpus(), get_runtime_version())
"""


def ready(model: bytes):
    interpreter = pycoral.edgetpu.make_interpreter(model)
    interpreter.allocate_tensors()
    return interpreter


@pytest.fixture
def interpreter():
    return ready(classifier())


@pytest.fixture
def picture():
    return np.random.default_rng(5).permutation(HEIGHT * WIDTH * CHANNELS).astype(np.uint8)


@pytest.fixture(autouse=True)
def forgets_the_name():
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "pycoral"}
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "pycoral"]:
        del sys.modules[name]
    sys.modules.update(kept)


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [(module, *entry) for module, entries in DOCUMENTED.items() for entry in entries.items()],
)
def test_names_and_arguments_are_those_of_the_reference(module, name, arguments):
    found = getattr(getattr(pycoral, module), name)
    assert list(inspect.signature(found).parameters) == arguments


def test_nothing_stands_in_a_module_that_is_not_in_the_reference():
    for module, names in DOCUMENTED.items():
        found = {name for name in vars(getattr(pycoral, module)) if not name.startswith("_")}
        assert found == set(names)


def test_a_model_comes_as_a_path_or_as_content_and_needs_no_device_unless_it_was_compiled(tmp_path):
    (tmp_path / "model.tflite").write_bytes(classifier())
    for given in (str(tmp_path / "model.tflite"), classifier()):
        made = pycoral.edgetpu.make_interpreter(given, device=":0")
        made.allocate_tensors()
        assert pycoral.common.input_size(made) == (WIDTH, HEIGHT)
    with pytest.raises(ModelError):
        pycoral.edgetpu.make_interpreter(str(tmp_path / "invalid_model_path.tflite"))


def test_a_compiled_model_without_the_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("edgelab.targets.edgetpu.worker.LIBRARIES", {"Linux": "libnothing-of-that-name.so"})
    for ask in (
        lambda: pycoral.edgetpu.make_interpreter(as_compiled(classifier(), 1)),
        pycoral.edgetpu.load_edgetpu_delegate,
        pycoral.edgetpu.get_runtime_version,
    ):
        with pytest.raises(TargetError, match="library cannot be loaded") as caught:
            ask()
        assert "libedgetpu" in caught.value.fix


def test_a_picture_goes_in_as_bytes_an_array_or_a_pointer(interpreter, picture):
    as_pointer = (picture.ctypes.data_as(ctypes.c_void_p), picture.size)
    for given in (picture, picture.tobytes(), as_pointer, np.append(picture, np.uint8(9))):
        pycoral.common.input_tensor(interpreter).fill(0)
        pycoral.edgetpu.run_inference(interpreter, given)
        assert np.array_equal(pycoral.common.output_tensor(interpreter, 0)[0], picture)
    with pytest.raises(InputError, match=f"has {picture.size - 1} bytes, and the model takes {picture.size}"):
        pycoral.edgetpu.run_inference(interpreter, picture[:-1])
    for wrong in (picture.reshape(HEIGHT, -1), picture.astype(np.float32), "picture", None):
        with pytest.raises(InputError, match="not taken"):
            pycoral.edgetpu.run_inference(interpreter, wrong)


def test_raw_bytes_reach_a_signed_and_a_float_input():
    signed = np.arange(-72, 72, dtype=np.int8)
    made = ready(classifier(schema.TensorType.INT8, (SCALE, -128)))
    pycoral.edgetpu.run_inference(made, signed)
    assert np.array_equal(pycoral.common.output_tensor(made, 0)[0], signed)
    floats = np.linspace(0, 1, HEIGHT * WIDTH * CHANNELS, dtype=np.float32)
    made = ready(classifier(schema.TensorType.FLOAT32, None))
    pycoral.edgetpu.run_inference(made, floats.tobytes())
    assert np.array_equal(pycoral.classify.get_scores(made), floats)


def test_labels_with_numbers_and_without(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("0  tench\n7:gold fish\n12: Käfer\n")
    assert pycoral.dataset.read_label_file(str(path)) == {0: "tench", 7: "gold fish", 12: "Käfer"}
    path.write_text("person\nred car\n")
    assert pycoral.dataset.read_label_file(str(path)) == {0: "person", 1: "red car"}


def test_a_picture_is_copied_and_one_of_another_shape_is_fitted_and_padded(interpreter):
    pixels = np.random.default_rng(1).integers(1, 256, (HEIGHT, WIDTH, CHANNELS)).astype(np.uint8)
    pycoral.common.set_input(interpreter, Image.fromarray(pixels))
    assert np.array_equal(pycoral.common.input_tensor(interpreter), pixels)
    assert pycoral.common.input_details(interpreter, "dtype") is np.uint8
    upright = Image.new("RGB", (9, 12), (200, 100, 50))  # half of it fits: 4 wide, 6 high
    resized, scale = pycoral.common.set_resized_input(interpreter, upright.size, upright.resize)
    tensor = pycoral.common.input_tensor(interpreter)
    assert scale == (0.5, 0.5) and resized.size == (4, 6)
    assert (tensor[:, :4] == (200, 100, 50)).all() and not tensor[:, 4:].any()


def test_classes_come_best_first_dequantized_and_filtered(interpreter, picture):
    pycoral.edgetpu.run_inference(interpreter, picture)
    found = pycoral.classify.get_classes(interpreter)
    assert len(found) == pycoral.classify.num_classes(interpreter) == picture.size
    assert [entry.id for entry in found] == list(np.argsort(-picture.astype(int)))
    assert found[0] == (int(picture.argmax()), pytest.approx((143 - 3) * SCALE))
    assert found[-1].score == pytest.approx(-3 * SCALE), "below the zero point is below zero"
    assert pycoral.classify.get_classes(interpreter, top_k=3) == found[:3]
    at_least = found[4].score
    assert pycoral.classify.get_classes(interpreter, 9, at_least) == found[:5]
    assert pycoral.classify.get_classes(interpreter, score_threshold=2.0) == []
    assert pycoral.classify.get_classes_from_scores(np.array([0.2, 0.5, 0.3]), top_k=2) == [
        (1, 0.5),
        (2, 0.3),
    ]


def test_boxes():
    box = BBox(100, 110, 200, 210)
    assert (box.width, box.height, box.area, box.valid) == (100, 100, 10000, True)
    assert BBox(1, 1, 10, 20).scale(3, 4) == BBox(3, 4, 30, 80)
    assert BBox(1, 1, 10, 20).translate(10, 20) == BBox(11, 21, 20, 40)
    assert BBox(1.1, 2.9, 3.1, 4.9).map(int) == BBox(1, 2, 3, 4)
    a, b = BBox(0, 0, 200, 200), BBox(100, 100, 300, 300)
    assert BBox.intersect(a, b) == BBox(100, 100, 200, 200) and BBox.union(a, b) == BBox(0, 0, 300, 300)
    assert BBox.iou(a, b) == pytest.approx(1 / 7) and BBox.iou(a, a) == 1
    far = BBox(400, 500, 450, 550)
    assert BBox.iou(a, far) == 0 and not BBox.intersect(a, far).valid


ORDERS = {
    "TensorFlow 1": detector(),
    "TensorFlow 2": detector((2, 0, 3, 1)),
    "named": with_signature(
        detector((1, 3, 0, 2)), {"output_0": 7, "output_1": 6, "output_2": 5, "output_3": 4}
    ),
    "named otherwise": with_signature(detector(), {"a": 4, "b": 5, "c": 6, "d": 7}),
}


@pytest.mark.parametrize("order", ORDERS)
def test_objects_are_read_in_each_order_of_the_outputs(order):
    interpreter = ready(ORDERS[order])
    interpreter.invoke()
    found = pycoral.detect.get_objects(interpreter)
    assert [(one.id, round(one.score, 4)) for one in found] == [box[4:] for box in BOXES], "and no padding"
    for one, (ymin, xmin, ymax, xmax, *_) in zip(found, BOXES, strict=True):
        # Shares of the input become whole pixels; the operator's own arithmetic may lie just below one.
        exact = (xmin * WIDTH, ymin * HEIGHT, xmax * WIDTH, ymax * HEIGHT)
        assert all(isinstance(number, int) for number in one.bbox)
        assert np.abs(np.subtract(one.bbox, exact)).max() <= 1
    assert len(pycoral.detect.get_objects(interpreter, 0.625)) == 2
    halved = pycoral.detect.get_objects(interpreter, 0.5, (0.5, 0.25))[1].bbox
    assert (
        np.abs(np.subtract(halved, (0.5 * WIDTH / 0.5, 0.5 * HEIGHT / 0.25, 2 * WIDTH, 4 * HEIGHT))).max()
        <= 1
    )


def test_a_classifier_is_no_detector(interpreter):
    interpreter.invoke()
    with pytest.raises(InputError, match="has 1 outputs"):
        pycoral.detect.get_objects(interpreter)


def test_a_segmenter_gives_its_output_without_the_batch(interpreter, picture):
    pycoral.edgetpu.run_inference(interpreter, picture)
    assert np.array_equal(pycoral.segment.get_output(interpreter), picture)


def test_the_name_is_given_where_google_s_is_missing_and_left_where_it_is(tmp_path, monkeypatch):
    assert pycoral.provide() == pycoral.provide() == "edgelab's, over LiteRT"
    from pycoral.adapters import common  # what a tutorial writes

    assert common is pycoral.common
    assert edgetpu.pycoral_state() == "missing", "ours is not taken for an installed one"
    with pytest.raises(ModuleNotFoundError):
        __import__("pycoral.pipeline")
    for name in [name for name in sys.modules if name.split(".")[0] == "pycoral"]:
        del sys.modules[name]
    (tmp_path / "pycoral" / "utils").mkdir(parents=True)
    (tmp_path / "pycoral" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert pycoral.provide() == "edgelab's, over LiteRT", "the unrelated program is covered"
    for name in [name for name in sys.modules if name.split(".")[0] == "pycoral"]:
        del sys.modules[name]
    (tmp_path / "pycoral" / "utils" / "edgetpu.py").touch()
    assert pycoral.provide() == "Google's PyCoral" and "pycoral" not in sys.modules


def tutorial(folder: Path, model: bytes, *more: str, **environment: str):
    """Run the tutorial as a program of its own, on a picture whose brightest value is told."""
    (folder / "model.tflite").write_bytes(model)
    pixels = np.zeros((HEIGHT, WIDTH, CHANNELS), np.uint8)
    pixels[0, 1] = (0, 131, 3)
    Image.fromarray(pixels).save(folder / "picture.png")
    (folder / "labels.txt").write_text("\n".join(f"{n} label {n}" for n in range(pixels.size)))
    (folder / "tutorial.py").write_text(TUTORIAL)
    arguments = [f"model.tflite{''.join(more[:1])}", "labels.txt", "picture.png", *more[1:]]
    env = os.environ | {"PYTHONPATH": str(artifacts.PROJECT_ROOT)} | environment
    command = [sys.executable, "tutorial.py", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


def test_a_tutorial_runs_as_it_is_written(tmp_path):
    done = tutorial(tmp_path, classifier())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["edgelab's, over LiteRT", "label 4: 0.50000", "label 5: 0.00000"]


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which("gcc") or sys.platform != "linux", reason="needs gcc on Linux, to build a library"
)
def test_a_tutorial_runs_a_compiled_model_through_the_library(tmp_path):
    library = tmp_path / "libedgetpu.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, FAKE_LIBRARY], check=True)
    where = {"LD_LIBRARY_PATH": str(tmp_path)}
    done = tutorial(tmp_path, as_compiled(classifier(), 1), "@:0", "devices", **where)
    assert done.returncode == 0, done.stderr
    *_, devices = done.stdout.splitlines()
    assert devices.startswith("[{'type': 'usb', 'path': '/sys/bus/usb/devices/2-1'}, {'type': 'pci', ")
    assert devices.endswith("] fake 1")
    for device, more in (("@:9", {}), ("", {"FAKE_REFUSE": "1"})):
        refused = tutorial(tmp_path, as_compiled(classifier(), 1), device, **where, **more)
        assert refused.returncode == 1 and "No Edge TPU can be opened" in refused.stderr
