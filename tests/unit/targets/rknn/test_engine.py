"""A toolkit that is killed, hangs or prints rubbish."""

from __future__ import annotations

import os

import pytest
from waiting import leaving_nothing_running

from edgelab import targets
from edgelab.errors import ModelError, StorageError, TargetError
from edgelab.runtime import predict
from edgelab.targets.rknn import engine

READ = "import sys, json, os, time\nline = sys.stdin.readline()\n"


@pytest.mark.skipif(os.name == "nt", reason="the fake is a script with a shebang")
@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        (READ + "open('log.txt', 'w').write('E build: boom'); os.kill(os.getpid(), 11)", TargetError, "boom"),
        (READ + "time.sleep(600)", TargetError, "no answer within"),
        (READ + "print('rubbish' * 1000); print('answer nonsense')", TargetError, "ended with exit code 0"),
        ("import sys; sys.exit('numpy is missing')", TargetError, "numpy is missing"),
        (
            READ + "print('answer', json.dumps({'failure': 'ModuleNotFoundError', 'detail': 'No rknn',"
            " 'errno': None}), flush=True)",
            TargetError,
            "half installed",
        ),
        (
            READ + "print('answer', json.dumps({'failure': 'OSError', 'detail': 'No space left on device',"
            " 'errno': 28}), flush=True)",
            StorageError,
            "No space left",
        ),
        (
            READ + "open('log.txt', 'w').write('E build: Unsupported op Sine\\n');"
            "print('answer', json.dumps({'failure': 'StepError', 'detail': 'build failed', 'errno': None}),"
            "flush=True)",
            ModelError,
            "Unsupported op Sine",
        ),
        (
            READ + "print('answer {\"build_s\": 1}', flush=True); sys.stdin.readline();"
            "open('model.rknn', 'wb').write(b'RKNN'); print('answer {}', flush=True); sys.stdin.readline()",
            TargetError,
            "no table of layers",
        ),
    ],
    ids=["crash", "hang", "rubbish", "broken", "half installed", "disk full", "refused", "other log"],
)
def test_a_toolkit_that_misbehaves(fake_toolkit, monkeypatch, model, images, tmp_path, lines, error, message):
    fake_toolkit(lines)
    if "no answer" in message:
        monkeypatch.setattr(engine, "BUILD_LIMIT_S", 2.0)
    with leaving_nothing_running(), pytest.raises(error, match=message):
        targets.get("rknn").compile(model, tmp_path / "x.rknn", calibration=images)
    assert not (tmp_path / "x.rknn").exists()
    assert not list(tmp_path.glob("edgelab-rknn-*")), "the temporary folder stayed"


def test_the_file_tells_a_board_what_it_takes(built):
    platform, [taken], [given] = engine.described(built.path.read_bytes())
    assert platform == "rk3588" and taken.shape == (1, 32, 32, 3) and given.shape == (1, 10)
    with pytest.raises(ModelError, match="does not tell"):
        engine.described(b"RKNN and nothing")


def test_a_killed_worker_is_an_error_not_a_hang(built, patterns):
    session = targets.get("rknn", where="simulator").open(built)
    session._engine._worker._process.kill()
    with pytest.raises(TargetError, match="exit code"):
        predict(session, patterns.test_images[:1])
    session.close()
