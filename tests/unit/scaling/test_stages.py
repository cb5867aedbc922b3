import numpy as np
import pytest

from edgelab.scaling import stages


@pytest.mark.slow
def test_two_stages_tell_steps_and_idle_shares_for_each_number_of_parts():
    one, four = stages.measured((1, 4), time_limit_s=240)
    assert (one.micro, four.micro) == (1, 4)
    for passage in (one, four):
        assert passage.step_s.shape == passage.idle.shape == (stages.STEPS,)
        assert (passage.step_s > 0).all() and (passage.idle < 1).all()
    assert np.median(one.idle) > 0.2, "with one part the stages can only wait for each other"
