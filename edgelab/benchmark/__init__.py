"""Honest timing: warm-up, intervals, turns, and a verdict on the machine's calm.

`measuring` times one session, `comparing` several in turns, `openings` opens them again and again, so that a
repetition finds the same; `statistics` says what is a tie, and
`profiler` asks the runtime for the time of each operator. `load` offers requests at a rate, and `memory` says
what a model costs in several processes.
"""

from edgelab.benchmark.comparing import Ranking, compare
from edgelab.benchmark.load import LoadCurve, expected_mean_ms, load_curve, precise_sleep
from edgelab.benchmark.measuring import Measurement, measure, sample_inputs, time_runs, warm_up
from edgelab.benchmark.memory import LoadedMemory, forget_file, loaded_memory
from edgelab.benchmark.openings import compare_openings, measure_openings
from edgelab.benchmark.profiler import OperatorProfile, kinds_table, operator_profile
from edgelab.benchmark.statistics import SpeedUp, bootstrap_interval, repetition_interval, t_quantile

__all__ = [
    "LoadCurve",
    "LoadedMemory",
    "Measurement",
    "OperatorProfile",
    "Ranking",
    "SpeedUp",
    "bootstrap_interval",
    "compare",
    "compare_openings",
    "expected_mean_ms",
    "forget_file",
    "kinds_table",
    "load_curve",
    "loaded_memory",
    "measure",
    "measure_openings",
    "operator_profile",
    "precise_sleep",
    "repetition_interval",
    "sample_inputs",
    "t_quantile",
    "time_runs",
    "warm_up",
]
