"""A student runs a whole chapter, then comes back to an exercise and runs it and what follows once more."""

import ast
import symtable
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

PATHS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
ENDS = ("cleanup", "close", "shutdown", "terminate")


class Cell:
    """A code cell: its names, the other cells' names that it needs, and those that its functions need."""

    def __init__(self, cell):
        self.id, self.tags = cell.id, cell.metadata.get("tags", [])
        self.tree = ast.parse(cell.source)
        top = symtable.symtable(cell.source, "cell", "exec")
        symbols = top.get_symbols()
        self.own = {one.get_name() for one in symbols if one.is_assigned() or one.is_imported()}
        read = {one.get_name() for one in symbols if one.is_referenced()}
        self.needed = (read | _globals_of(top)) - self.own
        self.within = {}
        for table in top.get_children():
            self.within.setdefault(table.get_name(), set()).update(_globals_of(table, itself=True))

    def imports(self, name):
        """The import by which this cell has the name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for alias in node.names:
                    if name in (alias.asname, alias.name.split(".")[0]):
                        return ast.unparse(alias), getattr(node, "module", "")
        return None

    def defines(self, name):
        """Whether the name is a function or a class of this cell."""
        kinds = ast.FunctionDef | ast.ClassDef
        return any(isinstance(node, kinds) and node.name == name for node in self.tree.body)

    def ended(self):
        """Names of other cells whose objects this one closes or removes."""
        found, loops = set(), {}
        for node in _outside_functions(self.tree):
            if isinstance(node, ast.For):
                loops[ast.unparse(node.target)] = _names(node.iter)
            called = node.func if isinstance(node, ast.Call) else None
            if (
                isinstance(called, ast.Attribute)
                and called.attr in ENDS
                and not isinstance(called.value, ast.Call)
            ):
                found |= _names(called.value)
        return (found.union(*(loops.get(name, set()) for name in found))) - self.own


def _globals_of(table, itself=False):
    own = [table] if itself else []
    names = {
        symbol.get_name()
        for one in own
        for symbol in one.get_symbols()
        if symbol.is_global() and symbol.is_referenced()
    }
    return names.union(*(_globals_of(child, itself=True) for child in table.get_children()))


def _names(node):
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _outside_functions(tree):
    left = [tree]
    while left:
        node = left.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            left += ast.iter_child_nodes(node)


def code_of(path):
    return [Cell(cell) for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def maker_of(name, cells, place):
    """The cell before a place that made the name last, or None."""
    return max((index for index in range(place) if name in cells[index].own), default=None)


def needed_at(cells, place):
    """Names that a cell needs, also by the functions that it calls, and the cells that made them."""
    found, left = {}, list(cells[place].needed)
    while left:
        name = left.pop()
        maker = maker_of(name, cells, place)
        if maker is None or name in found:
            continue
        found[name] = maker
        left += cells[maker].within.get(name, ())
    return found


def lost_names(cells):
    """Names that what follows an exercise needs from before it, and a later cell makes something else."""
    exercises = [place for place, cell in enumerate(cells) if "exercise" in cell.tags]
    found = {}
    for place in range(min(exercises, default=len(cells)), len(cells)):
        last = max(exercise for exercise in exercises if exercise <= place)
        for name, maker in needed_at(cells, place).items():
            for later in cells[place:] if maker < last else ():
                same = later.imports(name) and later.imports(name) == cells[maker].imports(name)
                if name in later.own and not same:
                    found.setdefault(name, f"{later.id} makes another {name}; {cells[place].id} needs it")
    return found


def renamed_functions(cells):
    """Functions, classes and modules whose name a later cell gives to something else."""
    found = {}
    for place, cell in enumerate(cells):
        if {"exercise", "solution"} & set(cell.tags):
            continue
        for name in cell.own:
            maker = maker_of(name, cells, place)
            if maker is None or "exercise" in cells[maker].tags or "solution" in cells[maker].tags:
                continue
            before, after = cells[maker].imports(name), cell.imports(name)
            if before != after or (cells[maker].defines(name) and not cell.defines(name)):
                found[name] = f"{cell.id} makes another {name} than {cells[maker].id}"
    return found


def ended_names(cells):
    """Names whose objects a cell ends, though cells after an exercise need them from before it."""
    exercises = [place for place, cell in enumerate(cells) if "exercise" in cell.tags]
    needs = [needed_at(cells, place) for place in range(len(cells))]
    found = {}
    for end, cell in enumerate(cells):
        for name in cell.ended():
            maker = maker_of(name, cells, end)
            first = next((one for one in exercises if maker is not None and one > maker), len(cells))
            for place in range(first, len(cells)):
                if place != end and needs[place].get(name) == maker:
                    found.setdefault(name, f"{cell.id} ends {name}; {cells[place].id} needs it")
    return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_whoever_comes_back_to_an_exercise_finds_what_it_needs(path):
    cells = code_of(path)
    found = lost_names(cells) | renamed_functions(cells) | ended_names(cells)
    assert not found, list(found.values())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_no_cell_overwrites_a_parameter(path):
    first, *others = code_of(path)
    assert "parameters" in first.tags
    parameters = {node.targets[0].id for node in first.tree.body if isinstance(node, ast.Assign)}
    assert {"PROFILE", "SEED"} <= parameters
    wrong = {cell.id: parameters & cell.own for cell in others if parameters & cell.own}
    assert not wrong, f"give them names of their own: {wrong}"


EXERCISE = ("def answer(): ...", "exercise")


@pytest.mark.parametrize(
    ("rule", "sources"),
    [
        (lost_names, ["port = 1", EXERCISE, "print(port)", "port = None"]),
        (lost_names, ["port = 1\ndef ask(): return port", EXERCISE, "print(ask())", "port = None"]),
        (lost_names, ["from a import b as given", EXERCISE, "given.answer()", "if 1:\n    given = {}"]),
        (renamed_functions, ["def opened(): ...", "if (opened := 1):\n    print(opened)"]),
        (ended_names, ["made = folder()", EXERCISE, "made.use()\nmade.cleanup()", "print(made)"]),
        (
            ended_names,
            ["box = [1]\ndef use(): return box", EXERCISE, "use()", "for one in (*box,): one.close()"],
        ),
    ],
)  # fmt: skip
def test_the_rules_find_what_they_are_for(rule, sources):
    assert rule(made_up(sources))


@pytest.mark.parametrize(
    "sources",
    [
        ["port = 1", EXERCISE, "print(port)", "other = None"],
        [EXERCISE, "port = 1", "print(port)", "port = None"],
        ["import numpy as np", EXERCISE, "np.zeros(1)", "import numpy as np"],
        [EXERCISE, "made = folder()", "made.use()", "made.close()"],
    ],
)
def test_the_rules_find_nothing_else(sources):
    cells = made_up(sources)
    assert not lost_names(cells) | renamed_functions(cells) | ended_names(cells)


def made_up(sources):
    pairs = [source if isinstance(source, tuple) else (source, "") for source in sources]
    return [
        Cell(SimpleNamespace(id=str(place), source=source, metadata={"tags": [tag]}))
        for place, (source, tag) in enumerate(pairs)
    ]
