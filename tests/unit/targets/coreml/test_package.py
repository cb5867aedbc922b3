"""Packages read: what they hold, how small they are, and damage noticed."""

import json

import coreml_models
import numpy as np
import pytest

from edgelab.errors import ModelError
from edgelab.targets.coreml import package


def test_the_program_is_what_the_network_is(program):
    counts = program.operator_counts
    assert counts["conv"] == 4 and counts["max_pool"] == 1 and counts["linear"] == 1
    assert counts["relu6"] == 2 and counts["relu"] == 1 and counts["sigmoid"] == 1 and counts["softmax"] == 1
    assert program.version == 8, "of iOS 17"
    [image], [answer] = program.inputs, program.outputs
    assert image.name == "image" and image.shape == (1, 12, 12, 3) and image.dtype == np.float32
    assert answer.shape == (1, 8) and not program.compressed


def test_weights_are_those_of_keras(program):
    [kernel] = [value for value in program.constants.values() if value.shape == (coreml_models.WIDE, 8, 1, 1)]
    found = np.sort(kernel.astype(np.float32).ravel())
    weights = coreml_models.network().get_weights()
    [own] = [np.sort(one.ravel()) for one in weights if one.shape == (1, 1, 8, coreml_models.WIDE)]
    np.testing.assert_allclose(found, own, atol=1e-3)


@pytest.mark.parametrize("precision", [one for one in coreml_models.KEPT if one != "float16"])
def test_compressed_weights_come_back_near(kept, program, precision):
    read = package.read(kept[precision])
    assert read.compressed and read.operator_counts == program.operator_counts
    compared = 0
    for name, exact in program.constants.items():
        found = [value for key, value in read.constants.items() if key.startswith(f"{name}_")]
        if exact.size <= 512 or not found:
            continue
        [near] = found
        compared += 1
        span = float(exact.max() - exact.min())
        assert near.shape == exact.shape
        assert np.abs(near.astype(np.float32) - exact).max() < span / 8
        if precision == "6-bit palette":
            assert np.unique(near).size <= 64
    assert compared == sum(read.compressed.values()) == 3


def files_of(path):
    return {one.relative_to(path): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def test_size_is_that_of_all_files(kept):
    for path in kept.values():
        assert package.size_bytes(path) == sum(map(len, files_of(path).values()))
    sizes = [package.size_bytes(kept[name]) for name in ("float16", "6-bit palette")]
    assert sizes == sorted(sizes, reverse=True)


def test_a_palette_is_unpacked_lowest_bits_first():
    # The example in coremltools' own description of the operator: 0, 3, 2, 1 in one byte, 3 in the next.
    packed = np.array([0b01101100, 0b00000011], np.uint8)
    palette = np.array([10, 11, 12, 13], np.float16)
    parts = {"indices": packed, "lut": palette, "shape": np.array([5], np.uint32)}
    assert package.decompressed("constexpr_lut_to_dense", parts).tolist() == [10, 13, 12, 11, 13]


def test_integers_are_scaled_along_their_axis():
    parts = {
        "quantized_data": np.array([[1, 2], [3, 4]], np.int8),
        "scale": np.array([0.5, 2], np.float16),
        "zero_point": np.array([0, 1], np.int8),
        "axis": np.int32(0),
    }
    assert package.decompressed("constexpr_affine_dequantize", parts).tolist() == [[0.5, 1], [4, 6]]
    with pytest.raises(ValueError, match="constexpr_sparse_to_dense"):
        package.decompressed("constexpr_sparse_to_dense", {})


def _cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


DAMAGE = {
    "no list of contents": lambda path: (path / "Manifest.json").unlink(),
    "a list that is none": lambda path: (path / "Manifest.json").write_text("[]"),
    "no program": lambda path: next(path.rglob("*.mlmodel")).unlink(),
    "an empty program": lambda path: next(path.rglob("*.mlmodel")).write_bytes(b""),
    "half a program": lambda path: _cut(next(path.rglob("*.mlmodel"))),
    "rubbish": lambda path: next(path.rglob("*.mlmodel")).write_bytes(b"\xff" * 99),
    "half the weights": lambda path: _cut(next(path.rglob("weight.bin"))),
    "no weights": lambda path: next(path.rglob("weight.bin")).unlink(),
    "other weights": lambda path: next(path.rglob("weight.bin")).write_bytes(bytes(9999)),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_told(copy, damage):
    DAMAGE[damage](copy)
    with pytest.raises(ModelError, match=r"copy\.mlpackage cannot be read") as error:
        package.read(copy)
    assert error.value.why and "compile" in error.value.fix


def test_nothing_outside_the_package_is_read(copy, tmp_path):
    manifest = json.loads((copy / "Manifest.json").read_text())
    (tmp_path / "other").write_bytes(next(copy.rglob("*.mlmodel")).read_bytes())
    for entry in manifest["itemInfoEntries"].values():
        entry["path"] = "../../other"
    (copy / "Manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError) as error:
        package.read(copy)
    assert "outside" in error.value.why


def test_a_missing_package_and_a_file_are_told(tmp_path):
    (tmp_path / "file.mlpackage").write_bytes(b"0")
    for name in ("absent", "file"):
        with pytest.raises(ModelError):
            package.read(tmp_path / f"{name}.mlpackage")


def test_a_copy_is_the_same_package(kept, tmp_path):
    package.copy(kept["6-bit palette"], tmp_path / "new")
    assert files_of(tmp_path / "new") == files_of(kept["6-bit palette"])


def test_coremltools_reads_the_same(tools, kept):
    """Its own messages and its own unpacking, beside ours."""
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load

    for path in kept.values():
        model = ct.models.MLModel(str(path), skip_model_load=True)
        spec = model.get_spec()
        loaded = load(spec, spec.specificationVersion, model.weights_dir).functions["main"]
        ours = package.read(path)
        kinds = [one.op_type for one in loaded.operations if not one.op_type.startswith("const")]
        assert kinds == [one.kind for one in ours.operations]
        for one in loaded.operations:
            if one.op_type.startswith("constexpr"):
                [output] = one.outputs
                np.testing.assert_allclose(
                    ours.constants[output.name], one.materialized_val_inference(), rtol=2e-3, atol=1e-6
                )
