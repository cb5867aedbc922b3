"""Turn a Keras model into a `.tflite` file, in one of five precisions.

`convert` makes the file once and keeps it; TensorFlow's converter runs in a process of its own (`worker`),
since there are models that end the process it runs in.
"""

from edgelab.quantization.conversion import (
    CALIBRATED_MODES,
    IO_DTYPES,
    MODES,
    Converted,
    convert,
    described,
    tensor_spec,
)
from edgelab.quantization.tracing import silence

__all__ = [
    "CALIBRATED_MODES",
    "IO_DTYPES",
    "MODES",
    "Converted",
    "convert",
    "described",
    "silence",
    "tensor_spec",
]
