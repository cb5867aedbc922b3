"""Reports on models of several origins."""

from __future__ import annotations

import io
import json
import re

import foreign_onnx_models
import numpy as np
import odd_models
import onnx
import pytest
from picture_folders import picture, write_folder
from PIL import Image

from edgelab import graph, quantization, report
from edgelab.__main__ import main
from edgelab.errors import DataError, InputError, ModelError
from edgelab.targets import foreign_onnx, onnx_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keras_file(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "my model ü.keras"
    small_model.save(path)
    return path


@pytest.fixture(scope="module")
def found(keras_file):
    made, pictures = report.make(keras_file)
    assert pictures.is_noise
    return made


@pytest.fixture(scope="module")
def open_batch(small_model, tmp_path_factory):
    """As most people convert: the batch left open, floats in and out."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(small_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(0)
    converter.representative_dataset = lambda: (
        [rng.integers(0, 256, (1, 32, 32, 3)).astype(np.float32)] for _ in range(20)
    )
    path = tmp_path_factory.mktemp("models") / "open.tflite"
    with quantization.silence():
        path.write_bytes(converter.convert())
    return path


def test_a_keras_model_is_asked_of_every_target(found):
    by_target = {one.target: one for one in found.trials}
    assert list(by_target) == list(report.trials.ASKED)
    assert by_target["cpu"].latency_ms > 0 and by_target["cpu"].provenance == "measured"
    assert by_target["cpu"].snr_db > 10  # int8 against float
    assert by_target["edgetpu"].accelerated == 1.0
    for one in found.trials:
        assert one.placement or one.note or one.latency_ms
    assert all(one.latency_ms for one in found.estimates)
    assert all(one.is_extrapolated == ("Extrapolated" in one.note) for one in found.estimates)
    assert any(one.is_extrapolated for one in found.estimates)  # far smaller than any published network
    assert {one.verdict for one in found.memory} <= {"fits", "streams", "does not fit"}
    assert found.profile


def test_the_page_is_complete_small_and_escaped(found, tmp_path):
    page = tmp_path / "new folder" / "page.html"
    report.write_page(found, page)
    text = page.read_text(encoding="utf-8")
    assert len(text) < 3e6
    assert "my model ü.keras" in text and "calibrated on noise" in text
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)


def test_numbers_of_the_report_are_json(found):
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert told["macs"] == found.graph.macs and told["trials"][0]["target"] == "cpu"


def test_pictures_and_labels_give_accuracy(keras_file, small_model, patterns, tmp_path):
    pictures = patterns.test_images[:40]
    answers = small_model.predict(pictures.astype(np.float32), verbose=0).argmax(1)
    tree = {}
    for index, (pixels, answer) in enumerate(zip(pictures, answers, strict=True)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        tree[f"thing {answer}/{index}.png"] = file.getvalue()
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"{number} thing {number}" for number in range(10)))
    folder = write_folder(tmp_path / "pictures", tree)
    made, tried = report.make(keras_file, images=folder, labels=labels)
    cpu = made.trials[0]
    assert len(tried.labels) == 40
    assert cpu.accuracy > 0.8 and cpu.accuracy_low <= cpu.accuracy <= cpu.accuracy_high
    assert "noise" not in made.tried_on
    labels.write_text("something else\n")
    with pytest.raises(DataError, match="No class folder"):
        report.make(keras_file, images=folder, labels=labels)


def test_an_open_batch_and_float_ends_are_noticed_and_mended(open_batch, tmp_path):
    subject, _ = report.open_subject(open_batch)
    keys = {one.key for one in report.smells.smells(subject.graph)}
    assert keys == {"open_batch", "float_ends"}
    out = tmp_path / "mended.tflite"
    assert len(report.repaired(subject, out)) == 2
    mended, _ = report.open_subject(out)
    assert report.smells.smells(mended.graph) == ()
    assert mended.graph.tensors[mended.graph.inputs[0]].dtype == "int8"
    with pytest.raises(InputError, match="there already"):
        report.repaired(subject, out)


def test_mended_models_compute_the_same(open_batch, patterns):
    from edgelab import targets
    from edgelab.runtime import predict

    content = open_batch.read_bytes()
    with targets.get("cpu").open(open_batch) as session:
        expected = predict(session, patterns.test_images[:20])
    for number, repair in enumerate((graph.with_batch_of_one, graph.without_float_ends)):
        path = open_batch.with_name(f"mended {number}.tflite")
        path.write_bytes(repair(content))
        with targets.get("cpu").open(path) as session:
            np.testing.assert_allclose(predict(session, patterns.test_images[:20]), expected, atol=1e-6)


@pytest.mark.real_data
def test_every_published_pair_gets_a_report(real_data):
    for path in sorted((real_data / "edgetpu_pairs").glob("*.tflite")):
        subject, pictures = report.open_subject(path)
        report.smells.smells(subject.graph)
        assert report.trials.memory(subject) and report.trials.estimates(subject)
        assert len(pictures.values)


def test_the_command_exits_as_required(open_batch, tmp_path, capsys):
    page = str(tmp_path / "page.html")
    arguments = ["report", str(open_batch), "--out", page]
    assert main([*arguments, "--require", "macs>1, size_bytes<1e6"]) == 0
    assert "met" in capsys.readouterr().out
    assert main([*arguments, "--require", "latency_ms[cpu]<0"]) == 1
    assert "not met" in capsys.readouterr().out
    assert main([*arguments, "--json", "--require", "edgetpu>=0"]) == 0
    assert json.loads(capsys.readouterr().out)["requirements"][0]["met"]
    assert main(["report", str(tmp_path / "absent.tflite"), "--out", page]) == 2
    assert main([*arguments, "--require", "speed=fast"]) == 2
    assert "cannot be understood" in capsys.readouterr().err


def test_what_is_no_model_is_refused(tmp_path):
    for name, content in (("a.tflite", b"nonsense"), ("b.keras", b"nonsense"), ("c.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError):
            report.open_subject(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError):
        report.open_subject(tmp_path / "folder")


def test_pictures_for_a_model_of_something_else_are_refused(tmp_path):
    import keras

    inputs = keras.Input((7,))
    path = tmp_path / "vector.keras"
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path)
    subject, pictures = report.open_subject(path)
    assert pictures.is_noise and set(subject.files) == {"float32", "int8"}
    folder = write_folder(tmp_path / "pictures", {"cat/0.png": picture(3)})
    with pytest.raises(InputError, match="no picture"):
        report.open_subject(path, folder)


def test_an_onnx_file_is_asked_of_the_targets_that_start_from_it(tmp_path):
    path = foreign_onnx_models.with_external_weights(tmp_path / "from elsewhere.onnx")
    made, _ = report.make(path, mean=(127.5,), std=(127.5,))
    by_target = {one.target: one for one in made.trials}
    assert made.subject.kind == "onnx" and "raw pixels" in made.subject.notes[0]
    assert by_target["onnxruntime"].snr_db > 20 and by_target["onnxruntime"].latency_ms > 0
    assert "takes a .tflite file" in by_target["edgetpu"].note
    report.write_page(made, tmp_path / "page.html")
    assert "from elsewhere.onnx" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_scaling_is_refused_where_it_would_be_ignored(keras_file, open_batch):
    with pytest.raises(InputError, match="no such option"):
        report.open_subject(keras_file, mean=(127.5,))
    with pytest.raises(InputError, match="no such option"):
        report.open_subject(open_batch, input_shape=(1, 32, 32, 3))


def test_scaling_of_a_tflite_model_is_put_in_front_of_it(small_model, tmp_path):
    path = quantization.convert(small_model, "float32", name="scaled").path
    subject, _ = report.open_subject(path, mean=(127.5,), std=(127.5,))
    assert [one.name for one in subject.graph.operators][:2] == ["SUB", "MUL"]
    assert subject.main != path and subject.notes
    in_integers = quantization.convert(
        small_model, "int8", np.zeros((4, 32, 32, 3), np.uint8), io_dtype="uint8", name="integers"
    )
    with pytest.raises(ModelError, match="no floats"):
        report.open_subject(in_integers.path, std=(255,))


def test_a_quantized_onnx_file_has_no_float_islands(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    given = foreign_onnx.prepared(foreign_onnx_models.with_external_weights(tmp_path / "net.onnx"))
    subject, _ = report.open_subject(onnx_model.quantize(given, images, "asymmetric"))
    assert subject.is_quantized and "int8" in subject.files
    assert not {"float_island", "not_quantized"} & {one.key for one in report.smells.smells(subject.graph)}


def test_an_onnx_file_of_open_size_needs_one(tmp_path, capsys):
    path = tmp_path / "open.onnx"
    onnx.save_model(foreign_onnx_models.network(size="side"), path)
    arguments = ["report", str(path), "--out", str(tmp_path / "page.html")]
    assert main(arguments) == 2 and "--input-shape" in capsys.readouterr().err
    assert main([*arguments, "--input-shape", "1,3,16,16"]) == 0


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory):
    with quantization.silence():
        return odd_models.write_all(tmp_path_factory.mktemp("odd"))


def test_models_that_classify_nothing_are_reported_all_the_same(odd_files, tmp_path):
    for name, path in odd_files.items():
        made, _ = report.make(path)
        report.write_page(made, tmp_path / "page.html")
        on_cpu = made.trials[0]
        if name in ("text", "text out"):
            assert "Flex" in made.smells[0].text and "Select TensorFlow op" in on_cpu.note, name
        elif name == "as many values as are positive":
            assert "no common size" in on_cpu.note, name
        elif name == "all sizes open":
            assert on_cpu.provenance == "measured" and on_cpu.latency_ms is None, name
        else:
            assert on_cpu.latency_ms > 0 and not on_cpu.note, name


def test_only_the_targets_that_one_ships_for_are_asked(open_batch, tmp_path, capsys):
    made, _ = report.make(open_batch, only=["ethosu"])
    assert [one.target for one in made.trials] == ["cpu", "ethosu"]
    with pytest.raises(SystemExit):
        main(["report", str(open_batch), "--only", "ethosu,beauty", "--out", str(tmp_path / "page.html")])
    assert "beauty" in capsys.readouterr().err
