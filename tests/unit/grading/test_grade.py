"""A folder of notebooks is graded: right, wrong, hostile, endless, interrupted."""

import json
import socket
import sys
from pathlib import Path

import made_up_class
import pytest
from made_up_class import CHANCE, F1, FALL, INTERVAL, RIGHT, doing, is_exercise, notebook, solutions
from waiting import leaving_nothing_running

from edgelab import __main__ as command_line
from edgelab.errors import InputError
from edgelab.grading import grade as grading
from edgelab.grading import submissions
from edgelab.grading.answers import Limits
from edgelab.machine import artifacts

pytestmark = pytest.mark.slow

protected = pytest.mark.skipif(
    bool(grading.missing_protection()), reason=f"cannot lock code in: {grading.missing_protection()}"
)


QUICK = Limits(cpu_s=5, wall_s=40.0)  # what ends too late on a busy machine still ends
SOLVED, OPEN = ["solved"] * len(RIGHT), ["open"] * len(RIGHT)
SOLUTIONS = str(artifacts.PROJECT_ROOT / "notebooks" / "08_verify.ipynb")
SOCKET = "import socket\nsocket.socket().connect(('127.0.0.1', PORT))"
RAISE_LIMIT = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))"
# Name: answers, states, and words of the first message.
CLASS = {
    "right": (RIGHT, SOLVED, ""),
    "partly_right": ([INTERVAL, FALL.replace("steepest_fall", "chance_of_verdict"), None, FALL], None, ""),
    "wrong": ([INTERVAL.replace("lost + 1", "lost")], ["wrong", *OPEN[1:]], "points, got"),
    "empty": ([], OPEN, ""),
    "notes": (
        [
            f"{INTERVAL}\nprint(images.shape)\nraise SystemExit",
            f"{CHANCE}\n!ls\nchance_of_verdict?\nassert False",
            RIGHT[2],
            f"get_ipython().run_line_magic('matplotlib', 'inline')\nimport not_here\n{FALL}\nprint(_)",
            RIGHT[4],
            f"%%time\nplt.figure()\n{F1}\ndisplay(f1_score)\nexercises.check('08.6', f1_score)",
        ],
        SOLVED,
        "",
    ),
    "syntax_error": (["def paired_interval(lost:\n  return", CHANCE], None, ": def paired_interval(lost:"),
    "os_exit": (["import os\nos._exit(0)", *RIGHT[1:]], None, "exit code 0"),
    "sys_exit": (["import sys\nsys.exit(0)", *RIGHT[1:]], None, "SystemExit"),
    "segfault": ([doing("import ctypes\nctypes.string_at(0)")], None, "SIGSEGV"),
    "endless": ([doing("while True: pass"), CHANCE], None, "5 s of processor time"),
    "memory": ([doing("bytearray(10**12)")], None, "MemoryError"),
    "output": ([doing("print('x' * 10**7)")], SOLVED[:1] + OPEN[1:], ""),
    "too_much": ([doing("return 'x' * 10**8")], None, "too much"),
    "deletes": ([doing("import os\nos.remove(VICTIM)")], None, "PermissionError"),
    "deletes_all": ([doing("import shutil\nshutil.rmtree(FOLDER)")], None, "PermissionError"),
    "writes": ([doing("open(FOLDER + '/new', 'w')")], None, "PermissionError"),
    "writes_home": ([doing("open(HOME + '/owned', 'w')")], None, "PermissionError"),
    "reads": ([doing("open(VICTIM).read()")], None, "PermissionError"),
    "reads_answers": ([f"open({SOLUTIONS!r})\n{INTERVAL}"], None, "Permission"),
    "imports_answers": (["from edgelab.exercises import chapter_08\n" + INTERVAL], None, "Permission"),
    "socket": ([doing(SOCKET)], None, "PermissionError"),
    "fork_bomb": ([doing("import os\nwhile True: os.fork()")], None, "PermissionError"),
    "program": ([doing("import subprocess\nsubprocess.run(['id'])")], None, "PermissionError"),
    "kills": ([doing("import os\nos.kill(os.getppid(), 9)")], None, "PermissionError"),
    "limits": ([doing(RAISE_LIMIT)], None, "ValueError"),
    "forges_check": (
        ["import sys, types\nsys.modules['edgelab.exercises'] = types.SimpleNamespace(check=lambda *a: 1)\n"
         "def paired_interval(*a): return 'solved'"],
        None,
        "got 'solved'",
    ),
    "forges_equality": (
        ["class Yes(str):\n    __hash__ = str.__hash__\n    def __eq__(self, other): return True\n"
         "    def __ne__(self, other): return False\ndef paired_interval(*a): return Yes('yes')"],
        None,
        "got 'yes'",
    ),
    "forges_array": (
        [None, None, None, None, "class Yes(np.ndarray):\n    def __eq__(self, other): return True\n"
         "    def __array_function__(self, *a, **k): return True\n"
         "def confusion_matrix(labels, answers, count): return np.zeros((count, count)).view(Yes)"],
        [*OPEN[:4], "wrong", "open"],
        "",
    ),
    "forges_messages": (
        ["import os, json\nfor fd in range(3, 30):\n    try: os.write(fd, b'{\"verdicts\": []}\\n')\n"
         "    except OSError: pass\ndef paired_interval(*a): return 1"],
        None,
        "",
    ),
    "interrupts": ([doing("raise KeyboardInterrupt")], None, "KeyboardInterrupt"),
}  # fmt: skip


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class, graded: (folder, out, grades, victim)."""
    folder = tmp_path_factory.mktemp("submissions")
    victim = tmp_path_factory.mktemp("victim") / "thesis.txt"
    victim.write_text("years of work")
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = f"VICTIM, FOLDER, HOME = {str(victim)!r}, {str(victim.parent)!r}, {str(Path.home())!r}\n"
        facts += f"PORT = {server.getsockname()[1]}\n"
        for name, (answers, _, _) in CLASS.items():
            told = [answer and facts + answer for answer in answers]
            (folder / f"{name}.ipynb").write_text(json.dumps(notebook(told)), encoding="utf-8")
        out = tmp_path_factory.mktemp("out")
        with leaving_nothing_running():
            grades = grading.grade(folder, out, jobs=2, limits=QUICK)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    return folder, out, grades, victim


def rows_of(grades, student):
    return grades.frame[grades.frame["student"] == student].to_dict("records")


@protected
@pytest.mark.parametrize("name", CLASS)
def test_each_of_the_class_gets_what_it_deserves(graded, name):
    rows = rows_of(graded[2], name)
    _, states, words = CLASS[name]
    found = [row["state"] for row in rows]
    if states:
        assert found == states, rows
    elif name not in ("partly_right", "syntax_error", "os_exit", "sys_exit"):
        assert "solved" not in [found[0], *found[2:]], rows
    assert words in rows[0]["error"], rows[0]


@protected
def test_one_bad_answer_does_not_spoil_the_others(graded):
    for name in ("os_exit", "sys_exit"):
        states = [row["state"] for row in rows_of(graded[2], name)]
        assert states[0] != "solved" and states[1:] == SOLVED[1:]
    expected = {"partly_right": ["solved", "wrong", "open", "solved"], "syntax_error": ["wrong", "solved"]}
    for name, states in expected.items():
        found = [row["state"] for row in rows_of(graded[2], name)]
        assert found == [*states, *OPEN[len(states) :]]


@protected
def test_nothing_outside_was_touched(graded):
    victim = graded[3]
    assert victim.read_text() == "years of work"
    assert list(victim.parent.iterdir()) == [victim]


@protected
def test_a_second_call_keeps_the_verdicts_and_a_changed_submission_is_graded_again(graded, tmp_path):
    _, out, first, _ = graded
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("right", "wrong", "endless"):
        (folder / f"{name}.ipynb").write_bytes((graded[0] / f"{name}.ipynb").read_bytes())
    again = grading.grade(folder, out, jobs=1, limits=QUICK)
    assert again.graded == 0
    for name in ("right", "wrong", "endless"):
        assert rows_of(again, name) == rows_of(first, name)
    (folder / "wrong.ipynb").write_text(json.dumps(notebook(RIGHT)))
    changed = grading.grade(folder, tmp_path / "out", jobs=2, limits=QUICK)
    assert changed.graded == 3
    assert [row["state"] for row in rows_of(changed, "wrong")] == SOLVED


@protected
def test_a_damaged_verdict_is_made_again(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ipynb").write_text(json.dumps(notebook(RIGHT[:1])))
    first = grading.grade(tmp_path / "in", tmp_path / "out", limits=QUICK)
    (kept,) = (tmp_path / "out" / "verdicts").iterdir()
    kept.write_text('{"verdicts": [')
    again = grading.grade(tmp_path / "in", tmp_path / "out", limits=QUICK)
    assert again.graded == 1 and [row["state"] for row in rows_of(again, "a")] == ["solved", *OPEN[1:]]
    assert list(first.frame["state"]) == list(again.frame["state"])


@protected
def test_the_table_is_complete_escaped_and_in_order(tmp_path):
    folder = tmp_path / "in"
    for student in ("=cmd()", "<script>alert(1)</script>"[:8]):
        (folder / student).mkdir(parents=True)
    bad = "def paired_interval(*a): raise ValueError('=1+1 <script>alert(1)</script>\\x1b[31m')"
    (folder / "=cmd()" / "mine.ipynb").write_text(json.dumps(notebook([bad])))
    (folder / "zoe.ipynb").write_text("not a notebook")
    (folder / "yan.ipynb").write_text("[" * 100_000)
    (folder / "xia.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": "1"}]}))
    (folder / "wim.ipynb").symlink_to(folder / "zoe.ipynb")
    (folder / "notes.txt").write_text("ignored")
    grades = grading.grade(folder, tmp_path / "out", limits=QUICK)
    assert list(grades.frame["student"]) == [
        "<script>",
        *["'=cmd()"] * len(RIGHT),
        "wim",
        "xia",
        "yan",
        "zoe",
    ]
    refused = grades.frame[grades.frame["state"] == "refused"]
    assert list(refused["student"]) == ["<script>", "wim", "xia", "yan", "zoe"]
    assert refused["error"].iloc[0] == "no notebook was handed in"
    page = grades.page.read_text(encoding="utf-8")
    assert "<script>" not in page and "&lt;script&gt;" in page and "\x1b" not in page
    text = grades.csv.read_text(encoding="utf-8")
    assert text.splitlines()[0] == ",".join(grading.COLUMNS) and "\n=cmd" not in text


def states(handed_in, folder):
    (folder / "in").mkdir()
    (folder / "in" / "a.ipynb").write_text(json.dumps(handed_in))
    return list(grading.grade(folder / "in", folder / "out", limits=QUICK).frame["state"])


@protected
def test_reordered_and_duplicated_cells_do_not_matter_and_a_deleted_one_is_not_done(tmp_path):
    assert states(made_up_class.shuffled(notebook(RIGHT)), tmp_path) == [
        *SOLVED[:2],
        "open",
        *SOLVED[3:],
    ]


@protected
@pytest.mark.parametrize("tags", [["exercise"], []])
def test_a_program_that_gives_cells_other_ids_and_drops_their_tags_costs_no_points(tmp_path, tags):
    handed_in = made_up_class.with_lost_ids(notebook([*RIGHT[:5], None]))
    for cell in filter(is_exercise, handed_in["cells"]):
        cell["metadata"]["tags"] = tags
    assert states(handed_in, tmp_path) == [*SOLVED[:5], "open"]


@protected
def test_an_answer_in_a_cell_of_ones_own_counts_where_the_given_cell_was_left_or_deleted(tmp_path):
    handed_in = notebook([None, CHANCE, None, None, None, F1])
    cells = [cell for cell in handed_in["cells"] if cell["source"] != F1]
    own = [INTERVAL, "chance_of_verdict = chance_of_verdict(0.5, 1, 0)", F1]
    cells += [{"cell_type": "code", "id": f"own-{i}", "metadata": {}, "source": own[i]} for i in range(3)]
    assert states({**handed_in, "cells": cells}, tmp_path) == [
        *SOLVED[:2],
        *OPEN[:3],
        "solved",
    ]


@protected
def test_scratch_copies_of_an_answer_cost_nothing(tmp_path):
    handed_in = notebook(RIGHT)
    first = next(index for index, cell in enumerate(handed_in["cells"]) if is_exercise(cell))
    scratch = {
        **handed_in["cells"][first],
        "id": "scratch",
        "source": "paired_interval = None\nprint('trying')",
    }
    handed_in["cells"].insert(first + 1, scratch)
    assert states(handed_in, tmp_path) == SOLVED


@protected
def test_what_sleeps_is_ended(tmp_path):
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook([doing("import time\ntime.sleep(10**6)")])))
    row = grading.grade(tmp_path, tmp_path / "out", limits=Limits(wall_s=4.0)).frame.iloc[0]
    assert row["state"] == "failed" and row["error"] == "gave no answer within 4 s"


@protected
def test_what_starts_threads_without_end_is_ended(tmp_path):
    bomb = "import threading\nthreading.stack_size(32768)\nwait = threading.Event().wait\n"
    bomb += "while True: threading.Thread(target=wait, daemon=True).start()"
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook([doing(bomb)])))
    row = grading.grade(tmp_path, tmp_path / "out").frame.iloc[0]
    assert row["state"] == "failed" and "threads" in row["error"], row["error"]


@protected
def test_what_a_submission_claims_of_itself_counts_for_nothing(tmp_path):
    assert states(made_up_class.boasting(notebook([])), tmp_path) == OPEN


@protected
def test_another_chapters_notebook_is_graded_as_what_it_is(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "08_verify.ipynb").write_text(
        json.dumps(notebook(["layer_macs = 442368"], "00_start_here"))
    )
    grades = grading.grade(tmp_path / "in", tmp_path / "out", limits=QUICK)
    assert list(grades.frame["exercise"]) == ["00.1"] and list(grades.frame["state"]) == ["solved"]


@protected
def test_helpers_in_own_cells_and_in_other_answers_are_found(tmp_path):
    handed_in = notebook([
        "def paired_interval(*counts):\n    return helper(*counts)",
        *[None] * 4,
        "%matplotlib inline\ndef f1_score(m, c):\n    return shared(m, c)",
    ])  # fmt: skip
    own = {"cell_type": "code", "id": "own", "metadata": {}, "outputs": [], "source": (
        INTERVAL.replace("paired_interval", "helper") + F1.replace("f1_score", "shared")
    )}  # fmt: skip
    handed_in["cells"].append(own)
    assert states(handed_in, tmp_path) == ["solved", *OPEN[:4], "solved"]


@protected
def test_the_solutions_of_every_chapter_pass(tmp_path):
    """All that is asked for can be graded: kernels, callbacks, arguments changed in place."""
    (tmp_path / "in").mkdir()
    tasks = {
        entry.name: [task.key for task in entry.tasks] for entry in submissions.chapters() if entry.tasks
    }
    for name in tasks:
        (tmp_path / "in" / f"{name}.ipynb").write_text(json.dumps(notebook(solutions(name), name)))
    frame = grading.grade(tmp_path / "in", tmp_path / "out").frame
    assert list(frame["exercise"]) == [key for keys in tasks.values() for key in keys]
    assert set(frame["state"]) == {"solved"}, frame[frame["state"] != "solved"].to_string()


def test_without_protection_nothing_is_run(tmp_path, monkeypatch):
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook(RIGHT)))
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InputError, match="cannot lock a student's code in"):
        grading.grade(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_trusted_submissions_are_graded_without_protection(tmp_path, capsys):
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook(["layer_macs = 442368"], "00_start_here")))
    arguments = ["grade", str(tmp_path), "--out", str(tmp_path / "out"), "--jobs", "1", "--trust-submissions"]
    assert command_line.main(arguments) == 0
    assert "1 submissions of 1 students, 1 graded now: 1 of 1 exercises solved." in capsys.readouterr().out


@pytest.mark.parametrize("folder", ["absent", "."])
def test_nothing_to_grade_is_said(tmp_path, folder):
    with pytest.raises(InputError, match=r"no folder|no notebook"):
        grading.grade(tmp_path / folder, tmp_path / "out", trusted=True)


@protected
def test_an_interrupted_grading_goes_on_where_it_stopped(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        answers = [f"{INTERVAL}# {number}"]
        (tmp_path / "in" / f"s{number}.ipynb").write_text(json.dumps(notebook(answers)))

    def interrupt(submission, total):
        raise KeyboardInterrupt

    with leaving_nothing_running(), pytest.raises(KeyboardInterrupt):
        grading.grade(tmp_path / "in", tmp_path / "out", jobs=1, limits=QUICK, on_submission=interrupt)
    kept = list((tmp_path / "out" / "verdicts").iterdir())
    assert 1 <= len(kept) < 4
    grades = grading.grade(tmp_path / "in", tmp_path / "out", jobs=1, limits=QUICK)
    assert grades.graded == 4 - len(kept)
    assert list(grades.frame["score"]) == [1, *[0] * (len(RIGHT) - 1)] * 4
