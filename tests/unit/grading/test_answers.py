"""What a sandbox gets to see."""

import os
from pathlib import Path

from edgelab.machine import artifacts


def test_the_sandbox_is_told_nothing_of_this_machine(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    from edgelab.grading.answers import readable_files

    readable, listable = readable_files()
    hidden = [artifacts.PROJECT_ROOT / name for name in ("notebooks", "edgelab/exercises", "tests", ".git")]
    hidden += [Path.home() / ".ssh", Path("/etc/passwd"), Path("/proc"), Path("/tmp")]
    for path in hidden:
        assert not any(path.is_relative_to(allowed) for allowed in readable), path
    assert os.fspath(artifacts.PROJECT_ROOT) not in listable
