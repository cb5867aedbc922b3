"""Drawing, reading and refusing pictures."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import lzma
import socket
import struct
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgelab import datasets
from edgelab.data_sources import archives, shapes
from edgelab.errors import DataError, InputError, StorageError
from edgelab.machine import artifacts

# --- drawn shapes ---------------------------------------------------------------------------------


def test_a_small_draw_is_the_same_on_every_platform():
    images, labels = datasets.draw_shapes(20, seed=7)
    assert hashlib.sha256(images.tobytes()).hexdigest()[:16] == "40192f83d8ffb9e4"
    assert labels[:10].tolist() == [6, 3, 4, 9, 0, 2, 8, 7, 5, 1]


def test_pictures_are_balanced_uint8_and_grow_without_changing():
    images, labels = datasets.draw_shapes(260, seed=1)
    fewer, fewer_labels = datasets.draw_shapes(30, seed=1)
    assert images.shape == (260, 32, 32, 3) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [26] * 10
    np.testing.assert_array_equal(images[:30], fewer)
    np.testing.assert_array_equal(labels[:30], fewer_labels)


def test_seeds_and_streams_share_no_picture():
    draws = [
        datasets.draw_shapes(250, seed=seed, stream=stream)[0]
        for seed in (0, 1)
        for stream in ("train", "test")
    ]
    assert len({image.tobytes() for images in draws for image in images}) == 1000


def test_another_size_can_be_drawn():
    assert datasets.draw_shapes(3, image_size=40)[0].shape == (3, 40, 40, 3)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"count": 5, "seed": -1}, {"count": 5, "image_size": 4}])
def test_impossible_draws_are_refused(wrong):
    with pytest.raises(InputError):
        datasets.draw_shapes(**wrong)


@pytest.mark.parametrize("name", shapes.SHAPE_CLASSES)
def test_a_distance_grows_no_faster_than_the_way_and_changes_sign_once(name):
    """A signed distance is 1-Lipschitz, negative somewhere inside and positive far outside."""
    x, y = shapes.pixel_grid(200, 200)
    x, y = np.broadcast_arrays(1.5 * x, 1.5 * y)
    gap = shapes.distance(name, x, y)
    step = 1.5 * 2 / 200
    for axis in (0, 1):
        assert np.abs(np.diff(gap, axis=axis)).max() <= step * (1 + 1e-9)
    assert gap.min() < -0.1 and gap[0].min() > 0


def test_polygon_distance_of_a_square_is_known():
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    x, y = np.array([0.0, 2.0, 2.0, 0.5]), np.array([0.0, 0.0, 2.0, 0.0])
    np.testing.assert_allclose(shapes.polygon(x, y, corners), [-1, 1, np.sqrt(2), -0.5])


def test_sensor_noise_has_mean_zero_and_deviation_one():
    noise = shapes.sensor_noise(shapes.generator(0, "train"), 100_000)
    assert abs(noise.mean()) < 4 / np.sqrt(100_000) and abs(noise.std() - 1) < 0.01


# --- the dataset ----------------------------------------------------------------------------------


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


# --- folders and archives -------------------------------------------------------------------------


def picture(colour: int, size: tuple[int, int] = (32, 32), kind: str = "PNG") -> bytes:
    """A plain picture, `size` = (width, height)."""
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), colour, np.uint8)).save(file, kind)
    return file.getvalue()


def class_tree(
    count: int = 10, splits: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog")
) -> dict:
    """File name to contents, for a folder of class folders."""
    return {
        "/".join(part for part in (split, one, f"{index}.png") if part): picture(20 * number + index)
        for split in splits
        for number, one in enumerate(classes)
        for index in range(count)
    }


def write_folder(folder: Path, tree: dict[str, bytes]) -> Path:
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    return folder


def write_archive(path: Path, tree: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in tree.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:" + path.suffix[1:].replace("tar", "")) as archive:
        for name, data in tree.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


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


def test_a_large_picture_is_shrunk_by_area_from_its_centre():
    """Black and white columns one pixel wide must average to grey; the left and right margins are cut."""
    columns = np.zeros((64, 128, 3), np.uint8)
    columns[:, ::2] = 255
    columns[:, :32] = columns[:, 96:] = (255, 0, 0)
    file = io.BytesIO()
    Image.fromarray(columns).save(file, "PNG")
    small = archives.decode(file.getvalue(), 32)
    assert small.shape == (32, 32, 3)
    assert np.abs(small.astype(int) - 127.5).max() <= 0.5


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_any_colour_mode_becomes_rgb(mode):
    file = io.BytesIO()
    Image.new(mode, (32, 32)).save(file, "JPEG" if mode == "CMYK" else "PNG")
    assert archives.decode(file.getvalue(), 32).shape == (32, 32, 3)


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


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    header = struct.pack("<2sIHHI", b"BM", 54, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    with pytest.raises(ValueError, match=r"pixels|limit"):
        archives.decode(header, 32)


def test_every_truncation_of_an_archive_is_a_data_error(tmp_path):
    for kind in ("a.tar.xz", "a.tar.gz", "a.zip"):
        whole = write_archive(tmp_path / kind, class_tree(10)).read_bytes()
        for fraction in (0.0, 0.01, 0.3, 0.6, 0.9):
            cut = tmp_path / f"cut-{fraction}-{kind}"
            cut.write_bytes(whole[: int(fraction * len(whole))])
            with pytest.raises(DataError):
                datasets.load(cut)


def test_bytes_changed_at_random_never_escape_as_another_error(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("a.tar.xz", "a.tar.gz", "a.tar", "a.zip"):
        whole = np.frombuffer(write_archive(tmp_path / kind, class_tree(6)).read_bytes(), np.uint8)
        for _ in range(25):
            mutated = whole.copy()
            mutated[rng.integers(0, len(whole), 6)] = rng.integers(0, 256, 6)
            path = tmp_path / kind
            path.write_bytes(mutated.tobytes())
            with contextlib.suppress(DataError):
                datasets.load(path)


def test_a_file_that_is_no_archive_is_explained(tmp_path):
    path = tmp_path / "holiday.tar.xz"
    path.write_bytes(b"\x00" * 5000)
    with pytest.raises(DataError, match=r"cannot be read|holds no pictures"):
        datasets.load(path)
    path.write_text("hello, this is text and not an archive at all\n" * 100)
    with pytest.raises(DataError, match="cannot be read"):
        datasets.load(path)


@pytest.mark.parametrize(
    "name", ["../cat/0.png", "/etc/cat/0.png", "a/../../cat/0.png", "C:\\cat\\0.png", "..\\0.png"]
)
@pytest.mark.parametrize("kind", ["a.tar", "a.tar.xz", "a.zip"])
def test_names_that_leave_the_archive_are_refused(tmp_path, name, kind):
    tree = class_tree(6) | {name: picture(1)}
    path = write_archive(tmp_path / kind, tree)
    with pytest.raises(DataError, match=r"refused(.|\n)*outside"):
        datasets.load(path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [kind]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("cat/0.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match="link or a device"):
        datasets.load(path)


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("cat/0.png")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        datasets.load(path)


def bomb_tar(path: Path) -> None:
    with tarfile.open(path, "w:xz") as archive:
        member = tarfile.TarInfo("cat/0.txt")
        member.size = 48 * 2**20
        archive.addfile(member, io.BytesIO(bytes(member.size)))


def bomb_header_tar(path: Path) -> None:
    """A name of 48 MiB, which tarfile would read into memory before anybody sees it."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 48 * 2**20
    path.write_bytes(lzma.compress(header.tobuf() + bytes(48 * 2**20), preset=0))


def bomb_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/0.png", bytes(48 * 2**20))


@pytest.mark.parametrize(
    ("name", "make"), [("a.tar.xz", bomb_tar), ("b.tar.xz", bomb_header_tar), ("a.zip", bomb_zip)]
)
def test_bombs_are_refused(tmp_path, name, make):
    path = tmp_path / name
    make(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match="bomb"):
        datasets.load(path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    for kind in ("a.tar", "a.zip"):
        with pytest.raises(DataError, match="more than 10"):
            datasets.load(write_archive(tmp_path / kind, class_tree(6)))
    with pytest.raises(DataError, match="more than 10"):
        datasets.load(write_folder(tmp_path / "pets", class_tree(6)))


def test_a_failed_read_leaves_nothing_behind(tmp_path):
    with pytest.raises(DataError):
        datasets.load(write_folder(tmp_path / "halfway", class_tree(4)))
    assert not list((artifacts.artifacts_dir() / "datasets").glob("*halfway*.npz"))


# --- CIFAR-10 -------------------------------------------------------------------------------------


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


# --- scenes ---------------------------------------------------------------------------------------


def test_scenes_are_repeatable_smooth_and_inside_the_frame():
    first, second = (list(datasets.scenes(60, seed=2)) for _ in range(2))
    for (frame, boxes), (again, boxes_again) in zip(first, second, strict=True):
        np.testing.assert_array_equal(frame, again)
        assert boxes == boxes_again and len(boxes) > 2
        assert frame.shape == (240, 320, 3) and frame.dtype == np.uint8
        for box in boxes:
            assert 0 <= box.left < box.right <= 320 and 0 <= box.top < box.bottom <= 240
    corners = np.array([[(box.left, box.top) for box in boxes] for _, boxes in first])
    assert 0 < np.abs(np.diff(corners, axis=0)).max() < 8  # moves, and never jumps
    assert np.sign(np.diff(corners[::5], axis=0)).min() == -1  # several directions
    assert np.sign(np.diff(corners[::5], axis=0)).max() == 1


def test_boxes_are_exact():
    """Without noise or texture an object's pixels are those that differ from the background."""
    from edgelab.data_sources.scenes import _Body

    for class_index in range(10):
        body = _Body(
            class_index,
            position=np.array([60.3, 50.8]),
            velocity=np.zeros(2),
            radius=25.0,
            angle=0.4,
            spin=0.0,
            surface=np.full((80, 80, 3), 200.0),
        )
        canvas = np.zeros((120, 140, 3))
        box = body.paint(canvas)
        rows, columns = np.nonzero(canvas[..., 0] >= 100)
        assert (box.left, box.right) == (columns.min(), columns.max() + 1)
        assert (box.top, box.bottom) == (rows.min(), rows.max() + 1)


def test_a_scene_of_an_impossible_size_is_refused_at_the_call():
    with pytest.raises(InputError):
        datasets.scenes(10, size=(321, 240))


def test_a_scene_video_is_a_real_file_with_its_boxes(tmp_path):
    import cv2

    path = datasets.write_scene_video(tmp_path / "scene.mp4", 20, fps=25, seed=3)
    reader = cv2.VideoCapture(str(path))
    assert reader.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    frames = []
    while (got := reader.read())[0]:
        frames.append(got[1][..., ::-1])
    record = json.loads(path.with_suffix(".json").read_text())
    assert len(frames) == len(record["frames"]) == 20
    original, boxes = list(datasets.scenes(20, seed=3))[7]
    assert np.abs(frames[7].astype(int) - original).mean() < 12  # lossy, but in place and with red as red
    assert record["frames"][7][0]["left"] == boxes[0].left
    assert sorted(one.name for one in tmp_path.iterdir()) == ["scene.json", path.name]


def test_a_missing_codec_falls_back_to_motion_jpeg(tmp_path, monkeypatch):
    monkeypatch.setattr("edgelab.data_sources.scenes.CODECS", ((".mp4", "\0\0\0\0"), (".avi", "MJPG")))
    path = datasets.write_scene_video(tmp_path / "scene.mp4", 3)
    assert path.suffix == ".avi" and path.stat().st_size > 1000


def test_a_video_nobody_can_write_there_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises((StorageError, DataError)):
        datasets.write_scene_video(tmp_path / "file" / "scene.mp4", 3)


def test_importing_datasets_does_not_import_tensorflow():
    import subprocess

    code = "import sys, edgelab.datasets; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
