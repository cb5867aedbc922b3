"""What comes back from a board is recorded once, if it is of a known bundle, right, and measured."""

import base64
import copy
import json
import statistics
import zlib

import numpy as np
import pytest

from edgelab import __main__ as command_line
from edgelab import results
from edgelab.boards import bundle
from edgelab.boards.collect import collect
from edgelab.errors import DataError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_store")]


@pytest.fixture
def written(brought_back, tmp_path):
    """Writes the results of a real run, changed by a function, and gives the file."""

    def write(change=lambda found: None):
        found = json.loads(brought_back[2])
        change(found)
        path = tmp_path / "results.json"
        path.write_text(json.dumps(found), "utf-8")
        return path

    return write


def test_real_results_are_recorded_once(written):
    path = written()
    found = collect(path)
    assert found.is_new and not found.fault and found.same_largest == 1.0
    frame = results.load()
    assert list(frame["metric"])[:2] == ["latency", "throughput"] and set(frame["provenance"]) == {"measured"}
    latency = frame.iloc[0]
    assert (latency["device"], latency["target"], latency["dataset"]) == ("Testbrett 1", "cpu", "patterns")
    assert latency["low"] <= latency["value"] <= latency["high"] and latency["runtime_version"].startswith(
        "LiteRT "
    )
    assert found.bundle.key[:12] in latency["source"]
    assert "measured there" in str(found) and str(found).endswith("recorded")
    again = collect(path)
    assert not again.is_new and "recorded before" in str(again) and len(results.load()) == len(frame)
    assert "Testbrett 1" in str(results.comparison_table())


def test_the_value_is_that_of_the_samples(written, brought_back):
    timing = json.loads(brought_back[2])["timing"]
    medians = [np.median(one["samples_ns"]) / 1e6 for one in timing["openings"]]
    latency = collect(written()).records[0]
    assert latency.value == pytest.approx(statistics.geometric_mean(medians))
    assert latency.samples.n == sum(len(one["samples_ns"]) for one in timing["openings"])


RAIL = "the board's power sensor, rail VDD_IN"


def used(watts, counter=RAIL):
    """Changes each opening's energy to so much power, by such a counter."""

    def change(file):
        for one in file["timing"]["openings"]:
            one.update(energy_mj=watts * one["window_ns"] / 1e6, counter=counter)

    return change


def test_energy_by_a_counter_of_the_board_is_recorded_with_its_rail(written):
    found = collect(written(used(2.5)))
    energy = found.records[2]
    assert (energy.metric, energy.unit, energy.provenance) == ("energy", "mJ", "measured")
    assert energy.source.endswith(f"; energy: {RAIL}") and f"mJ per run, measured there: {RAIL}" in str(found)
    runs = json.loads(found.path.read_text("utf-8"))["timing"]["openings"]
    mean_ms = sum(one["window_ns"] for one in runs) / sum(len(one["samples_ns"]) for one in runs) / 1e6
    assert energy.value == pytest.approx(2.5 * mean_ms) and energy.samples is None
    assert list(results.load()["metric"]) == ["latency", "throughput", "energy"]


@pytest.mark.parametrize(
    "change",
    [
        used(0),  # a counter that stands still: a zero would win every comparison
        used(-1),
        used(50_000),
        used(2, counter=None),
        lambda file: file["timing"]["openings"][0].update(energy_mj=None),
        lambda file: (used(2)(file), file["timing"]["openings"][0].update(counter="another")),
    ],
)
def test_what_no_counter_can_have_shown_is_no_energy_and_costs_no_latency(change, written):
    found = collect(written(change))
    assert [record.metric for record in found.records] == ["latency", "throughput"]


def packed(array):
    data = base64.b64encode(zlib.compress(array.tobytes())).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


def test_wrong_outputs_get_no_latency(written, brought_back):
    [expected] = brought_back[0].expected
    wrong = {
        "others": np.roll(expected, 3, axis=-1),
        "zeros": np.zeros_like(expected),
        "another type": expected.astype(np.int16),
        "fewer": expected[:4],
    }
    for name, array in wrong.items():
        found = collect(written(lambda file, array=array: file.update(outputs=[packed(array)])))
        assert "a wrong answer has no speed" in found.fault and not found.records, name
        assert "no latency is recorded" in str(found)
    assert results.load().empty


def test_outputs_a_step_apart_are_told_and_recorded(written, brought_back):
    near = brought_back[0].expected[0].copy()
    near[0, 0, 0] += 1 if near[0, 0, 0] < 127 else -1
    found = collect(written(lambda file: file.update(outputs=[packed(near)])))
    assert found.outputs[0]["steps"] == 1 and "at most 1 step(s) apart" in str(found) and found.is_new


def made_up(file):
    for one in file["timing"]["openings"]:
        one["samples_ns"] = [1_000_000] * len(one["samples_ns"])
        one["window_ns"] = sum(one["samples_ns"]) + 1000
    file["timing"]["elapsed_ns"] = 10**12


def faster(file):
    for one in file["timing"]["openings"]:
        one["samples_ns"] = [run // 10 + 1 for run in one["samples_ns"]]


def longer(file):
    file["timing"]["elapsed_ns"] = sum(one["window_ns"] for one in file["timing"]["openings"]) // 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (made_up, "too regular"),
        (faster, "less than half of the time"),
        (longer, "longer than the whole measurement"),
        (lambda file: file["timing"]["openings"].pop(), "samples are missing"),
        (lambda file: file["timing"].pop("openings"), "samples are missing"),
        (lambda file: file["timing"]["openings"][0].update(samples_ns=[]), "samples are missing"),
        (lambda file: file["timing"]["openings"].__setitem__(2, file["timing"]["openings"][0]), "same times"),
        (lambda file: file.update(timing=None), "nothing was timed"),
        (lambda file: file["device"].update(emulated="Cortex-A76"), "emulation"),
        (lambda file: file["device"].update(name=" \n"), "does not say what it ran on"),
    ],
)
def test_what_was_not_measured_is_never_recorded(change, words, written):
    found = collect(written(change))
    assert words in found.fault and not found.records and not found.is_new
    assert results.load().empty


def test_results_of_another_bundle_are_refused(written, brought_back, board_files, tmp_path):
    path = written(lambda file: file.update(bundle="0" * 64))
    with pytest.raises(DataError, match="no bundle that was made here") as refused:
        collect(path)
    assert "--bundle" in refused.value.fix
    other = bundle.make(board_files["float32"], tmp_path / "other.zip", count=2)
    with pytest.raises(DataError, match="belongs to another bundle"):
        collect(written(), sent=tmp_path / "other.zip")
    found = collect(written(lambda file: file.update(bundle=other.key)))  # its outputs are another model's
    assert found.fault and results.load().empty


def test_another_computer_collects_with_the_zip(written, brought_back, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match="no bundle that was made here"):
        collect(written())
    assert collect(written(), sent=brought_back[1]).is_new


def test_a_name_of_many_lines_becomes_one(written):
    found = collect(written(lambda file: file["device"].update(name="Brett\n\x1b[31m ä" + "x" * 500)))
    assert found.device.startswith("Brett [31m ä") and len(found.device) <= 120


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        '{"format": NaN}',
        "[" * 100_000,
        "\x00\xff",
        '{"format": "edgelab-results 1"}',
    ],
)
def test_what_is_no_file_of_results_is_refused(text, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match="cannot be read") as refused:
        collect(path)
    assert "run.py" in refused.value.fix


def test_a_truncated_or_a_newer_file_is_refused(written, brought_back):
    path = written()
    whole = path.read_text("utf-8")
    for share in (0.1, 0.5, 0.99):
        path.write_text(whole[: int(share * len(whole))], "utf-8")
        with pytest.raises(DataError, match="cannot be read"):
            collect(path)
    with pytest.raises(DataError, match="another version"):
        collect(written(lambda file: file.update(format="edgelab-results 2")))
    with pytest.raises(DataError, match="cannot be read"):
        collect(path.with_name("nothing.json"))


def test_outputs_larger_than_they_can_be_are_not_unpacked(written):
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    with pytest.raises(DataError, match="cannot be read"):
        collect(written(lambda file: file["outputs"][0].update(shape=[50_000_000], data=bomb)))


def places(found, path=()):
    """The way to each value in the file; of long lists to the first."""
    items = (
        found.items() if isinstance(found, dict) else enumerate(found[:1]) if isinstance(found, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


# What no judgement rests on, or is as good with another value: texts, and what the timings do not depend on.
HARMLESS = {
    "state", "clock_resolution_ns", "threads", "name", "version", "target", "other_cores", "delegate", "file",
    "machine", "system", "processor", "cores", "python", "numpy", "delegate_options", "no_timing_because",
    "opening_ns", "elapsed_ns", "emulated", "energy_mj", "counter", 0,
}  # fmt: skip
ODD = [None, "x", -1, 0, 1.5, [], {}, [[]], 10**400, True, ["x"], {"x": 1}]


def test_no_odd_value_anywhere_ends_in_anything_but_a_refusal(brought_back, tmp_path):
    whole = json.loads(brought_back[2])
    path = tmp_path / "results.json"
    for way in places(whole):
        for odd in ODD:
            found = copy.deepcopy(whole)
            inner = found
            for key in way[:-1]:
                inner = inner[key]
            inner[way[-1]] = odd
            path.write_text(json.dumps(found), "utf-8")
            try:
                judged = collect(path)
            except DataError:
                continue
            assert judged.fault or way[-1] in HARMLESS or way[0] in HARMLESS, (way, odd)


def test_the_command_judges_each_file_and_tells_by_its_code(written, brought_back, tmp_path, capsys):
    good = tmp_path / "gut gemessen.json"
    good.write_text(brought_back[2], "utf-8")
    assert command_line.main(["collect", str(good)]) == 0
    bad = written(made_up)
    assert command_line.main(["collect", str(good), str(bad), str(tmp_path / "nothing.json")]) == 1
    shown = capsys.readouterr()
    assert "recorded before" in shown.out and "too regular" in shown.out and "nothing.json" in shown.err
    assert command_line.main(["collect", str(good), "--bundle", str(brought_back[1])]) == 0
