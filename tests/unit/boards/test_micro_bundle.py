"""What goes to a microcontroller: sources that compile, tests, half of their answers, builds."""

import copy
import hashlib
import json
import re
import shutil
import subprocess
import zipfile

import chip_on_host
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from coral_models import SCALE, classifier, detector
from micro_models import installed

from edgelab import __main__ as command_line
from edgelab import graph, targets
from edgelab.boards import bundle, micro_bundle, serial_log
from edgelab.errors import InputError
from edgelab.graph.packing import packed, unpacked


@pytest.fixture(autouse=True)
def own_artifacts(tmp_path, monkeypatch):
    """Bundles are kept where no other test looks."""
    monkeypatch.setenv("EDGELAB_ARTIFACTS", str(tmp_path / "artifacts"))


@pytest.fixture
def int8_file(tmp_path):
    path = tmp_path / "pixels.tflite"
    path.write_bytes(classifier(schema.TensorType.INT8, (SCALE, -128)))
    return path


def files_of(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_it_holds_sources_builds_and_half_of_the_answers(int8_file, tmp_path):
    made = micro_bundle.make(int8_file, tmp_path / "out.zip", name="net", dataset="patterns", count=5, seed=2)
    files = files_of(tmp_path / "out.zip")
    described, key = files.pop("manifest.json"), files.pop("src/bundle_key.h")
    assert made.key == hashlib.sha256(described).hexdigest() and made.key.encode() in key
    named = json.loads(described)["files"]
    assert set(named) == set(files) | {"expected.npz"}, "the answers are at home, and their hash is told"
    assert all(hashlib.sha256(data).hexdigest() == named[name]["sha256"] for name, data in files.items())
    assert {f"src/{name}" for name in ("main.cc", "check.c", "model_data.c", "test_data.c")} <= set(files)
    builds = {"esp-idf/main/idf_component.yml", "pico-sdk/CMakeLists.txt", "stm32/CMakeLists.txt"}
    assert {"README.md", "model.tflite", *builds} <= set(files)
    data = {
        name: bytes(int(byte, 16) for byte in re.findall(r"0x(\w\w)", text))
        for name, text in re.findall(r"test_(\w+)\[\] = \{([^}]*)\}", files["src/test_data.c"].decode())
    }
    known, [answers] = made.manifest["firmware"]["known"], made.expected
    assert known == 3 and data["answers"] == answers[:known].tobytes()
    assert len(data["inputs"]) == 5 * answers[0].nbytes
    everything = b"".join(files.values())
    assert answers[known:].tobytes() not in everything
    for name in ("README.md", "src/main.cc"):
        assert b"RESOLVER\n" not in files[name] and not re.search(rb"\{[a-z_]+\}", files[name])


def test_the_resolver_has_exactly_the_model_s_operators(int8_file, tmp_path):
    micro_bundle.make(int8_file, tmp_path / "out.zip")
    main = files_of(tmp_path / "out.zip")["src/main.cc"].decode()
    assert "MicroMutableOpResolver<1> resolver;" in main
    assert re.findall(r"resolver\.Add(\w+)\(\);", main) == ["Reshape"]


@pytest.mark.slow
def test_the_same_model_gives_the_same_bytes(int8_file, tmp_path):
    keys = [micro_bundle.make(int8_file, tmp_path / f"{n}.zip", seed=n // 2).key for n in range(3)]
    content = [(tmp_path / f"{n}.zip").read_bytes() for n in range(3)]
    assert keys[0] == keys[1] != keys[2] and content[0] == content[1] != content[2]


def test_what_cannot_be_compared_bit_for_bit_is_refused(tmp_path):
    for name, content, words in (
        ("float", classifier(schema.TensorType.FLOAT32, None), "is float32"),
        ("detector", detector(), "is float32"),
    ):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            micro_bundle.make(path, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_an_operator_of_one_s_own_is_refused(int8_file, tmp_path):
    from edgetpu_models import as_compiled

    int8_file.write_bytes(as_compiled(int8_file.read_bytes(), 1))
    with pytest.raises(InputError, match="does not know"):
        micro_bundle.make(int8_file, tmp_path / "out.zip")


def test_a_model_that_keeps_a_state_is_refused(int8_file, tmp_path):
    """The firmware repeats its run: the second would begin where the first has ended."""
    model = unpacked(int8_file.read_bytes())
    state = copy.deepcopy(model.subgraphs[0].tensors[0])
    state.name, state.isVariable = b"state", True
    model.subgraphs[0].tensors.append(state)
    int8_file.write_bytes(packed(model))
    with pytest.raises(InputError, match="keeps a state") as refusal:
        micro_bundle.make(int8_file, tmp_path / "out.zip")
    assert "repeats its tests" in refusal.value.why and not (tmp_path / "out.zip").exists()


def test_without_the_interpreter_reference_kernels_answer_and_a_step_is_allowed(
    int8_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("edgelab.targets.micro.session.runtime_version", lambda: "")
    made = micro_bundle.make(int8_file, tmp_path / "out.zip")
    assert made.manifest["agreement"] == {"steps": 1}
    assert made.manifest["firmware"]["arena_from"] == "estimated"
    assert made.manifest["firmware"]["arena_bytes"] > graph.read(int8_file).peak_activation_bytes
    assert made.manifest["expected_by"]["runtime"].startswith("LiteRT")
    assert b"(estimated)" in files_of(tmp_path / "out.zip")["README.md"]


@chip_on_host.compiles
@pytest.mark.slow
@installed
@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_the_firmware_s_own_code_tells_bit_for_bit(kind, board_files, tmp_path, capsys):
    """check.c and the data compile without a warning, and their log of TFLM's outputs is right."""
    out = tmp_path / "out.zip"
    command = ["bundle", str(board_files[kind]), str(out), "--microcontroller", "--count", "6"]
    assert command_line.main(command) == 0
    src = chip_on_host.unpacked(out, tmp_path / "unpacked")
    for language in ("-std=c11", "-std=c99"):
        subprocess.run(["gcc", language, *chip_on_host.STRICT, "-c", "check.c"], cwd=src, check=True)
    if shutil.which("g++"):  # main.cc includes these
        (src / "headers.cc").write_text(
            '#include "check.h"\n#include "model_data.h"\n#include "test_data.h"\n'
        )
        subprocess.run(["g++", "-std=c++17", *chip_on_host.STRICT, "-c", "headers.cc"], cwd=src, check=True)
    with targets.get("micro").open(board_files[kind]) as session:
        tests = bundle.inputs_for(session.inputs, None, 6, 0)
        outputs = [session.run(one) for one in tests[0]]
    arrays = [np.stack([row[place] for row in outputs]) for place in range(len(outputs[0]))]
    log, handed, wrong = chip_on_host.run(src, chip_on_host.in_order(arrays))
    assert wrong == 0 and handed == tests[0].tobytes()
    path = tmp_path / "serial.log"
    path.write_bytes(log)
    capsys.readouterr()
    assert command_line.main(["collect", str(path)]) == 0
    assert "6 of 6 test inputs" in capsys.readouterr().out
    found = serial_log.collect(path)
    assert found.bit_for_bit and not found.fault and found.runs[0].ticks == (1000,) * 6
    arrays[0][4, 0, 0] ^= 1  # one bit of one output, of which the bundle has no answer
    log, _, wrong = chip_on_host.run(src, chip_on_host.in_order(arrays))
    assert wrong == 0
    path.write_bytes(log)
    assert command_line.main(["collect", str(path)]) == 1
    assert "5 of 6 test inputs" in capsys.readouterr().out


def test_a_compiled_model_and_firmware_exclude_each_other(int8_file, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command_line.main(["bundle", str(int8_file), "out.zip", "--microcontroller", "--compiled", "x"])
    assert "not allowed with" in capsys.readouterr().err
