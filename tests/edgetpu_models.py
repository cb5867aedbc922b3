"""Small models, each unfriendly to the Edge TPU in its own way, and what a compiler makes of them."""

from __future__ import annotations

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from edgelab.targets.edgetpu import (
    rules as edgetpu_rules,
)

ALL_MAPPED = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 31 ms.

Input model: model.tflite
Input size: 12.50KiB
Output model: model_edgetpu.tflite
Output size: 1.25MiB
On-chip memory used for caching model parameters: 604.50KiB
On-chip memory remaining for caching model parameters: 7.00MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: {total}
Operation log: model_edgetpu.log
See the operation log file for individual operation details.
Compilation succeeded!
"""
OPERATORS = """Operator                       Count      Status

CONV_2D                        {mapped}          Mapped to Edge TPU
CONV_2D                        1          More than one subgraph is not supported
PosenetDecoderOp               1          Some reason that nobody has seen yet
"""


def _packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def as_compiled(model: bytes, mapped: int) -> bytes:
    """The file that the compiler makes of a chain: one custom operator for its first operators."""
    found = schema.ModelT.InitFromPackedBuf(bytearray(model), 0)
    part = found.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = edgetpu_rules.COMPILED_OPERATOR, 1
    found.operatorCodes.append(code)
    custom = schema.OperatorT()
    custom.opcodeIndex = len(found.operatorCodes) - 1
    custom.inputs, custom.outputs = list(part.inputs), list(part.operators[mapped - 1].outputs)
    part.operators = [custom, *part.operators[mapped:]]
    return _packed(found)
