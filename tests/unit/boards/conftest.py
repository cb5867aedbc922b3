"""A board for tests: a folder, and a Python that sees numpy and LiteRT there and nothing else."""

import importlib.util
import shutil
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import board_models
import filelock
import installed_wheels
import pytest
from bare_board import QUICK, on_board
from ssh_board import SshBoard, emulated_board

from edgelab.boards import bundle, remote
from edgelab.machine import artifacts


@pytest.fixture(scope="session")
def board_files(shared_folder):
    """The path of each of `board_models`, made once for all processes of this test run."""
    folder = shared_folder / "board models"
    with filelock.FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            folder.mkdir(exist_ok=True)
            board_models.write_all(folder)
            (folder / "done").touch()
    return {path.stem: path for path in folder.glob("*.tflite")}


def _linked(folder, *packages):
    """A folder with just these packages, as an installation on a board would have them."""
    folder.mkdir()
    for package in packages:
        place = Path(importlib.util.find_spec(package).submodule_search_locations[0])
        parts = [place, *place.parent.glob(f"{package}.libs"), *place.parent.glob(f"{package}-*.dist-info")]
        for part in parts:
            try:
                (folder / part.name).symlink_to(part, target_is_directory=True)
            except OSError:  # Windows lets few people make links
                shutil.copytree(part, folder / part.name)
    return folder


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """What is installed on the board: numpy and LiteRT."""
    return _linked(tmp_path_factory.mktemp("board") / "packages", "numpy", "ai_edge_litert")


@pytest.fixture(scope="session")
def only_numpy(tmp_path_factory):
    """A board without a runtime."""
    return _linked(tmp_path_factory.mktemp("bare board") / "packages", "numpy")


@pytest.fixture
def run_there(installed):
    """Runs run.py in a folder as its owner would, and gives what came of it."""

    def run(folder, *arguments, packages=installed, **more):
        command, environment = on_board(packages, "run.py", *QUICK, *arguments)
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            encoding="utf-8",
            **more,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def unpacked(board_files, tmp_path):
    """Bundles a model and unpacks it where somebody might."""

    def make(kind, **options):
        zipped = tmp_path / f"Bündel {kind}.zip"
        made = bundle.make(board_files[kind], zipped, **options)
        folder = tmp_path / f"Brett für {kind}"
        folder.mkdir()
        with zipfile.ZipFile(zipped) as archive:
            archive.extractall(folder)
        return made, folder

    return make


@pytest.fixture(scope="session")
def brought_back(board_files, installed, tmp_path_factory):
    """The bundle of the int8 model, its zip, and the results.json of a run of it."""
    folder = tmp_path_factory.mktemp("a board")
    made = bundle.make(board_files["int8"], folder / "out.zip", name="net", dataset="patterns")
    with zipfile.ZipFile(folder / "out.zip") as archive:
        archive.extractall(folder)
    command, environment = on_board(installed, "run.py", *QUICK, "--device", "Testbrett 1")
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=300)
    kept = bundle.kept_path(made.key).read_bytes()
    return made, folder / "out.zip", (folder / "results.json").read_text("utf-8"), kept


@pytest.fixture
def own_store(brought_back, tmp_path, monkeypatch):
    """An empty store of records, where the bundle is known."""
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))
    made, _, _, kept = brought_back
    with artifacts.atomic_path(bundle.kept_path(made.key)) as temporary:
        temporary.write_bytes(kept)


@pytest.fixture
def litert_version():
    """Of the runtime that the board has."""
    return metadata.version("ai-edge-litert")


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    """The boards of a user, and their table of results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELAB_CONFIG", str(tmp_path_factory.mktemp("configuration")))
        patch.setenv("EDGELAB_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts of a user")))
        yield


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder of wheels, where there is no network."""
    folder = tmp_path_factory.mktemp("no network") / "wheels"
    installed_wheels.write(folder, "numpy", "ai-edge-litert")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    server = SshBoard(folder, folder / "home")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def board(server, configuration, wheels):
    """A board that is set up, from wheels, without a network."""
    board = server.added("pi")
    said = []
    before = remote.check(board)
    assert before.kit is None
    asked = remote.check(board, install=True, wheels=wheels, told=said.append)
    assert asked.kit and asked.kit["numpy"] and asked.kit["ai-edge-litert"]
    assert any("Setting it up on pi" in line for line in said)
    return board


@pytest.fixture(scope="module")
def emulated(configuration, tmp_path_factory):
    """An Arm board under emulation."""
    with emulated_board(tmp_path_factory.mktemp("arm")) as board:
        yield board
