"""What a cell reads from those before it, and what it makes."""

import ast

import pytest

from edgelab.machine import cell_names


@pytest.mark.parametrize(
    ("source", "read", "made"),
    [
        ("y = f(x)", "f x", "y"),
        ("x = x + 1", "x", "x"),
        ("x = 1\ny = x", "", "x y"),
        ("for name in names:\n    print(name)", "names print", "name"),
        ("rows = [one * k for one in many]", "k many", "rows"),
        ("table = {key: 1 for key, _ in pairs}", "pairs", "table"),
        ("files['a'] = make()", "files make", "files"),
        ("thing.part = 1", "thing", "thing"),
        ("rows.append(1)", "rows", ""),
        ("import a.b as c, d.e\nfrom f import g\nc(d, g)", "", "c d g"),
        ("with open(p) as file:\n    text = file.read()", "open p", "file text"),
        ("def f(a, *, b=c):\n    d = a + e\n    return d", "c e", "f"),
        ("def f():\n    return later\nlater = 1", "", "f later"),
        ("class A(B):\n    def f(self):\n        return self.x + y", "B y", "A"),
        ("g = lambda a: a + b", "b", "g"),
        ("if a:\n    b = 1\nelse:\n    b = c", "a c", "b"),
        ("try:\n    a = f()\nexcept E:\n    a = g", "f E g", "a"),
        ("try:\n    f()\nexcept E as error:\n    print(error)", "f E print", "error"),
        ("n += 1", "n", "n"),
    ],
)
def test_names_of_a_cell(source, read, made):
    found = cell_names.read_and_made(ast.parse(source))
    assert found == (set(read.split()), set(made.split()))
