"""Modules import only what stands above them in CONTRIBUTING.md, which names them all."""

import ast
import re

import edgelab
from edgelab.machine import artifacts

ROOT = artifacts.PROJECT_ROOT
PACKAGE = ROOT / "edgelab"


def imported(path):
    """Names of the package's modules that a file imports; `targets.base` is the one that others may know."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == edgelab.__name__:
            parts = node.module.split(".")[1:]
            if parts[:2] != ["targets", "base"]:
                yield from parts[:1] or [alias.name for alias in node.names]


def test_each_module_imports_only_what_stands_above_it():
    text = (
        (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("stands above it:")[1].split("\n- ")[0]
    )
    order = re.findall(r"[a-z_]+", text)
    modules = {path.stem: [path] for path in PACKAGE.glob("[a-z]*.py")}
    modules |= {path.parent.name: list(path.parent.glob("*.py")) for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(order) == sorted(modules)
    wrong = [
        f"{name} imports {other}"
        for name, files in modules.items()
        for path in files
        for other in imported(path)
        if other in modules and order.index(other) > order.index(name)
    ]
    assert not wrong
