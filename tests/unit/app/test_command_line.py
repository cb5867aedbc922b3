import subprocess
import sys

from edgelab import commands
from edgelab.app import __main__ as alone
from edgelab.app import settings
from edgelab.commands import app


def test_the_example_is_printed_whole(capsys):
    assert alone.main(["--example"]) == 0
    assert capsys.readouterr().out == settings.EXAMPLE.read_text(encoding="utf-8")


def test_both_ways_take_the_same(tmp_path):
    options = commands.parse(["app", "--port", "0", "--model", "boxes"])
    assert options.command is app and (options.port, options.model) == (0, "boxes")


def test_a_wrong_configuration_is_told_without_a_traceback(tmp_path, capsys):
    file = tmp_path / "app.toml"
    file.write_text("[src]\n")
    assert alone.main([str(file)]) == 1
    assert "line 1" in capsys.readouterr().err


def test_the_application_alone_loads_neither_the_course_nor_tensorflow():
    code = "import sys, edgelab.app.application; print([n for n in sys.modules if n.split('.')[0] in %r])"
    names = {"tensorflow", "keras", "nbformat", "matplotlib", "pandas", "IPython"}
    shown = subprocess.run(
        [sys.executable, "-c", code % names], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "[]"
