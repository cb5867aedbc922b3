import os

import pytest

from edgelab.app import security
from edgelab.errors import StorageError


def test_the_token_is_drawn_once_and_for_its_owner_alone(tmp_path):
    token = security.token_in(tmp_path / "data")
    assert len(token) >= 32 and security.token_in(tmp_path / "data") == token
    assert security.token_in(tmp_path / "other") != token
    if os.name == "posix":
        assert (tmp_path / "data" / "token").stat().st_mode & 0o777 == 0o600


def test_a_token_that_cannot_be_kept_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        security.token_in(tmp_path / "file" / "data")


def test_secrets_are_compared_whatever_their_length():
    assert security.same("geheim", "geheim") and security.same("é", "é")
    assert not security.same("geheim", "geheimer") and not security.same("", "geheim")


def test_sessions_end(monkeypatch):
    now = [0.0]
    sessions = security.Sessions(lambda: now[0])
    first, second = sessions.begin(), sessions.begin()
    assert sessions.knows(first) and not sessions.knows("") and first != second
    sessions.end(first)
    assert not sessions.knows(first) and sessions.knows(second)
    now[0] = security.SESSION_S + 1
    assert not sessions.knows(second)
    kept = [sessions.begin() for _ in range(security.MOST_SESSIONS + 5)]
    assert not sessions.knows(kept[0]) and sessions.knows(kept[-1])


def test_a_rate_is_limited_for_each_name_alone():
    now = [0.0]
    limit = security.RateLimit(2.0, 3.0, lambda: now[0])
    assert [limit.wait_s("a") for _ in range(3)] == [0.0] * 3
    assert limit.wait_s("a") == pytest.approx(0.5)
    assert limit.wait_s("b") == 0.0
    now[0] = 0.5
    assert limit.wait_s("a", take=False) == 0.0 and limit.wait_s("a") == 0.0 and limit.wait_s("a") > 0


def test_a_limit_remembers_only_so_many_names():
    limit = security.RateLimit(0.001, 1.0)
    assert limit.wait_s("first") == 0.0 and limit.wait_s("first") > 0
    for number in range(security.MOST_KNOWN):
        limit.wait_s(str(number))
    assert limit.wait_s("first") == 0.0


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("127.0.0.1:8090", True),
        ("localhost", True),
        ("LOCALHOST:8090", True),
        ("[::1]:8090", True),
        ("evil.example:8090", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("[", False),
    ],
)
def test_only_names_of_this_server_are_answered(header, known):
    assert security.is_known_host(header, {"127.0.0.1", "localhost", "::1"}) is known


def test_only_pages_of_this_server_may_change_things():
    host = "127.0.0.1:8090"
    assert security.is_own_origin(None, host, "http")
    assert security.is_own_origin("http://127.0.0.1:8090", host, "http")
    for origin in ("null", "https://127.0.0.1:8090", "http://127.0.0.1:8091", "http://evil.example"):
        assert not security.is_own_origin(origin, host, "http")
