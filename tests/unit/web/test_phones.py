"""Who may talk to the class's server, how much, and how often."""

import http.client
import json
import ssl

import phone_records as honest
import pytest

from edgelab import results
from edgelab.course import class_board
from edgelab.errors import DataError, TargetError
from edgelab.targets.web.server import pack, unpack
from edgelab.web import phone_records, phones

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def task(web_files):
    return phone_records.task_of(web_files["float32"], name="small")


@pytest.fixture
def served(task, tmp_path):
    (tmp_path / "records").mkdir()
    opened = phones.PhoneServer(task, phones.Places(tmp_path / "records", tmp_path / "board"), "127.0.0.1")
    yield opened
    opened.close()


def asked(served, name, method="GET", body=None, token=None, **headers):
    """Status, headers and body of one request, as a page of the phone would send it."""
    origin = served.origins[0]
    trusting = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(origin.partition("://")[2], timeout=30, context=trusting)
    own = {"Sec-Fetch-Site": "same-origin"} | ({"Origin": origin} if method == "POST" else {})
    own |= {key.replace("_", "-"): text for key, text in headers.items()}
    own = {key: text for key, text in own.items() if text is not None}
    connection.request(method, f"/{token or served._token}/{name}", body, own)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def ticket(served):
    status, _, body = asked(served, "task")
    assert status == 200
    return unpack(body)[0]["ticket"]


def test_a_phone_gets_page_and_task_and_leaves_a_record(served, web_files):
    status, headers, page = asked(served, "")
    assert status == 200 and b"phone.js" in page
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin" and "Server" not in headers
    head, parts = unpack(asked(served, "task")[2])
    assert parts[0] == web_files["float32"].read_bytes() and len(parts) == 1 + 2 * phone_records.INPUTS
    body = pack(*honest.record(served.task, web_files["float32"], head["ticket"]))
    status, _, answer = asked(served, "record", "POST", body)
    assert status == 200 and "ms [" in json.loads(answer)["lines"][0]
    [path] = served.places.records.glob("*.jsonl")
    assert path.name == "phone 01 Ana.jsonl"
    assert set(results.load(path)["metric"]) == {"latency", "agreement"}
    assert served.arrived.get(timeout=5).name == "Ana"
    status, _, answer = asked(served, "record", "POST", body)
    assert status == 422 and "one already" in json.loads(answer)["lines"][0]
    assert len(list(served.places.records.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "options", "status"),
    [
        ("", {"token": "x"}, 404),
        ("task", {"token": "%C3%BC"}, 404),
        ("", {"Host": "example.org"}, 403),
        ("task", {"Origin": "https://example.org"}, 403),
        ("task", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("record", {}, 403),
        ("record", {"method": "POST", "Origin": "https://example.org"}, 403),
        ("record", {"method": "POST", "Origin": "null"}, 403),
        ("record", {"method": "POST", "Origin": None}, 403),
        ("record", {"method": "POST", "token": "x"}, 404),
        ("board.html", {}, 404),
        ("index.html", {}, 404),
        ("../phones.py", {}, 404),
        ("wasm/../manifest.json", {}, 404),
        ("phone.js", {"method": "POST"}, 405),
    ],
)
def test_nothing_else_is_answered(served, name, options, status):
    options = {"body": b"x"} | options if options.get("method") == "POST" else options
    assert asked(served, name, **options)[0] == status


@pytest.mark.parametrize(
    "body",
    [b"", b"abc", b"\xff\xff\xff\xff{}", pack({}), pack({"ticket": 3}), pack({"ticket": "x"}),
     b"\x02\x00\x00\x00[]", pack({"ticket": "[" * 1000})],
)  # fmt: skip
def test_what_is_no_record_is_refused(served, body):
    assert asked(served, "record", "POST", body)[0] == 422
    assert not list(served.places.records.iterdir()) and served.count == 0


def test_a_refused_record_takes_its_ticket(served, web_files):
    head, parts = honest.record(served.task, web_files["float32"], ticket(served))
    good, head["runs"][0]["more"] = pack({**head, "runs": [dict(head["runs"][0])]}, parts), 1
    assert asked(served, "record", "POST", pack(head, parts))[0] == 422
    assert asked(served, "record", "POST", good)[0] == 422
    assert served.count == 0


def test_a_record_too_large_is_cut_off(served):
    body = bytes(phone_records.LARGEST_RECORD_BYTES + 1)
    try:
        status = asked(served, "record", "POST", body)[0]
    except OSError:  # the connection is closed before all of it is sent
        status = 413
    assert status in (400, 413) and asked(served, "")[0] == 200


def test_how_often_is_limited(served):
    served._record_rate, served._task_rate = phones._Rate(3), phones._Rate(4)
    found = [asked(served, "record", "POST", b"x")[0] for _ in range(5)]
    assert found == [422, 422, 422, 429, 429]
    assert [asked(served, "task")[0] for _ in range(6)] == [200] * 4 + [429] * 2
    served._rate = phones._Rate(2)
    assert [asked(served, "")[0] for _ in range(3)] == [200, 200, 429]


def test_how_many_is_limited(served, monkeypatch, web_files):
    monkeypatch.setattr(phones, "MOST_TICKETS", 2)
    first, second = ticket(served), ticket(served)
    assert asked(served, "task")[0] == 503
    monkeypatch.setattr(phones, "MOST_RECORDS", 1)
    head, parts = honest.record(served.task, web_files["float32"], first)
    assert asked(served, "record", "POST", pack(head, parts))[0] == 200
    assert asked(served, "record", "POST", pack({**head, "ticket": second}, parts))[0] == 422
    assert served.count == 1


def test_each_address_has_a_rate_of_its_own():
    rate = phones._Rate(2)
    assert [rate.allows("a"), rate.allows("a"), rate.allows("a"), rate.allows("b")] == [
        True,
        True,
        False,
        True,
    ]


def test_the_wall_is_for_this_computer_and_shows_code_and_board(served, web_files):
    def wall(name, **headers):
        host, _, path = served.wall.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request("GET", f"/{path}{name}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    status, page = wall("")
    assert (
        status == 200 and served.address in page and served.fingerprint in page and "data:image/svg" in page
    )
    assert json.loads(wall("state")[1]) == {"count": 0, "board": ""} and wall("board.html")[0] == 404
    assert wall("wall.js")[0] == 200 and wall("phone.js")[0] == 404
    assert wall("", Host="example.org")[0] == 403 and wall("", Origin="https://example.org")[0] == 403
    hostile = [{"brand": "<img src=x onerror=alert(1)>", "version": "1"}]
    head, parts = honest.record(served.task, web_files["float32"], served.ticket(), brands=hostile)
    served.take(pack(head, parts))
    class_board.write(served.places.records, served.places.board)
    status, board = wall("board.html")
    assert status == 200 and "phone 01 Ana" in board and "● measured" in board
    assert "<img src=x" not in board and "&lt;img src=x" in board
    state = json.loads(wall("state")[1])
    assert state["count"] == 1 and state["board"]


def test_a_port_that_is_taken_is_told(served, task):
    with pytest.raises(TargetError, match="cannot be listened on"):
        phones.PhoneServer(task, served.places, "127.0.0.1", int(served.origins[0].rpartition(":")[2]))


def test_a_record_that_cannot_be_kept_is_told(served, web_files):
    served.places.records.rmdir()
    served.places.records.write_text("in the way")
    with pytest.raises(Exception) as caught:
        served.take(pack(*honest.record(served.task, web_files["float32"], served.ticket())))
    assert not isinstance(caught.value, DataError)
