"""What a board is and how it is doing, asked by a shell script that needs nothing but `sh`.

Sources: `/etc/nv_tegra_release` and `nvpmodel -q` (NVIDIA, Jetson Linux developer guide), `vcgencmd
get_throttled` (Raspberry Pi documentation), `/proc/device-tree/compatible` (devicetree specification, 2.3.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgelab.environment import EDGE_TPU_PCI_ID, EDGE_TPU_USB_IDS
from edgelab.texts import tr

KINDS = {
    "coral": tr("Raspberry Pi or other board with a Coral"),
    "rockchip": tr("Rockchip with NPU"),
    "jetson": tr("NVIDIA Jetson"),
    "arm": tr("Arm Linux"),
    "x86": tr("x86-64 Linux"),
    "android": tr("Android"),
    "other": tr("another system"),
}
# Chips with an NPU that rknn-toolkit2 compiles for, as the device tree calls them.
ROCKCHIP_NPU = re.compile(r"rockchip,(rk3588s?|rk3576|rk3568|rk3566|rk3562|rv110[36]b?|rk2118)\b")
CORALS = {*EDGE_TPU_USB_IDS, EDGE_TPU_PCI_ID, "/dev/apex_0"}
OLDEST, NEWEST = (3, 9), (3, 13)

# Each line of the answer is a name, a tab, a value. It must not fail where a file or a program is missing.
SCRIPT = r"""
say() { printf '%s\t%s\n' "$1" "$2"; }
first() { head -n 1 "$1" 2>/dev/null | tr -d '\000\t'; }
say machine "$(uname -m)"
say system "$(uname -s) $(uname -r)"
say android "$(getprop ro.product.model 2>/dev/null)"
say release "$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' /etc/os-release 2>/dev/null)"
say model "$(first /proc/device-tree/model)"
say compatible "$(tr '\000' ' ' </proc/device-tree/compatible 2>/dev/null)"
say processor "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1)"
say cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null || nproc 2>/dev/null)"
say kernel_arch "$(first /proc/sys/kernel/arch)"
say emulated_cpu "$QEMU_CPU"
say memory_kb "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo 2>/dev/null)"
say memory_free_kb "$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo 2>/dev/null)"
say home "$HOME"
say disk_free_kb "$(df -Pk "$HOME" 2>/dev/null | awk 'NR==2 {print $4}')"
say clock "$(date +%s 2>/dev/null)"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null)"
for python in python3 python3.13 python3.12 python3.11 python3.10 python3.9; do
  version="$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)" &&
    say python "$python $version"
done
for device in /sys/bus/usb/devices/*; do
  [ -r "$device/idVendor" ] && say usb "$(first "$device/idVendor"):$(first "$device/idProduct")"
done
for device in /sys/bus/pci/devices/*; do
  [ -r "$device/vendor" ] && say pci "$(first "$device/vendor"):$(first "$device/device")"
done
for file in /dev/apex_0 /dev/rknpu /dev/dri/renderD129; do [ -e "$file" ] && say node "$file"; done
for library in libedgetpu.so.1 librknnrt.so libnvinfer.so.10 libnvinfer.so.8; do
  for place in /usr/lib /usr/local/lib /lib /usr/lib/aarch64-linux-gnu /usr/lib/x86_64-linux-gnu; do
    [ -e "$place/$library" ] && say library "$place/$library" && break
  done
done
say l4t "$(first /etc/nv_tegra_release)"
say groups "$(id -Gn 2>/dev/null)"
command -v nvpmodel >/dev/null 2>&1 && say power_mode "$(nvpmodel -q 2>/dev/null | tr '\n\t' '  ')"
command -v trtexec >/dev/null 2>&1 && say trtexec "$(command -v trtexec)"
[ -x /usr/src/tensorrt/bin/trtexec ] && say trtexec /usr/src/tensorrt/bin/trtexec
:
"""

STATE_SCRIPT = r"""
say() { printf '%s\t%s\n' "$1" "$2"; }
first() { head -n 1 "$1" 2>/dev/null | tr -d '\000\t'; }
for policy in /sys/devices/system/cpu/cpufreq/policy*; do
  [ -r "$policy/scaling_governor" ] && say governor "$(cat "$policy/scaling_governor")" &&
    say clock_khz "$(first "$policy/scaling_cur_freq") of $(first "$policy/cpuinfo_max_freq")"
done
for zone in /sys/class/thermal/thermal_zone*; do
  [ -r "$zone/temp" ] && say temperature "$(cat "$zone/temp" 2>/dev/null)"
done
for device in /sys/class/devfreq/*; do
  [ -r "$device/cur_freq" ] &&
    say devfreq "${device##*/} $(first "$device/cur_freq") $(first "$device/governor")"
done
for throttle in /sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count; do
  [ -r "$throttle" ] && say throttle_count "$(cat "$throttle")"
done
command -v vcgencmd >/dev/null 2>&1 && say throttled "$(vcgencmd get_throttled 2>/dev/null)"
command -v nvpmodel >/dev/null 2>&1 && say power_mode "$(nvpmodel -q 2>/dev/null | tr '\n\t' '  ')"
say load "$(cut -d' ' -f1 /proc/loadavg 2>/dev/null)"
:
"""
# Raspberry Pi documentation, vcgencmd get_throttled: bits 0-3 now, 16-19 since the start.
THROTTLED_BITS = {
    0: tr("under-voltage"),
    1: tr("clock capped"),
    2: tr("throttled"),
    3: tr("soft temperature limit"),
}


def rows(answer: str) -> list[tuple[str, str]]:
    """Names and values of an answer of one of the scripts, in its order; others' lines are left out."""
    found = (line.partition("\t") for line in answer.splitlines())
    return [(name, value.strip()) for name, tab, value in found if tab and value.strip()]


@dataclass(frozen=True)
class Facts:
    """What a board is.

    Attributes:
        kind: one of `KINDS`.
        device: what it calls itself, or its processor.
        machine: as `uname -m` says, such as "aarch64".
        system, release: kernel and distribution.
        emulated: the emulated processor; "" on a real one.
        cores: of the processor.
        memory_mb, memory_free_mb, disk_free_mb: 0 where it does not say; the disk is the home folder's.
        libc: version of the GNU C library, (0, 0) for another one.
        python: the command of a Python that the kit takes (3.9 to 3.13), else of any Python 3, else "".
        python_version: its version, (0, 0, 0) where there is none.
        l4t: NVIDIA's release of its Linux, "" elsewhere.
        clock: seconds since 1970 by its clock.
        devices: USB and PCI numbers, and device nodes.
        libraries: paths of vendors' runtimes.
        groups: of the account.
        power_mode: as nvpmodel tells.
        trtexec: its path.
    """

    kind: str
    device: str
    machine: str
    system: str
    release: str
    emulated: str
    cores: int
    memory_mb: float
    memory_free_mb: float
    disk_free_mb: float
    libc: tuple[int, int]
    python: str
    python_version: tuple[int, int, int]
    l4t: str
    clock: int
    devices: tuple[str, ...]
    libraries: tuple[str, ...]
    groups: tuple[str, ...]
    power_mode: str
    trtexec: str

    def __str__(self) -> str:
        emulation = " " + tr("(emulated)") if self.emulated else ""
        return f"{self.device}, {KINDS[self.kind]}{emulation}, {self.release or self.system}"


def parse(answer: str) -> Facts:
    """The facts in an answer of `SCRIPT`."""
    listed = rows(answer)
    one: dict[str, str] = {}
    for name, value in listed:
        one.setdefault(name, value)

    def every(*names: str) -> tuple[str, ...]:
        return tuple(value for name, value in listed if name in names)

    def number(name: str) -> int:
        return int(one[name]) if one.get(name, "").isdigit() else 0

    devices = tuple(value.replace("0x", "") for value in every("usb", "pci", "node"))
    machine = one.get("machine", "")
    python, version = _python(every("python"))
    libc = re.search(r"(\d+)\.(\d+)", one.get("libc", ""))
    emulated = _emulated(one, machine)
    device = one.get("android") or one.get("model") or one.get("processor") or machine
    return Facts(
        kind=_kind(one, machine, devices),
        device=tr("emulated {chip}", chip=emulated) if emulated else device or tr("unknown board"),
        machine=machine,
        system=one.get("system", ""),
        release=one.get("release", ""),
        emulated=emulated,
        cores=number("cores"),
        memory_mb=number("memory_kb") / 1024,
        memory_free_mb=number("memory_free_kb") / 1024,
        disk_free_mb=number("disk_free_kb") / 1024,
        libc=(int(libc[1]), int(libc[2])) if libc else (0, 0),
        python=python,
        python_version=version,
        l4t=one.get("l4t", ""),
        clock=number("clock"),
        devices=devices,
        libraries=every("library"),
        groups=tuple(one.get("groups", "").split()),
        power_mode=one.get("power_mode", ""),
        trtexec=one.get("trtexec", ""),
    )


def _emulated(one: dict[str, str], machine: str) -> str:
    """The emulated processor, where the kernel below is another processor's."""
    kernel = one.get("kernel_arch", "")
    arm = ("arm", "aarch64")
    if not kernel or kernel.startswith(arm) == machine.startswith(arm):
        return ""
    chip = one.get("emulated_cpu", "").replace("cortex-", "Cortex-")
    return re.sub(r"-a(\d+)$", r"-A\1", chip) or tr("{here} on {kernel}", here=machine, kernel=kernel)


def _kind(one: dict[str, str], machine: str, devices: tuple[str, ...]) -> str:
    if one.get("android"):
        return "android"
    if one.get("l4t") or "nvidia,tegra" in one.get("compatible", ""):
        return "jetson"
    if ROCKCHIP_NPU.search(one.get("compatible", "")):
        return "rockchip"
    if CORALS & set(devices):
        return "coral"
    if not one.get("system", "").startswith("Linux"):
        return "other"
    return "arm" if machine.startswith(("arm", "aarch64")) else "x86" if machine == "x86_64" else "other"


def _python(found: tuple[str, ...]) -> tuple[str, tuple[int, int, int]]:
    """The first that the kit takes, `python3` before all others; else the first of any version."""
    pythons = []
    for line in found:
        command, _, version = line.partition(" ")
        numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
        if len(numbers) == 3:
            pythons.append((command, numbers))
    fitting = [entry for entry in pythons if OLDEST <= entry[1][:2] <= NEWEST]
    return (fitting or pythons or [("", (0, 0, 0))])[0]


@dataclass(frozen=True)
class State:
    """How a board is doing now.

    Attributes:
        governors: of its groups of cores, each once.
        clocks: "1500000 of 2400000", in kHz, one for each group.
        hottest_celsius: None where it does not say.
        frequencies: of buses, GPU and NPU: "fdab0000.npu 1000000000 rknpu_ondemand", in Hz.
        throttled: why the clock is, or since the start was, held down, a word each.
        throttle_count: how often Intel's processors have throttled since the start; None where not told.
        power_mode: as nvpmodel tells.
        load: mean of the last minute; None where it does not say.
    """

    governors: tuple[str, ...]
    clocks: tuple[str, ...]
    hottest_celsius: float | None
    frequencies: tuple[str, ...]
    throttled: tuple[str, ...]
    throttle_count: int | None
    power_mode: str
    load: float | None

    def __str__(self) -> str:
        parts = [tr("governor {name}", name="/".join(self.governors) or tr("not told"))]
        if self.hottest_celsius is not None:
            parts.append(tr("{degrees:.0f} °C", degrees=self.hottest_celsius))
        if mode := re.search(r"NV Power Mode: *(\S+)", self.power_mode):
            parts.append(tr("power mode {mode}", mode=mode[1]))
        npu = next((row for row in self.frequencies if "npu" in row), "")
        if npu and npu.split()[1].isdigit():
            parts.append(tr("NPU at {mhz:.0f} MHz", mhz=int(npu.split()[1]) / 1e6))
        parts += [tr("throttling: {words}", words=", ".join(self.throttled))] if self.throttled else []
        return ", ".join(parts)


def parse_state(answer: str) -> State:
    """The state in an answer of `STATE_SCRIPT`."""
    listed = rows(answer)

    def every(name: str) -> tuple[str, ...]:
        return tuple(value for found, value in listed if found == name)

    degrees = [int(text) / 1000 for text in every("temperature") if text.lstrip("-").isdigit()]
    counts = [int(text) for text in every("throttle_count") if text.isdigit()]
    load = every("load")
    return State(
        governors=tuple(dict.fromkeys(every("governor"))),
        clocks=every("clock_khz"),
        hottest_celsius=max(degrees) if degrees else None,
        frequencies=every("devfreq"),
        throttled=_throttled(*every("throttled")[:1]),
        throttle_count=sum(counts) if counts else None,
        power_mode="".join(every("power_mode")[:1]),
        load=float(load[0]) if load and re.fullmatch(r"[\d.]+", load[0]) else None,
    )


def _throttled(answer: str = "") -> tuple[str, ...]:
    found = re.search(r"throttled=0x([0-9a-fA-F]+)", answer)
    bits = int(found[1], 16) if found else 0
    now = [words for bit, words in THROTTLED_BITS.items() if bits >> bit & 1]
    earlier = [
        tr("{reason} since the start", reason=words)
        for bit, words in THROTTLED_BITS.items()
        if bits >> (bit + 16) & 1 and not bits >> bit & 1
    ]
    return (*now, *earlier)


def disturbances(before: State, after: State) -> list[str]:
    """What of a board's state speaks against a latency, or must stand beside it, a sentence each."""
    found = []
    if after.throttled:
        found.append(tr("That board is held back: {words}.", words=", ".join(after.throttled)))
    if (after.throttle_count or 0) > (before.throttle_count or 0):
        found.append(tr("That board's processor throttled during the measurement."))
    slow = [name for name in after.governors if name in ("powersave", "ondemand", "conservative")]
    if slow:
        found.append(
            tr(
                "Its governor is {names}: the clock follows the load, with a delay.",
                names=", ".join(slow),
            )
        )
    if before.power_mode != after.power_mode:
        found.append(tr("Its power mode changed during the measurement."))
    return found
