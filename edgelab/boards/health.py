"""What `board check` tells: a board's findings, as `make check` tells this computer's, and its own fixes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgelab.boards import facts
from edgelab.environment import MISSING, OK, WARNING, Finding, Report
from edgelab.texts import tr

LEAST_DISK_MB, LEAST_MEMORY_MB = 400, 200
LARGEST_CLOCK_S, SLOW_LINK_S = 120, 0.3
HOT_CELSIUS = 75


@dataclass(frozen=True)
class Asked:
    """What a board answered.

    Attributes:
        facts: what it is.
        state: how it is doing.
        kit: what its kit holds; None without one.
        round_trip_s: of one small command over the open link.
        destination: where it is reached.
    """

    facts: facts.Facts
    state: facts.State
    kit: dict[str, str] | None
    round_trip_s: float
    destination: str


def report(asked: Asked, name: str) -> Report:
    """All findings about a board, in a fixed order."""
    found = asked.facts
    rows = [
        _link(asked),
        Finding(tr("Board"), OK, str(found), tr("decides which accelerator and which files it takes")),
        _system(found),
        _memory(found),
        _disk(found),
        _clock(found),
        _python(found),
        _kit(asked, name),
        *_accelerator(found),
        _calm(asked),
    ]
    return Report(tuple(rows))


def needed(asked: Asked, name: str, target: str) -> tuple[Finding, ...]:
    """What a board must have to run models of a target: the board, its Python, the kit, the device.

    Args:
        asked: what it answered.
        name: of the board.
        target: "cpu", "edgetpu" or "rknn".
    """
    found = asked.facts
    board = Finding(tr("Board"), OK, str(found), tr("decides which accelerator and which files it takes"))
    finders = {"edgetpu": _coral, "rknn": _rockchip}
    device = (finders[target](found),) if target in finders else ()
    return (board, _python(found), _kit(asked, name), *device)


def _link(asked: Asked) -> Finding:
    detail = tr("{place}, {ms:.0f} ms a command", place=asked.destination, ms=1e3 * asked.round_trip_s)
    why = tr("models and results go over it; latencies are read on the board, without it")
    if asked.round_trip_s > SLOW_LINK_S:
        return Finding(
            tr("Link"), WARNING, detail, why, tr("use a cable; copies will take longer, latencies will not")
        )
    return Finding(tr("Link"), OK, detail, why)


def _system(found: facts.Facts) -> Finding:
    detail = tr("{system} on {machine}", system=found.release or found.system, machine=found.machine)
    why = tr("runtimes are built per processor and C library")
    if found.kind == "android":
        fix = tr("chapter 15 makes the app that measures on a phone")
        return Finding(tr("System"), WARNING, detail, why, fix)
    if found.machine.startswith(("armv6", "armv7", "i686")):
        fix = tr("install the 64-bit system: no current runtime has 32-bit wheels")
        return Finding(tr("System"), WARNING, detail, why, fix)
    return Finding(tr("System"), OK, detail, why)


def _memory(found: facts.Facts) -> Finding:
    detail = tr("{free:.0f} of {total:.0f} MB free", free=found.memory_free_mb, total=found.memory_mb)
    why = tr("model, inputs and outputs are held in it")
    if 0 < found.memory_free_mb < LEAST_MEMORY_MB:
        fix = tr("stop the desktop for the measurement: sudo systemctl isolate multi-user.target")
        return Finding(tr("Memory"), WARNING, detail, why, fix)
    return Finding(tr("Memory"), OK, detail, why)


def _disk(found: facts.Facts) -> Finding:
    detail = tr("{free:.0f} MB free in the home folder", free=found.disk_free_mb)
    why = tr("the kit takes about 250 MB while it is set up")
    if found.disk_free_mb < LEAST_DISK_MB:
        fix = tr("sudo apt clean; du -xh ~ | sort -h | tail; or a larger card")
        return Finding(tr("Card"), WARNING, detail, why, fix)
    return Finding(tr("Card"), OK, detail, why)


def _clock(found: facts.Facts) -> Finding:
    apart = found.clock - time.time()
    why = tr("boards without a battery start in the past, and refuse certificates of today")
    if not found.clock or abs(apart) > LARGEST_CLOCK_S:
        detail = (
            tr("{seconds:+,.0f} s from this computer's", seconds=apart) if found.clock else tr("not told")
        )
        return Finding(tr("Clock"), WARNING, detail, why, tr("sudo timedatectl set-ntp true"))
    return Finding(tr("Clock"), OK, tr("as this computer's"), why)


def _python(found: facts.Facts) -> Finding:
    why = tr("runtimes have wheels for 3.9 to 3.13")
    if not found.python:
        return Finding("Python", MISSING, tr("no Python 3"), why, tr("sudo apt install python3"))
    detail = f"{'.'.join(map(str, found.python_version))} ({found.python})"
    if not facts.OLDEST <= found.python_version[:2] <= facts.NEWEST:
        fix = tr("install a Python from 3.9 to 3.13 beside it, such as by `uv python install 3.12`")
        return Finding("Python", WARNING, detail, why, fix)
    return Finding("Python", OK, detail, why)


def _kit(asked: Asked, name: str) -> Finding:
    why = tr("runs models and measures: numpy and LiteRT in an environment of their own")
    if asked.kit is None:
        fix = tr("python -m edgelab board check {name} --install", name=name)
        return Finding(tr("Board kit"), MISSING, tr("not installed, or an older one"), why, fix)
    held = ", ".join(
        f"{key} {value}" for key, value in sorted(asked.kit.items()) if key not in ("version", "python")
    )
    return Finding(
        tr("Board kit"),
        OK,
        tr("{packages}; Python {python}", packages=held, python=asked.kit.get("python", "?")),
        why,
    )


def _accelerator(found: facts.Facts) -> list[Finding]:
    if found.kind == "coral":
        return [_coral(found)]
    if found.kind == "rockchip":
        return [_rockchip(found)]
    if found.kind == "jetson":
        return [_jetson(found)]
    return [
        Finding(
            tr("Accelerator"),
            MISSING,
            tr("none found: the CPU runs models"),
            tr("chapters 5 to 7 compile for one"),
            tr("plug it in and look: lsusb, lspci, dmesg; nothing to fix without one"),
        )
    ]


def _coral(found: facts.Facts) -> Finding:
    name, why = tr("Coral Edge TPU"), tr("runs int8 models compiled in chapter 5")
    if not facts.CORALS & set(found.devices):
        fix = tr(
            "plug it in there, straight into a USB 3 port, and look: lsusb; on PCIe: lspci, ls /dev/apex_0"
        )
        return Finding(name, MISSING, tr("no Coral is seen there"), why, fix)
    library = next((path for path in found.libraries if "edgetpu" in path), "")
    if not library:
        fix = tr(
            "install libedgetpu1-std: Google's package needs an old runtime, the community's builds for this "
            "system (feranick/libedgetpu) go with LiteRT; then plug the stick in again"
        )
        return Finding(name, MISSING, tr("the stick is there, its library libedgetpu is not"), why, fix)
    if "/dev/apex_0" not in found.devices and "plugdev" not in found.groups and "root" not in found.groups:
        fix = tr("sudo usermod -aG plugdev $USER, then log in again")
        return Finding(name, WARNING, tr("this account may not use the USB device"), why, fix)
    return Finding(name, OK, library, why)


def _rockchip(found: facts.Facts) -> Finding:
    name, why = tr("Rockchip NPU"), tr("runs .rknn models compiled in chapter 6")
    library = next((path for path in found.libraries if "rknn" in path), "")
    if not library:
        fix = tr(
            "copy librknnrt.so of the toolkit's version (airockchip/rknn-toolkit2, rknpu2/runtime/Linux) to "
            "/usr/lib, and pip install rknn-toolkit-lite2 (Python 3.7 to 3.12)"
        )
        return Finding(name, MISSING, tr("librknnrt.so is not installed"), why, fix)
    return Finding(name, OK, library, why)


def _jetson(found: facts.Facts) -> Finding:
    name, why = "TensorRT", tr("builds and runs engines (chapter 7)")
    library = next((path for path in found.libraries if "nvinfer" in path), "")
    if not library:
        fix = tr("sudo apt install nvidia-jetpack (the release that goes with {l4t})", l4t=found.l4t or "L4T")
        return Finding(name, MISSING, tr("JetPack's TensorRT is not installed"), why, fix)
    mode = found.power_mode or tr("not told: sudo nvpmodel -q")
    return Finding(name, OK, tr("{library}; power mode {mode}", library=library, mode=mode), why)


def _calm(asked: Asked) -> Finding:
    state, why = asked.state, tr("a latency holds for this governor, clock and temperature only")
    words = facts.disturbances(state, state)
    if state.hottest_celsius is not None and state.hottest_celsius > HOT_CELSIUS:
        words.append(tr("It is hot: it may slow down."))
    fixes = {
        "jetson": tr("sudo nvpmodel -m 0; sudo jetson_clocks (as long as it is cooled)"),
    }
    fix = fixes.get(
        asked.facts.kind,
        tr("echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"),
    )
    if words:
        return Finding(tr("State"), WARNING, f"{state}. {' '.join(words)}", why, fix)
    return Finding(tr("State"), OK, str(state), why)
