"""The tree: a question for each cause, in the order in which data flows."""

from edgelab import diagnosis
from edgelab.diagnosis import tree


def test_each_cause_has_one_question():
    assert [asked.cause.name for asked in tree.QUESTIONS] == list(diagnosis.CAUSES)
    assert len({asked.text for asked in tree.QUESTIONS}) == len(tree.QUESTIONS)


def test_questions_follow_the_data():
    stages = [asked.cause.stage for asked in tree.QUESTIONS]
    order = list(dict.fromkeys(stages))
    assert order == ["start", "input", "output", "labels", "model", "promise", "speed"]
    assert stages == sorted(stages, key=order.index)


def test_every_problem_of_the_usual_guides_but_memory_is_asked_for():
    assert {asked.problem for asked in tree.QUESTIONS} == {1, 2, 4, 5}
