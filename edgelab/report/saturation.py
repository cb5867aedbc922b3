"""Values cut off at the ends of their range: seen on the user's pictures, not in the file alone."""

from __future__ import annotations

import numpy as np

from edgelab import targets
from edgelab.errors import EdgelabError
from edgelab.report.smells import Smell, named, real_range
from edgelab.report.subject import Pictures, Subject
from edgelab.report.trials import inputs_for
from edgelab.texts import tr

MOST_PICTURES = 8
# Of a tensor's values. The pictures of the calibration leave one value at each end: far fewer than this in a
# large tensor, and less than that many in a small one.
LEAST_SHARE, LEAST_VALUES = 0.01, 20
# Ends that an activation means: ReLU ends at 0, sigmoid and softmax at 1, tanh at both, ReLU6 at 6.
MEANT_ENDS = (0.0, 1.0, -1.0, 6.0)


def saturated(subject: Subject, pictures: Pictures) -> tuple[Smell, ...]:
    """One smell where pictures drive activations beyond the ranges that calibration chose; else none.

    Args:
        subject: the model; float ones and ONNX have no such ranges, or keep no intermediate results.
        pictures: as they go in; noise tells nothing of it.
    """
    if pictures.is_noise or subject.kind == "onnx" or not subject.is_quantized:
        return ()
    try:
        shares = _shares(subject, pictures.values[:MOST_PICTURES])
    except EdgelabError:
        return ()  # why it does not run stands beside the CPU's trial
    worst = sorted(shares, key=lambda index: -shares[index])
    if not worst:
        return ()
    text = tr(
        "Activations cut off at the ends of their range, up to {share:.0f} % of a tensor: calibrated "
        "on other pictures, or on too few",
        share=100 * shares[worst[0]],
    )
    operators = [subject.graph.operators[index] for index in worst]
    return (Smell("saturated", f"{text}: {named(operators)}", tuple(worst), "04"),)


def _shares(subject: Subject, items: np.ndarray) -> dict[int, float]:
    """By operator that writes 8-bit numbers, if it is much: the share at an end that no activation means."""
    found = subject.graph
    looked_at = {
        operator.index: (operator.outputs[0], ends)
        for operator in found.operators
        # White and black pixels lie at the ends of the input's range by right.
        if operator.outputs and not (operator.name == "QUANTIZE" and operator.inputs[0] in found.inputs)
        if len(ends := _ends(found.tensors[operator.outputs[0]]))
    }
    at_end, values = dict.fromkeys(looked_at, 0), dict.fromkeys(looked_at, 0)
    with targets.get("cpu", kernels="builtin").open(subject.main, keep_tensors=True) as session:
        for item in items:
            session.run(*inputs_for(session, item))
            for index, (tensor, ends) in looked_at.items():
                result = session.tensor(tensor)
                at_end[index] += int(np.isin(result, ends).sum())
                values[index] += result.size
    return {
        index: count / values[index]
        for index, count in at_end.items()
        if count >= max(LEAST_VALUES, LEAST_SHARE * values[index])
    }


def _ends(tensor) -> np.ndarray:
    """The ends of a tensor's range, as the float32 numbers that it holds there."""
    low_high = real_range(tensor)
    if low_high is None:
        return np.array([], np.float32)
    step = (low_high[1] - low_high[0]) / 255
    return np.array(
        [end for end in low_high if min(abs(end - meant) for meant in MEANT_ENDS) > step], np.float32
    )
