"""One model in the student's own browser: compared, timed, recorded; a class's phones, and the browser's camera."""
