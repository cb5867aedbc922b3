"""The browser's outputs against the CPU's."""

import numpy as np
import pytest

from edgelab import graph
from edgelab.runtime import TensorSpec
from edgelab.targets.web import trial

FLOAT = (TensorSpec("y", (1, 3), np.dtype(np.float32)),)
INTEGER = (TensorSpec("y", (1, 3), np.dtype(np.uint8), 1 / 256, 0),)


def judged(specs, want, have, tolerance=1e-3):
    rows = [[(np.array([row], specs[0].dtype),) for row in rows] for rows in (want, have)]
    return trial.judge(specs, *rows, tolerance=tolerance)


def test_rounding_agrees_and_more_does_not():
    close = judged(FLOAT, [[0.1, 0.2, 0.7]], [[0.1, 0.20001, 0.7]])
    assert close.agrees and not close.is_exact and close.fault == ""
    far = judged(FLOAT, [[0.1, 0.2, 0.7]], [[0.1, 0.25, 0.7]])
    assert not far.agrees and "0.1%" in far.fault


def test_integers_have_to_be_the_same_however_near():
    assert judged(INTEGER, [[1, 2, 253]], [[1, 2, 253]]).is_exact
    near = judged(INTEGER, [[1, 2, 253]], [[1, 3, 253]], tolerance=1.0)
    assert near.steps == 1 and not near.agrees and "1 quantization steps" in near.fault


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_never_agrees(bad):
    assert not judged(FLOAT, [[0.1, 0.2, 0.7]], [[0.1, bad, 0.7]], tolerance=1.0).agrees


def test_zeros_in_place_of_an_answer_never_agree():
    found = judged(FLOAT, [[0.1, 0.2, 0.7]], [[0, 0, 0]], tolerance=5e-2)
    assert not found.agrees and found.same_largest == 0


def test_the_worst_input_decides():
    assert not judged(FLOAT, [[0.1, 0.2, 0.7]] * 50, [[0.1, 0.2, 0.7]] * 49 + [[0.7, 0.2, 0.1]]).agrees


def test_only_what_quantizes_while_it_runs_has_room(web_files):
    read = {
        name: graph.read(web_files[name].read_bytes()) for name in ("float32", "dynamic", "int8", "int16x8")
    }
    tolerances = {name: trial.tolerance_for(found, "float32") for name, found in read.items()}
    assert tolerances == {"float32": 1e-3, "dynamic": 5e-2, "int8": 1e-3, "int16x8": 1e-3}
