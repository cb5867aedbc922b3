"""Latency of a model on devices that are not here, from a small model fitted on published figures.

The time of one inference is a sum: what the model needs of the device (`device_model.QUANTITIES`), each times
a cost. Costs are fitted by least squares on the logarithm of the time, none below zero, on the figures in
`data/published/estimate.csv`. The graphs behind those figures are in `data/estimate/layers.csv`, made by
`tools/published_graphs.py`, and the costs in `data/estimate/costs.json`, made by `write_costs`.

How far to trust the result is measured: each network is left out in turn, estimated from the others, and
compared with its published figure. The interval of every estimate comes from the errors of networks whose
whole family was left out.
"""

from edgelab.estimate.figures import CABLE_GB_PER_S, LAYERS_FILE
from edgelab.estimate.fitting import (
    COVERAGE,
    Costs,
    costs,
    fit,
    held_back,
    leave_family_out,
    leave_one_out,
    write_costs,
)
from edgelab.estimate.prediction import Estimate, latency
from edgelab.processor_models.device_model import DEVICES, layers

__all__ = [
    "CABLE_GB_PER_S",
    "COVERAGE",
    "DEVICES",
    "LAYERS_FILE",
    "Costs",
    "Estimate",
    "costs",
    "fit",
    "held_back",
    "latency",
    "layers",
    "leave_family_out",
    "leave_one_out",
    "write_costs",
]
