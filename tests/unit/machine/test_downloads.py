"""A limit for sockets of those who set none."""

import contextlib
import socket
import urllib.request

import pytest

from edgelab.machine import downloads


def test_a_silent_server_is_given_up_and_the_default_comes_back():
    before = socket.getdefaulttimeout()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(OSError, match="timed out"), downloads.connection_timeout(0.2):
            urllib.request.urlopen(url)
    assert socket.getdefaulttimeout() == before
