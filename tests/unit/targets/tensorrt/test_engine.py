"""A TensorRT that is broken in every way."""

import pytest

from edgelab.errors import TargetError
from edgelab.targets.tensorrt import engine, target

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


BROKEN_TENSORRT = {
    "missing": ("", "cannot be loaded", "No module named 'tensorrt'"),
    "half installed": ("import nothing_of_this_name", "cannot be loaded", "nothing_of_this_name"),
    "crashes": ("import os; print('about to die', flush=True); os.abort()", "ended with exit code", ""),
    "hangs": ("import time; time.sleep(60)", "gave no answer", ""),
    "lean": ("__version__ = '11.0.0'; print('answer rubbish'); print('{}')", "cannot be used", "no builder"),
    "old": ("__version__ = '8.6.1'\nclass Builder: ...", "cannot be used", "older than 10"),
}


@pytest.mark.parametrize("case", BROKEN_TENSORRT)
def test_a_broken_tensorrt_is_an_error_and_leaves_nothing(case, tmp_path, monkeypatch):
    code, what, why = BROKEN_TENSORRT[case]
    if code:
        (tmp_path / "tensorrt.py").write_text(code)
    elif target._version():
        pytest.skip("TensorRT is installed here")
    left = tmp_path / "left"
    left.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(left))
    monkeypatch.setattr(engine, "START_LIMIT_S", 3.0 if case == "hangs" else 60.0)
    with pytest.raises(TargetError, match=what) as caught:
        engine.Engine()
    assert why in caught.value.why
    assert not list(left.iterdir())
