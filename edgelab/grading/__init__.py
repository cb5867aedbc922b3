"""Grade a folder of submitted notebooks with the course's own checks, without trusting what was submitted.

Three processes, from the outside in: `grade` reads the folder and keeps the verdicts; a judge runs the
checks; a sandbox runs the student's code and answers the judge with plain values. See docs/instructors.md.
"""
