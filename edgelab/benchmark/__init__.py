"""Honest timing: warm-up, intervals, turns, and a verdict on the machine's calm.

`measuring` times one session, `comparing` several in turns, `statistics` says when two are a tie,
`profiler` asks the runtime for the time of each operator.
"""

from edgelab.benchmark.comparing import Ranking, compare
from edgelab.benchmark.measuring import Measurement, measure, sample_inputs, time_runs, warm_up
from edgelab.benchmark.profiler import OperatorProfile, kinds_table, operator_profile
from edgelab.benchmark.statistics import SpeedUp, bootstrap_interval

__all__ = [
    "Measurement",
    "OperatorProfile",
    "Ranking",
    "SpeedUp",
    "bootstrap_interval",
    "compare",
    "kinds_table",
    "measure",
    "operator_profile",
    "sample_inputs",
    "time_runs",
    "warm_up",
]
