"""A machine without TensorFlow: what needs it says so, and a lesson goes on with the cells that do not.

In a notebook a cell that fails for want of TensorFlow is skipped, and so is every later cell that reads a
name which a skipped one would have made. Where TensorFlow is, nothing here does anything.
"""

from __future__ import annotations

import ast
import importlib.util
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgelab.errors import TargetError
from edgelab.machine import cell_names, hardware
from edgelab.texts import tr

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

PACKAGES = ("tensorflow", "keras")  # Keras computes by TensorFlow here
SKIPPED = "edgelab_skipped"  # in the metadata of the line that stands in a skipped cell's place
_NAME = "_edgelab_without_tensorflow"
_GUARD = f"""
try:
    pass
except Exception as {_NAME}_error:
    if not {_NAME}.takes({_NAME}_error):
        raise
else:
    {_NAME}.ran()
"""


class TensorFlowMissingError(TargetError):
    """Something is to be trained or converted, and TensorFlow is not installed."""

    def __init__(self) -> None:
        super().__init__(
            tr("TensorFlow is not installed here."),
            why=tr("it trains and converts models, and has no wheel for every system and every Python"),
            fix=fix(),
        )

    def _render_traceback_(self) -> list[str]:
        """What IPython shows: the three sentences. Where it was raised helps nobody."""
        return str(self).splitlines()


def fix() -> str:
    """How TensorFlow is had, and what goes without it."""
    return tr(
        "set the course up with a Python that TensorFlow has a wheel for: make PYTHON=python3.13 lab; "
        "docs/boards.md tells which chapters go on without it"
    )


def is_here() -> bool:
    """Whether TensorFlow can be imported, found out without the seconds that this takes."""
    return importlib.util.find_spec("tensorflow") is not None


def version() -> str:
    """Version of the installed TensorFlow, read without importing it; "" where it is not."""
    if not is_here():
        return ""
    return next(filter(None, map(hardware.version_of, ("tensorflow", "tensorflow-cpu"))), "")


def is_cause(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, comes of TensorFlow's absence."""
    while error is not None:
        if isinstance(error, TensorFlowMissingError):
            return True
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in PACKAGES:
            return True
        error = error.__cause__
    return False


def skip_cells() -> bool:
    """From the next cell of this notebook on, skip what needs TensorFlow, where it is not.

    Returns:
        Whether cells will be skipped.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None or is_here():
        return False
    if not any(isinstance(one, _Skipping) for one in shell.ast_transformers):
        shell.ast_transformers.append(_Skipping(shell))
    return True


class _Skipping(ast.NodeTransformer):
    """Guards every cell of a notebook before it runs."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._absent: set[str] = set()
        self._made: set[str] = set()
        shell.user_ns_hidden[_NAME] = shell.user_ns[_NAME] = self

    def visit(self, node: ast.AST) -> ast.AST:
        """The cell, guarded; in place of one that reads what is absent, a line that says so."""
        if not isinstance(node, ast.Module):
            return node
        reads, self._made = cell_names.read_and_made(node)
        if absent := sorted(reads & self._absent):
            self._absent |= self._made
            return ast.parse(f"{_NAME}.skipped({absent[0]!r})")
        return _guarded(node)

    def ran(self) -> None:
        """Note that the cell has run: what it makes is there again."""
        self._absent -= self._made

    def takes(self, error: Exception) -> bool:
        """Whether the cell failed for want of TensorFlow; if so it is noted, and a line is shown."""
        if not is_cause(error):
            return False
        # A module that the cell had imported before it failed is whole; a list may be half filled.
        names = self._shell.user_ns
        self._absent |= {name for name in self._made if not isinstance(names.get(name), ModuleType)}
        _show(tr("Skipped: this cell needs TensorFlow, which is not installed here."))
        return True

    def skipped(self, name: str) -> None:
        """Say which name a cell was skipped for."""
        _show(tr("Skipped: no cell has made {name}, for want of TensorFlow.", name=name))


def _guarded(tree: ast.Module) -> ast.Module:
    """A cell whose failure for want of TensorFlow is taken; its last value is shown as ever."""
    if not tree.body:
        return tree
    whole = ast.parse(_GUARD)
    [attempt] = whole.body
    attempt.body = tree.body
    if isinstance(last := tree.body[-1], ast.Expr):
        shown = ast.parse(f"{_NAME}_value = None\n{_NAME}_value = 0\n{_NAME}_value")
        shown.body[1].value = last.value
        attempt.body = [*tree.body[:-1], shown.body[1]]
        whole.body = [shown.body[0], attempt, shown.body[2]]
    return ast.fix_missing_locations(whole)


def _show(text: str) -> None:
    from IPython.display import display

    display({"text/plain": text}, raw=True, metadata={SKIPPED: True})


def skipped_cells(notebook: Any) -> int:
    """How many cells of an executed notebook were skipped.

    Args:
        notebook: as nbformat reads it.
    """
    return sum(
        any(SKIPPED in output.get("metadata", {}) for output in cell.get("outputs", []))
        for cell in notebook.cells
    )
