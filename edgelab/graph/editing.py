"""Changed copies of a model: other values, fewer operators, or two more in front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import InputError, ModelError
from edgelab.graph.packing import packed, unpacked
from edgelab.graph.reading import read
from edgelab.texts import tr


def with_values(model: bytes, changes: Mapping[int, np.ndarray]) -> bytes:
    """The same model file with other constants: what pruning, rounding or clustering weights does to it.

    Args:
        model: the content of a `.tflite` file.
        changes: new stored values by tensor index, of the tensor's own shape and type. A tensor that shares
            its buffer with others changes them too.

    Returns:
        The changed content; nothing moves, so it is as long as before.

    Raises:
        ModelError: not a whole TFLite model, or a tensor that holds no plain constant.
        InputError: values of another shape or type.
    """
    found, content = read(model), bytearray(model)
    for index, values in changes.items():
        tensor = found.tensors[index]
        stored = tensor.values()
        if values.shape != stored.shape or values.dtype != stored.dtype:
            raise InputError(
                tr(
                    "Tensor {index}: expected {dtype} {shape}, got {got_dtype} {got_shape}.",
                    index=index,
                    dtype=stored.dtype,
                    shape=list(stored.shape),
                    got_dtype=values.dtype,
                    got_shape=list(values.shape),
                ),
                fix=tr("keep the shape, and cast with .astype"),
            )
        data = np.ascontiguousarray(values).tobytes()
        content[tensor.file_offset : tensor.file_offset + len(data)] = data
    return bytes(content)


def prefix(model: bytes, last_operator: int) -> bytes:
    """The model cut off after one operator: what that operator computes becomes the only output.

    Running both halves of a doubt on two runtimes finds the operator where their results part.

    Args:
        model: the content of a `.tflite` file, without control flow.
        last_operator: index of the operator to end with; those that it does not depend on are dropped.

    Returns:
        The content of a smaller `.tflite` file.

    Raises:
        ModelError: not a whole TFLite model, or one with control flow.
        InputError: there is no such operator, or it has no output.
    """
    found = read(model)
    if found.branches:
        raise ModelError(
            tr("A model with control flow cannot be cut."),
            why=tr("WHILE and IF call graphs of their own"),
            fix=tr("unroll the loop before converting (Keras: unroll=True)"),
        )
    if not 0 <= last_operator < len(found.operators) or not found.operators[last_operator].outputs:
        raise InputError(
            tr("The model cannot be cut after operator {last_operator}.", last_operator=last_operator),
            fix=tr(
                "choose one of its operators, 0 to {last}, that computes something",
                last=len(found.operators) - 1,
            ),
        )
    kept, wanted = [], set(found.operators[last_operator].outputs)
    for operator in reversed(found.operators[: last_operator + 1]):
        if wanted & set(operator.outputs):
            kept.append(operator.index)
            wanted |= set(operator.inputs)
    whole = unpacked(model)
    part = whole.subgraphs[0]
    part.operators = [part.operators[index] for index in sorted(kept)]
    part.inputs = [index for index in found.inputs if index in wanted]
    part.outputs = [found.operators[last_operator].outputs[0]]
    whole.signatureDefs = None  # they name tensors that are inputs and outputs no longer
    used = {part.tensors[index].buffer for index in wanted if index >= 0}
    for index, stored in enumerate(whole.buffers):
        if index not in used:
            stored.data = None
    return packed(whole)


def with_batch_of_one(model: bytes) -> bytes:
    """The same model with an open batch fixed at 1, and every size that follows from it.

    Args:
        model: the content of a `.tflite` file.

    Raises:
        ModelError: not a whole TFLite model, or one that leaves more open than its batch.
    """
    found = read(model)
    loose = next((found.tensors[i] for i in found.inputs if set(found.tensors[i].open_axes) - {0}), None)
    if loose:
        raise ModelError(
            tr("The input {name} leaves more open than its batch.", name=loose.name),
            why=tr("which size it should have, only its owner knows"),
            fix=tr("convert the model again with a fixed size: keras.Input((height, width, 3))"),
        )
    whole = unpacked(model)
    for tensor, before in zip(whole.subgraphs[0].tensors, found.tensors, strict=True):
        if before.open_axes and not before.is_dynamic:
            tensor.shapeSignature = None
    return packed(whole)


def without_float_ends(model: bytes) -> bytes:
    """The same quantized model without QUANTIZE at its inputs and DEQUANTIZE at its outputs.

    Args:
        model: the content of a `.tflite` file.

    Returns:
        The content of a model whose inputs and outputs are the integers that were behind these operators.

    Raises:
        ModelError: not a whole TFLite model.
    """
    found = read(model)
    read_by: dict[int, list[int]] = {}
    for operator in found.operators:
        for index in operator.inputs:
            read_by.setdefault(index, []).append(operator.index)
    dropped, inputs, outputs = set(), list(found.inputs), list(found.outputs)
    for operator in found.operators:
        before, after = (next(iter(ends), -1) for ends in (operator.inputs, operator.outputs))
        if operator.name == "QUANTIZE" and before in inputs and read_by[before] == [operator.index]:
            inputs[inputs.index(before)] = after
            dropped.add(operator.index)
        elif operator.name == "DEQUANTIZE" and after in outputs and after not in read_by:
            outputs[outputs.index(after)] = before
            dropped.add(operator.index)
    whole = unpacked(model)
    part = whole.subgraphs[0]
    part.operators = [one for index, one in enumerate(part.operators) if index not in dropped]
    part.inputs, part.outputs = inputs, outputs
    whole.signatureDefs = None  # they name the float ends
    return packed(whole)


def with_scaled_input(model: bytes, mean: Sequence[float], std: Sequence[float]) -> bytes:
    """The same model taking raw values: (value - mean) / std stands in front of it.

    Args:
        model: the content of a `.tflite` file whose first input is float32.
        mean, std: one number, or one for each of the input's last axis (its channels).

    Raises:
        ModelError: not a whole TFLite model, or its first input is missing or of another type.
        InputError: other counts of numbers, or a deviation of zero.
    """
    found = read(model)
    given = found.tensors[found.inputs[0]] if found.inputs else None
    if given is None or given.dtype != "float32":
        raise ModelError(
            tr("The model takes no floats that could be scaled."),
            why=tr("the scale of an integer input says already what its values mean"),
            fix=tr("leave mean and std out"),
        )
    channels = given.shape[-1] if given.shape else 1
    constants = [np.asarray(values, np.float32).ravel() for values in (mean, std)]
    is_sound = np.isfinite(np.concatenate(constants)).all() and constants[1].all()
    if any(len(values) not in (1, channels) for values in constants) or not is_sound:
        raise InputError(
            tr("mean and std: expected 1 or {count} numbers each, deviations other than 0.", count=channels),
            fix=tr("give the numbers that the model was trained with"),
        )
    whole = unpacked(model)
    part = whole.subgraphs[0]
    means, factors = (np.broadcast_to(values, channels) for values in (constants[0], 1 / constants[1]))
    raw, centred = _added_tensor(part, given.index, b"raw"), _added_tensor(part, given.index, b"centred")
    mean_index, factor_index = _added_constant(whole, means), _added_constant(whole, factors)
    options = schema.BuiltinOptions
    steps = (
        (schema.BuiltinOperator.SUB, options.SubOptions, schema.SubOptionsT(), (raw, mean_index), centred),
        (schema.BuiltinOperator.MUL, options.MulOptions, schema.MulOptionsT(), (centred, factor_index),
         given.index),
    )  # fmt: skip
    part.operators = [_operator(whole, *step) for step in steps] + list(part.operators)
    part.inputs = [raw if index == given.index else index for index in found.inputs]
    whole.signatureDefs = None  # they name the input of before
    return packed(whole)


def _added_tensor(part: schema.SubGraphT, like: int, name: bytes) -> int:
    """The index of a new tensor of the shape and type of another."""
    before, tensor = part.tensors[like], schema.TensorT()
    tensor.name, tensor.type, tensor.shape = name, before.type, before.shape
    tensor.shapeSignature, tensor.buffer = before.shapeSignature, 0  # buffer 0 is empty in every file
    part.tensors.append(tensor)
    return len(part.tensors) - 1


def _added_constant(whole: schema.ModelT, values: np.ndarray) -> int:
    """The index of a new float32 tensor with values."""
    stored, tensor = schema.BufferT(), schema.TensorT()
    stored.data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
    whole.buffers.append(stored)
    tensor.name, tensor.type, tensor.shape = b"constant", schema.TensorType.FLOAT32, list(values.shape)
    tensor.buffer = len(whole.buffers) - 1
    whole.subgraphs[0].tensors.append(tensor)
    return len(whole.subgraphs[0].tensors) - 1


def _operator(whole, code: int, kind: int, options, inputs: tuple[int, ...], output: int) -> schema.OperatorT:
    """A new operator, and its code in the model's list."""
    listed, operator = schema.OperatorCodeT(), schema.OperatorT()
    listed.builtinCode = listed.deprecatedBuiltinCode = code
    listed.version = 1
    whole.operatorCodes.append(listed)
    operator.opcodeIndex = len(whole.operatorCodes) - 1
    operator.inputs, operator.outputs = list(inputs), [output]
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    return operator
