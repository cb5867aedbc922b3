"""What this machine has: one finding per thing, why it matters, and how to fix it.

Every probe is held to a time limit and cannot fail the report: a driver that hangs or a tool that breaks
becomes a row that says so. Native libraries are loaded in a process of their own, which may die. Nothing
here imports TensorFlow.
"""

from __future__ import annotations

import html
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from edgelab.machine import artifacts, browsers, gpu_adapter, hardware, no_tensorflow
from edgelab.texts import tr, tr_later

TIME_LIMIT_S = 4.0
OK, WARNING, MISSING = "ok", "warning", "missing"
MARKS = {OK: "✓ " + tr("ok"), WARNING: "! " + tr("look"), MISSING: "– " + tr("missing")}

# Before its firmware is loaded a Coral USB Accelerator calls itself Global Unichip Corp., afterwards Google.
EDGE_TPU_USB_IDS = {"1a6e:089a": tr("before its firmware is loaded"), "18d1:9302": tr("firmware loaded")}
EDGE_TPU_PCI_ID = "1ac1:089a"
ROCKCHIP_USB_VENDOR = "2207"


@dataclass(frozen=True)
class Finding:
    """One row of the report.

    Attributes:
        name: what was looked for.
        status: "ok", "warning" (works, with a limit) or "missing".
        detail: what was found.
        why: why it matters.
        fix: how to fix it; empty when there is nothing to fix.
    """

    name: str
    status: str
    detail: str
    why: str
    fix: str = ""

    def __str__(self) -> str:
        name = tr(self.name)
        return f"{MARKS[self.status]:<10} {name}: {self.detail}"


@dataclass(frozen=True)
class Report:
    """All findings, in a fixed order."""

    findings: tuple[Finding, ...]

    def __getitem__(self, name: str) -> Finding:
        return next(finding for finding in self.findings if finding.name == name)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def with_status(self, status: str) -> tuple[Finding, ...]:
        """The findings of one status."""
        return tuple(finding for finding in self.findings if finding.status == status)

    def __str__(self) -> str:
        lines = []
        for finding in self.findings:
            lines.append(str(finding))
            if finding.fix:
                lines.append(" " * 13 + tr("to fix it: {fix}", fix=finding.fix))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        style = "text-align:left;vertical-align:top;padding:0.2em 0.7em;border-bottom:1px solid #8888"
        names = (tr("What"), tr("Status"), tr("Found"), tr("Why it matters"), tr("How to fix it"))
        head = "".join(f'<th scope="col" style="{style}">{name}</th>' for name in names)
        rows = []
        for finding in self.findings:
            cells = (MARKS[finding.status], finding.detail, finding.why, finding.fix)
            body = "".join(f'<td style="{style}">{html.escape(cell)}</td>' for cell in cells)
            name = html.escape(tr(finding.name))
            rows.append(f'<tr><th scope="row" style="{style}">{name}</th>{body}</tr>')
        caption = tr("What this machine has")
        return (
            '<table style="border-collapse:collapse"><caption style="text-align:left;font-weight:bold">'
            f"{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>"
        )


def guarded(name: str, probe: Callable[[], Finding], limit_s: float = TIME_LIMIT_S) -> Callable[[], Finding]:
    """Start a probe on a thread of its own; the function returned waits for its row, and always gives one.

    Args:
        name: of the row, should the probe not give one.
        probe: makes the row.
        limit_s: how long to wait.
    """
    found: list[Finding] = []

    def run() -> None:
        try:
            found.append(probe())
        except Exception as error:
            reason = tr("the probe failed: {kind}: {error}", kind=type(error).__name__, error=error)
            found.append(Finding(name, WARNING, reason, tr("nothing is known about it")))

    thread = threading.Thread(target=run, daemon=True)
    deadline = time.monotonic() + limit_s
    thread.start()

    def result() -> Finding:
        thread.join(max(0.0, deadline - time.monotonic()))
        if found:
            return found[0]
        return Finding(
            name,
            WARNING,
            tr("no answer within {limit_s:g} s", limit_s=limit_s),
            tr("a driver or a tool hangs"),
        )

    return result


def python_environment() -> Finding:
    """The interpreter, and whether it is in an environment of its own."""
    isolated = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    where = tr("in an environment of its own") if isolated else tr("in the system")
    detail = f"{platform.python_version()} {where}"
    why = tr("packages of different projects clash when they share one place")
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Finding(
            "Python",
            WARNING,
            detail,
            tr("TensorFlow has wheels for 3.10 to 3.13"),
            tr("make PYTHON=python3.12"),
        )
    if not isolated:
        return Finding(
            "Python", WARNING, detail, why, tr("run `make lab`, which makes an environment in .venv")
        )
    return Finding("Python", OK, detail, why)


def operating_system() -> Finding:
    """Which system, and whether it is a container or a virtual machine under Windows."""
    system = f"{platform.system()} {platform.release()}"
    detail = tr("{system} on {machine}", system=system, machine=platform.machine())
    if "microsoft" in platform.release().lower():
        detail += " (WSL)"
    elif Path("/.dockerenv").exists():
        detail += " " + tr("(in a container)")
    why = tr("drivers and delegates are built per system and processor")
    return Finding("Operating system", OK, detail, why)


def processor() -> Finding:
    """Model, cores, vector instructions."""
    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count(logical=True)
    sets = hardware.instruction_sets()
    detail = tr(
        "{processor}, {cores} cores, {threads} threads",
        processor=hardware.processor_name(),
        cores=physical or "?",
        threads=logical,
    )
    detail += "; " + (", ".join(sets) or tr("instruction sets not known"))
    why = tr("int8 beats float32 only with instructions for it (VNNI, dot product)")
    has_int8 = any("VNNI" in name or "dot" in name or "int8" in name for name in sets)
    if has_int8 or not sets:
        return Finding("Processor", OK, detail, why)
    return Finding(
        "Processor", WARNING, detail, why, tr("nothing to fix: expect a smaller gain from int8 here")
    )


def memory() -> Finding:
    """Memory free and in all."""
    state = psutil.virtual_memory()
    detail = tr("{free:.1f} of {total:.1f} GiB free", free=state.available / 2**30, total=state.total / 2**30)
    why = tr("training in the fast profile takes about 2 GiB")
    if state.available < 2 * 2**30:
        return Finding("Memory", WARNING, detail, why, tr("close other programs and idle kernels"))
    return Finding("Memory", OK, detail, why)


def disk() -> Finding:
    """Space where the artifacts go."""
    folder = artifacts.artifacts_dir()
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    detail = tr("{free_gib:.1f} GiB free for artifacts", free_gib=free_gib)
    why = tr("models, caches and videos take up to 2 GiB")
    if free_gib < 2:
        return Finding(
            "Disk", WARNING, detail, why, tr("free some space or point EDGELAB_ARTIFACTS elsewhere")
        )
    return Finding("Disk", OK, detail, why)


def _package(name: str, packages: tuple[str, ...], why: str) -> Finding:
    for package in packages:
        if version := hardware.version_of(package):
            return Finding(name, OK, f"{package} {version}", why)
    return Finding(
        name,
        MISSING,
        tr("{package} is not installed", package=packages[0]),
        why,
        tr("run `make lab`, which sets everything up"),
    )


def tensorflow() -> Finding:
    """TensorFlow's version, read without importing it."""
    why = tr("trains and converts models (chapters 3, 4)")
    if version := no_tensorflow.version():
        return Finding("TensorFlow", OK, f"TensorFlow {version}", why)
    return Finding("TensorFlow", MISSING, tr("TensorFlow is not installed here."), why, no_tensorflow.fix())


def keras() -> Finding:
    """Keras' version."""
    return _package("Keras", ("keras",), tr("describes the models (chapter 3)"))


def litert() -> Finding:
    """LiteRT's version."""
    return _package("LiteRT", ("ai-edge-litert",), tr("runs .tflite models (chapters 4 to 10)"))


def jupyter() -> Finding:
    """JupyterLab's version, and the kernel."""
    return _package("Jupyter", ("jupyterlab",), tr("shows and runs the notebooks"))


def nvidia_driver() -> Finding:
    """The NVIDIA driver and its cards."""
    why = tr("TensorFlow trains on an NVIDIA card, TensorRT runs on one; LiteRT's GPU path does not need one")
    if card := hardware.nvidia_card():
        return Finding("NVIDIA driver", OK, card, why)
    if any(name.startswith("10de:") for name in hardware.pci_ids()):
        fix = tr("install the driver (on Ubuntu: sudo ubuntu-drivers install), then restart")
        return Finding(
            "NVIDIA driver", MISSING, tr("an NVIDIA card is here, its driver does not answer"), why, fix
        )
    return Finding(
        "NVIDIA driver", MISSING, tr("no NVIDIA card found"), why, tr("nothing to fix without such a card")
    )


def _cuda_part(name: str, packages: tuple[str, ...], build_key: str, why: str) -> Finding:
    built_for = hardware.tensorflow_build().get(build_key)
    wanted = "; " + tr("TensorFlow here is built for {version}", version=built_for) if built_for else ""
    for package in packages:
        if version := hardware.version_of(package):
            return Finding(name, OK, f"{package} {version}{wanted}", why)
    fix = tr("run `make lab` on Linux: it installs tensorflow[and-cuda] where the driver answers")
    if not hardware.nvidia_card():
        fix = tr("not needed without an NVIDIA card")
    return Finding(name, MISSING, tr("not in this environment") + wanted, why, fix)


def cuda() -> Finding:
    """The CUDA libraries that TensorFlow would use."""
    packages = ("nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime")
    return _cuda_part(
        "CUDA", packages, "cuda_version", tr("TensorFlow's kernels on an NVIDIA card are CUDA programs")
    )


def cudnn() -> Finding:
    """The cuDNN library that TensorFlow would use."""
    packages = ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13")
    return _cuda_part(
        "cuDNN", packages, "cudnn_version", tr("convolutions on an NVIDIA card come from cuDNN")
    )


def tensorflow_gpu() -> Finding:
    """Whether TensorFlow can use a card: its build, the driver and the libraries together."""
    why = tr("training on a card is many times faster than on the CPU")
    if not hardware.tensorflow_build().get("is_cuda_build"):
        fix = (
            tr("nothing to fix without an NVIDIA card on Linux")
            if not hardware.nvidia_card()
            else tr("run `make lab`")
        )
        return Finding("TensorFlow GPU", MISSING, tr("this TensorFlow is the CPU build"), why, fix)
    if not hardware.nvidia_card():
        return Finding(
            "TensorFlow GPU", MISSING, tr("built for CUDA, but no card answers"), why, tr("see NVIDIA driver")
        )
    return Finding("TensorFlow GPU", OK, tr("built for CUDA, and a card answers"), why)


def _native_row(name: str, probe: str, why: str, fix: str) -> Finding:
    devices, reason = hardware.native(probe)
    if devices:
        return Finding(name, OK, "; ".join(devices), why)
    return Finding(name, MISSING, reason or tr("the library is here but finds no device"), why, fix)


def vulkan() -> Finding:
    """Vulkan devices, software ones included."""
    why = tr("LiteRT's GPU path speaks WebGPU over Vulkan on Linux, over Direct3D or Vulkan on Windows")
    if sys.platform == "darwin":
        return Finding("Vulkan", OK, tr("not needed: a Mac uses Metal"), why)
    fix = tr(
        "the GPU maker's driver, or on Debian 13, Ubuntu 24.04 and later: sudo apt install libvulkan1 "
        "mesa-vulkan-drivers"
    )
    return _native_row("Vulkan", "vulkan", why, fix)


def opencl() -> Finding:
    """OpenCL devices."""
    fix = tr("on Debian or Ubuntu: sudo apt install ocl-icd-libopencl1 and the GPU maker's ICD; optional")
    return _native_row(
        "OpenCL", "opencl", tr("LiteRT's GPU path on Android phones, and a way to measure a GPU"), fix
    )


def litert_gpu() -> Finding:
    """The GPU that LiteRT's GPU library finds and can use."""
    why = tr("runs a .tflite model on almost any GPU, without CUDA")
    adapter = gpu_adapter.find()
    if not adapter.name:
        reason = adapter.reason
        if adapter.library:
            reason = tr("{library} is here, but {reason}", library=adapter.library, reason=reason)
        return Finding("LiteRT GPU", MISSING, reason, why, adapter.fix)
    if adapter.is_software:
        return Finding(
            "LiteRT GPU",
            WARNING,
            str(adapter),
            why,
            tr("right results, no speed: a real GPU needs its driver"),
        )
    return Finding(
        "LiteRT GPU", OK, tr("{library} on {adapter}", library=adapter.library, adapter=adapter), why
    )


def browser() -> Finding:
    """A browser that can run a model without a window; its GPU is asked when a model is opened."""
    why = tr("runs a .tflite model on the browser's GPU, also where Python sees none (chapter 1)")
    if path := browsers.find():
        return Finding("Browser", OK, browsers.name_of(path), why)
    fix = tr(
        "install Chromium, Chrome or Edge, or name one in {variable}; a tab of your own browser does, too: "
        "python -m edgelab web MODEL",
        variable=browsers.VARIABLE,
    )
    return Finding("Browser", MISSING, tr("no Chromium, Chrome or Edge was found"), why, fix)


def edge_tpu_device() -> Finding:
    """A Coral USB Accelerator or PCIe module."""
    why = tr("the Edge TPU runs int8 models (chapter 5)")
    for name in hardware.usb_ids():
        if name in EDGE_TPU_USB_IDS:
            detail = f"Coral USB Accelerator {name} ({EDGE_TPU_USB_IDS[name]})"
            return Finding("Edge TPU device", OK, detail, why)
    has_driver = (hardware.ROOT / "dev/apex_0").exists()
    if has_driver or EDGE_TPU_PCI_ID in hardware.pci_ids():
        if has_driver:
            return Finding("Edge TPU device", OK, tr("Coral PCIe module at /dev/apex_0"), why)
        fix = tr("install the gasket driver, which makes /dev/apex_0")
        return Finding("Edge TPU device", WARNING, tr("Coral PCIe module without its driver"), why, fix)
    fix = tr("plug a Coral USB Accelerator into a USB 3 port, or nothing: the lessons run without one")
    return Finding("Edge TPU device", MISSING, tr("no Coral device on USB or PCIe"), why, fix)


def edge_tpu_runtime() -> Finding:
    """libedgetpu, the delegate."""
    fix = tr("install libedgetpu1-std with a keyring in /etc/apt/keyrings (chapter 2), or a community build")
    return _native_row(
        "Edge TPU runtime", "edgetpu", tr("the delegate that LiteRT loads: libedgetpu.so.1"), fix
    )


def edge_tpu_compiler() -> Finding:
    """Google's compiler on PATH."""
    why = tr("maps an int8 .tflite onto the Edge TPU")
    if version := hardware.output_of("edgetpu_compiler", "--version"):
        return Finding("Edge TPU compiler", OK, version.splitlines()[0], why)
    fix = tr("x86-64 Linux only: the edgetpu-compiler package of Google's apt source, or a Colab notebook")
    return Finding("Edge TPU compiler", MISSING, tr("edgetpu_compiler is not on PATH"), why, fix)


def rknn_venv() -> Path:
    """The environment that `make rknn` makes: `$EDGELAB_RKNN_VENV`, or `.venv-rknn/` in the project."""
    return Path(os.environ.get("EDGELAB_RKNN_VENV") or artifacts.PROJECT_ROOT / ".venv-rknn")


def rknn_python() -> Path | None:
    """The Python of Rockchip's compiler, or None while its environment is missing or half made."""
    python = rknn_venv() / "bin" / "python"
    # tools/make_rknn.py writes the stamp last.
    return python if (rknn_venv() / "edgelab.stamp").exists() and python.exists() else None


def rknn_version() -> str:
    """Name and version of Rockchip's compiler, or of its runtime on a board; "" where neither is here."""
    names = [path.name for path in rknn_venv().glob("lib/python3.*/site-packages/rknn_toolkit2-*.dist-info")]
    if names:
        return f"rknn-toolkit2 {names[0].split('-')[1].removesuffix('.dist')}"
    version = hardware.version_of("rknn-toolkit-lite2")
    return f"rknn-toolkit-lite2 {version}" if version else ""


def has_rknn_lite() -> bool:
    """Whether the runtime for the board itself is installed."""
    return bool(hardware.version_of("rknn-toolkit-lite2"))


def rknn_toolkit() -> Finding:
    """Rockchip's compiler, in an environment of its own, or the board's runtime package."""
    why = tr("compiles for Rockchip NPUs, and simulates them on a PC")
    if rknn_python():
        return Finding(
            "RKNN toolkit",
            OK,
            tr("{version} in {folder}", version=rknn_version(), folder=rknn_venv().name),
            why,
        )
    if has_rknn_lite():
        return Finding("RKNN toolkit", OK, rknn_version(), why)
    if rknn_venv().exists():
        return Finding(
            "RKNN toolkit",
            WARNING,
            tr("{folder} is half made", folder=rknn_venv().name),
            why,
            tr("make rknn"),
        )
    if sys.platform.startswith("linux") and platform.machine() == "x86_64":
        return Finding("RKNN toolkit", MISSING, tr("not installed"), why, tr("make rknn"))
    fix = tr("run make rknn on x86-64 Linux, Docker or WSL 2; on a board pip install rknn-toolkit-lite2")
    return Finding("RKNN toolkit", MISSING, tr("make rknn installs it on x86-64 Linux only"), why, fix)


def rknn_board() -> Finding:
    """A Rockchip chip under this system, or a board on USB."""
    why = tr("an RK3588 runs int8 models at up to 6 TOPS")
    chip = hardware.text_of(hardware.ROOT / "proc/device-tree/compatible")
    if "rockchip" in chip:
        libraries = hardware.native("rknnrt")[0]
        if libraries:
            return Finding(
                "RKNN board",
                OK,
                tr("{chip} with {library}", chip=chip.split()[-1], library=libraries[0]),
                why,
            )
        fix = tr("copy librknnrt.so from Rockchip's runtime to /usr/lib")
        return Finding(
            "RKNN board", WARNING, tr("{chip} without librknnrt.so", chip=chip.split()[-1]), why, fix
        )
    if any(name.startswith(f"{ROCKCHIP_USB_VENDOR}:") for name in hardware.usb_ids()):
        has_adb = shutil.which("adb") is not None
        present, absent = (
            tr("a Rockchip board on USB, adb is here"),
            tr("a Rockchip board on USB, adb is missing"),
        )
        detail = present if has_adb else absent
        return Finding(
            "RKNN board",
            OK if has_adb else WARNING,
            detail,
            why,
            "" if has_adb else tr("sudo apt install adb"),
        )
    return Finding(
        "RKNN board",
        MISSING,
        tr("no Rockchip chip or board found"),
        why,
        tr("nothing to fix without a board"),
    )


def qualcomm_folder() -> Path:
    """What `make qualcomm` makes: `$EDGELAB_QUALCOMM_FILES`, or `.qualcomm/` in the project."""
    return Path(os.environ.get("EDGELAB_QUALCOMM_FILES") or artifacts.PROJECT_ROOT / ".qualcomm")


def qualcomm_libraries() -> Path | None:
    """The folder of Qualcomm's libraries; None while they are missing, or nobody accepted their licence."""
    libraries = qualcomm_folder() / "onnxruntime_qnn"
    # tools/make_qualcomm.py writes the stamp last.
    return libraries if (qualcomm_folder() / "edgelab.stamp").exists() and libraries.is_dir() else None


def qualcomm_version() -> str:
    """Name and version of the package that brings the libraries; "" where they are not here."""
    if not qualcomm_libraries():
        return ""
    names = [path.name for path in qualcomm_folder().glob("onnxruntime_qnn-*.dist-info")]
    return f"onnxruntime-qnn {names[0].split('-')[1].removesuffix('.dist')}" if names else "onnxruntime-qnn"


def qualcomm_compiler() -> Finding:
    """Qualcomm's compiler for the NPUs of its Snapdragon chips, in a folder of its own."""
    name, folder = "Snapdragon compiler", qualcomm_folder().name
    why = tr("tells what the NPU of a Snapdragon takes, without a phone (chapter 15)")
    if qualcomm_libraries():
        return Finding(name, OK, tr("{version} in {folder}", version=qualcomm_version(), folder=folder), why)
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        detail = tr("make qualcomm installs it on x86-64 Linux only")
        return Finding(name, MISSING, detail, why, tr("run make qualcomm on x86-64 Linux, Docker or WSL 2"))
    fix = tr("optional: make qualcomm, which shows Qualcomm's licence and asks")
    if qualcomm_folder().exists():
        return Finding(name, WARNING, tr("{folder} is half made", folder=folder), why, fix)
    return Finding(name, MISSING, tr("not installed"), why, fix)


def tensorrt() -> Finding:
    """TensorRT: the Python package, the library, or the command."""
    why = tr("the fastest path on an NVIDIA card or a Jetson")
    jetson = hardware.text_of(hardware.ROOT / "etc/nv_tegra_release").splitlines()[:1]
    if version := hardware.version_of("tensorrt"):
        return Finding("TensorRT", OK, f"tensorrt {version}", why)
    libraries, reason = hardware.native("nvinfer")
    if libraries:
        return Finding("TensorRT", OK, f"libnvinfer {libraries[0]}", why)
    fix = (
        tr("sudo apt install nvidia-jetpack")
        if jetson
        else tr("needs an NVIDIA card and NVIDIA's TensorRT packages (chapter 7)")
    )
    return Finding("TensorRT", MISSING, jetson[0] if jetson else reason, why, fix)


def coreml_tools() -> Finding:
    """Apple's converter, which `make coreml` adds to this environment."""
    why = tr("makes the package that an app for iPhones and Macs ships (chapter 15)")
    if version := hardware.version_of("coremltools"):
        return Finding("Core ML tools", OK, f"coremltools {version}", why)
    if sys.platform == "darwin" or (sys.platform.startswith("linux") and platform.machine() == "x86_64"):
        return Finding("Core ML tools", MISSING, tr("coremltools is not installed"), why, tr("make coreml"))
    fix = tr("make packages on a Mac, on x86-64 Linux or in WSL 2, after make coreml there; open them here")
    return Finding("Core ML tools", MISSING, tr("coremltools has no wheels for this system"), why, fix)


def camera() -> Finding:
    """Cameras that the system lists; none is opened, so that no light goes on."""
    why = tr("chapter 10 shows a live picture; generated scenes and files take its place")
    if not sys.platform.startswith("linux"):
        return Finding("Camera", WARNING, tr("not looked for: this system tells only when it is opened"), why)
    names = [
        hardware.text_of(path / "name") for path in (hardware.ROOT / "sys/class/video4linux").glob("video*")
    ]
    if names:
        return Finding("Camera", OK, ", ".join(dict.fromkeys(names)), why)
    return Finding(
        "Camera", MISSING, tr("no /dev/video device"), why, tr("plug one in, or use the generated scenes")
    )


def real_data() -> Finding:
    """The folder of real pictures."""
    why = tr("the full profile trains on real photographs")
    folder = os.environ.get("EDGELAB_DATA", "")
    if not folder:
        fix = tr("optional: set EDGELAB_DATA to a folder of pictures; generated ones are the default")
        return Finding("Real data", MISSING, tr("EDGELAB_DATA is not set"), why, fix)
    if not Path(folder).is_dir():
        return Finding("Real data", WARNING, tr("EDGELAB_DATA names no folder"), why, tr("correct the path"))
    return Finding(
        "Real data", OK, tr("{count} entries in EDGELAB_DATA", count=len(list(Path(folder).iterdir()))), why
    )


PROBES: dict[str, Callable[[], Finding]] = {
    "Python": python_environment,
    tr_later("Operating system"): operating_system,
    tr_later("Processor"): processor,
    tr_later("Memory"): memory,
    tr_later("Disk"): disk,
    "Jupyter": jupyter,
    "TensorFlow": tensorflow,
    "Keras": keras,
    "LiteRT": litert,
    tr_later("NVIDIA driver"): nvidia_driver,
    "CUDA": cuda,
    "cuDNN": cudnn,
    tr_later("TensorFlow GPU"): tensorflow_gpu,
    "Vulkan": vulkan,
    "OpenCL": opencl,
    tr_later("LiteRT GPU"): litert_gpu,
    tr_later("Browser"): browser,
    tr_later("Edge TPU device"): edge_tpu_device,
    tr_later("Edge TPU runtime"): edge_tpu_runtime,
    tr_later("Edge TPU compiler"): edge_tpu_compiler,
    tr_later("RKNN toolkit"): rknn_toolkit,
    tr_later("RKNN board"): rknn_board,
    tr_later("Snapdragon compiler"): qualcomm_compiler,
    "TensorRT": tensorrt,
    tr_later("Core ML tools"): coreml_tools,
    tr_later("Camera"): camera,
    tr_later("Real data"): real_data,
}


def report(probes: dict[str, Callable[[], Finding]] | None = None) -> Report:
    """Probe everything at once; takes no longer than the time limit of one probe.

    Args:
        probes: row name to probe; all of them by default.
    """
    waiting = [guarded(name, probe) for name, probe in (PROBES if probes is None else probes).items()]
    return Report(tuple(result() for result in waiting))
