import os
import struct
import subprocess
import sys

import pytest

from edgelab import texts

TRANSLATED = {
    "Not done yet": "Noch nicht fertig",
    "missing": "fehlt",
    "What to do:": "Abhilfe:",
    "Hint:": "Tipp:",
}
SHOW = """
import sys; from pathlib import Path
from edgelab import texts; texts.LOCALE_DIR = Path(sys.argv[1])
from edgelab import environment, errors
from edgelab.exercises import core
print(core.CheckResult("04.1", "T", "open"), core.CheckResult("04.1", "T", "wrong", "x", ("y",)))
print(environment.Finding("a", "missing", "b", "c"), errors.EdgelabError("d", why="e", fix="f"))
"""


def write_catalogue(path, translated):
    """The binary format of GNU gettext, which the standard library reads."""
    pairs = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **translated}.items())
    tables, strings, start = ([], []), b"", 28 + 16 * len(pairs)
    for column in (0, 1):
        for pair in pairs:
            raw = pair[column].encode()
            tables[column].extend((len(raw), start + len(strings)))
            strings += raw + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, start)
    path.parent.mkdir(parents=True)
    path.write_bytes(head + struct.pack(f"<{4 * len(pairs)}I", *tables[0], *tables[1]) + strings)


@pytest.mark.parametrize("language", ["xx", ""])
def test_a_second_language_needs_a_catalogue_and_no_code(tmp_path, language):
    write_catalogue(tmp_path / "xx/LC_MESSAGES/edgelab.mo", TRANSLATED)
    settings = {**os.environ, "EDGELAB_LANGUAGE": language, "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, "-c", SHOW, str(tmp_path)], env=settings, capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    for english, translated in TRANSLATED.items():
        assert (translated in run.stdout) == (language == "xx")
        assert (english in run.stdout) == (language == "")


def test_an_unknown_language_stays_english(monkeypatch):
    monkeypatch.setenv("EDGELAB_LANGUAGE", "nowhere")
    assert texts._("Not done yet") == "Not done yet"
