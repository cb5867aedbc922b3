"""The library under the name that this system gives it."""

from __future__ import annotations

import sys

from edgelab.targets.edgetpu import (
    worker as edgetpu_worker,
)


def test_the_file_for_a_library_is_tried_under_this_systems_name_first():
    names = edgetpu_worker.library_names()
    assert set(names) == {"libedgetpu.so.1", "libedgetpu.1.dylib", "edgetpu.dll"}
    if sys.platform == "linux":
        assert names[0] == "libedgetpu.so.1"
