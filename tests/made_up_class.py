"""A class of thirty made-up students: right, wrong, untouched, broken, endless, hostile and badly packed.

python tests/made_up_class.py submissions       # then: make grade DIR=submissions
"""

from __future__ import annotations

import ast
import copy
import json
import sys
from pathlib import Path

from edgelab.course import release
from edgelab.machine import artifacts

NOTEBOOKS = artifacts.PROJECT_ROOT / "notebooks"
CHAPTER = "08_verify"

INTERVAL = """
def paired_interval(lost, gained, count):
    b, c, n = lost + 1, gained + 1, count + 2
    reach = 1.96 * np.sqrt(b + c - (b - c) ** 2 / n) / n
    return 100 * ((b - c) / n - reach), 100 * ((b - c) / n + reach)
"""
CHANCE = """
def chance_of_verdict(interval, lost_share, gained_share, count, threshold, draws):
    shares = [lost_share, gained_share, 1 - lost_share - gained_share]
    lost, gained, _ = np.random.default_rng(1).multinomial(count, shares, size=draws).T
    low, high = interval(lost, gained, count)
    return np.mean((high < threshold) | (low > threshold))
"""
LAYERS = """
def layer_snr_db(floats, codes, scales, zero_points):
    found = []
    for real, code, scale, zero_point in zip(floats, codes, scales, zero_points):
        noise = np.sum((real - scale * (code.astype(float) - zero_point)) ** 2)
        found.append(10 * np.log10(np.sum(real**2) / noise))
    return found
"""
FALL = """
def steepest_fall(snr_db, inputs):
    layers = [layer for layer, read in enumerate(inputs) if read]
    return max(layers, key=lambda layer: min(snr_db[k] for k in inputs[layer]) - snr_db[layer])
"""
CONFUSION = """
def confusion_matrix(labels, answers, class_count):
    return np.bincount(labels * class_count + answers, minlength=class_count**2).reshape(class_count, -1)
"""
F1 = """
def f1_score(m, c):
    return 2 * m[c, c] / (m[c].sum() + m[:, c].sum())
"""
RIGHT = [INTERVAL, CHANCE, LAYERS, FALL, CONFUSION, F1]
WITHOUT_IMAGINARY = INTERVAL.replace("lost + 1, gained + 1, count + 2", "lost, gained, count")
PASSES_ONLY = CHANCE.replace(" | (low > threshold)", "")
AS_LISTED = "def steepest_fall(snr_db, inputs): return int(np.argmin(np.diff(snr_db))) + 1"
PRECISION = "def f1_score(m, c): return m[c, c] / m[:, c].sum()"


def chapter(name: str = CHAPTER) -> dict:
    """A chapter as the course keeps it."""
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))


def is_exercise(cell: dict) -> bool:
    """Whether a student fills this cell in."""
    return "exercise" in release.tags(cell)


def notebook(answers: list[str | None], name: str = CHAPTER) -> dict:
    """The chapter of the students' edition with answers in its exercise cells; None leaves the stub."""
    handed_in = copy.deepcopy(release.student_notebook(chapter(name)))
    for cell, answer in zip(filter(is_exercise, handed_in["cells"]), answers, strict=False):
        if answer is not None:
            cell["source"] = answer
    return handed_in


def solutions(name: str) -> list[str]:
    """The right answers of a chapter, from its solution cells."""
    answers = []
    for cell in chapter(name)["cells"]:
        if is_exercise(cell):
            stub = "".join(cell["source"])
            imports = [line for line in stub.splitlines() if line.startswith(("import ", "from "))]
        if "solution" in release.tags(cell):
            body = ast.parse("".join(cell["source"])).body[0].body
            answers.append("\n".join([*imports, *map(ast.unparse, body)]))
    return answers


def doing(code: str) -> str:
    """An answer to exercise 1 that does something, and then what is right."""
    lines = "\n".join(f"    {line}" for line in code.splitlines())
    return f"def paired_interval(*counts):\n{lines}\n    return right(*counts)\n" + (
        INTERVAL.replace("paired_interval", "right")
    )


def with_lost_ids(handed_in: dict) -> dict:
    """As an older Jupyter or Colab saves it: every cell under another id."""
    cells = [{**cell, "id": f"cell-{index}"} for index, cell in enumerate(handed_in["cells"])]
    return {**handed_in, "cells": cells}


def shuffled(handed_in: dict) -> dict:
    """Cells upside down, all exercises twice, the second time as handed out, and the third exercise gone."""
    cells = handed_in["cells"][::-1]
    third = [cell for cell in handed_in["cells"] if is_exercise(cell)][2]
    stubs = [cell for cell in notebook([])["cells"] if is_exercise(cell)]
    return {**handed_in, "cells": [cell for cell in cells if cell is not third] + stubs}


def boasting(handed_in: dict) -> dict:
    """Nothing solved, but each check cell replaced by one that has printed that it is."""
    cells = copy.deepcopy(handed_in["cells"])
    for cell in cells:
        if "check" in release.tags(cell):
            cell["source"] = "print('✓ Solved')"
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "✓ Solved"}]
    return {**handed_in, "cells": cells, "metadata": {**handed_in["metadata"], "grade": 100}}


def write(folder: Path) -> None:
    """Put what the thirty have handed in into a folder."""
    home, course = str(Path.home()), str(artifacts.PROJECT_ROOT)
    quantize = solutions("04_quantize")
    one_chapter = {
        "ada": RIGHT,
        "bao": [INTERVAL, PASSES_ONLY, LAYERS, FALL, None, None],
        "chidi": [WITHOUT_IMAGINARY, CHANCE, LAYERS, AS_LISTED, CONFUSION, F1],
        "dana": [WITHOUT_IMAGINARY, PASSES_ONLY, None, AS_LISTED, None, PRECISION],
        "emil": [INTERVAL, PASSES_ONLY],
        "fatima": [],
        "gus": ["def paired_interval(lost, gained:\n  return", *RIGHT[1:]],
        "hana": [INTERVAL, "def chance_of_verdict(*given): return drawn.mean()", *RIGHT[2:]],
        "ivan": [doing("import ctypes\nctypes.string_at(0)"), *RIGHT[1:]],
        "joy": ["import sys\nsys.exit(0)", *RIGHT[1:]],
        "kofi": ["import os\nos._exit(0)", *RIGHT[1:]],
        "lena": [doing("while True: pass"), *RIGHT[1:5], PRECISION],
        "mika": [doing("import time\ntime.sleep(10**6)"), CHANCE],
        "nia": [doing("import os\nwhile True: os.fork()"), CHANCE],
        "omar": [doing("bytearray(10**12)"), PASSES_ONLY],
        "pia": [doing("print('x' * 10**8)"), *RIGHT[1:]],
        "quinn": [doing("return 'x' * 10**9")],
        "sven": [doing(f"open({home!r} + '/owned', 'w')")],
        "tara": [f"print(open({course!r} + '/edgelab/exercises/chapter_08.py').read())"],
        "uma": [
            "from edgelab import exercises\nexercises.check = lambda *a: 'solved'\n"
            "def paired_interval(*a): return 1"
        ],
        "wen": [doing("import socket\nsocket.create_connection(('example.org', 80))")],
        "xaver": [doing("import os\nos.kill(os.getppid(), 9)"), CHANCE],
        "yara": [
            "import os\nclass Bomb(str):\n    def __reduce__(self): return (os.system, ('touch ~/owned',))\n"
            "def paired_interval(*a): return Bomb('pass')"
        ],
    }
    made: dict[str, dict] = {f"{name}.ipynb": notebook(answers) for name, answers in one_chapter.items()}
    made |= {
        "viktor.ipynb": boasting(notebook([])),
        "Åsa Öztürk 山田.ipynb": with_lost_ids(notebook(RIGHT)),
        "rosa/08_verify.ipynb": shuffled(notebook(RIGHT)),
        "=HYPERLINK(evil)/08_verify.ipynb": notebook([INTERVAL]),
        # Handed in twice, and a second chapter.
        "tom/08_verify.ipynb": notebook([WITHOUT_IMAGINARY, CHANCE]),
        "tom/08_verify (1).ipynb": notebook([INTERVAL, CHANCE]),
        "tom/04_quantize.ipynb": notebook(quantize[:2], "04_quantize"),
    }
    # Every chapter in one folder.
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        made[f"lin/{path.name}"] = notebook(solutions(path.stem), path.stem)
    for name, handed_in in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(handed_in), encoding="utf-8")
    (folder / "zoe.ipynb").write_text('{"cells": [', encoding="utf-8")
    (folder / "viktor.json").write_text(
        '{"solved": ["08.1", "08.2", "08.3", "08.4", "08.5", "08.6"]}', encoding="utf-8"
    )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
