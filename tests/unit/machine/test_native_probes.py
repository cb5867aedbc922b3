"""Native libraries that fail, in a process that may die."""

import shutil
import subprocess
import sys

import pytest

from edgelab import environment
from edgelab.environment import MISSING, OK

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' /sys and /proc")


@linux_only
def test_a_library_that_is_no_library_is_missing_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "libedgetpu.so.1").write_text("not a library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    finding = environment.edge_tpu_runtime()
    assert finding.status == MISSING and "not installed" in finding.detail


@pytest.mark.slow
@linux_only
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize(
    "body, expected",
    [
        ('const char* edgetpu_version(void) { return "BuildLabel(test)"; }', (OK, "BuildLabel(test)")),
        ("void edgetpu_version(void) { __builtin_trap(); }", (MISSING, "ends the process")),
        ("int unrelated;", (MISSING, "edgetpu_version")),
        ("#include <unistd.h>\nvoid edgetpu_version(void) { sleep(20); }", (MISSING, "does not answer")),
    ],
    ids=["works", "crashes", "is another library", "hangs"],
)
def test_a_native_library_cannot_harm_this_process(tmp_path, monkeypatch, body, expected):
    source, library = tmp_path / "fake.c", tmp_path / "libedgetpu.so.1"
    source.write_text(body)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    finding = environment.edge_tpu_runtime()
    status, words = expected
    assert finding.status == status and words in finding.detail
