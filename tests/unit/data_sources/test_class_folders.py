"""What folders say about their pictures."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest

from edgelab.data_sources import class_folders


def placed(*names: str) -> set[tuple[str, str]]:
    return {(one.split, one.class_name) for one in class_folders.place(map(PurePosixPath, names))}


HALVES = {("train", "cat"), ("train", "dog"), ("test", "cat"), ("test", "dog")}


@pytest.mark.parametrize(
    "pattern",
    [
        "{half}/{name}/1.jpg",
        "any/thing/{half}/{name}/1.jpg",
        "{half}/images/{name}/1.jpg",
        "{half}/{half}/{name}/1.jpg",
        "seg_{half}/seg_{half}/{name}/1.jpg",
        "{half}ing/{name}/1.jpg",
        "{half}_set/{name}/deeper/and/deeper/1.jpg",
        "test/{half}/{name}/1.jpg",
        "{half}2017/{name}/1.jpg",
        "{name}/{half}/1.jpg",
        "pets/{name}/{half}/1.jpg",
    ],
)
def test_halves_are_known_by_their_usual_names(pattern):
    names = [pattern.format(half=half, name=name) for half in ("train", "test") for name in ("cat", "dog")]
    assert placed(*names) == HALVES


@pytest.mark.parametrize("word", ["val", "valid", "Validation", "dev"])
def test_validation_has_many_names(word):
    assert placed("train/cat/1.jpg", f"{word}/cat/2.jpg") == {("train", "cat"), ("validation", "cat")}


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["cat/1.jpg", "dog/1.jpg"], {"cat", "dog"}),
        (["cat/batch1/1.jpg", "dog/batch1/1.jpg"], {"cat", "dog"}),
        (["cat/images/1.jpg", "dog/images/1.jpg"], {"cat", "dog"}),
        (["pets/cat/1.jpg", "pets/dog/1.jpg"], {"cat", "dog"}),
        (["train/cat/1.jpg", "train/dog/1.jpg"], {"cat", "dog"}),
        (["test/cat/1.jpg", "test/dog/1.jpg"], {"cat", "dog"}),
        (["bus/1.jpg", "car/1.jpg", "train/1.jpg"], {"bus", "car", "train"}),
        (["dev/1.jpg", "test/1.jpg", "production/1.jpg"], {"dev", "test", "production"}),
        (["cat/persian/1.jpg", "cat/siamese/1.jpg"], {"persian", "siamese"}),
        (["cat/1.jpg"], {"cat"}),
    ],
)
def test_without_halves_the_outermost_folders_that_differ_are_classes(names, classes):
    assert placed(*names) == {("", one) for one in classes}


def test_what_lies_beside_halves_or_classes_is_left_out_with_the_reason():
    names = ["train/cat/1.jpg", "test/cat/1.jpg", "test/2.jpg", "cover.jpg", "pred/3.jpg"]
    reasons = [one.left_out for one in class_folders.place(map(PurePosixPath, names))]
    assert reasons == ["", "", "in no class folder", "in no class folder", "beside the halves"]


@pytest.mark.parametrize("names", [["1.jpg"], ["train/1.jpg"], ["train/1.jpg", "test/1.jpg"],
                                   ["train/images/1.jpg", "valid/images/1.jpg"]])  # fmt: skip
def test_pictures_without_class_folders_have_no_class(names):
    assert placed(*names) == {("", "")}


def test_one_class_has_one_spelling():
    assert placed("train/Cat/1.jpg", "test/cat/1.jpg") == {("train", "Cat"), ("test", "Cat")}
    composed, decomposed = (unicodedata.normalize(form, "Käfer") for form in ("NFC", "NFD"))
    assert placed(f"{composed}/1.jpg", f"{decomposed}/2.jpg", "x/3.jpg") == {("", composed), ("", "x")}
    assert class_folders.shown_name(b"K\xe4fer".decode("utf-8", "surrogateescape")) == "Käfer"


def test_nothing_in_nothing_out():
    assert class_folders.place([]) == []
