"""Sessions: computed in NumPy anywhere; Core ML's own says why it is not here."""

import sys

import numpy as np
import pytest

from edgelab import benchmark, targets
from edgelab.errors import InputError, TargetError
from edgelab.runtime import predict
from edgelab.targets.coreml import session


def test_a_package_is_opened_without_apple(kept, answers, no_tools):
    images, keras = answers
    with targets.get("coreml", where="simulator").open(kept["float16"]) as opened:
        assert (opened.provenance, opened.placement, opened.fault) == ("simulated", None, "")
        assert "NumPy" in opened.device
        found = predict(opened, images)
    assert (found.argmax(1) == keras.argmax(1)).all()


def test_it_takes_what_the_program_takes(program):
    with session.ProgramSession(program) as opened:
        for wrong in (np.zeros((1, 12, 12, 3), np.uint8), np.zeros((1, 3, 12, 12), np.float32)):
            with pytest.raises(InputError, match="image"):
                opened.run(wrong)
    with pytest.raises(TargetError, match="closed"):
        opened.run(np.zeros((1, 12, 12, 3), np.float32))
    opened.close()


def test_it_is_never_timed(program):
    with session.ProgramSession(program) as opened, pytest.raises(TargetError, match="timed"):
        benchmark.measure(opened, max_seconds=0.1)


@pytest.mark.skipif(sys.platform == "darwin", reason="here Core ML runs")
def test_core_ml_itself_is_missed_with_its_own_words(tools, kept, program):
    with pytest.raises(TargetError, match="does not run") as error:
        opened = session.MacSession(kept["float16"], program, "a chip")
        opened.run(np.zeros((1, 12, 12, 3), np.float32))
    assert "macOS" in error.value.why and "simulator" in error.value.fix
