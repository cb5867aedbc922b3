"""Is the converted model as good as the original, and where is it not?

`comparison` sets two models side by side on the same images, `intervals` says what so many images can tell,
`output_error` how far outputs are apart, `layers` and `divergence` where the difference starts.
"""

from edgelab.verification.comparison import (
    ClassScores,
    Comparison,
    class_scores,
    compare,
    compare_outputs,
    confusion_matrix,
)
from edgelab.verification.intervals import (
    MARGIN_POINTS,
    THRESHOLD_POINTS,
    chance_of_verdict,
    images_needed,
    paired_interval,
    proportion_interval,
)
from edgelab.verification.layers import LayerOutput, layer_outputs, per_layer_error
from edgelab.verification.output_error import OutputError, output_error, snr_db

__all__ = [
    "MARGIN_POINTS",
    "THRESHOLD_POINTS",
    "ClassScores",
    "Comparison",
    "LayerOutput",
    "OutputError",
    "chance_of_verdict",
    "class_scores",
    "compare",
    "compare_outputs",
    "confusion_matrix",
    "images_needed",
    "layer_outputs",
    "output_error",
    "paired_interval",
    "per_layer_error",
    "proportion_interval",
    "snr_db",
]
