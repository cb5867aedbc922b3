"""Pictures with labels, from anywhere: drawn, folders, archives, CIFAR-10."""

from __future__ import annotations

import socket
import sys
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
    assert len(shapes.calibration_images(501)) == 500
    with pytest.raises(InputError, match="0 pictures"):
        shapes.calibration_images(0)


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


def test_fewer_pictures_than_asked_for_are_all_used_and_that_is_said(tmp_path):
    dataset = datasets.load(
        write_folder(tmp_path / "pets", class_tree(10)), train_count=6000, test_count=2000
    )
    assert (len(dataset.train_images), len(dataset.test_images)) == (16, 4)
    assert "6000" in str(dataset)
    assert "6000" not in str(datasets.load(tmp_path / "pets", train_count=8, test_count=4))


def test_pictures_of_every_usual_format_are_read_and_the_rest_is_named(tmp_path):
    kinds = {"webp": "WEBP", "jfif": "JPEG", "gif": "GIF", "tif": "TIFF", "avif": "AVIF", "jp2": "JPEG2000"}
    tree = class_tree(4) | {f"bird/x.{one}": picture(9, kind=kind) for one, kind in kinds.items()}
    tree |= {"cat/phone.heic": b"...", "cat/notes.txt": b"...", "cat/Thumbs.db": b"..."}
    dataset = datasets.load(write_folder(tmp_path / "pets", tree))
    assert dataset.class_names == ("bird", "cat", "dog")
    assert len(dataset.train_images) + len(dataset.test_images) == 8 + len(kinds)
    assert "Left out: 3" in dataset.source
    assert "1 .heic cannot be read here (save as JPEG or PNG): cat/phone.heic" in dataset.source


def test_links_are_followed_once_and_broken_ones_named(tmp_path):
    folder = write_folder(tmp_path / "pets", class_tree(10))
    (folder / "dog" / "gone.png").symlink_to("/nowhere/dog.png")
    (folder / "dog" / "up").symlink_to(folder)
    (folder / "same cats").symlink_to(folder / "cat")
    write_folder(tmp_path / "elsewhere", {"owl/0.png": picture(90), "owl/1.png": picture(91)})
    (folder / "owl").symlink_to(tmp_path / "elsewhere" / "owl")
    dataset = datasets.load(folder)
    assert dataset.class_names == ("cat", "dog", "owl")
    assert len(dataset.train_images) + len(dataset.test_images) == 22
    assert "a link that leads nowhere: dog/gone.png" in dataset.source
    assert "2 a link to a folder that was read already: dog/up, same cats" in dataset.source


def test_validation_pictures_stay_aside_or_become_the_test(tmp_path):
    tree = class_tree(6, ("train",)) | class_tree(3, ("valid",)) | class_tree(2, ("test",))
    dataset = datasets.load(write_folder(tmp_path / "three", tree))
    assert (len(dataset.train_images), len(dataset.test_images)) == (12, 4)
    assert "6 pictures for validation stay aside" in dataset.source
    tree = class_tree(6, ("train",)) | class_tree(3, ("val",))
    dataset = datasets.load(write_folder(tmp_path / "two", tree))
    assert (len(dataset.train_images), len(dataset.test_images)) == (12, 6)


def test_pictures_in_both_halves_are_reported_and_own_splits_keep_copies_together(tmp_path):
    both = class_tree(6, ("train", "test"))
    dataset = datasets.load(write_folder(tmp_path / "leak", both))
    assert "12 of 12 test pictures stand in training, too" in dataset.source
    copies = {
        f"{folder}/{copy}{index}.png": picture(hue + index)
        for folder, hue in (("cat", 0), ("dog", 100))
        for index in range(10)
        for copy in "ab"
    }
    dataset = datasets.load(write_folder(tmp_path / "copies", copies))
    train = {image.tobytes() for image in dataset.train_images}
    assert len(dataset.test_images) >= 8
    assert not any(image.tobytes() in train for image in dataset.test_images)
    assert "Caution" not in dataset.source


def test_own_folders_called_like_a_built_in_set_stay_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))
    own = datasets.load(write_folder(tmp_path / "cifar10", class_tree(10)))
    assert own.name == "own_cifar10"
    assert not list((tmp_path / "artifacts" / "datasets").glob("cifar10-*"))
    for odd in ("Ünïcode pets", "猫", "a/../.hidden", "x" * 200):
        name = datasets.own_name(tmp_path / odd)
        assert name.isascii() and name and "/" not in name and len(name) <= 44


def test_names_of_classes_are_shown_as_text(tmp_path):
    tree = class_tree(10, classes=("<b>cat</b>", "dog & $owl$_x"))
    page = datasets.load(write_folder(tmp_path / "pets", {k.replace("</", "<"): v for k, v in tree.items()}))
    assert "<b>" not in page._repr_html_() and "&lt;b&gt;" in page._repr_html_()


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
        (class_tree(1), "too few pictures: 1"),
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
        b"<!doctype html><html>404</html>",
    ],
)
def test_unreadable_pictures_are_left_out_and_named(tmp_path, damage):
    tree = class_tree(10) | {"dog/bad.jpg": damage, "cat/worse.jpg": damage}
    dataset = datasets.load(write_folder(tmp_path / "pets", tree))
    assert len(dataset.train_images) + len(dataset.test_images) == 20
    assert "Left out: 2 (2 damaged: cat/worse.jpg" in dataset.source and "dog/bad.jpg" in dataset.source
    tree = class_tree(1) | {f"dog/{index}.jpg": damage for index in range(3)}
    with pytest.raises(DataError, match="3 of 5 pictures"):
        datasets.load(write_folder(tmp_path / "mostly damaged", tree))


def test_a_failed_read_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError):
        datasets.load(write_folder(tmp_path / "halfway", class_tree(1)))
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
def test_real_cifar10_loads_whole_and_the_second_time_from_the_cache(real_data, monkeypatch):
    dataset = datasets.load("cifar10")
    assert (len(dataset.train_images), len(dataset.test_images)) == (50_000, 5_000)
    assert dataset.class_names == datasets.CIFAR10_CLASSES
    assert np.bincount(dataset.train_labels).tolist() == [5_000] * 10
    assert 100 < dataset.train_images.mean() < 140  # photographs: neither black nor white
    monkeypatch.setattr(datasets.own_pictures, "split_pictures", None)  # nothing can be decoded again
    monkeypatch.setattr(datasets, "_keras_cifar10", None)
    again = datasets.load("cifar10", train_count=1000, test_count=500)
    assert np.bincount(again.test_labels).tolist() == [50] * 10


def test_importing_datasets_does_not_import_tensorflow():
    import subprocess

    code = "import sys, edgelab.datasets; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
