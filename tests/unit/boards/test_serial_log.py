"""A chip's log is judged by its own bytes; one that is cut, garbled or made up is refused."""

import re
import zlib

import chip_on_host
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from coral_models import SCALE, classifier

from edgelab import __main__ as command_line
from edgelab.boards import micro_bundle, serial_log
from edgelab.errors import DataError

pytestmark = chip_on_host.compiles
COUNT, KNOWN = 4, 2


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    """A bundle, its firmware built for this computer, and the folder where the answers are kept."""
    folder = tmp_path_factory.mktemp("chip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGELAB_ARTIFACTS", str(folder / "artifacts"))
        (folder / "pixels.tflite").write_bytes(classifier(schema.TensorType.INT8, (SCALE, -128)))
        made = micro_bundle.make(folder / "pixels.tflite", folder / "out.zip", count=COUNT)
    return made, chip_on_host.unpacked(folder / "out.zip", folder / "unpacked"), folder / "artifacts"


@pytest.fixture
def log(firmware):
    """What the chip writes of right outputs, in two runs."""
    made, src, _ = firmware
    return chip_on_host.run(src, chip_on_host.in_order(made.expected), 2)[0]


@pytest.fixture
def one(firmware):
    """One run, as lines without mark and checksum, for a forger."""
    made, src, _ = firmware
    said = chip_on_host.run(src, chip_on_host.in_order(made.expected))[0].decode()
    return re.findall(r"EL1 (.*) \*\w{8}\n", said)


@pytest.fixture
def judge(firmware, tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(firmware[2]))

    def judged(content: bytes):
        (tmp_path / "serial.log").write_bytes(content)
        return serial_log.collect(tmp_path / "serial.log")

    return judged


def signed(said):
    """Lines with checksums that fit, as a forger would write them."""
    return "".join(f"EL1 {line} *{zlib.crc32(line.encode()):08x}\n" for line in said).encode()


def outputs_of(line):
    return bytes.fromhex(line.rsplit(" ", 1)[1])


def test_a_right_log_is_right(judge, log, firmware):
    found = judge(log)
    assert found.bit_for_bit and not found.fault and len(found.runs) == 2 and found.right == COUNT
    last = found.runs[-1]
    assert last.ticks == (1000,) * COUNT, "over the end of the clock's 32 bits, too"
    assert last.arena_used_bytes == 0 and last.arena_bytes == firmware[0].manifest["firmware"]["arena_bytes"]
    assert np.array_equal(last.outputs[0], firmware[0].expected[0])
    assert "bit for bit" in str(found) and found.latency_ms is None
    assert "clock" not in str(found) and "arena" not in str(found), "a computer has neither"


def test_time_and_arena_are_those_that_the_chip_tells(judge, one):
    told = [line.replace("ticks 0", "ticks 2000000").replace("arena 0", "arena 4321") for line in one]
    found = judge(signed(told))
    assert found.latency_ms == 0.5 and "0.500 ms an inference, by the chip's own clock; not" in str(found)
    assert found.runs[0].arena_used_bytes == 4321 and "arena: 4,321 of " in str(found)


@pytest.mark.parametrize("what", ["noise", "timestamps", "utf-16", "copied", "a late start", "a cut end"])
def test_what_a_terminal_does_to_a_log_is_forgiven(what, judge, log):
    lines = log.splitlines(keepends=True)
    changed = {
        "noise": b"I (31) boot: ESP-IDF v5.4\r\n\x1b[0;32m\n" + b"I (99) heap\n".join(lines) + b"\xff\xfe\n",
        "timestamps": b"".join(b"[07:00:01.250] " + line[:-1] + b"\r\n" for line in lines),
        "utf-16": b"\xff\xfe" + log.decode().encode("utf-16-le"),
        "copied": log.rstrip(),
        "a late start": log[len(log) // 5 :],
        "a cut end": log[: -len(log) // 5],
    }[what]
    found = judge(changed)
    assert found.bit_for_bit and not found.fault and len(found.runs) == (1 if what.startswith("a ") else 2)


def test_a_log_without_a_whole_run_is_refused_with_the_reason(judge, log):
    half = log[: len(log) // 2]
    for content, words in (
        (half[: len(half) * 3 // 4], "ends in the middle"),
        (half[:-2], "ends in the middle"),
        (half[len(half) // 4 :], "no line tells that a run begins"),
        (half.replace(b"test 1 ticks", b"test 1 tic"), "is garbled"),
        (b"".join(line for line in half.splitlines(True) if b"EL1 out 2 0 64 " not in line), "missing"),
        (b"Hello, world\n" * 9, "no line tells"),
        (b"", "no line tells"),
    ):
        with pytest.raises(DataError, match="holds no whole run") as refused:
            judge(content)
        assert words in refused.value.why and refused.value.fix


def test_no_changed_byte_changes_what_is_judged(judge, log, firmware):
    """Each is refused, or stood where it says nothing."""
    half, rng, refused = bytearray(log[: len(log) // 2]), np.random.default_rng(0), 0
    for place in rng.choice(len(half), 150, replace=False):
        changed = half.copy()
        changed[place] ^= int(rng.integers(1, 256))
        try:
            found = judge(bytes(changed))
        except DataError:
            refused += 1
        else:
            assert found.bit_for_bit and np.array_equal(found.runs[0].outputs[0], firmware[0].expected[0])
    assert refused > 130


def test_lines_twice_or_out_of_order_are_refused(judge, one):
    place = next(number for number, line in enumerate(one) if line.startswith("out 1 "))
    for said in (
        [*one[:place], one[place], *one[place:]],
        [*one[:place], one[place + 1], one[place], *one[place + 2 :]],
        [*one[:-1], *one[2:]],
    ):
        with pytest.raises(DataError, match="no whole run"):
            judge(signed(said))


def test_a_wrong_bit_is_found_where_the_answer_was_sent_and_where_it_was_not(judge, firmware):
    made, src, _ = firmware
    for test, told in ((0, 1), (COUNT - 1, 0)):
        arrays = [made.expected[0].copy()]
        arrays[0][test, 0, 7] ^= 1
        written, _, wrong = chip_on_host.run(src, chip_on_host.in_order(arrays))
        found = judge(written)
        assert wrong == told and found.right == COUNT - 1 and not found.bit_for_bit
        assert found.fault == "the outputs are not those that are kept here"
        assert "wrong: " in str(found) and found.outputs[0]["steps"] == 1


def test_a_log_that_was_made_up_is_refused(judge, one):
    """Checksums are right in all of these."""
    spoilt = re.sub("[0-9a-f]{2}$", lambda m: f"{int(m[0], 16) ^ 255:02x}", one[3])
    for said, words in (
        ([*one[:3], spoilt, *one[4:]], "the sum of all outputs"),
        ([re.sub("^(test 0 .*)yes", r"\1no", line) for line in one], "is 'yes' by its own bytes"),
        ([line.replace("unknown", "yes") for line in one], "is 'unknown' by its own bytes"),
        ([re.sub(r"arena \d+ of", "arena 99999999 of", line) for line in one], "cannot have"),
        ([line.replace(f"tests {COUNT}", "tests 2") for line in one], "out of its place"),
    ):
        with pytest.raises(DataError) as refused:
            judge(signed(said))
        assert words in refused.value.why, refused.value


def test_answers_copied_out_of_the_bundle_do_not_make_a_log(judge, firmware):
    made, src, _ = firmware
    copied = made.expected[0].copy()
    copied[KNOWN:] = copied[:KNOWN]  # what a forger has
    found = judge(chip_on_host.run(src, chip_on_host.in_order([copied]))[0])
    assert found.right == KNOWN and "were they copied?" in found.fault


def test_runs_that_differ_are_a_fault(judge, log, firmware):
    made, src, _ = firmware
    arrays = [made.expected[0].copy()]
    arrays[0][1, 0, 0] ^= 4
    found = judge(chip_on_host.run(src, chip_on_host.in_order(arrays))[0] + log)
    assert found.right == COUNT and "two runs of the same inputs" in found.fault


def test_what_stopped_the_firmware_is_told(judge, firmware):
    made, src, _ = firmware
    content = chip_on_host.in_order(made.expected)
    for outputs, words in (
        (None, "arena is too small"),
        (content[:200], "stopped in the middle of an inference"),
    ):
        with pytest.raises(DataError) as refused:
            judge(chip_on_host.run(src, outputs)[0])
        assert words in refused.value.why


def test_another_bundle_s_log_is_refused(judge, one):
    with pytest.raises(DataError, match="belongs to no bundle") as refused:
        judge(signed([one[0].replace(one[0].split()[1], "ab" * 32), *one[1:]]))
    assert "only there" in refused.value.fix
    with pytest.raises(DataError) as refused:
        judge(signed([*one, one[0].replace(one[0].split()[1], "ab" * 32)]))
    assert "of 2 bundles" in refused.value.why


def test_the_command_tells_a_log_from_results(judge, log, tmp_path, capsys):
    judge(log)
    path = tmp_path / "serial.log"
    assert command_line.main(["collect", str(path)]) == 0 and "4 of 4" in capsys.readouterr().out
    path.write_bytes(b'{"format": "edgelab-results 1", "device": "EL1 board"}')
    assert command_line.main(["collect", str(path)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert not serial_log.is_serial_log(tmp_path / "nothing")
