"""One model in the student's browser: compared, timed, recorded; a class's phones; the browser's camera."""
