"""One model in the student's own browser: compared with the CPU, then timed, then recorded."""
