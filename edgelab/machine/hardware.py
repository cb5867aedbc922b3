"""Facts about this computer, as its system tells them. Nothing here loads a driver into this process."""

from __future__ import annotations

import ast
import ctypes
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import psutil

from edgelab.texts import tr

TIME_LIMIT_S = 3.0
ROOT = Path("/")  # below it lie Linux' /sys and /proc

# x86 names as Linux gives them, then Arm names; each is what int8 or float kernels use when it is there.
INSTRUCTION_SETS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX-512 VNNI",
    "amx_int8": "AMX int8",
    "neon": "NEON",
    "asimd": "NEON",
    "asimddp": "NEON dot product",
    "i8mm": "int8 matrix multiply",
}
SIXTEEN_BIT_SETS = {
    "avx512_bf16": "AVX-512 BF16",
    "avx512_fp16": "AVX-512 FP16",
    "amx_bf16": "AMX BF16",
    "amx_fp16": "AMX FP16",
    "asimdhp": "NEON FP16",
    "bf16": "NEON BF16",
}


def available_cpus() -> int:
    """Logical processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version_of(package: str) -> str:
    """Version of an installed package, or "" when it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def output_of(*command: str) -> str:
    """What a program prints, or "" when it is not installed, fails, or takes too long."""
    if not shutil.which(command[0]):
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIME_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def text_of(path: str | Path) -> str:
    """A small file's text without zero bytes and blank ends, or "" when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def native(name: str, *arguments: str, limit_s: float = TIME_LIMIT_S) -> tuple[list[str], str]:
    """What a probe of `edgelab.machine.native_probes` found, and the reason when it found nothing."""
    command = [sys.executable, "-m", "edgelab.machine.native_probes", name, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return [], tr("the library does not answer")
    if done.returncode == 0:
        # A library may print lines of its own, and even after ours.
        lists = [line for line in done.stdout.splitlines() if line.startswith("[")]
        return json.loads(lists[0]) if lists else [], ""
    if done.returncode == 1:
        return [], (done.stderr.strip().splitlines() or [tr("cannot be loaded")])[-1]
    return [], tr("loading it ends the process (code {code})", code=done.returncode)


def usb_ids() -> list[str]:
    """ "vendor:product" of every USB device, in lower-case hex; empty where the system does not tell."""
    if sys.platform == "darwin":
        data = json.loads(output_of("system_profiler", "SPUSBDataType", "-json") or "{}")
        return [f"{vendor}:{product}" for vendor, product in _mac_usb(data.get("SPUSBDataType", []))]
    folders = (ROOT / "sys/bus/usb/devices").glob("*")
    ids = [f"{text_of(folder / 'idVendor')}:{text_of(folder / 'idProduct')}" for folder in folders]
    return [name for name in ids if name != ":"]


def _mac_usb(items: list[dict]) -> Iterator[tuple[str, str]]:
    for item in items:
        if "vendor_id" in item and "product_id" in item:
            yield item["vendor_id"].split()[0].removeprefix("0x"), item["product_id"].removeprefix("0x")
        yield from _mac_usb(item.get("_items", []))


def pci_ids() -> list[str]:
    """ "vendor:device" of every PCI device, in lower-case hex; empty where the system does not tell."""
    folders = (ROOT / "sys/bus/pci/devices").glob("*")
    return [
        f"{text_of(folder / 'vendor').removeprefix('0x')}:{text_of(folder / 'device').removeprefix('0x')}"
        for folder in folders
    ]


def _cpuinfo(*keys: str) -> str:
    for line in text_of(ROOT / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in keys:
            return value.strip()
    return ""


def _windows_processor_name() -> str:
    import winreg

    path = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
        return winreg.QueryValueEx(key, "ProcessorNameString")[0].strip()


@cache
def processor_name() -> str:
    """The processor's name as its maker writes it, as far as the system tells."""
    if sys.platform == "win32":
        return _windows_processor_name()
    if sys.platform == "darwin":
        return output_of("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    board = text_of(ROOT / "proc/device-tree/model")
    return _cpuinfo("model name", "Hardware") or board or platform.machine()


@cache
def instruction_sets() -> tuple[str, ...]:
    """The vector instructions that matter for inference, by their common names; empty when not known."""
    if sys.platform == "win32":
        # winnt.h: PF_AVX2_INSTRUCTIONS_AVAILABLE and its siblings.
        numbers = {40: "AVX2", 41: "AVX-512", 19: "NEON", 43: "NEON dot product"}
        has = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return tuple(name for number, name in numbers.items() if has(number))
    if sys.platform == "darwin":
        flags = output_of("sysctl", "-n", "machdep.cpu.leaf7_features").lower().split()
        if output_of("sysctl", "-n", "hw.optional.arm.FEAT_DotProd") == "1":
            flags += ["asimd", "asimddp"]
    else:
        flags = _cpuinfo("flags", "Features").split()
    return tuple(dict.fromkeys(name for flag, name in INSTRUCTION_SETS.items() if flag in flags))


def sixteen_bit_sets() -> tuple[str, ...] | None:
    """The instructions that compute in 16-bit floating point; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    if sys.platform == "darwin":
        kinds = ("FP16", "BF16")
        return tuple(
            f"NEON {kind}"
            for kind in kinds
            if output_of("sysctl", "-n", f"hw.optional.arm.FEAT_{kind}") == "1"
        )
    flags = _cpuinfo("flags", "Features").split()
    return tuple(name for flag, name in SIXTEEN_BIT_SETS.items() if flag in flags) if flags else None


def description() -> str:
    """This machine in one line: processor, cores, system."""
    cores = psutil.cpu_count(logical=True) or 1
    return f"{processor_name()}, {cores} logical cores, {platform.system()} {platform.machine()}"


def nvidia_card() -> str:
    """Name, driver and memory of each NVIDIA card that its driver shows; "" when there is none."""
    query = "--query-gpu=name,driver_version,memory.total"
    return output_of("nvidia-smi", query, "--format=csv,noheader").replace("\n", "; ")


@cache
def tensorflow_build() -> dict[str, object]:
    """What TensorFlow was built with (keys such as "is_cuda_build", "cuda_version"), from its own file."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        return {}
    path = Path(spec.submodule_search_locations[0]) / "python" / "platform" / "build_info.py"
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "OrderedDict":
            return dict(ast.literal_eval(node.args[0]))
    return {}
