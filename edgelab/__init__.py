"""edgelab: the shared package of the Edge AI Acceleration Workbook.

One module per step of the pipeline, in the order data flows: environment, datasets, models, training,
quantization, graph, targets, verification, benchmark, video, results, display, exercises.
Importing `edgelab` loads none of them, so that it costs nothing and never loads TensorFlow.
"""

__version__ = "0.1.0"

import os as _os

# TensorFlow reads these when it is first imported; the lessons show results, not its start-up log.
_os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_os.environ.setdefault("GLOG_minloglevel", "3")

# ONNX Runtime (since 1.29) and NNCF report their use to their makers unless told not to; a lesson does not.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
_os.environ.setdefault("NNCF_CI", "1")
