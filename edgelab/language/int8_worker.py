"""Calibrates and quantizes one file: `python -m edgelab.language.int8_worker MODEL SAMPLES OUT`.

In a process of its own, since a file that the calibration does not understand ends the process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgelab.machine import quiet
from edgelab.machine.child import no_core_dumps


def main(model: str, samples: str, out: str) -> None:
    """Write the int8 file."""
    no_core_dumps()
    tensorflow = quiet.import_tensorflow()
    # No public name leads to it without a Keras model or a traced function; TFLiteConverter itself calls it.
    from tensorflow.lite.python.optimize import calibrator

    inputs = np.load(samples)
    kind = tensorflow.int8 if inputs.dtype == np.float32 else tensorflow.dtypes.as_dtype(inputs.dtype)
    made = calibrator.Calibrator(Path(model).read_bytes()).calibrate_and_quantize(
        lambda: ([one[np.newaxis]] for one in inputs), kind, tensorflow.int8, False
    )
    Path(out).write_bytes(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
