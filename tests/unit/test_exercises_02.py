import pytest

from edgelab import exercises, results
from edgelab.exercises import chapter_02


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))


def is_coral(line):
    return any(name in line.lower() for name in ("1a6e:089a", "18d1:9302"))


def first_missing(layers):
    return next((name for name, here in layers.items() if not here), "nothing")


def probe(load):
    try:
        load()
    except Exception as error:
        return f"missing: {type(error).__name__}"
    return "ok"


BOARD = "Raspberry Pi 4 + Coral USB Accelerator"


@pytest.mark.parametrize(
    "key, answer", [("02.1", is_coral), ("02.2", first_missing), ("02.3", probe), ("02.4", BOARD)]
)
def test_solutions_pass(key, answer):
    assert exercises.check(key, answer).state == "solved"


@pytest.mark.parametrize("key", ["02.1", "02.2", "02.3", "02.4"])
def test_untouched_is_not_done_yet(key):
    def stub(argument):
        """Say what it does."""
        ...

    assert exercises.check(key, stub).state == "open"
    assert exercises.check(key, ...).state == "open"


def only_oserror(load):
    try:
        load()
    except OSError as error:
        return f"missing: {type(error).__name__}"
    return "ok"


def bare_except(load):
    try:
        load()
    except BaseException as error:
        return f"missing: {type(error).__name__}"
    return "ok"


def always_ok(load):
    return "ok"


@pytest.mark.parametrize(
    "key, wrong, words",
    [
        ("02.1", lambda line: "18d1:9302" in line.lower(), "before its firmware"),
        ("02.1", lambda line: "1a6e:089a" in line, "Google's"),
        ("02.1", lambda line: "Google" in line or "Unichip" in line, "both halves"),
        ("02.1", lambda line: "1a6e:089a" in line or "18d1:9302" in line, "upper case"),
        ("02.2", lambda layers: [name for name, here in layers.items() if not here][-1], "mended first"),
        ("02.2", lambda layers: next(iter(layers)), "was expected"),
        (
            "02.2",
            lambda layers: next((k for k, v in layers.items() if not v), None),
            "'nothing' was expected",
        ),
        ("02.3", only_oserror, "Catch every Exception"),
        ("02.3", bare_except, "swallows KeyboardInterrupt"),
        ("02.3", always_ok, "missing: OSError"),
        ("02.4", "Jetson Orin Nano Super", "220 USD"),
        ("02.4", "RK3588 board", "0.030 TOPS per USD"),
        ("02.4", "Jetson Nano", "float16"),
    ],
)
def test_wrong_answers_get_their_hint(key, wrong, words):
    result = exercises.check(key, wrong)
    assert result.state == "wrong" and words in str(result), str(result)


def test_the_boards_are_those_of_the_published_table():
    figures = {(record.device, record.metric): record.value for record in results.published("boards")}
    for board, (price, tops) in chapter_02.BOARDS.items():
        assert (figures[board, "price"], figures[board, "peak_compute"]) == (price, tops)
