"""A student's answers, judged: the cause by name, and the file that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgelab.diagnosis.causes import CAUSES


@dataclass(frozen=True)
class Score:
    """How many answers are right.

    Attributes:
        rows: by deployment: (its name, the cause answered, whether that is right, whether the evidence is).
    """

    rows: tuple[tuple[str, str, bool, bool], ...]

    @property
    def points(self) -> int:
        """Two for a cause with its evidence, one for a cause alone."""
        return sum(2 if cause and evidence else int(cause) for *_, cause, evidence in self.rows)

    @property
    def most(self) -> int:
        """Points there are."""
        return 2 * len(self.rows)

    def __str__(self) -> str:
        return f"{self.points} of {self.most} points"


def judge(answers: Mapping[str, Any], names: Sequence[str], truth: Sequence[str]) -> Score:
    """Compare answers with what was drawn.

    Args:
        answers: by deployment: (cause, file that shows it).
        names: of the deployments, in order.
        truth: their causes, as `making.drawn` gives them.
    """
    rows = []
    for name, cause in zip(names, truth, strict=True):
        answer = answers.get(name, ("", ""))
        said, shown = answer if isinstance(answer, (tuple, list)) and len(answer) == 2 else (answer, "")
        rows.append((name, str(said), said == cause, shown == CAUSES[cause].evidence))
    return Score(tuple(rows))
