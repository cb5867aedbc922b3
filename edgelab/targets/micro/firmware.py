"""A model as C source, with the resolver that its operators need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from edgelab import graph
from edgelab.errors import InputError
from edgelab.machine import artifacts
from edgelab.texts import tr

# Method names of MicroMutableOpResolver that do not follow from the operator's name.
RESOLVER_NAMES = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
    "ethos-u": "EthosU",
    "TFLite_Detection_PostProcess": "DetectionPostprocess",
}


@dataclass(frozen=True)
class CArray:
    """A model as C source.

    Attributes:
        header, source: the two files.
        name: of the array; its length is `NAME_len`.
        size_bytes: of the model.
    """

    header: Path
    source: Path
    name: str
    size_bytes: int


def resolver_name(operator: str) -> str:
    """The name that MicroMutableOpResolver gives to an operator: "Conv2D" for CONV_2D."""
    words = (word.capitalize() for word in operator.split("_"))
    return RESOLVER_NAMES.get(operator, "".join("2D" if word == "2d" else word for word in words))


def op_resolver(model: Path) -> str:
    """The C++ that registers the operators of a model and no others: each costs flash.

    Args:
        model: a `.tflite` file.

    Raises:
        ModelError: it cannot be read.
    """
    found = graph.read(model)
    kinds = {
        (operator.name, operator.is_custom)
        for part in (found, *found.branches)
        for operator in part.operators
    }
    lines = [f"static tflite::MicroMutableOpResolver<{len(kinds)}> resolver;"]
    for name, is_custom in sorted(kinds):
        known = not is_custom or name in RESOLVER_NAMES
        call = f"Add{resolver_name(name)}()" if known else f'AddCustom("{name}", Register_YOUR_KERNEL())'
        lines.append(f"resolver.{call};")
    return "\n".join(lines) + "\n"


def c_rows(content: bytes) -> str:
    """Bytes as they stand between the braces of a C array, twelve a line."""
    rows = (content[start : start + 12] for start in range(0, len(content), 12))
    return "".join("  " + "".join(f"0x{byte:02x}, " for byte in row).rstrip() + "\n" for row in rows)


def c_array(model: Path, folder: Path, name: str = "model_data") -> CArray:
    """Write a model as C source, for a firmware project to compile.

    `const` keeps it in flash; without it, start-up code copies it to RAM. It is aligned to 16 bytes, because
    the weights are read in place as 32-bit words.

    Args:
        model: a `.tflite` file.
        folder: where `NAME.h` and `NAME.c` go.
        name: of the array, a C identifier.

    Returns:
        Where they are. The array is `NAME`, its length in bytes `NAME_len`.

    Raises:
        InputError: `name` is no C identifier.
        ModelError: the model cannot be read.
        StorageError: the folder cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise InputError(
            tr("{name!r} cannot name a C array.", name=name),
            fix=tr("use letters, digits and _, not beginning with a digit"),
        )
    graph.read(model)
    content = Path(model).read_bytes()
    guard = f"{name.upper()}_H_"
    header = (
        f"#ifndef {guard}\n#define {guard}\n\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"extern const unsigned char {name}[];\nextern const unsigned int {name}_len;\n\n"
        f"#ifdef __cplusplus\n}}\n#endif\n\n#endif  /* {guard} */\n"
    )
    source = (
        f'/* {Path(model).name}, {len(content)} bytes */\n#include "{name}.h"\n\n'
        "#if defined(_MSC_VER)\n#define ALIGNED __declspec(align(16))\n"
        "#else\n#define ALIGNED __attribute__((aligned(16)))\n#endif\n\n"
        f"ALIGNED const unsigned char {name}[] = {{\n{c_rows(content)}}};\n"
        f"const unsigned int {name}_len = {len(content)}u;\n"
    )
    files = Path(folder) / f"{name}.h", Path(folder) / f"{name}.c"
    for path, text in zip(files, (header, source), strict=True):
        with artifacts.atomic_path(path) as temporary:
            temporary.write_text(text, encoding="ascii", errors="replace", newline="\n")
    return CArray(*files, name, len(content))
