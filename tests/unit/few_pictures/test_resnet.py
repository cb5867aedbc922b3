"""Two ways to prepare pixels inside a model, and trained weights where Keras keeps its downloads."""

import contextlib
import functools
import hashlib
import http.server
import os
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from edgelab.errors import DataError, InputError
from edgelab.few_pictures import resnet


def test_the_convolution_turns_channels_round_and_takes_means_off():
    kernel, bias = resnet.preparation()
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3))
    found = np.einsum("nhwi,io->nhwo", pixels, kernel[0, 0]) + bias
    np.testing.assert_allclose(found, pixels[..., ::-1] - np.array(resnet.MEANS_BGR), atol=1e-4)


@pytest.mark.slow
def test_both_ways_give_the_same_answer():
    slim = {flip: resnet.resnet50(flip, 32, thin=16) for flip in resnet.FLIPS}
    sources = slim["slice"].layers[-2].get_weights()
    slim["convolution"].layers[-2].set_weights(sources)
    slim["convolution"].layers[-1].set_weights(slim["slice"].layers[-1].get_weights())
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    first, second = (slim[flip](pixels).numpy() for flip in resnet.FLIPS)
    assert first.shape == (2, 1)
    np.testing.assert_allclose(first, second, atol=1e-4)


@pytest.mark.slow
def test_a_thinner_one_has_the_same_layers_and_few_weights():
    thin, thinner = (resnet.resnet50("convolution", 32, thin=thin) for thin in (8, 16))
    assert [type(layer) for layer in thin.layers] == [type(layer) for layer in thinner.layers]
    assert thinner.count_params() < 0.4 * thin.count_params() < 0.4 * 25e6 / 30


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match="slice, convolution"):
        resnet.resnet50("mirror")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder as Keras' own, with a file of weights in the format of 2015; random ones."""
    import keras

    keras.utils.set_random_seed(3)
    folder = tmp_path_factory.mktemp("keras") / "models"
    folder.mkdir()
    model = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(32, 32, 3))
    model.save(folder / resnet.WEIGHTS_NAME)
    return folder.parent


def test_without_weights_the_status_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert resnet.weights_file() is None
    assert "keras.applications.ResNet50" in resnet.status()


@pytest.mark.slow
def test_weights_that_keras_keeps_are_found_and_fill_the_network(monkeypatch, kept):
    monkeypatch.setenv("KERAS_HOME", str(kept))
    path = resnet.weights_file()
    assert path.name in resnet.status()
    eye = resnet.pretrained(path, 48)
    again = resnet.pretrained(path, 32)  # the size of the picture is not in the weights
    pixels = np.random.default_rng(2).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    assert eye.output.shape == again.output.shape == (None, 2048)

    import keras

    source = keras.models.load_model(path, compile=False)
    expected = source(keras.applications.resnet.preprocess_input(pixels.copy())).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(again(pixels).numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut short", "no HDF5", "another network"])
def test_a_broken_file_is_told_with_the_fix(kept, tmp_path, kind):
    import keras

    path = tmp_path / resnet.WEIGHTS_NAME
    if kind == "another network":
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    else:
        whole = (kept / "models" / resnet.WEIGHTS_NAME).read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if kind == "cut short" else b"<html>log in first</html>")
    with pytest.raises(DataError, match="no weights of ResNet50") as error:
        resnet.pretrained(path, 32)
    assert "delete" in error.value.fix


@pytest.fixture
def silent_server():
    """It takes connections, and never answers."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/weights.h5"


def test_a_class_without_a_network_does_not_wait(monkeypatch, silent_server):
    monkeypatch.setattr(resnet, "PATIENCE_S", 0.3)
    told = []

    def try_it():
        with pytest.raises(DataError, match="cannot be downloaded"):
            resnet.download()
        told.append(resnet.WEIGHTS_URL)

    for url in (silent_server, "http://127.0.0.1:9/nobody.h5"):
        monkeypatch.setattr(resnet, "WEIGHTS_URL", url)
        trying = threading.Thread(target=try_it, daemon=True)
        trying.start()
        trying.join(60)
        assert told[-1:] == [url]


CHILD = """
import sys
from keras.src.applications import resnet as by_keras
from edgelab.errors import DataError
from edgelab.few_pictures import resnet
from edgelab.machine import downloads
address, md5 = sys.argv[1:]
downloads.TIMEOUT_S = 3.0
by_keras.BASE_WEIGHTS_PATH = address + "/"
by_keras.WEIGHTS_HASHES["resnet50"] = ("", md5)
resnet.WEIGHTS_URL, resnet.PATIENCE_S = f"{address}/{resnet.WEIGHTS_NAME}", 30.0
try:
    resnet.download()
except DataError as error:
    print("not downloaded:", error.why)
else:
    print("kept:", resnet.weights_file().stat().st_size)
"""


def printed_by_child(handler, md5, keras_home):
    """What a download from a server of this machine prints, in a process of its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        return subprocess.run(
            [sys.executable, "-c", CHILD, f"http://127.0.0.1:{server.server_port}", md5],
            env={**os.environ, "KERAS_HOME": str(keras_home)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_keras_downloads_from_a_server_that_answers_and_checks_what_came(kept, tmp_path, broken):
    content = (kept / "models" / resnet.WEIGHTS_NAME).read_bytes()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(kept / "models"))
    md5 = hashlib.md5(b"of another file" if broken else content, usedforsecurity=False).hexdigest()
    found = printed_by_child(handler, md5, tmp_path)
    told = "not downloaded:" if broken else f"kept: {len(content)}"
    assert told in found


class Stalling(http.server.BaseHTTPRequestHandler):
    """It answers, sends a beginning, and then nothing until the other side hangs up."""

    hung_up = threading.Event()

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "95000000")
        self.end_headers()
        self.wfile.write(bytes(100_000))
        self.connection.settimeout(30)
        with contextlib.suppress(TimeoutError):
            with contextlib.suppress(ConnectionError):
                self.connection.recv(1)
            self.hung_up.set()

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_a_download_that_stalls_is_given_up(tmp_path):
    assert "not downloaded:" in printed_by_child(Stalling, "0" * 32, tmp_path)
    assert Stalling.hung_up.wait(20), "the server gave up first"
