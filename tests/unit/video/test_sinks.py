"""Sinks: whole files or none, windows, notebooks."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from video_doubles import Numbered, index_of, numbered_image, plain, write_video

from edgelab import video
from edgelab.errors import EdgelabError, InputError, TargetError
from edgelab.machine import owned_folders
from edgelab.video import pipeline, sinks


@pytest.mark.parametrize("suffix", sorted(sinks.CODECS))
@pytest.mark.parametrize("fps", [10, 12.5, 24000 / 1001, 29.833333])
def test_a_whole_file_is_recognised_at_any_frame_rate(tmp_path, suffix, fps):
    path = write_video(tmp_path / f"clip{suffix}", count=31, fps=fps)
    assert len(list(video.open_source(path))) == 31


def test_file_appears_when_finished_and_only_then(tmp_path):
    path = tmp_path / "clip.avi"
    with video.open_sink(path) as sink:
        sink.show(numbered_image(1))
        assert not path.exists()
    assert sorted(tmp_path.iterdir()) == [tmp_path / owned_folders.FILES_MARK, path]


def test_failed_run_keeps_the_older_file(tmp_path):
    path = write_video(tmp_path / "clip.avi", count=7)
    before = path.read_bytes()

    def fails(frame):
        if frame.index == 12:
            raise ValueError("out of range")
        return frame

    with pytest.raises(EdgelabError):
        video.run(Numbered(20), index_of, path, preprocess=fails, draw=plain)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [tmp_path / owned_folders.FILES_MARK, path]


def test_killed_run_leaves_nothing_under_the_final_name(tmp_path):
    path = tmp_path / "clip.mp4"
    program = (
        "import numpy as np, os, signal, sys\n"
        "from edgelab import video\n"
        "sink = video.open_sink(sys.argv[1])\n"
        "for _ in range(20): sink.show(np.zeros((48, 64, 3), np.uint8))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX matter")
@pytest.mark.parametrize("suffix", sorted(sinks.CODECS))
def test_full_disk_is_a_clear_error(tmp_path, suffix):
    program = (
        "import numpy as np, resource, sys\n"
        "from edgelab import errors, video\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)\n"
        "try:\n"
        "    with video.open_sink(sys.argv[1]) as sink:\n"
        "        for shift in range(60): sink.show(np.roll(noise, 37 * shift))\n"
        "except errors.StorageError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / f"clip{suffix}")], capture_output=True, text=True
    )
    assert "could not be written whole" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_sink_refuses_what_it_cannot_write(tmp_path):
    with pytest.raises(InputError, match="unknown kind of video"):
        video.open_sink(tmp_path / "clip.xyz")
    with pytest.raises(InputError, match="frames/s"):
        video.open_sink(tmp_path / "clip.avi", fps=0)
    with pytest.raises(InputError, match="32x16"), video.open_sink(tmp_path / "clip.avi") as sink:
        sink.show(numbered_image(0))
        sink.show(np.zeros((16, 32, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_no_notebook_here_is_a_clear_error():
    source = Numbered(3)
    with pytest.raises(TargetError, match="no notebook"):
        video.run(source, index_of, "notebook", preprocess=index_of)
    assert source.releases == 1


@pytest.mark.skipif(sys.platform != "linux", reason="a desktop cannot be taken away elsewhere")
def test_no_window_here_is_a_clear_error(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(TargetError, match="No window"):
        video.open_sink("window")


def test_window_shows_frames_until_q_is_pressed():
    try:
        sink = video.open_sink("window")
    except TargetError as error:
        pytest.skip(error.what)

    def press_q_at_5(frame, result):
        if frame.index == 5:
            sink._window.event_generate("<Key>", keysym="q")
            sink._window.update()

    sink._window.focus_force()
    stats = video.run(
        Numbered(10**9), lambda i: i, sink, preprocess=index_of, draw=plain, on_result=press_q_at_5
    )
    assert stats.frames in (6, 7)
    assert stats.notes == (pipeline.STOPPED,)


def test_notebook_shows_one_still_picture_at_the_end():
    """Run by a real kernel: the live picture becomes one figure with alt text, whatever the frame count."""
    import nbformat
    from nbclient import NotebookClient

    cell = (
        "import numpy as np\nfrom edgelab import video\n"
        "with video.open_sink('notebook', alt='A <grey> ramp') as sink:\n"
        "    for level in range(40): sink.show(np.full((48, 64, 3), level, np.uint8))\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    (output,) = notebook.cells[0].outputs
    page = output["data"]["text/html"]
    assert 'alt="A &lt;grey&gt; ramp"' in page
    assert "data:image/jpeg;base64," in page
    assert "Last of 40 frames" in page


def test_a_video_of_somebody_else_is_never_replaced(tmp_path):
    path = tmp_path / "holiday.avi"
    path.write_bytes(b"a video of mine")
    with pytest.raises(InputError, match="there already"):
        video.open_sink(path)
    assert path.read_bytes() == b"a video of mine"
    own = write_video(tmp_path / "own.avi", count=3)
    assert len(list(video.open_source(write_video(own, count=5)))) == 5  # written by us: it may
    own.write_bytes(own.read_bytes() + b"edited")
    with pytest.raises(InputError, match="not as the course wrote it"):
        video.open_sink(own)


@pytest.mark.parametrize("spelling", ["clip.avi", "./clip.avi", "link.avi"])
def test_a_recording_is_not_replaced_by_its_own_result(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    path = write_video(tmp_path / "clip.avi", count=4)
    (tmp_path / "link.avi").symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(InputError):
        video.run(path, index_of, spelling, preprocess=lambda frame: frame, draw=plain)
    assert path.read_bytes() == before
