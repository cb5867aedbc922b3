"""Float islands on purpose: additions of an int8 model, computed in float between two conversions."""

from __future__ import annotations

from collections.abc import Collection

from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import InputError
from edgelab.graph.packing import packed, unpacked
from edgelab.texts import tr

CODES = {"DEQUANTIZE": 2, "ADD": 1, "QUANTIZE": 1}  # by name, the version of the operator


def with_float_additions(model: bytes, places: Collection[int]) -> bytes:
    """The same model, some of its additions in float: dequantize, add, quantize.

    It computes nearly the same. It is what a converter leaves when it does not know an operator in int8.

    Args:
        model: the content of a quantized `.tflite` file.
        places: which of its ADD operators, counted from 0.

    Raises:
        InputError: there is no such addition.
    """
    whole = unpacked(model)
    part = whole.subgraphs[0]
    additions = [
        index for index, one in enumerate(part.operators) if _code(whole, one) == schema.BuiltinOperator.ADD
    ]
    if not set(places) <= set(range(len(additions))):
        raise InputError(
            tr(
                "There are {count} additions, not those asked for: {places}.",
                count=len(additions),
                places=sorted(places),
            ),
            fix=tr("choose places below the count"),
        )
    codes = {name: _added_code(whole, name, version) for name, version in CODES.items()}
    chosen = {additions[place] for place in places}
    part.operators = [
        new
        for index, one in enumerate(part.operators)
        for new in (_in_float(part, one, codes) if index in chosen else [one])
    ]
    return packed(whole)


def with_version(model: bytes, version: int) -> bytes:
    """The same model, whose convolutions claim a version that is yet to come: an old runtime refuses it."""
    whole = unpacked(model)
    for code in whole.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.CONV_2D:
            code.version = version
    return packed(whole)


def _code(whole: schema.ModelT, operator: schema.OperatorT) -> int:
    return whole.operatorCodes[operator.opcodeIndex].builtinCode


def _added_code(whole: schema.ModelT, name: str, version: int) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = version
    whole.operatorCodes.append(code)
    return len(whole.operatorCodes) - 1


def _in_float(
    part: schema.SubGraphT, addition: schema.OperatorT, codes: dict[str, int]
) -> list[schema.OperatorT]:
    """The operators that stand for one addition."""
    floats = {index: _float_tensor(part, index) for index in (*addition.inputs, *addition.outputs)}
    before = [_converting(codes["DEQUANTIZE"], int(index), floats[index]) for index in addition.inputs]
    after = [_converting(codes["QUANTIZE"], floats[index], int(index)) for index in addition.outputs]
    addition.opcodeIndex = codes["ADD"]
    addition.inputs = [floats[index] for index in addition.inputs]
    addition.outputs = [floats[index] for index in addition.outputs]
    return [*before, addition, *after]


def _float_tensor(part: schema.SubGraphT, like: int) -> int:
    before, tensor = part.tensors[like], schema.TensorT()
    tensor.name, tensor.type, tensor.shape = before.name + b"_float", schema.TensorType.FLOAT32, before.shape
    tensor.shapeSignature, tensor.buffer = before.shapeSignature, 0
    part.tensors.append(tensor)
    return len(part.tensors) - 1


def _converting(code: int, source: int, result: int) -> schema.OperatorT:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, [source], [result]
    return operator
