"""Deployments that are broken on purpose, to practise on: each a folder as a device would leave it.

`causes` names what can be wrong; `making` writes folders, drawn by a student's name, by really doing the
wrong thing (`breaking`, `islands`, `throttling`); `evidence` reads a folder; `tree` asks the questions that
lead to a cause; `judging` compares a student's answers with what was drawn.
"""

from edgelab.diagnosis.causes import CAUSES, HEALTHY, Cause
from edgelab.diagnosis.evidence import Evidence, read
from edgelab.diagnosis.judging import Score, judge
from edgelab.diagnosis.making import drawn, write_all, write_one
from edgelab.diagnosis.tree import QUESTIONS, Finding, Question, follow

__all__ = [
    "CAUSES",
    "HEALTHY",
    "QUESTIONS",
    "Cause",
    "Evidence",
    "Finding",
    "Question",
    "Score",
    "drawn",
    "follow",
    "judge",
    "read",
    "write_all",
    "write_one",
]
