"""A model for a microcontroller, in one zip: C sources, test inputs, firmware that runs them, and its builds.

The firmware writes every output to the serial port; `serial_log` compares them with what is kept here.
Answers to the second half of the test inputs are not in the zip: a log that was copied together lacks them.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgelab import graph, targets
from edgelab.boards import bundle
from edgelab.boards.bundle import Bundle
from edgelab.boards.runner import EXPECTED, MANIFEST, MODEL
from edgelab.errors import InputError
from edgelab.targets.micro import arena, firmware
from edgelab.texts import tr

FIRMWARE_FORMAT = "edgelab-firmware 1"
SOURCES = Path(__file__).parent / "firmware"
COUNT = 8  # test inputs: they lie in flash
RESOLVER_MARK = "  // RESOLVER\n"
MODEL_NAME = "model_data"
# Kernels of a vendor take scratch buffers that the portable ones do not: more than the smallest arena.
RESERVE, RESERVE_BYTES = 1.1, 8192
TAIL_BYTES = 1500  # of each operator, where the arena cannot be measured: a MobileNetV2 needs 1,200


def make(
    model: Path,
    out: Path,
    *,
    inputs: Path | None = None,
    count: int = COUNT,
    seed: int = 0,
    name: str = "",
    dataset: str = "",
) -> Bundle:
    """Write the bundle of a model for a microcontroller.

    Args:
        model: a `.tflite` file whose inputs and outputs are 8-bit integers.
        out: the zip to write.
        inputs: `.npy` or `.npz` of test inputs `[N, ...]`, exactly as the model takes them; None draws them.
        count: how many are drawn.
        seed: of the drawn ones.
        name: the model's name; its file's name by default.
        dataset: the data set it belongs to.

    Returns:
        What was written. The answers to all test inputs are kept under `artifacts/bundles/`: by TensorFlow
        Lite Micro where it is installed, else by LiteRT's reference kernels, and then a step is allowed.

    Raises:
        ModelError: the model cannot be read or run here.
        InputError: other types than 8-bit integers, an operator that is the user's own, a state that is kept
            between inferences, or inputs that do not fit the model.
        DataError: `inputs` cannot be read.
        StorageError: the disk is full or `out` cannot be written.
    """
    model = Path(model)
    found = graph.read(model)
    resolver = firmware.op_resolver(model)
    _check(found, resolver)
    measured = targets.get("micro").probe().can_run
    answering = targets.get("micro") if measured else targets.get("cpu", kernels="reference")
    with answering.open(model) as session:
        tests = bundle.inputs_for(session.inputs, inputs, count, seed)
        expected = bundle.expected_outputs(session, tests)
        count = len(tests[0])
        facts = {
            "arena_bytes": _arena_bytes(model, found, measured),
            "arena_from": "measured here" if measured else "estimated",
            "known": (count + 1) // 2,
        }
        files = {MODEL: model.read_bytes(), **_sources(model, resolver, tests, expected, facts)}
        flash = found.size_bytes + sum(array.nbytes for array in tests)
        files["README.md"] = _readme(name or model.stem, count, facts, flash, resolver)
        manifest = {
            "format": FIRMWARE_FORMAT,
            **bundle.described(session, found, files, name=name or model.stem, dataset=dataset),
            "inputs": {"count": count, "drawn_with_seed": seed if inputs is None else None},
            "agreement": {"steps": 0 if measured else 1},
            "firmware": facts,
        }
    answers = bundle.npz("output", expected)
    manifest["files"][EXPECTED] = {"sha256": hashlib.sha256(answers).hexdigest(), "size_bytes": len(answers)}
    text = bundle.as_text(manifest)
    key = hashlib.sha256(text).hexdigest()
    # The key is the manifest's hash, so its file is the one that the manifest does not name.
    files["src/bundle_key.h"] = f'#define BUNDLE_KEY "{key}"\n'.encode()
    bundle.write_zip(Path(out), {MANIFEST: text, **files})
    bundle.write_zip(bundle.kept_path(key), {MANIFEST: text, EXPECTED: answers})
    return Bundle(key, manifest, expected)


def _check(found: graph.Graph, resolver: str) -> None:
    """Refuse what the firmware cannot hold or its log cannot tell."""
    ends = [found.tensors[index] for index in (*found.inputs, *found.outputs)]
    others = [tensor for tensor in ends if tensor.dtype not in ("int8", "uint8")]
    if others:
        raise InputError(
            tr("The tensor {name} is {dtype}.", name=others[0].name, dtype=others[0].dtype),
            why=tr("bit for bit can be told of integers; firmware is tested on 8-bit inputs and outputs"),
            fix=tr('convert the model with mode "int8" and io_dtype="int8"'),
        )
    if "AddCustom" in resolver:
        raise InputError(
            tr("The model has an operator that TensorFlow Lite Micro does not know."),
            why=tr("its firmware needs a kernel of your own: {resolver}", resolver=resolver.strip()),
            fix=tr("replace it by operators that MicroMutableOpResolver offers"),
        )
    if any(tensor.is_variable for part in (found, *found.branches) for tensor in part.tensors):
        raise InputError(
            tr("The model keeps a state from one inference to the next."),
            why=tr("the firmware repeats its tests, and each run would begin with another state"),
            fix=tr("give the state in and out as tensors, or unroll the network"),
        )


def _arena_bytes(model: Path, found: graph.Graph, measured: bool) -> int:
    if measured:
        needed = arena.smallest_arena(model).smallest_bytes
    else:
        needed = found.peak_activation_bytes + TAIL_BYTES * len(found.operators)
    return -(-int(RESERVE * needed + RESERVE_BYTES) // 16) * 16


def _sources(
    model: Path,
    resolver: str,
    tests: tuple[np.ndarray, ...],
    expected: tuple[np.ndarray, ...],
    facts: dict[str, Any],
) -> dict[str, bytes]:
    """Everything to compile, by its place in the zip."""
    files = {path.relative_to(SOURCES).as_posix(): path.read_bytes() for path in _kept_files()}
    called = "".join(f"  {line}\n" for line in resolver.splitlines())
    files["src/main.cc"] = files["src/main.cc"].replace(RESOLVER_MARK.encode(), called.encode())
    with tempfile.TemporaryDirectory() as folder:
        array = firmware.c_array(model, Path(folder), MODEL_NAME)
        files |= {f"src/{path.name}": path.read_bytes() for path in (array.header, array.source)}
    known = facts["known"]
    sizes = [array[0].nbytes for array in tests], [array[0].nbytes for array in expected]
    header = (
        "#ifndef TEST_DATA_H_\n#define TEST_DATA_H_\n\n#include <stddef.h>\n#include <stdint.h>\n\n"
        f"#define ARENA_BYTES {facts['arena_bytes']}\n"
        f"#define TEST_COUNT {len(tests[0])}\n"
        f"#define TEST_KNOWN {known} /* so many have their answers here */\n"
        f"#define INPUT_COUNT {len(tests)}\n#define OUTPUT_COUNT {len(expected)}\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        "extern const size_t test_input_bytes[INPUT_COUNT];\n"
        "extern const size_t test_output_bytes[OUTPUT_COUNT];\n"
        "extern const uint8_t test_inputs[];\n"
        "extern const uint8_t test_answers[];\n\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif /* TEST_DATA_H_ */\n"
    )
    source = '#include "test_data.h"\n\n'
    for end, counts in zip(("input", "output"), sizes, strict=True):
        listed = ", ".join(map(str, counts))
        source += f"const size_t test_{end}_bytes[{end.upper()}_COUNT] = {{{listed}}};\n"
    for title, arrays in (("inputs", tests), ("answers", tuple(array[:known] for array in expected))):
        rows = firmware.c_rows(_one_after_another(arrays))
        source += f"\nconst uint8_t test_{title}[] = {{\n{rows}}};\n"
    return files | {"src/test_data.h": header.encode(), "src/test_data.c": source.encode()}


def _kept_files() -> list[Path]:
    return sorted(path for path in SOURCES.rglob("*") if path.is_file() and path.name != "README.md")


def _one_after_another(arrays: tuple[np.ndarray, ...]) -> bytes:
    """For each test all tensors, as bytes."""
    return b"".join(one.tobytes() for row in zip(*arrays, strict=True) for one in row)


def _readme(name: str, count: int, facts: dict[str, Any], flash_bytes: int, resolver: str) -> bytes:
    text = (SOURCES / "README.md").read_text(encoding="utf-8")
    return text.format(
        name=name,
        count=count,
        known=facts["known"],
        flash_kb=round(flash_bytes / 1e3),
        arena_kb=round(facts["arena_bytes"] / 1e3),
        arena_from=facts["arena_from"],
        operators=len(resolver.splitlines()) - 1,
    ).encode()
