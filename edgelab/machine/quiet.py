"""Keeps the log lines of native libraries out of the lesson, without losing them."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from edgelab.machine import no_tensorflow

_stderr_lock = threading.RLock()


@dataclass
class NativeOutput:
    """What C and C++ code wrote to stderr; `text` is filled when the block ends."""

    text: str = ""


@contextmanager
def native_stderr() -> Iterator[NativeOutput]:
    """Catch what native code (delegates, converters) writes to file descriptor 2 in this block.

    Python's own `sys.stderr` is flushed first, so its lines keep their place. Held by one thread at a time,
    since the descriptor belongs to the whole process.
    """
    output = NativeOutput()
    with _stderr_lock, tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        saved = os.dup(2)
        try:  # from here on, so that an interrupt at any moment gives the descriptor back
            os.dup2(file.fileno(), 2)
            yield output
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            output.text = file.read().decode(errors="replace")


def import_tensorflow() -> ModuleType:
    """TensorFlow, without the lines it logs while it loads; no environment variable turns those off.

    Raises:
        TensorFlowMissingError: it is not installed.
    """
    if not no_tensorflow.is_here():
        raise no_tensorflow.TensorFlowMissingError
    with native_stderr():
        import tensorflow
    return tensorflow
