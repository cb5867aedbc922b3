"""The set-up leaves alone what is not its own."""

import importlib.util
import json
import os
import sys

import pytest

from edgelab.machine import artifacts


@pytest.fixture
def bootstrap(tmp_path, monkeypatch):
    """The script, for an environment that another copy of the course has made."""
    monkeypatch.setenv("EDGELAB_VENV", str(tmp_path / "venv"))
    spec = importlib.util.spec_from_file_location(
        "bootstrap", artifacts.PROJECT_ROOT / "tools" / "bootstrap.py"
    )
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bootstrap", script)  # its dataclasses look their module up
    spec.loader.exec_module(script)
    record = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "edgelab-0.1.0.dist-info"
    record.mkdir(parents=True)
    other = tmp_path / "other copy"
    (other / "tools").mkdir(parents=True)
    (other / "tools" / "bootstrap.py").touch()
    (record / "direct_url.json").write_text(json.dumps({"url": other.as_uri()}))
    return script, other


def test_the_environment_of_another_checkout_is_not_replaced(bootstrap, monkeypatch, capsys):
    script, other = bootstrap
    monkeypatch.setattr(script, "make_environment", lambda *_: sys.exit("it was replaced"))
    assert script.main() == 1
    told = capsys.readouterr().err
    assert str(other) in told and "EDGELAB_VENV" in told


def test_an_environment_whose_checkout_is_gone_may_be_replaced(bootstrap):
    script, other = bootstrap
    assert script.other_checkout() == other
    (other / "tools" / "bootstrap.py").unlink()
    assert script.other_checkout() is None


def test_the_own_environment_is_no_other(bootstrap, monkeypatch):
    script, other = bootstrap
    monkeypatch.setattr(script, "ROOT", other)
    assert script.other_checkout() is None


@pytest.mark.skipif(os.name == "nt", reason="its tool stands for one written in shell")
@pytest.mark.parametrize("content", ["#!/bin/sh\nexec sleep 60\n", "#!/nowhere/sh\n"])
def test_a_driver_whose_tool_hangs_or_cannot_run_is_none(bootstrap, monkeypatch, tmp_path, content):
    script, _ = bootstrap
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(content)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    monkeypatch.setattr(script, "NVIDIA_PATIENCE_S", 0.5, raising=False)
    assert script.has_nvidia_gpu() is False
