"""A `.tflite` file as a tree of objects, and back: what changes or writes one begins and ends here."""

from __future__ import annotations

from collections.abc import Sequence

from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import ModelError
from edgelab.graph.reading import DAMAGE, FILE_IDENTIFIER
from edgelab.texts import tr

BESIDE_BUFFERS = 1_000_000  # bytes for tensors and operators; the builder takes more where it must


def unpacked(model: bytes) -> schema.ModelT:
    """Everything in a file, also the parts that `read` does not look at.

    Raises:
        ModelError: a part is damaged.
    """
    try:
        return schema.ModelT.InitFromPackedBuf(model)
    except DAMAGE as error:
        raise _damaged(error) from error


def packed(whole: schema.ModelT) -> bytes:
    """The content of a `.tflite` file.

    Raises:
        ModelError: a part is damaged.
    """
    import flatbuffers

    try:
        stored = sum(len(one.data) for one in whole.buffers if one.data is not None)
        builder = flatbuffers.Builder(stored + BESIDE_BUFFERS)
        builder.Finish(whole.Pack(builder), file_identifier=FILE_IDENTIFIER)
    except (*DAMAGE, flatbuffers.builder.BuilderSizeError) as error:
        raise _damaged(error) from error
    return bytes(builder.Output())


def written(
    buffers: Sequence[schema.BufferT],
    tensors: Sequence[schema.TensorT],
    operators: Sequence[schema.OperatorT],
    codes: Sequence[schema.OperatorCodeT],
    *,
    inputs: Sequence[int],
    outputs: Sequence[int],
    description: str,
) -> bytes:
    """The content of a `.tflite` file with one graph, from its parts.

    Args:
        buffers: constants; the first is empty.
        tensors: what operators take and give.
        operators: in the order in which they run.
        codes: the kinds of operators.
        inputs: indices of the tensors that the model takes.
        outputs: indices of those that it gives.
        description: what the file says of itself.
    """
    part, whole = schema.SubGraphT(), schema.ModelT()
    part.tensors, part.operators, part.name = list(tensors), list(operators), b"main"
    part.inputs, part.outputs = list(inputs), list(outputs)
    whole.version, whole.description = 3, description.encode()
    whole.operatorCodes, whole.subgraphs, whole.buffers = list(codes), [part], list(buffers)
    return packed(whole)


def _damaged(error: Exception) -> ModelError:
    return ModelError(
        tr("The model cannot be changed."),
        why=tr("a part of its file is damaged: {error}", error=error),
        fix=tr("convert or copy it again"),
    )
