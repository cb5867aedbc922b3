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

VERDICT = """
def verdict(low, high, threshold):
    if high < threshold:
        return "pass"
    return "fail" if low > threshold else "undecided"
"""
QUANTIZE = """
def quantize(real, scale, zero_point):
    return np.clip(np.rint(real / scale) + zero_point, 0, 255).astype(np.uint8)
"""
FALL = """
def steepest_fall(snr_db):
    return int(np.argmin(np.diff(snr_db))) + 1
"""
F1 = """
def f1_score(m, c):
    return 2 * m[c, c] / (m[c].sum() + m[:, c].sum())
"""
RIGHT = [VERDICT, QUANTIZE, FALL, F1]
WITHOUT_UNDECIDED = "def verdict(low, high, threshold): return 'pass' if high < threshold else 'fail'"
CUT_OFF = "def quantize(real, scale, zero_point): return (real / scale + zero_point).astype(np.uint8)"
ONE_EARLY = "def steepest_fall(snr_db): return int(np.argmin(np.diff(snr_db)))"
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
    return f"def verdict(low, high, threshold):\n{lines}\n    return right(low, high, threshold)\n" + (
        VERDICT.replace("verdict", "right")
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
        "bao": [VERDICT, CUT_OFF, FALL, None],
        "chidi": [WITHOUT_UNDECIDED, QUANTIZE, ONE_EARLY, F1],
        "dana": [WITHOUT_UNDECIDED, CUT_OFF, ONE_EARLY, PRECISION],
        "emil": [VERDICT, CUT_OFF, None, None],
        "fatima": [],
        "gus": ["def verdict(low, high:\n  return", QUANTIZE, FALL, F1],
        "hana": [VERDICT, "def quantize(real, scale, zero): return reel / scale", FALL, F1],
        "ivan": [doing("import ctypes\nctypes.string_at(0)"), QUANTIZE, FALL, F1],
        "joy": ["import sys\nsys.exit(0)", QUANTIZE, FALL, F1],
        "kofi": ["import os\nos._exit(0)", QUANTIZE, FALL, F1],
        "lena": [doing("while True: pass"), QUANTIZE, FALL, PRECISION],
        "mika": [doing("import time\ntime.sleep(10**6)"), QUANTIZE],
        "nia": [doing("import os\nwhile True: os.fork()"), QUANTIZE],
        "omar": [doing("bytearray(10**12)"), CUT_OFF],
        "pia": [doing("print('x' * 10**8)"), QUANTIZE, FALL, F1],
        "quinn": [doing("return 'x' * 10**9")],
        "sven": [doing(f"open({home!r} + '/owned', 'w')")],
        "tara": [f"print(open({course!r} + '/edgelab/exercises/chapter_08.py').read())"],
        "uma": [
            "from edgelab import exercises\nexercises.check = lambda *a: 'solved'\ndef verdict(*a): return 1"
        ],
        "wen": [doing("import socket\nsocket.create_connection(('example.org', 80))")],
        "xaver": [doing("import os\nos.kill(os.getppid(), 9)"), QUANTIZE],
        "yara": [
            "import os\nclass Bomb(str):\n    def __reduce__(self): return (os.system, ('touch ~/owned',))\n"
            "def verdict(*a): return Bomb('pass')"
        ],
    }
    made: dict[str, dict] = {f"{name}.ipynb": notebook(answers) for name, answers in one_chapter.items()}
    made |= {
        "viktor.ipynb": boasting(notebook([])),
        "Åsa Öztürk 山田.ipynb": with_lost_ids(notebook(RIGHT)),
        "rosa/08_verify.ipynb": shuffled(notebook(RIGHT)),
        "=HYPERLINK(evil)/08_verify.ipynb": notebook([VERDICT]),
        # Handed in twice, and a second chapter.
        "tom/08_verify.ipynb": notebook([WITHOUT_UNDECIDED, QUANTIZE]),
        "tom/08_verify (1).ipynb": notebook([VERDICT, QUANTIZE]),
        "tom/04_quantize.ipynb": notebook(quantize[:2], "04_quantize"),
    }
    # Every chapter in one folder.
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        made[f"lin/{path.name}"] = notebook(solutions(path.stem), path.stem)
    for name, handed_in in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(handed_in), encoding="utf-8")
    (folder / "zoe.ipynb").write_text('{"cells": [', encoding="utf-8")
    (folder / "viktor.json").write_text('{"solved": ["08.1", "08.2", "08.3", "08.4"]}', encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
