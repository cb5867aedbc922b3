"""The LSTM as one operator: a `.tflite` file written from trained weights, without TensorFlow's converter.

The operator UNIDIRECTIONAL_SEQUENCE_LSTM reads a whole sequence. Its two states are *variable* tensors: they
keep their values from one call to the next, until the interpreter is told to reset them. TensorFlow's
converter makes it from LSTMs of Keras 2 only; from Keras 3 it makes a loop.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgelab.errors import InputError
from edgelab.graph.packing import written
from edgelab.texts import tr

OPERATORS = {
    "GATHER": 1,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 1,
    "STRIDED_SLICE": 1,
    "FULLY_CONNECTED": 1,
    "LOGISTIC": 1,
}
GATES, NOTED = 4, 5


def fused_lstm(weights: Sequence[np.ndarray], length: int, *, embedding: bool = True) -> bytes:
    """The network "lstm" of `language.networks` as a float32 file of five operators, or four.

    Args:
        weights: in Keras's order: embedding `[words, width]`, kernel `[width, 4 * units]`, recurrent kernel
            `[units, 4 * units]`, bias `[4 * units]` (gates in the order input, forget, cell, output), and of
            the last layer kernel `[units, 1]` and bias `[1]`.
        length: words that it takes.
        embedding: False leaves the table out: the file takes float32 `[1, length, width]`.

    Raises:
        InputError: the shapes do not fit each other.
    """
    table, kernel, recurrent, bias, last_kernel, last_bias = (np.asarray(one, np.float32) for one in weights)
    width, units = kernel.shape[0], recurrent.shape[0]
    shapes = (
        table.shape[1:],
        kernel.shape[1:],
        recurrent.shape[1:],
        bias.shape,
        last_kernel.shape,
        last_bias.shape,
    )
    wide = (GATES * units,)
    if shapes != ((width,), wide, wide, wide, (units, 1), (1,)):
        raise InputError(
            tr("These are no weights of an embedding, an LSTM and one output: {shapes}.", shapes=shapes),
            fix=tr("pass the weights of networks.network('lstm', ...), in their order"),
        )
    file = _File()
    if embedding:
        x = file.tensor("ids", (1, length), dtype=schema.TensorType.INT32)
        first, vectors = x, file.tensor("vectors", (1, length, width))
        file.operator("GATHER", [file.constant("table", table), x], vectors, "Gather")
    else:
        first = vectors = file.tensor("vectors", (1, length, width))
    states = file.tensor("states", (1, length, units))
    file.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        [vectors, *_gates(file, kernel, recurrent, bias, units)],
        states,
        "UnidirectionalSequenceLSTM",
        fusedActivationFunction=schema.ActivationFunctionType.TANH,
    )
    # What a calibration notes of the gates, for a file in int8; in float nothing is written there.
    file.operators[-1].intermediates = [file.tensor(f"noted_{n}", (0,)) for n in range(NOTED)]
    last, logit = file.tensor("last_state", (1, units)), file.tensor("logit", (1, 1))
    corners = ([0, length - 1, 0], [1, length, units], [1, 1, 1])
    ends = [file.constant(f"corner{n}", np.array(one, np.int32)) for n, one in enumerate(corners)]
    file.operator("STRIDED_SLICE", [states, *ends], last, "StridedSlice", shrinkAxisMask=2)
    dense = [file.constant("praise_kernel", last_kernel.T), file.constant("praise_bias", last_bias)]
    file.operator("FULLY_CONNECTED", [last, *dense], logit, "FullyConnected")
    praise = file.tensor("praise", (1, 1))
    file.operator("LOGISTIC", [logit], praise)
    return file.packed([first], [praise])


def _gates(file: _File, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray, units: int) -> list[int]:
    """The operator's inputs from its second on; -1 for those it can do without (peepholes, projection)."""
    by_gate = [
        [
            file.constant(f"{name}_{gate}", part)
            for gate, part in zip("ifco", np.split(values.T, GATES), strict=True)
        ]
        for name, values in (("kernel", kernel), ("recurrent", recurrent), ("bias", bias))
    ]
    states = [file.tensor(name, (1, units), variable=True) for name in ("output_state", "cell_state")]
    return [*by_gate[0], *by_gate[1], -1, -1, -1, *by_gate[2], -1, -1, *states, -1, -1, -1, -1]


class _File:
    """A `.tflite` file under construction: tensors by number, operators in order."""

    def __init__(self) -> None:
        self.buffers, self.tensors = [schema.BufferT()], []
        self.operators, self.codes = [], []

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        dtype: int = schema.TensorType.FLOAT32,
        buffer: int = 0,
        variable: bool = False,
    ) -> int:
        made = schema.TensorT()
        made.name, made.type, made.shape = name.encode(), dtype, list(shape)
        made.buffer, made.isVariable = buffer, variable
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, name: str, values: np.ndarray) -> int:
        stored = schema.BufferT()
        stored.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.buffers.append(stored)
        dtype = schema.TensorType.INT32 if values.dtype == np.int32 else schema.TensorType.FLOAT32
        return self.tensor(name, values.shape, dtype=dtype, buffer=len(self.buffers) - 1)

    def operator(self, name: str, inputs: list[int], output: int, options: str = "", **settings: int) -> None:
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = OPERATORS[name]
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes), inputs, [output]
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
            made.builtinOptions = getattr(schema, f"{options}OptionsT")()
            for key, value in settings.items():
                setattr(made.builtinOptions, key, value)
        self.codes.append(code)
        self.operators.append(made)

    def packed(self, inputs: list[int], outputs: list[int]) -> bytes:
        return written(
            self.buffers,
            self.tensors,
            self.operators,
            self.codes,
            inputs=inputs,
            outputs=outputs,
            description="an LSTM as one operator",
        )
