"""The worker's failures, told as what they are."""

import json
import sys

import pytest

from edgelab.errors import ModelError, StorageError, TargetError
from edgelab.machine import child
from edgelab.targets.coreml import engine

ANSWERS = {
    "refused": ({"error": {"what": "No.", "why": "so", "fix": "this", "is_model": True}}, ModelError, "No"),
    "broken": ({"error": {"what": "No.", "why": "so", "fix": "this", "is_model": False}}, TargetError, "No"),
    "full": ({"errno": 28, "strerror": "No space left on device"}, StorageError, "space"),
    "missing": ({"missing": "No module named 'coremltools'"}, TargetError, "make coreml"),
}


@pytest.fixture
def speaking(monkeypatch):
    """An engine whose worker is a line of Python."""

    started = child.Worker.__init__

    def start(code):
        def begin(self, command, **options):
            started(self, [sys.executable, "-c", f"import sys; sys.stdin.readline(); {code}"], **options)

        monkeypatch.setattr(child.Worker, "__init__", begin)
        return engine.Engine()

    return start


@pytest.mark.parametrize("case", ANSWERS)
def test_each_failure_has_its_kind(speaking, case):
    answer, kind, words = ANSWERS[case]
    text = f"answer {json.dumps(answer)}"
    with speaking(f"print({text!r}, flush=True)") as opened, pytest.raises(kind, match=words):
        opened.ask("convert", 30.0)
    assert not opened.folder.exists()


def test_a_worker_that_dies_or_hangs_is_told(speaking):
    with speaking("sys.exit('out of memory')") as opened, pytest.raises(TargetError, match="ended") as error:
        opened.ask("convert", 30.0)
    assert "out of memory" in error.value.why
    with speaking("import time; time.sleep(60)") as opened, pytest.raises(TargetError, match="no answer"):
        opened.ask("convert", 0.5)
