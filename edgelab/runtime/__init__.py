"""What every runtime shares, below both conversion and targets: tensors, sessions, placement, prediction."""

from edgelab.runtime.placement import Availability, Placement
from edgelab.runtime.prediction import predict
from edgelab.runtime.session import ClosesAtEnd, Session
from edgelab.runtime.tensors import TensorSpec, check_inputs

__all__ = [
    "Availability",
    "ClosesAtEnd",
    "Placement",
    "Session",
    "TensorSpec",
    "check_inputs",
    "predict",
]
