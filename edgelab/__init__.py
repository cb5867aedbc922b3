"""edgelab: the shared package of the Edge AI Acceleration Workbook.

`__all__` names what lessons import, in the order data flows. Beside these stand rooms that serve them, such
as `machine`, `runtime` or `course`; CONTRIBUTING.md says what lives in each. Importing `edgelab` loads none
of it, so that it costs nothing and never loads TensorFlow.
"""

import os as _os

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - in the order data flows
    "environment",
    "datasets",
    "models",
    "training",
    "compression",
    "graph",
    "quantization",
    "targets",
    "verification",
    "benchmark",
    "results",
    "estimate",
    "pipeline",
    "survey",
    "report",
    "video",
    "display",
    "exercises",
    "errors",
]

# TensorFlow reads these when it is first imported; the lessons show results, not its start-up log.
_os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_os.environ.setdefault("GLOG_minloglevel", "3")

# ONNX Runtime (since 1.29) and NNCF report their use to their makers unless told not to; a lesson does not.
_os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
_os.environ.setdefault("NNCF_CI", "1")
