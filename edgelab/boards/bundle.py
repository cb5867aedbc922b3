"""Everything that a board needs to run a model, in one zip: the same model and inputs give the same bytes.

`MANIFEST` names every file with its hash, so the manifest's own hash names the bundle. What was sent is kept
under `artifacts/bundles/`, so that results can be told to belong to it.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph, targets
from edgelab.boards import onboard, runner
from edgelab.boards.runner import BUNDLE_FORMAT, COMPILED, EXPECTED, INPUTS, MANIFEST, MODEL
from edgelab.errors import DataError, InputError
from edgelab.machine import artifacts, energy
from edgelab.runtime import TensorSpec, check_inputs
from edgelab.targets.edgetpu.rules import COMPILED_OPERATOR
from edgelab.texts import tr

COUNT, MOST_INPUTS = 32, 4096
LARGEST_ARRAYS_BYTES = 256 * 2**20  # inputs and outputs together: a board holds them in memory
LARGEST_MANIFEST_BYTES, LARGEST_EXPECTED_BYTES = 2**22, 2**29
RUNNER, README = "run.py", "README.txt"
# Outputs agree from here on. Kernels round differently: one step after SOFTMAX is usual between Arm and x86.
AGREEMENT = {"least_snr_db": 20.0, "steps": 1}
SQUARES = 4  # of the drawn inputs, along each side
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip knows
INSTRUCTIONS = """{name}: a model with its test inputs, to run on a board.

1. Copy this zip to the board and unpack it into a folder of its own.
2. Install what runs it:  python3 -m pip install ai-edge-litert numpy
   Python 3.9, or where that has no wheel:  python3 -m pip install tflite-runtime "numpy<2"
3. In the folder:  python3 run.py
   python3 run.py --help tells what else it takes, such as --delegate libedgetpu.so.1
4. Take results.json back to the computer that made this bundle:
   python -m edgelab collect results.json
"""


@dataclass(frozen=True)
class Bundle:
    """What was sent to a board.

    Attributes:
        key: sha256 of the manifest, 64 hex digits: the bundle's name.
        manifest: what it says; see `make`.
        expected: what the CPU gave here, one array `[count, ...]` for each output.
    """

    key: str
    manifest: dict[str, Any]
    expected: tuple[np.ndarray, ...]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the model gives."""
        return tuple(
            TensorSpec(**(entry | {"shape": tuple(entry["shape"]), "dtype": np.dtype(entry["dtype"])}))
            for entry in self.manifest["model"]["outputs"]
        )

    def __str__(self) -> str:
        model = self.manifest["model"]
        count = self.manifest["inputs"]["count"]
        return (
            f"{model['name']}, {model['precision']}, {model['operator_count']} operators, "
            f"{model['size_bytes'] / 1e6:.2f} MB, {count} test inputs; bundle {self.key[:12]}"
        )


def make(
    model: Path,
    out: Path,
    *,
    inputs: Path | None = None,
    count: int = COUNT,
    seed: int = 0,
    compiled: Path | None = None,
    name: str = "",
    dataset: str = "",
) -> Bundle:
    """Write the bundle of a model.

    Args:
        model: a `.tflite` file that the CPU runs here.
        out: the zip to write.
        inputs: `.npy` or `.npz` of test inputs `[N, ...]`, exactly as the model takes them; None draws them.
        count: how many are drawn.
        seed: of the drawn ones.
        compiled: the same model, compiled for the Edge TPU: it runs where the runner is given a delegate.
        name: the model's name in the table; its file's name by default.
        dataset: the data set it belongs to, so that records meet in one row of the table.

    Returns:
        What was written, and is kept under `artifacts/bundles/`.

    Raises:
        ModelError: the model cannot be read or run here.
        InputError: it takes inputs of open size or of a kind that cannot be drawn; inputs that do not fit it.
        DataError: `inputs` cannot be read.
        StorageError: the disk is full or `out` cannot be written.
    """
    model = Path(model)
    with targets.get("cpu", threads=1).open(model) as session:
        content = model.read_bytes()
        tests = inputs_for(session.inputs, inputs, count, seed)
        expected = expected_outputs(session, tests)
        found = graph.read(content)
        files = {
            MODEL: content,
            INPUTS: npz("input", tests),
            EXPECTED: npz("output", expected),
            RUNNER: Path(runner.__file__).read_bytes(),
            **{Path(part.__file__).name: Path(part.__file__).read_bytes() for part in (onboard, energy)},
            README: INSTRUCTIONS.format(name=name or model.stem).encode(),
        }
        compiled_for = ""
        if compiled is not None:
            files[COMPILED] = _compiled(Path(compiled))
            compiled_for = "edgetpu"
        manifest = {
            "format": BUNDLE_FORMAT,
            **described(session, found, files, name=name or model.stem, dataset=dataset),
            "inputs": {"count": len(tests[0]), "drawn_with_seed": seed if inputs is None else None},
            "agreement": AGREEMENT,
        }
        manifest["model"]["compiled_for"] = compiled_for
    text = as_text(manifest)
    write_zip(Path(out), {MANIFEST: text, **files})
    key = hashlib.sha256(text).hexdigest()
    write_zip(kept_path(key), {MANIFEST: text, EXPECTED: files[EXPECTED]})
    return Bundle(key, manifest, expected)


def described(
    session: Any, found: graph.Graph, files: dict[str, bytes], *, name: str, dataset: str
) -> dict[str, Any]:
    """What every manifest says: the model, who gave the expected outputs, and each file's hash.

    Args:
        session: the model where its outputs were computed.
        found: its graph.
        files: what the zip holds beside the manifest.
        name, dataset: the model's in the table.
    """
    return {
        "model": {
            "name": name,
            "dataset": dataset,
            "precision": precision_of(found),
            "size_bytes": found.size_bytes,
            "operator_count": len(found.operators),
            "operators": found.operator_counts,
            "parameters": found.parameter_count,
            "macs": found.macs,
            "inputs": [entry_of(spec) for spec in session.inputs],
            "outputs": [entry_of(spec) for spec in session.outputs],
        },
        "expected_by": {
            "target": session.target,
            "device": session.device,
            "runtime": session.runtime_version,
            "system": platform.platform(),
        },
        "made_by": {
            "edgelab": metadata.version("edgelab"),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
        "files": {
            file: {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
            for file, data in files.items()
        },
    }


def as_text(manifest: dict[str, Any]) -> bytes:
    """The manifest as its file holds it, whose hash is the bundle's key."""
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode()


def kept_path(key: str) -> Path:
    """Where this computer keeps what results of a bundle are compared with."""
    return artifacts.artifacts_dir() / "bundles" / f"{key}.zip"


def read(path: Path, form: str = BUNDLE_FORMAT) -> Bundle:
    """The manifest and the expected outputs of a bundle's zip, whole or as it is kept here.

    Args:
        path: the zip.
        form: the format that it must have.

    Raises:
        DataError: it is no bundle, is damaged, or of another version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = _member(archive, MANIFEST, LARGEST_MANIFEST_BYTES)
            manifest = json.loads(text)
            if manifest["format"] != form:
                raise DataError(
                    tr("{path} is of another version.", path=path.name),
                    why=tr("it says {found!r}, and this edgelab reads {own!r}",
                           found=str(manifest["format"])[:60], own=form),
                    fix=tr("collect it with the edgelab that made it, or make it again"),
                )  # fmt: skip
            data = _member(archive, EXPECTED, LARGEST_EXPECTED_BYTES)
        if not {"model", "inputs", "agreement"} <= set(manifest):
            raise ValueError(tr("{file} is not whole", file=MANIFEST))
        if hashlib.sha256(data).hexdigest() != manifest["files"][EXPECTED]["sha256"]:
            raise ValueError(tr("the hash of {file} is another", file=EXPECTED))
        expected = tuple(runner.arrays_of(np, data))
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
        raise DataError(
            tr("{path} is no bundle, or is damaged.", path=Path(path).name),
            why=str(error),
            fix=tr("name the zip that `python -m edgelab bundle` wrote, or make it again"),
        ) from error
    return Bundle(hashlib.sha256(text).hexdigest(), manifest, expected)


def _member(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    if archive.getinfo(name).file_size > most_bytes:
        raise ValueError(tr("{file} is larger than a bundle's can be", file=name))
    return archive.read(name)


def precision_of(found: graph.Graph) -> str:
    """What the course calls its precision, by the types of activations and weights."""
    stored = {tensor.dtype for tensor in found.parameters if tensor.dtype != "int32"}
    flowing = {
        found.tensors[index].dtype
        for operator in found.operators
        for index in operator.outputs
        if found.tensors[index].is_quantized and not found.tensors[index].is_constant
    }
    if "int16" in flowing:
        return "int16x8"
    if flowing & {"int8", "uint8"}:
        return "int8"
    if stored & {"int8", "uint8", "int4"}:
        return "dynamic_range"
    return "float16" if "float16" in stored else "float32"


def entry_of(spec: TensorSpec) -> dict[str, Any]:
    """A tensor's specification as a manifest holds it."""
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": spec.dtype.name,
        "scale": spec.scale,
        "zero_point": spec.zero_point,
    }


def inputs_for(
    specs: Sequence[TensorSpec], path: Path | None, count: int, seed: int
) -> tuple[np.ndarray, ...]:
    """Test inputs `[count, *shape]`: those of the user's file, or drawn where it is None.

    Raises:
        InputError, DataError: see `make`.
    """
    return _drawn(specs, count, seed) if path is None else _given(specs, path)


def _drawn(specs: Sequence[TensorSpec], count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Test inputs `[count, *shape]`, drawn.

    Pictures are squares under noise, which differ more in their outputs than noise alone; zeros stand where
    integers may be indices.
    """
    if not 1 <= count <= MOST_INPUTS:
        raise InputError(
            tr("{count} test inputs were asked for.", count=count),
            fix=tr("ask for 1 to {most}; {usual} by default", most=MOST_INPUTS, usual=COUNT),
        )
    if not specs:
        raise InputError(
            tr("The model takes no input."),
            why=tr("there is nothing to compare it with on a board"),
            fix=tr("bundle a model that computes something from its input"),
        )
    for spec in specs:
        if -1 in spec.shape:
            raise InputError(
                tr("The input {name} takes any size: {shape}.", name=spec.name, shape=list(spec.shape)),
                why=tr("a board needs to be told one, and its time depends on it"),
                fix=tr("convert the model again with fixed sizes, such as [1, 224, 224, 3]"),
            )
    _check_size(sum(count * int(np.prod(spec.shape)) * spec.dtype.itemsize for spec in specs))
    rng = np.random.default_rng(seed)
    return tuple(np.stack([_one(spec, rng) for _ in range(count)]) for spec in specs)


def _one(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
    if spec.dtype.kind not in "iuf" or spec.dtype in (np.int32, np.int64):
        return np.zeros(spec.shape, spec.dtype)
    pixels = rng.integers(0, 256, spec.shape)
    if len(spec.shape) == 4:
        batch, height, width, channels = spec.shape
        squares = rng.integers(0, 256, (batch, SQUARES, SQUARES, channels))
        rows, columns = (np.arange(size) * SQUARES // size for size in (height, width))
        pixels = (3 * squares[:, rows][:, :, columns] + pixels) // 4
    return (pixels - 128 if spec.dtype == np.int8 else pixels).astype(spec.dtype)


def _given(specs: Sequence[TensorSpec], path: Path) -> tuple[np.ndarray, ...]:
    """Test inputs `[N, *shape]` out of a file of the user."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            named = {"": loaded}
        else:
            with loaded:
                named = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            tr("{path} holds no test inputs.", path=Path(path).name),
            why=str(error),
            fix=tr("write it with numpy.save (one input) or numpy.savez (one array for each input)"),
        ) from error
    names = [spec.name for spec in specs]
    arrays = tuple(named[name] for name in names) if set(names) == set(named) else tuple(named.values())
    sizes = {len(array) if array.ndim else 0 for array in arrays}
    if len(arrays) != len(specs) or len(sizes) != 1 or not 1 <= min(sizes) <= MOST_INPUTS:
        raise InputError(
            tr("{path} holds {got}.", path=Path(path).name,
               got="; ".join(str(list(array.shape)) for array in arrays) or tr("nothing")),
            why=tr("the model takes {count} input(s), each stacked [N, ...], N from 1 to {most}",
                   count=len(specs), most=MOST_INPUTS),
            fix=tr("write one array for each: {specs}", specs="; ".join(map(str, specs))),
        )  # fmt: skip
    _check_size(sum(array.nbytes for array in arrays))
    # A picture may come without the batch dimension that the model has.
    arrays = tuple(
        array[:, np.newaxis] if array.ndim == len(spec.shape) and spec.takes((1, *array.shape[1:])) else array
        for spec, array in zip(specs, arrays, strict=True)
    )
    check_inputs(tuple(specs), tuple(array[0] for array in arrays))
    return arrays


def _check_size(size_bytes: int) -> None:
    if size_bytes > LARGEST_ARRAYS_BYTES:
        raise InputError(
            tr("The test data takes {size:.0f} MB.", size=size_bytes / 1e6),
            why=tr("a board holds it in memory, {most:.0f} MB at most", most=LARGEST_ARRAYS_BYTES / 1e6),
            fix=tr("take fewer: --count 4"),
        )


def expected_outputs(session: Any, tests: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """What the session gives for each test input, one array `[count, ...]` for each output."""
    rows = [session.run(*arrays) for arrays in zip(*tests, strict=True)]
    _check_size(sum(array.nbytes for row in rows for array in row))
    for place, spec in enumerate(session.outputs):
        if len({row[place].shape for row in rows}) > 1 or rows[0][place].dtype.kind not in "iufb":
            raise InputError(
                tr("The output {name} cannot be compared.", name=spec.name),
                why=tr("its size depends on the input, or it holds no numbers"),
                fix=tr("cut the model before the operator that makes it"),
            )
    return tuple(np.stack([row[place] for row in rows]) for place in range(len(session.outputs)))


def _compiled(path: Path) -> bytes:
    found = graph.read(path)
    if not any(operator.name == COMPILED_OPERATOR for operator in found.operators):
        raise InputError(
            tr("{path} has not been compiled for the Edge TPU.", path=path.name),
            why=tr(
                "it holds no {operator}, so every operator would run on the CPU", operator=COMPILED_OPERATOR
            ),
            fix=tr("compile it first: targets.get('edgetpu').compile(model, out)"),
        )
    return path.read_bytes()


def npz(stem: str, arrays: Sequence[np.ndarray]) -> bytes:
    """Arrays as an `.npz` file, named by the stem and their place."""
    file = io.BytesIO()
    np.savez(file, **{f"{stem}{place}": array for place, array in enumerate(arrays)})
    return file.getvalue()


def write_zip(out: Path, files: dict[str, bytes]) -> None:
    """Write a zip whose bytes depend on its content alone."""
    with artifacts.atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, EARLIEST), data, zipfile.ZIP_DEFLATED)
