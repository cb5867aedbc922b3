"""Importing the room costs little."""

from __future__ import annotations

import subprocess
import sys

from edgelab.video import sources


def test_importing_video_does_not_import_tensorflow():
    program = "import sys, edgelab.video; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    assert sources.os.environ["OPENCV_FFMPEG_LOGLEVEL"]
