"""The skeletons of apps name what a release holds."""

import pytest

from edgelab import release
from edgelab.release import apps

METADATA = {
    "input": {"height": 32, "width": 32},
    "models": {"model_float.tflite": {"input": "float32"}, "model_int8.tflite": {"input": "uint8"}},
}


@pytest.mark.parametrize("source", release.SKELETONS.values(), ids=lambda path: path.name)
def test_a_skeleton_fits_the_release_of_chapter_15(source):
    assert release.differences(source, METADATA) == []


@pytest.mark.parametrize("source", release.SKELETONS.values(), ids=lambda path: path.name)
def test_a_skeleton_says_versions_and_that_it_is_not_compiled(source):
    head = source.read_text(encoding="utf-8")[:600]
    assert "compiled by no test" in head and "Written for" in head


@pytest.mark.parametrize("source", release.SKELETONS.values(), ids=lambda path: path.name)
def test_brackets_are_balanced(source):
    text = source.read_text(encoding="utf-8")
    assert all(text.count(left) == text.count(right) for left, right in ("{}", "()", "[]"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("HEIGHT = 32", "HEIGHT = 48", "height"),
        ('"labels.txt"', '"names.txt"', "labels"),
        ('"model_float.tflite"', '"model.tflite"', "model"),
        ('INPUT = "float32"', 'INPUT = "uint8"', "input"),
        ("    const val WIDTH = 32\n", "", "width"),
    ],
)
def test_what_differs_is_named(tmp_path, old, new, what):
    text = release.SKELETONS["Android (Kotlin)"].read_text(encoding="utf-8")
    assert old in text
    changed = tmp_path / "Classifier.kt"
    changed.write_text(text.replace(old, new), encoding="utf-8")
    assert what in {line.partition(":")[0] for line in release.differences(changed, METADATA)}


def test_constants_of_both_languages_are_read(tmp_path):
    source = tmp_path / "a.swift"
    source.write_text('  static let model = "m"\n    const val WIDTH = 7\nlet other = 3\n', encoding="utf-8")
    assert apps.constants(source) == {"model": "m", "width": "7"}
