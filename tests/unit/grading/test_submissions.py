"""Submissions as they come."""

import made_up_class

from edgelab.grading import collecting, submissions


def test_the_made_up_class_is_a_class(tmp_path):
    made_up_class.write(tmp_path)
    found = collecting.find_submissions(tmp_path, tmp_path / "unpacked")
    assert len({entry.student for entry in found}) >= 30
    unreadable = set()
    for entry in found:
        try:
            submissions.chapter_of(submissions.read(entry.path), entry.path.name, submissions.chapters())
        except submissions.SubmissionError:
            unreadable.add(entry.student)
    assert unreadable == {"zoe"}
