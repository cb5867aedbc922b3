"""The sandbox's walls."""

import re
from pathlib import Path

import pytest

from edgelab.grading import grade as grading

protected = pytest.mark.skipif(
    bool(grading.missing_protection()), reason=f"cannot lock code in: {grading.missing_protection()}"
)


@protected
@pytest.mark.parametrize(
    ("processor", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_system_calls_are_numbered_as_in_the_kernels_own_headers(processor, header):
    from edgelab.grading import lockdown

    if not Path(header).exists():
        pytest.skip("the kernel's headers are not installed")
    pattern = re.compile(r"#define __NR(?:3264)?_(\w+)\s+(\d+)")
    numbers = {name: int(number) for name, number in pattern.findall(Path(header).read_text())}
    numbers.setdefault("newfstatat", numbers.get("fstatat"))
    known = {name: numbers[name] for name in lockdown.CALLS[processor]}
    assert known == lockdown.CALLS[processor]
    assert not {"socket", "connect", "execve", "fork", "kill", "ptrace", "unlinkat"} & known.keys()
