"""The record every number becomes, the store that keeps it, the comparison table and the Pareto plot."""

from edgelab.results.plot import PROVENANCE_MARKERS, pareto_front, plain_log_axis, plot_pareto
from edgelab.results.record import (
    PROVENANCE_GLYPHS,
    PROVENANCES,
    ROW_KEY,
    UNITS,
    Result,
    Samples,
    format_value,
    from_measurement,
)
from edgelab.results.store import (
    RESULT_KEY,
    append,
    latest,
    load,
    published,
    store_path,
    to_frame,
)
from edgelab.results.table import ComparisonTable, comparison_table

__all__ = [
    "PROVENANCES",
    "PROVENANCE_GLYPHS",
    "PROVENANCE_MARKERS",
    "RESULT_KEY",
    "ROW_KEY",
    "UNITS",
    "ComparisonTable",
    "Result",
    "Samples",
    "append",
    "comparison_table",
    "format_value",
    "from_measurement",
    "latest",
    "load",
    "pareto_front",
    "plain_log_axis",
    "plot_pareto",
    "published",
    "store_path",
    "to_frame",
]
