"""The page of grades."""

from edgelab.grading import grade as grading
from edgelab.grading import page


def table_of(*rows):
    """A table of grades of (student, notebook, exercise, state, error)."""
    import pandas as pd

    full = [
        (student, name, key, "title", state, int(state == "solved"), error, 0.1)
        for student, name, key, state, error in rows
    ]
    return pd.DataFrame(full, columns=grading.COLUMNS)


def test_the_page_tells_who_needs_help_and_which_exercise_was_hard():
    frame = table_of(
        ("ada", "ada.ipynb", "08.1", "solved", ""),
        ("ada", "ada.ipynb", "08.2", "wrong", "0.6 is 1, got 0 – Round first."),
        ("bao", "bao/1.ipynb", "08.1", "wrong", "8 is 9, got 7 – Count again."),
        ("bao", "bao/1.ipynb", "08.2", "wrong", "1.6 is 2, got 1 – Round first."),
        ("bao", "bao/2.ipynb", "08.1", "solved", ""),
        ("bao", "bao/2.ipynb", "08.2", "open", ""),
        ("chidi", "chidi.ipynb", "08.1", "failed", "crashed"),
        ("chidi", "chidi.ipynb", "08.2", "wrong", "line 1: x – NameError: name 'x' is not defined"),
        ("dana", "dana.ipynb", "", "refused", "not a notebook"),
    )
    assert [(row["student"], row["points"], row["of"]) for row in page.students(frame)] == [
        ("chidi", 0, 2),
        ("dana", 0, 0),
        ("ada", 1, 2),
        ("bao", 1, 2),
    ]
    notes = {row["student"]: row["notes"] for row in page.students(frame)}
    assert notes["bao"] == "1 wrong; chapter 08 handed in more than once"
    assert notes["chidi"] == "1 wrong; 1 crashed or used too much" and notes["dana"] == "not a notebook"
    hardest, easier = page.exercises(frame)
    assert (hardest["exercise"], hardest["share"], hardest["of"]) == ("08.2", 0.0, 3)
    assert hardest["mistake"] == "Round first. (2 of 3)"
    assert easier["share"] == 2 / 3 and easier["failed"] == 1 and easier["mistake"] == "crashed (1 of 1)"
    (table,) = page.chapters(frame)
    assert table["name"] == "8. Verify" and table["shares"] == [2 / 3, 0.0]
    assert table["rows"][0] == ("ada", ("solved", "wrong"))
    text = page.render(frame, "4 students")
    assert text.index(">chidi<") < text.index(">ada<") and "Round first. (2 of 3)" in text
