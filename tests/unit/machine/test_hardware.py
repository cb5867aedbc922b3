"""The machine in words."""

from edgelab.machine import hardware


def test_the_machine_in_one_line_names_cores_and_system():
    assert "logical cores" in hardware.description() and "\n" not in hardware.description()
