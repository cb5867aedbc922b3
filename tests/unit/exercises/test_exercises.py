"""Importing the room costs little."""

import subprocess
import sys


def test_importing_the_exercises_is_cheap():
    heavy = {"tensorflow", "pandas", "matplotlib"}
    code = f"import sys, edgelab.exercises; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
