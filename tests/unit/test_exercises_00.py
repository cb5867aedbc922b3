import pytest

from edgelab import exercises


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path))


def test_the_solution_passes():
    assert exercises.check("00.1", 32 * 32 * 3 * 3 * 3 * 16).state == "solved"


def test_untouched_is_not_done_yet():
    assert exercises.check("00.1", ...).state == "open"


@pytest.mark.parametrize(
    "wrong, words",
    [
        (32 * 32 * 9 * 16, "all three colours"),
        (32 * 32 * 27, "16 filters"),
        (27 * 16, "32 x 32 pixels"),
        (2 * 32 * 32 * 27 * 16, "counted once"),
        (1000, "One output number"),
    ],
)
def test_wrong_answers_get_their_hint(wrong, words):
    result = exercises.check("00.1", wrong)
    assert result.state == "wrong" and words in str(result)


def test_a_text_is_no_number():
    assert "could not be checked" in exercises.check("00.1", "many").what_differs
