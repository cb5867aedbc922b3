"""The kernel in which chapters are stopped ends every run, at whatever moment the stop comes."""

import nbformat
import pytest
from student_kernel import DIED, INTERRUPTED, StudentKernel, in_cell

STOPS = 30  # of these, about ten meet a cell that has not begun


@pytest.fixture
def started(tmp_path):
    kernels = []

    def start(*sources):
        notebook = tmp_path / "lesson.ipynb"
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
        kernels.append(StudentKernel(notebook, tmp_path / "artifacts", tmp_path / "log"))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.close()


@pytest.mark.slow
def test_a_stop_before_a_cell_has_begun_ends_the_run(started):
    student = started("x = 1", *["x += 1"] * 40, "assert x == 41")  # lasts longer than the latest stop
    for stop in range(STOPS):
        run = student.run_all(in_cell(1, stop / 20_000), longest_s=60)
        assert run.error.startswith(INTERRUPTED) and run.cell >= 1
    assert student.run_all(longest_s=60).error == ""


@pytest.mark.slow
def test_a_kernel_that_dies_is_told_and_replaced(started):
    student = started(
        "import os, pathlib",
        "if not pathlib.Path('died').exists(): pathlib.Path('died').touch(), os._exit(1)",
    )
    assert student.run_all(longest_s=60).error.startswith(DIED)
    assert student.run_all(longest_s=60).error == ""
