"""Pictures with labels, from anywhere: drawn, folders, archives, CIFAR-10."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from picture_folders import class_tree, picture, write_archive, write_folder

from edgelab import datasets
from edgelab.errors import DataError, InputError
from edgelab.machine import artifacts


def test_shapes_load_with_separate_test_pictures(shapes):
    assert len(shapes.train_images) == 500 and len(shapes.test_images) == 200
    assert shapes.class_count == 10 and shapes.image_shape == (32, 32, 3)
    train = {image.tobytes() for image in shapes.train_images}
    assert not any(image.tobytes() in train for image in shapes.test_images)
    assert "500" in shapes._repr_html_() and "500" in str(shapes)


def test_a_second_load_is_read_from_the_cache(monkeypatch):
    first = datasets.load("shapes", train_count=50, test_count=20, seed=11)
    monkeypatch.setattr(datasets, "draw_shapes", None)
    second = datasets.load("shapes", train_count=50, test_count=20, seed=11)
    np.testing.assert_array_equal(first.train_images, second.train_images)
    assert first.fingerprint == second.fingerprint and first.class_names == second.class_names


def test_a_damaged_cache_file_is_named():
    datasets.load("shapes", train_count=10, test_count=10, seed=12)
    newest = max(
        (artifacts.artifacts_dir() / "datasets").glob("shapes-*.npz"), key=lambda p: p.stat().st_mtime_ns
    )
    newest.write_bytes(newest.read_bytes()[:2000])
    with pytest.raises(DataError, match="delete"):
        datasets.load("shapes", train_count=10, test_count=10, seed=12)


def test_a_subset_keeps_the_mix_and_is_repeatable(shapes):
    part = shapes.subset(100, 30, seed=5)
    assert np.bincount(part.train_labels).tolist() == [10] * 10
    assert np.bincount(part.test_labels).tolist() == [3] * 10
    assert part.fingerprint == shapes.subset(100, 30, seed=5).fingerprint != shapes.fingerprint
    assert part.fingerprint != shapes.subset(100, 30, seed=6).fingerprint
    assert shapes.subset(500, 200) is shapes


def test_stratified_shares_of_an_uneven_set():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    chosen = datasets.stratified(labels, 15, seed=0)
    assert len(set(chosen)) == 15
    assert np.bincount(labels[chosen]).tolist() in ([9, 4, 2], [9, 5, 1])


def test_calibration_images_come_from_training_only(shapes):
    pictures = shapes.calibration_images(40, seed=2)
    train = {image.tobytes() for image in shapes.train_images}
    assert pictures.shape == (40, 32, 32, 3) and all(picture.tobytes() in train for picture in pictures)
    np.testing.assert_array_equal(pictures, shapes.calibration_images(40, seed=2))
    assert not np.array_equal(pictures, shapes.calibration_images(40, seed=3))
    with pytest.raises(InputError, match="501"):
        shapes.calibration_images(501)


@pytest.mark.parametrize(
    "change",
    [
        {"train_labels": np.zeros(499, np.int64)},
        {"train_labels": np.full(500, 10)},
        {"train_labels": np.zeros(500)},
        {"test_labels": np.full(200, -1)},
        {"train_images": np.zeros((500, 32, 32, 3), np.float32)},
        {"train_images": np.zeros((500, 32, 32), np.uint8)},
    ],
)
def test_images_and_labels_that_do_not_match_are_refused(shapes, change):
    from dataclasses import replace

    with pytest.raises(DataError):
        replace(shapes, **change)


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_folder_and_archive_give_the_same_dataset(tmp_path, kind):
    tree = {f"any/{name}": data for name, data in class_tree(splits=("train", "test")).items()}
    tree |= {
        "any/README.txt": b"no picture",
        "__MACOSX/any/train/cat/._0.png": b"",
        "any/train/cat/.hidden.png": b"",
    }
    path = write_folder(tmp_path / kind, tree) if kind == "folder" else write_archive(tmp_path / kind, tree)
    dataset = datasets.load(path)
    assert dataset.class_names == ("cat", "dog")
    assert (len(dataset.train_images), len(dataset.test_images)) == (20, 20)
    # The colour says which class was drawn, so a label that lost its picture shows.
    np.testing.assert_array_equal(dataset.train_images[:, 0, 0, 0] >= 20, dataset.train_labels)
    assert dataset.train_labels[:10].min() != dataset.train_labels[:10].max()
    reference = datasets.load(write_folder(tmp_path / "reference", tree))
    assert dataset.fingerprint == reference.fingerprint


def test_a_folder_without_test_pictures_is_split_the_same_way_twice(tmp_path):
    folder = write_folder(tmp_path / "pets", class_tree(10))
    first = datasets.load(folder, seed=4)
    assert (len(first.train_images), len(first.test_images)) == (16, 4)
    assert np.bincount(first.test_labels).tolist() == [2, 2]
    other = datasets.load(write_archive(tmp_path / "pets.zip", class_tree(10)), seed=4)
    np.testing.assert_array_equal(first.test_images, other.test_images)
    assert not np.array_equal(first.test_images, datasets.load(folder, seed=5).test_images)


def test_a_changed_folder_is_read_again(tmp_path):
    folder = write_folder(tmp_path / "pets", class_tree(10))
    before = datasets.load(folder)
    (folder / "dog" / "extra.png").write_bytes(picture(99))
    assert len(datasets.load(folder).train_images) == len(before.train_images) + 1


def test_counts_and_size_can_be_asked_for(tmp_path):
    folder = write_folder(tmp_path / "pets", class_tree(10))
    dataset = datasets.load(folder, train_count=8, test_count=2, image_size=16)
    assert dataset.train_images.shape == (8, 16, 16, 3) and len(dataset.test_images) == 2


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r'no dataset .*nowhere(.|\n)*"shapes"'):
        datasets.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({}, "no pictures"),
        ({"readme.txt": b"hello"}, "no pictures"),
        ({"cat/0.png": picture(0)}, "one class only"),
        ({"0.png": picture(0)}, "no class folder"),
        ({"train/0.png": picture(0), "train/1.png": picture(1)}, "no class folder"),
        ({"cat/0.png": picture(0), "cat/1.png": picture(0), "dog/0.png": picture(0)}, "too few pictures: 1"),
        (class_tree(10, classes=("cat",)), "one class only"),
        (class_tree(4), "too few pictures: 4"),
        (class_tree(5, ("train",)) | class_tree(5, ("test",), ("cat", "dgo")), "only in test: dgo"),
        (class_tree(5, ("train",), ("cat", "dog", "owl")) | class_tree(5, ("test",)), "only in train: owl"),
    ],
)
def test_folders_one_cannot_learn_from_are_explained(tmp_path, tree, message):
    with pytest.raises(DataError, match=message):
        datasets.load(write_folder(tmp_path / "pets", tree))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not a picture",
        picture(3, kind="JPEG")[:300],
        picture(3)[:60],
        picture(3, kind="BMP")[:100],
        picture(3, kind="GIF"),
    ],
)
def test_unreadable_pictures_are_listed(tmp_path, damage):
    tree = class_tree(10) | {"dog/bad.jpg": damage, "cat/worse.jpg": damage}
    with pytest.raises(DataError, match="2 of 22 pictures") as caught:
        datasets.load(write_folder(tmp_path / "pets", tree))
    assert "dog/bad.jpg" in str(caught.value) and "cat/worse.jpg" in str(caught.value)


def test_a_failed_read_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError):
        datasets.load(write_folder(tmp_path / "halfway", class_tree(4)))
    assert not list((artifacts.artifacts_dir() / "datasets").glob("*halfway*.npz"))


def test_cifar10_is_found_as_a_folder_then_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))
    write_folder(tmp_path / "data" / "cifar10", class_tree(8, ("train", "test")))
    monkeypatch.setenv("EDGELAB_DATA", str(tmp_path / "data"))
    found = datasets.load("cifar10")
    assert len(found.train_images) == 16 and found.name == "cifar10"
    monkeypatch.setenv("EDGELAB_DATA", str(tmp_path / "elsewhere"))
    assert datasets.load("cifar10").fingerprint == found.fingerprint


def test_cifar10_offline_names_the_alternatives(tmp_path, monkeypatch):
    from keras.src.backend.config import keras_home

    if (Path(keras_home()) / "datasets" / "cifar-10-batches-py-target").exists():
        pytest.skip("Keras has downloaded CIFAR-10 here before, so nothing is missing offline")
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))
    monkeypatch.delenv("EDGELAB_DATA", raising=False)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(DataError) as caught:
        datasets.load("cifar10")
    assert "shapes" in caught.value.fix and "EDGELAB_DATA" in caught.value.fix
    assert socket.getdefaulttimeout() is None and not list(tmp_path.glob("datasets/*.npz"))


@pytest.mark.real_data
@pytest.mark.slow
def test_real_cifar10_loads_whole_and_the_second_time_from_the_cache(real_data):
    dataset = datasets.load("cifar10")
    assert (len(dataset.train_images), len(dataset.test_images)) == (50_000, 5_000)
    assert dataset.class_names == datasets.CIFAR10_CLASSES
    assert np.bincount(dataset.train_labels).tolist() == [5_000] * 10
    assert 100 < dataset.train_images.mean() < 140  # photographs: neither black nor white
    started = time.perf_counter()
    again = datasets.load("cifar10", train_count=1000, test_count=500)
    assert time.perf_counter() - started < 5  # under a second when idle; decoding takes many more
    assert np.bincount(again.test_labels).tolist() == [50] * 10


def test_importing_datasets_does_not_import_tensorflow():
    import subprocess

    code = "import sys, edgelab.datasets; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
