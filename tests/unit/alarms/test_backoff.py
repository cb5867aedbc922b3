import pytest

from edgelab.alarms import Backoff
from edgelab.errors import InputError


def test_waits_double_up_to_the_limit_and_are_drawn():
    backoff = Backoff(1.0, 10.0, seed=3)
    for longest in (1, 2, 4, 8, 10, 10):
        assert longest / 2 <= backoff.next_s() <= longest
    backoff.reset()
    assert backoff.next_s() <= 1.0


def test_two_that_failed_together_do_not_come_back_together():
    first, second = (Backoff(1.0, 60.0) for _ in range(2))
    assert [first.next_s() for _ in range(5)] != [second.next_s() for _ in range(5)]


def test_it_never_overflows():
    backoff = Backoff(1.0, 60.0)
    assert max(backoff.next_s() for _ in range(3000)) <= 60


@pytest.mark.parametrize("limits", [(0, 1), (2, 1), (-1, 1)])
def test_impossible_waits_are_refused(limits):
    with pytest.raises(InputError):
        Backoff(*limits)
