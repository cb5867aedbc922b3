"""Submissions as they come."""

import made_up_class

from edgelab.grading import grade as grading
from edgelab.grading import submissions


def test_the_made_up_class_is_a_class(tmp_path):
    made_up_class.write(tmp_path)
    found = grading.find_submissions(tmp_path)
    assert len({entry.student for entry in found}) >= 30
    unreadable = set()
    for entry in found:
        try:
            submissions.chapter_of(submissions.read(entry.path), entry.path.name, submissions.chapters())
        except submissions.SubmissionError:
            unreadable.add(entry.student)
    assert unreadable == {"zoe"}
