"""The page of grades: who needs help, which exercise was hard, who solved what, and what the checks said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelab import display
from edgelab.course.pages import WEB_FOLDER

if TYPE_CHECKING:
    import pandas as pd

TEMPLATE = WEB_FOLDER / "grades.html.j2"
MARKS = {"solved": "✓", "wrong": "✗", "open": "○", "failed": "!", "refused": "!"}
WORDS = {
    "solved": "solved",
    "wrong": "wrong",
    "open": "not done",
    "failed": "crashed or used too much",
    "refused": "cannot be read",
}
BEST_FIRST = list(MARKS)
LONGEST_MISTAKE = 160


def best(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per student and exercise: of an exercise handed in twice, the better answer counts."""
    order = frame["state"].map(BEST_FIRST.index)
    kept = frame.assign(order=order).sort_values("order", kind="stable")
    kept = kept.drop_duplicates(["student", "exercise"]).drop(columns="order").sort_index()
    answered = set(kept.loc[kept["exercise"] != "", "student"])
    return kept[(kept["exercise"] != "") | ~kept["student"].isin(answered)]


def students(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """For each student the points and what stands in the way of more; who has least comes first.

    Args:
        frame: the rows of `grades.csv`.
    """
    rows = []
    for student, part in best(frame).groupby("student"):
        asked = part[part["exercise"] != ""]
        counts = part["state"].value_counts()
        notes = [
            f"{counts[state]} {WORDS[state]}" for state in ("wrong", "failed", "open") if state in counts
        ]
        handed_in = frame[frame["student"] == student]
        notes += list(handed_in.loc[handed_in["state"] == "refused", "error"])
        twice = handed_in.loc[handed_in.duplicated("exercise") & (handed_in["exercise"] != ""), "exercise"]
        notes += [f"chapter {number} handed in more than once" for number in sorted({k[:2] for k in twice})]
        rows.append({
            "student": student,
            "points": int(part["score"].sum()),
            "of": len(asked),
            "share": part["score"].sum() / len(asked) if len(asked) else 0.0,
            "notes": "; ".join(notes),
        })  # fmt: skip
    return sorted(rows, key=lambda row: (row["share"], row["points"], row["student"]))


def exercises(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """For each exercise how many solved it, and the most common mistake; the hardest comes first.

    Args:
        frame: the rows of `grades.csv`.
    """
    rows = []
    asked = best(frame).query("exercise != ''")
    for (key, title), part in asked.groupby(["exercise", "title"]):
        counts = part["state"].value_counts()
        # What a check says ends in its hint, which is the same for everybody who makes the mistake.
        mistakes = part.loc[part["state"].isin(["wrong", "failed"]), "error"]
        common = mistakes.str.rsplit(" – ", n=1).str[-1].str[:LONGEST_MISTAKE].value_counts()
        rows.append({
            "exercise": key,
            "title": title,
            "share": part["score"].mean(),
            "of": len(part),
            **{state: int(counts.get(state, 0)) for state in ("solved", "wrong", "open", "failed")},
            "mistake": f"{common.index[0]} ({common.iloc[0]} of {len(mistakes)})" if len(common) else "",
        })  # fmt: skip
    return sorted(rows, key=lambda row: (row["share"], row["exercise"]))


def chapters(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """For each chapter a table of states: a row per student, a column per exercise.

    Args:
        frame: the rows of `grades.csv`.
    """
    titles = {entry["number"]: entry["title"] for entry in display.chapters()}
    asked = best(frame).query("exercise != ''")
    tables = []
    for number, part in asked.groupby(asked["exercise"].str[:2]):
        states = part.pivot(index="student", columns="exercise", values="state").sort_index()
        tables.append({
            "name": f"{int(number)}. {titles.get(number, '')}",
            "exercises": list(states.columns),
            "rows": [(row[0], row[1:]) for row in states.itertuples(name=None)],
            "shares": [float((states[key] == "solved").mean()) for key in states.columns],
        })  # fmt: skip
    return tables


def render(frame: pd.DataFrame, summary: str) -> str:
    """The page, complete in itself; all that comes from submissions is escaped.

    Args:
        frame: the rows of `grades.csv`.
        summary: one sentence on the whole.
    """
    from jinja2 import Environment

    said = frame[frame["state"].isin(["wrong", "failed", "refused"])]
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    return template.render(
        summary=summary,
        students=students(frame),
        exercises=exercises(frame),
        chapters=chapters(frame),
        said=said.to_dict("records"),
        marks=MARKS,
        words=WORDS,
    )
