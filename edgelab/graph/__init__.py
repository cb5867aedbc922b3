"""Look inside a model's file without running it, and make changed copies of a `.tflite` file.

`reading` checks and reads a `.tflite` file, `onnx_reading` an ONNX file. `records` are operators and tensors
with what follows from them, such as MACs, bytes and activation memory. `editing` changes values or cuts.
`layers` writes a file of any size from nothing.
"""

from edgelab.graph.editing import (
    prefix,
    with_batch_of_one,
    with_scaled_input,
    with_values,
    without_float_ends,
)
from edgelab.graph.reading import BUILTIN_OPERATORS, DAMAGE, read
from edgelab.graph.records import Graph, Operator, Tensor

__all__ = [
    "BUILTIN_OPERATORS",
    "DAMAGE",
    "Graph",
    "Operator",
    "Tensor",
    "prefix",
    "read",
    "with_batch_of_one",
    "with_scaled_input",
    "with_values",
    "without_float_ends",
]
