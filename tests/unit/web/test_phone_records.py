"""What a phone may send, and what is made of it."""

import copy

import phone_records as honest
import pytest

from edgelab.errors import DataError, InputError
from edgelab.web import phone_records

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def task(web_files):
    return phone_records.task_of(web_files["float32"], name="small", dataset="none")


@pytest.fixture(scope="module")
def sent(task, web_files):
    """One record of a phone with a GPU, both of its processors right."""
    return honest.record(task, web_files["float32"], accelerators=("wasm", "webgpu"), adapter=honest.GPU)


def test_what_is_right_is_recorded_as_measured(task, sent):
    found = phone_records.judge(task, *sent)
    assert (found.name, found.device, found.browser) == ("Ana", "Pixel 9, 8 cores", "Chromium 156.0.1")
    assert found.adapter == "arm valhall"
    kinds = [(one.metric, one.target, one.device, one.provenance) for one in found.records]
    assert kinds == [
        ("latency", "web/wasm", "Pixel 9, 8 cores", "measured"),
        ("agreement", "web/wasm", "Pixel 9, 8 cores", "measured"),
        ("latency", "web/webgpu", "arm valhall", "measured"),
        ("agreement", "web/webgpu", "arm valhall", "measured"),
    ]
    latency, agreement = found.records[:2]
    run = sent[0]["runs"][0]
    medians = [sorted(one["samples_ns"])[10] / 1e6 / run["batch"] for one in run["openings"]]
    assert min(medians) * 0.9 <= latency.value <= max(medians) * 1.1
    assert latency.samples.low <= latency.value <= latency.samples.high and latency.samples.n == 100
    assert agreement.value == 1.0 and agreement.image_count == phone_records.INPUTS
    assert latency.model == "small" and "Chromium" in latency.runtime_version


def test_a_wrong_answer_has_no_record(task, sent):
    head, parts = sent
    found = phone_records.judge(task, head, [bytes(len(part)) for part in parts])
    assert found.records == () and "wrong answer has no speed" in found.lines[0]


def test_a_software_gpu_is_simulated_and_has_no_time(task, web_files):
    head, parts = honest.record(
        task, web_files["float32"], accelerators=("webgpu",), adapter=honest.SOFTWARE_GPU
    )
    with pytest.raises(DataError, match="not timed"):
        phone_records.judge(task, head, parts)
    head["runs"][0]["openings"] = []
    [record] = phone_records.judge(task, head, parts).records
    assert (record.metric, record.provenance) == ("agreement", "simulated")


def test_failures_are_told_and_have_no_record(task, sent):
    head, parts = copy.deepcopy(sent[0]), sent[1]
    head["runs"][0]["console"] = ["ERROR: Node number 0 (FlexSum) failed to prepare."]
    head["runs"][1] |= {"error": "Error: no memory", "openings": []}
    found = phone_records.judge(task, head, parts[: len(parts) // 2])
    assert found.records == ()
    assert "failed to prepare" in found.lines[0] and "no memory" in found.lines[1]


def change(head, place, value):
    """Set what stands at a path of keys."""
    *way, last = place
    for key in way:
        head = head[key]
    head[last] = value


FIRST = ("runs", 0, "openings", 0)
WRONG = {
    "no runs": (("runs",), []),
    "a third run": (("runs", 0, "accelerator"), "webnn"),
    "twice the same": (("runs", 0, "accelerator"), "webgpu"),
    "another part": (("more",), 1),
    "another part of a run": (("runs", 0, "more"), 1),
    "more about the phone": (("about", "location"), "here"),
    "a name that is none": (("name",), 3),
    "a truth for a number": (("runs", 0, "batch"), True),
    "no batch": (("runs", 0, "batch"), 0),
    "no clock": (("about", "clock_ms"), 0),
    "a clock of minutes": (("about", "clock_ms"), 6e4),
    "a clock that is no number": (("about", "clock_ms"), float("nan")),
    "a GPU without an adapter": (("about", "adapter"), None),
    "too many lines": (("runs", 0, "console"), ["x"] * 101),
    "too many samples": ((*FIRST, "samples_ns"), list(range(5_000_000, 5_002_100, 100))),
    "no openings": (("runs", 0, "openings"), []),
    "an opening that is none": (FIRST, [1, 2]),
    "samples of text": ((*FIRST, "samples_ns"), ["5000000"] * 20),
    "samples below zero": ((*FIRST, "samples_ns"), [-5] * 20),
    "a sample too large": ((*FIRST, "samples_ns"), [10**30] * 20),
    "longer than the whole": (("runs", 0, "elapsed_ns"), 1000),
    "a window too long": ((*FIRST, "window_ns"), 10**14),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_such_record_is_refused(task, sent, case):
    head = copy.deepcopy(sent[0])
    change(head, *WRONG[case])
    with pytest.raises(DataError):
        phone_records.judge(task, head, sent[1])


@pytest.mark.parametrize(
    "times",
    [[10_000_000] * 20, [9_000_000 + 50_000 * k for k in range(20)], [9_000_000, 11_000_000] * 10],
    ids=["all the same", "evenly rising", "a pattern"],
)
def test_made_up_times_are_refused(task, sent, times):
    head = copy.deepcopy(sent[0])
    for opening in head["runs"][0]["openings"]:
        opening |= {"samples_ns": times, "warm_up_ns": [10_000_000], "window_ns": sum(times) + 1000}
    head["runs"][0]["elapsed_ns"] = 10**11
    with pytest.raises(DataError, match=r"regular|same times"):
        phone_records.judge(task, head, sent[1])


@pytest.mark.parametrize("spoil", [lambda p: p[:-1], lambda p: [*p, b""], lambda p: [p[0][:-1], *p[1:]]])
def test_outputs_of_another_size_are_refused(task, sent, spoil):
    with pytest.raises(DataError, match="size"):
        phone_records.judge(task, sent[0], spoil(sent[1]))


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("Ana", "Ana"), ("../../etc", "etc"), ("<b>$x$</b>", "b x b"), ("a\n\x1b[2Jb", "a 2Jb"),
     ("Ünal-2", "Ünal-2"), ("x" * 1000, "x" * 24), ("...", "")],
)  # fmt: skip
def test_a_name_is_letters_digits_and_hyphens(typed, kept):
    assert phone_records.plain_name(typed) == kept


def test_a_model_with_large_outputs_is_refused(web_files, monkeypatch):
    monkeypatch.setattr(phone_records, "MOST_OUTPUTS_BYTES", 100)
    with pytest.raises(InputError, match="too much"):
        phone_records.task_of(web_files["float32"])
