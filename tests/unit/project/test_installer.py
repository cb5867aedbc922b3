"""Set-up installs by uv or else by pip, shows how far it is, and what pip said when it fails."""

import os
import subprocess
import sys
from pathlib import Path

import installer
import pytest

PIP = """
import sys, time
print("Collecting numpy==2.1 (from -r cpu.lock (line 3))", flush=True)
print("  Downloading numpy.whl (16 MB)", flush=True)
time.sleep(0.3)
print("Collecting keras==3.15", flush=True)
time.sleep(0.3)
print("Installing collected packages: numpy, keras", flush=True)
time.sleep(0.3)
print("ERROR: no space left", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(installer, "BETWEEN_LINES_S", 0.05)


def test_progress_names_packages_and_unpacking(capsys):
    installer.run([sys.executable, "-c", PIP, "0"], total=9)
    shown = capsys.readouterr().out
    assert "package 1 of about 9: numpy" in shown
    assert "package 2 of about 9: keras" in shown
    assert "unpacking 2 packages" in shown


def test_a_failure_ends_with_the_words_of_pip(capsys):
    with pytest.raises(subprocess.CalledProcessError):
        installer.run([sys.executable, "-c", PIP, "1"], total=9)
    assert "no space left" in capsys.readouterr().err


def test_packages_of_a_lock_file_are_counted(tmp_path):
    lock = tmp_path / "x.lock"
    lock.write_text("# made by uv\nnumpy==2.1 \\\n    --hash=sha256:00==\nkeras==3.15\n")
    assert installer.locked_packages(lock) == 2


def program(path, code):
    path.write_text(f"#!{sys.executable}\n{code}")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_where_uv_fails_pip_goes_on(tmp_path, capsys):
    lock = tmp_path / "x.lock"
    lock.write_text("numpy==2.1 \\\n    --hash=sha256:00\n")
    uv = program(tmp_path / "uv", "raise SystemExit('no such index')")
    asked = tmp_path / "asked"
    python = program(
        tmp_path / "python", f"import sys; open({str(asked)!r}, 'w').write(' '.join(sys.argv[1:]))"
    )
    installer.install(Path(python), lock, "--no-deps", uv=uv)
    assert "pip does it" in capsys.readouterr().out
    assert asked.read_text().startswith("-m pip install")
    assert asked.read_text().endswith(f"--no-deps --require-hashes -r {lock}")


@pytest.mark.skipif(os.name == "nt", reason="a script is no program there")
def test_no_uv_to_be_had_is_none_and_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installer.find_uv(Path(program(tmp_path / "python", "raise SystemExit(1)"))) is None
    beside = program(tmp_path / "uv", "")
    assert installer.find_uv(tmp_path / "python") == beside


def test_a_disk_too_small_is_noticed_before_it_is_full(tmp_path, monkeypatch):
    asked = []

    def disk_usage(folder):
        asked.append(folder)
        return installer.shutil._ntuple_diskusage(9_000_000_000, 8_300_000_000, 700_000_000)

    monkeypatch.setattr(installer.shutil, "disk_usage", disk_usage)
    wanted = tmp_path / "not" / "there"
    installer.check_space(wanted, 700_000_000, "It needs 0.7 GB", "SOME_FOLDER")
    with pytest.raises(installer.NotHereError, match=r"It needs 1 GB; .* has 0.7 GB free.\n.*SOME_FOLDER"):
        installer.check_space(wanted, 1_000_000_000, "It needs 1 GB", "SOME_FOLDER")
    assert asked == [tmp_path, tmp_path]
