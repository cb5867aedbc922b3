"""Exercises of a chapter 77 that only tests have."""

import json

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from edgelab import exercises
from edgelab.machine import artifacts


def recorded():
    return json.loads((artifacts.artifacts_dir() / "progress.json").read_text())["exercises"]["77.1"]


def shown(show, *args):
    """The HTML and the plain text of the one output of a call."""
    InteractiveShell.instance()  # outside a shell, `display` prints the plain text
    with capture_output() as captured:
        show(*args)
    InteractiveShell.clear_instance()
    (output,) = captured.outputs
    return output.data["text/html"], output.data["text/plain"]


def guess_and_reveal(key, default, measured, own=None, **choices):
    guess = exercises.predict(key, f"What of {key}?", default=default, **choices)
    if own is not None:
        guess.control.value = own
    guess.reveal(measured)
