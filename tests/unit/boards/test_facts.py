"""What boards of each kind are recognized by: texts of their own files; no such board was asked here."""

import subprocess

import pytest

from edgelab.boards import adb, facts, health, registry
from edgelab.environment import MISSING, OK, WARNING
from edgelab.errors import InputError, TargetError

PI = """machine\taarch64
system\tLinux 6.12.25+rpt-rpi-2712
release\tDebian GNU/Linux 12 (bookworm)
model\tRaspberry Pi 5 Model B Rev 1.0
compatible\traspberrypi,5-model-b brcm,bcm2712
cores\t4
kernel_arch\taarch64
memory_kb\t8254464
memory_free_kb\t7000000
disk_free_kb\t20000000
libc\tglibc 2.36
python\tpython3 3.11.2
"""
CORAL = PI + "usb\t1d6b:0003\nusb\t1a6e:089a\ngroups\tpi plugdev\n"
ROCK = PI.replace("raspberrypi,5-model-b brcm,bcm2712", "radxa,rock-5b rockchip,rk3588").replace(
    "Raspberry Pi 5 Model B Rev 1.0", "Radxa ROCK 5B"
)
JETSON = PI.replace("raspberrypi,5-model-b brcm,bcm2712", "nvidia,p3768-0000+p3767-0005 nvidia,tegra234") + (
    "l4t\t# R36 (release), REVISION: 4.3\npower_mode\tNV Power Mode: 15W 0\n"
    "library\t/usr/lib/aarch64-linux-gnu/libnvinfer.so.10\n"
)
LIBRARY = "library\t/usr/lib/libedgetpu.so.1\n"
PHONE = "machine\taarch64\nsystem\tLinux 5.15\nandroid\tPixel 8\n"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (PI, "arm"),
        (CORAL, "coral"),
        (PI + "pci\t0x1ac1:0x089a\n", "coral"),
        (ROCK, "rockchip"),
        (ROCK.replace("rk3588", "rk3399"), "arm"),  # has no NPU
        (JETSON, "jetson"),
        (PHONE, "android"),
        ("machine\tx86_64\nsystem\tLinux 6.1\n", "x86"),
        ("machine\tarm64\nsystem\tDarwin 24\n", "other"),
        ("", "other"),
    ],
)
def test_a_board_is_known_by_what_its_system_says(answer, kind):
    found = facts.parse(answer)
    assert found.kind == kind and not found.emulated
    assert str(found)


def test_the_kits_python_is_chosen_before_others():
    found = facts.parse("python\tpython3 3.14.0\npython\tpython3.12 3.12.3\npython\tpython3.9 3.9.2\n")
    assert (found.python, found.python_version) == ("python3.12", (3, 12, 3))
    assert facts.parse("python\tpython3 3.6.9\n").python_version == (3, 6, 9)


def test_an_emulation_is_known_by_the_kernel_below():
    answer = PI.replace("kernel_arch\taarch64", "kernel_arch\tx86_64")
    assert facts.parse(answer).emulated == "aarch64 on x86_64"
    found = facts.parse(answer + "emulated_cpu\tcortex-a76\n")
    assert found.emulated == "Cortex-A76" and found.device == "emulated Cortex-A76"
    assert not facts.parse(PI.replace("machine\taarch64", "machine\tarmv7l")).emulated  # 32 bits on 64


def asked(answer, state="", kit=None):
    found = facts.parse(answer)
    return health.report(health.Asked(found, facts.parse_state(state), kit, 0.05, "pi@board"), "pi")


@pytest.mark.parametrize(
    ("answer", "row", "status", "fix"),
    [
        (CORAL, "Coral Edge TPU", MISSING, "libedgetpu"),
        (CORAL + LIBRARY, "Coral Edge TPU", OK, ""),
        (CORAL.replace("plugdev", "users") + LIBRARY, "Coral Edge TPU", WARNING, "plugdev"),
        (ROCK, "Rockchip NPU", MISSING, "librknnrt.so"),
        (JETSON, "TensorRT", OK, ""),
        (JETSON.replace("libnvinfer", "libother"), "TensorRT", MISSING, "nvidia-jetpack"),
        (PI, "Accelerator", MISSING, "lsusb"),
        (PI, "Board kit", MISSING, "board check pi --install"),
        (PI, "Clock", WARNING, "set-ntp"),
        (PI.replace("20000000", "90000"), "Card", WARNING, "apt clean"),
        (PI.replace("3.11.2", "3.14.0"), "Python", WARNING, "3.12"),
        (PI.replace("python\tpython3 3.11.2\n", ""), "Python", MISSING, "apt install python3"),
        (PI.replace("machine\taarch64", "machine\tarmv7l"), "System", WARNING, "64-bit"),
    ],
)  # fmt: skip
def test_the_report_has_the_fix_for_that_board(answer, row, status, fix):
    finding = asked(answer)[row]
    assert finding.status == status and fix in finding.fix


def test_what_holds_a_board_back_is_told():
    state = "governor\tondemand\ntemperature\t61000\ntemperature\t48000\nthrottled\tthrottled=0x50005\n"
    found = facts.parse_state(state)
    assert found.hottest_celsius == 61 and found.throttled[:2] == ("under-voltage", "throttled")
    told = facts.disturbances(found, found)
    assert any("under-voltage" in line for line in told) and any("ondemand" in line for line in told)
    calm = facts.parse_state("governor\tperformance\nthrottled\tthrottled=0x0\nthrottle_count\t3\n")
    assert not facts.disturbances(calm, calm)
    hotter = facts.parse_state("governor\tperformance\nthrottle_count\t5\n")
    assert "throttled during" in facts.disturbances(calm, hotter)[0]
    assert asked(PI, state)["State"].status == WARNING
    assert "NPU at 1000 MHz" in str(facts.parse_state("devfreq\tfdab0000.npu 1000000000 rknpu_ondemand\n"))
    earlier = facts.parse_state("throttled\tthrottled=0x10000\n").throttled
    assert earlier == ("under-voltage since the start",)


@pytest.mark.slow
@pytest.mark.parametrize("script", [facts.SCRIPT, facts.STATE_SCRIPT])
def test_the_scripts_run_in_a_plain_shell_and_never_fail(script):
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and facts.rows(done.stdout)


def test_boards_are_kept_by_name_and_no_password_is(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGELAB_CONFIG", str(tmp_path / "configuration"))
    assert registry.boards() == {}
    registry.put(registry.checked("pi", "pi@raspberrypi.local:2222"))
    assert registry.get("pi").address == ("pi@raspberrypi.local", 2222)
    assert registry.checked("six", "pi@[fe80::1%eth0]:22").address == ("pi@fe80::1%eth0", 22)
    with pytest.raises(InputError, match="No board is called 'jetson'"):
        registry.get("jetson")
    with pytest.raises(InputError, match="no name for a board"):
        registry.checked("a b", "pi@x")
    assert "password" not in (tmp_path / "configuration" / "boards.json").read_text()
    registry.remove("pi")
    assert registry.boards() == {}


def test_without_adb_the_fix_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TargetError, match="adb is not installed") as told:
        adb.facts_of(registry.checked("phone", "adb:R5CT"))
    assert "apt install adb" in told.value.fix
