"""What goes to a board: the same bytes each time, each file with its hash, nothing that cannot run there."""

import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from edgelab import __main__ as command_line
from edgelab import targets
from edgelab.boards import bundle
from edgelab.errors import DataError, InputError, ModelError

pytestmark = pytest.mark.slow  # models are made by TensorFlow


def arrays(path, name):
    with zipfile.ZipFile(path) as archive, np.load(io.BytesIO(archive.read(name))) as kept:
        return [kept[entry] for entry in kept.files]


def test_it_holds_what_the_board_needs_each_file_with_its_hash(board_files, tmp_path):
    made = bundle.make(board_files["int8"], tmp_path / "out.zip", name="net", dataset="patterns")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    described = files.pop("manifest.json")
    assert made.key == hashlib.sha256(described).hexdigest() and json.loads(described) == made.manifest
    programs = {"run.py", "onboard.py", "energy.py"}
    assert set(files) == {"model.tflite", "inputs.npz", "expected.npz", "README.txt", *programs}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in files.items()} == {
        name: about["sha256"] for name, about in made.manifest["files"].items()
    }
    assert files["model.tflite"] == board_files["int8"].read_bytes()
    assert b"edgelab" not in b"".join(
        line
        for name in programs
        for line in files[name].splitlines()
        if line.startswith((b"import", b"from"))
    )
    model = made.manifest["model"]
    assert (model["name"], model["dataset"], model["precision"]) == ("net", "patterns", "int8")
    assert model["inputs"][0]["dtype"] == "int8" and made.manifest["inputs"]["count"] == 32
    assert made.manifest["expected_by"]["runtime"].startswith("LiteRT ")


def test_expected_outputs_are_those_of_the_cpu_here(board_files, tmp_path):
    made = bundle.make(board_files["uint8"], tmp_path / "out.zip", count=5, seed=3)
    [tests], [expected] = (arrays(tmp_path / "out.zip", name) for name in ("inputs.npz", "expected.npz"))
    assert tests.shape == (5, 1, 16, 16, 3) and tests.dtype == np.uint8
    with targets.get("cpu").open(board_files["uint8"]) as session:
        assert all(
            np.array_equal(session.run(one)[0], want) for one, want in zip(tests, expected, strict=True)
        )
    assert np.array_equal(made.expected[0], expected)
    assert len({one.tobytes() for one in expected}) > 1, "inputs that all look alike test little"


def test_the_same_model_gives_the_same_bytes_and_another_seed_another_bundle(board_files, tmp_path):
    kept = [bundle.make(board_files["int8"], tmp_path / f"{n}.zip", count=2, seed=n // 2) for n in range(3)]
    content = [(tmp_path / f"{n}.zip").read_bytes() for n in range(3)]
    assert content[0] == content[1] != content[2] and kept[0].key == kept[1].key != kept[2].key


@pytest.mark.parametrize(
    ("kind", "precision", "inputs"),
    [("float32", "float32", 1), ("int8", "int8", 1), ("uint8", "int8", 1), ("two inputs", "float32", 2)],
)
def test_models_of_each_kind(kind, precision, inputs, board_files, tmp_path):
    made = bundle.make(board_files[kind], tmp_path / "out.zip", count=3)
    assert made.manifest["model"]["precision"] == precision
    assert len(arrays(tmp_path / "out.zip", "inputs.npz")) == inputs
    assert len(made.outputs) == len(made.expected)
    assert f"{kind}, {precision}" in str(made)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("open size", "takes any size"),
        ("as many values as are large", "cannot be compared"),
        ("no input", "takes no input"),
    ],
)
def test_a_model_that_cannot_be_compared_is_refused_and_nothing_is_written(
    kind, words, board_files, tmp_path
):
    with pytest.raises(InputError, match=words) as refused:
        bundle.make(board_files[kind], tmp_path / "out.zip", count=8)
    assert refused.value.fix and not list(tmp_path.iterdir())


def test_inputs_of_the_user_settle_what_the_model_leaves_open(board_files, tmp_path):
    np.save(tmp_path / "pictures.npy", np.random.default_rng(0).random((4, 1, 20, 24, 3), np.float32))
    made = bundle.make(board_files["open size"], tmp_path / "out.zip", inputs=tmp_path / "pictures.npy")
    assert made.manifest["inputs"] == {"count": 4, "drawn_with_seed": None}


def test_inputs_of_the_user_as_arrays_by_name_or_in_order_with_or_without_a_batch(board_files, tmp_path):
    rng = np.random.default_rng(1)
    np.save(tmp_path / "pictures.npy", rng.integers(0, 256, (6, 16, 16, 3), np.uint8))
    bundle.make(board_files["uint8"], tmp_path / "out.zip", inputs=tmp_path / "pictures.npy")
    assert arrays(tmp_path / "out.zip", "inputs.npz")[0].shape == (6, 1, 16, 16, 3)
    with targets.get("cpu").open(board_files["two inputs"]) as session:
        shapes = {spec.name: spec.shape for spec in session.inputs}
        names = [spec.name for spec in session.inputs]
    given = {name: rng.random((3, *shape), np.float32) for name, shape in shapes.items()}
    np.savez(tmp_path / "by name.npz", **dict(reversed(given.items())))
    np.savez(tmp_path / "in order.npz", *given.values())
    for file in ("by name.npz", "in order.npz"):
        bundle.make(board_files["two inputs"], tmp_path / "two.zip", inputs=tmp_path / file)
        found = arrays(tmp_path / "two.zip", "inputs.npz")
        assert all(np.array_equal(array, given[name]) for name, array in zip(names, found, strict=True))


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((4, 1, 16, 16, 3), np.float32), InputError),
        (np.zeros((4, 1, 8, 8, 3), np.int8), InputError),
        (np.zeros((0, 1, 16, 16, 3), np.int8), InputError),
        (np.array(3, np.int8), InputError),
        (np.array([None, "x"], object), DataError),
    ],
)
def test_inputs_that_do_not_fit_are_refused(array, error, board_files, tmp_path):
    np.save(tmp_path / "given.npy", array, allow_pickle=True)
    with pytest.raises(error) as refused:
        bundle.make(board_files["int8"], tmp_path / "out.zip", inputs=tmp_path / "given.npy")
    assert refused.value.fix and not (tmp_path / "out.zip").exists()


@pytest.mark.parametrize("content", [b"", b"no arrays", b"PK\x03\x04 no zip", None])
def test_a_file_without_arrays_is_refused(content, board_files, tmp_path):
    if content is not None:
        (tmp_path / "given.npz").write_bytes(content)
    with pytest.raises(DataError, match="holds no test inputs"):
        bundle.make(board_files["int8"], tmp_path / "out.zip", inputs=tmp_path / "given.npz")


@pytest.mark.parametrize("count", [0, -1, 5000])
def test_a_count_out_of_range_is_refused(count, board_files, tmp_path):
    with pytest.raises(InputError, match="test inputs were asked for"):
        bundle.make(board_files["int8"], tmp_path / "out.zip", count=count)


def test_what_is_no_model_and_what_is_not_compiled_are_refused(board_files, tmp_path):
    (tmp_path / "no.tflite").write_bytes(b"no model")
    with pytest.raises(ModelError):
        bundle.make(tmp_path / "no.tflite", tmp_path / "out.zip")
    with pytest.raises(InputError, match="has not been compiled"):
        bundle.make(board_files["int8"], tmp_path / "out.zip", compiled=board_files["int8"])


def test_a_zip_is_read_whole_or_refused(board_files, tmp_path):
    made = bundle.make(board_files["int8"], tmp_path / "out.zip", count=2)
    again, kept = bundle.read(tmp_path / "out.zip"), bundle.read(bundle.kept_path(made.key))
    assert again.key == kept.key == made.key and again.manifest == kept.manifest == made.manifest
    assert np.array_equal(kept.expected[0], made.expected[0])
    whole = (tmp_path / "out.zip").read_bytes()
    for content in (b"", whole[:1000], whole[: len(whole) // 2], b"x" * 500):
        (tmp_path / "bad.zip").write_bytes(content)
        with pytest.raises(DataError, match="is no bundle, or is damaged"):
            bundle.read(tmp_path / "bad.zip")
    for change in (
        {"format": "edgelab-bundle 99"},
        {"files": {}},
        {"files": {"expected.npz": {"sha256": "0"}}},
    ):
        with (
            zipfile.ZipFile(tmp_path / "other.zip", "w") as archive,
            zipfile.ZipFile(tmp_path / "out.zip") as old,
        ):
            archive.writestr("manifest.json", json.dumps(made.manifest | change))
            archive.writestr("expected.npz", old.read("expected.npz"))
        with pytest.raises(DataError):
            bundle.read(tmp_path / "other.zip")


def test_the_command_says_what_to_do_next(board_files, tmp_path, capsys):
    out = tmp_path / "ein Bündel.zip"
    assert command_line.main(["bundle", str(board_files["int8"]), str(out), "--count", "2"]) == 0
    shown = capsys.readouterr().out
    assert out.exists() and "run.py" in shown and "collect results.json" in shown
    assert command_line.main(["bundle", str(board_files["open size"]), str(out)]) == 1
    assert "What to do: " in capsys.readouterr().err
