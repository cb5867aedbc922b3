"""The table of all targets, on a machine that lacks most of them."""

from edgelab import targets
from edgelab.targets import matrix


def test_every_target_has_a_row_and_a_mend_for_what_is_missing():
    found = matrix.matrix()
    assert [row.name for row in found.rows] == list(targets.names())
    for row in found.rows:
        assert row.hardware
        if not (row.availability.can_compile and row.availability.can_run):
            assert row.availability.fix, row.name
        assert row.name in str(found) and row.name in found._repr_html_()
