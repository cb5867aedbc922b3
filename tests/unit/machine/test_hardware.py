"""The machine in words."""

import sys

import pytest

from edgelab.machine import hardware


def test_the_machine_in_one_line_names_cores_and_system():
    assert "logical cores" in hardware.description() and "\n" not in hardware.description()


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's list")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 amx_fp16", ("AVX-512 BF16", "AMX FP16")),
        ("Features\t: fp asimd asimdhp asimddp", ("NEON FP16",)),
        ("flags\t\t: fpu avx2", ()),
        ("model name\t: tells no flags", None),
    ],
)
def test_sixteen_bit_arithmetic_is_what_the_processor_lists(tmp_path, monkeypatch, line, expected):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(f"processor\t: 0\n{line}\n", encoding="utf-8")
    monkeypatch.setattr(hardware, "ROOT", tmp_path)
    assert hardware.sixteen_bit_sets() == expected
