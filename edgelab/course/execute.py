"""Execute one notebook in a process of its own: `python -m edgelab.course.execute NOTEBOOK OUT CELL_LIMIT_S`.

A process of its own can be ended, kernel and all, when a notebook exceeds its time. Each line on stdout is a
JSON object: {"cell": index} when a cell begins, {"failed": {...}} when one fails, and {"without_tensorflow":
text} where the machine has no TensorFlow and the notebook went without what needs it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from edgelab.machine import no_tensorflow
from edgelab.machine.no_tensorflow import TensorFlowMissingError
from edgelab.texts import tr

PAPERMILL_ALARM = "papermill-error-cell-tag"


def execute(notebook: Path, out: Path, cell_limit_s: int) -> bool:
    """Run all cells in the notebook's own folder and write the executed copy.

    Args:
        notebook: the `.ipynb` file.
        out: where the copy goes; it holds what ran, also when a cell fails.
        cell_limit_s: no cell may take longer.

    Returns:
        Whether every cell ran without an error.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    started: list[str] = [""]

    def tell(**message: Any) -> None:
        print(json.dumps(message), flush=True)

    def on_cell_start(cell, cell_index: int) -> None:
        started[0] = cell.source
        tell(cell=cell_index)

    try:
        papermill.execute_notebook(
            str(notebook),
            str(out),
            cwd=str(notebook.parent),
            kernel_name="python3",
            progress_bar=False,
            execution_timeout=cell_limit_s,
            on_cell_start=on_cell_start,
        )
    except PapermillExecutionError as error:
        if (
            error.ename == TensorFlowMissingError.__name__
        ):  # the set-up itself: nothing of the chapter can run
            _take_out_the_alarm(out)
            tell(without_tensorflow=tr("it needs TensorFlow"))
            return True
        tell(failed={"source": error.source, "error": f"{error.ename}: {error.evalue}"})
    except CellTimeoutError:
        tell(failed={"source": started[0], "error": f"The cell did not end within {cell_limit_s} s."})
    except DeadKernelError:
        tell(failed={"source": started[0], "error": "The kernel died while this cell ran."})
    else:
        executed = nbformat.read(out, 4)
        if count := no_tensorflow.skipped_cells(executed):
            total = sum(cell.cell_type == "code" for cell in executed.cells)
            tell(
                without_tensorflow=tr(
                    "{count} of {total} cells need TensorFlow, or those that do", count=count, total=total
                )
            )
        return True
    return False


def _take_out_the_alarm(out: Path) -> None:
    """Take out what papermill writes above a failed cell: a missing tool is no failure."""
    import nbformat

    executed = nbformat.read(out, 4)
    executed.cells = [cell for cell in executed.cells if PAPERMILL_ALARM not in cell.metadata.get("tags", [])]
    nbformat.write(executed, out)


if __name__ == "__main__":
    sys.exit(0 if execute(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])) else 1)
