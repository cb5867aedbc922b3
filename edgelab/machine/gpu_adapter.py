"""Which GPU LiteRT uses here: found by running one addition on it, in a process that may die.

LiteRT's GPU library asks the system for an *adapter*: through Vulkan or Direct3D, or Metal on a Mac. Whether
a driver serves it, only a try can tell. Where there is no GPU, Chromium's software GPU, SwiftShader, runs the
same code on the CPU: right results, and the speed of a program that imitates a GPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgelab.machine import hardware, quiet
from edgelab.texts import tr

if TYPE_CHECKING:
    from ai_edge_litert.compiled_model import CompiledModel

SOFTWARE_VARIABLE = "EDGELAB_SOFTWARE_GPU"  # "1": take the software GPU where no other answers
SOFTWARE_FILES = ("libvulkan.so.1", "libvk_swiftshader.so", "vk_swiftshader_icd.json")
SOFTWARE_FOLDERS = (
    "/usr/lib/chromium",
    "/usr/lib64/chromium-browser",
    "/usr/lib/chromium-browser",
    "/opt/google/chrome",
    "/opt/chromium.org/chromium",
)
TIME_LIMIT_S = 15.0  # the first start of a driver compiles shaders
SELECTED = re.compile(
    r"Selected adapter: (?P<name>.*?)(, arch=.*?)?(, vendor=.*?)?, backend=(?P<backend>\w+), "
    r"adapterType=(?P<kind>.*)"
)
UNKNOWN_ADAPTER = tr("a GPU whose name LiteRT does not tell")

CHROMIUM_FIX = tr(
    "install Chromium or Chrome (on Debian: sudo apt install chromium) and set {variable}=1",
    variable=SOFTWARE_VARIABLE,
)
DRIVER_FIX = tr(
    "the GPU maker's driver; for Intel and AMD on Debian 13, Ubuntu 24.04 and later: "
    "sudo apt install libvulkan1 mesa-vulkan-drivers"
)


@dataclass(frozen=True)
class Adapter:
    """The device that LiteRT's GPU library chose, or why there is none.

    Attributes:
        name: as its driver calls it; empty when there is none.
        kind: "Discrete GPU", "Integrated GPU", "software on the CPU"; empty when it is not told.
        backend: the interface it is reached by: "Vulkan", "D3D12", "Metal".
        library: LiteRT's GPU library; empty when this wheel has none.
        software_folder: where the software GPU lies that was asked for; empty for the system's own.
        reason: why there is none.
        fix: how to fix that.
    """

    name: str = ""
    kind: str = ""
    backend: str = ""
    library: str = ""
    software_folder: str = ""
    reason: str = ""
    fix: str = ""

    @property
    def is_software(self) -> bool:
        """Whether the CPU plays the GPU."""
        return "software" in self.kind.lower()

    def __str__(self) -> str:
        if not self.name:
            return self.reason
        if self.is_software:
            return tr(
                "{name}, a software GPU on {processor}",
                name=self.name,
                processor=hardware.processor_name(),
            )
        details = ", ".join(part for part in (self.kind, self.backend) if part)
        return f"{self.name} ({details})" if details else self.name


def library_name() -> str:
    """LiteRT's GPU library in the installed wheel, or ""."""
    spec = importlib.util.find_spec("ai_edge_litert")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    names = sorted(path.name for folder in folders for path in Path(folder).glob("*Accelerator*"))
    return next((name for name in names if name.endswith((".so", ".dylib", ".dll"))), "")


def software_folder() -> str:
    """Where a browser's software GPU lies, loader and driver together, or ""."""
    if sys.platform != "linux":
        return ""
    found = (Path(folder) for folder in SOFTWARE_FOLDERS)
    return next((str(path) for path in found if all((path / name).exists() for name in SOFTWARE_FILES)), "")


@contextlib.contextmanager
def selected(folder: str) -> Iterator[None]:
    """Make Vulkan see the software GPU in `folder` alone, in this block; "" leaves the system's own.

    The browser's loader is loaded by its path, so that the library of that name counts as loaded already:
    `LD_LIBRARY_PATH` would have to be set before Python starts.
    """
    if not folder:
        yield
        return
    ctypes.CDLL(str(Path(folder) / SOFTWARE_FILES[0]))
    drivers = str(Path(folder) / SOFTWARE_FILES[2])
    names = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")  # today's name, and the one of loaders before 2022
    before = {name: os.environ.get(name) for name in names}
    os.environ |= dict.fromkeys(names, drivers)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def compile_model(
    content: bytes, *, folder: str = "", float32: bool = True, fallback: bool = False
) -> CompiledModel:
    """LiteRT's `CompiledModel` for the GPU.

    Args:
        content: of a `.tflite` file.
        folder: of the software GPU, or "".
        float32: compute with 32 bits, where the GPU would take 16 for speed.
        fallback: let the CPU take what the GPU does not; otherwise such a model is refused.

    Raises:
        RuntimeError: no adapter, or a model that it does not take.
    """
    from ai_edge_litert import compiled_model as litert

    [package] = importlib.util.find_spec("ai_edge_litert").submodule_search_locations
    # Paths without a library: LiteRT would load every phone maker's NPU plug-in that it ships.
    nowhere = str(Path(package) / "none")
    options = litert.EnvironmentOptions(package, compiler_plugin_path=nowhere, dispatch_library_path=nowhere)
    accelerators = litert.HardwareAccelerator.GPU
    if fallback:
        accelerators |= litert.HardwareAccelerator.CPU
    # Tried, when this is not set, for sharing buffers with OpenCL; what it finds it prints to stdout.
    os.environ.setdefault("LITERT_DISABLE_OPENCL", "1")
    with selected(folder):
        return litert.CompiledModel.from_buffer(
            content,
            environment=litert.Environment.create(options=options),
            options=litert.Options(accelerators, gpu_options=litert.GpuOptions(enforce_f32=float32)),
        )


def one_addition() -> bytes:
    """The smallest useful model: four floats, each added to itself."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tensors = []
    for name in (b"x", b"y"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, [1, 4], schema.TensorType.FLOAT32
        tensors.append(tensor)
    operator, graph, code, model = (
        schema.OperatorT(),
        schema.SubGraphT(),
        schema.OperatorCodeT(),
        schema.ModelT(),
    )
    operator.inputs, operator.outputs = [0, 0], [1]
    operator.builtinOptionsType, operator.builtinOptions = (
        schema.BuiltinOptions.AddOptions,
        schema.AddOptionsT(),
    )
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [operator], [0], [1]
    code.builtinCode, code.version = schema.BuiltinOperator.ADD, 1
    model.version, model.subgraphs, model.operatorCodes, model.buffers = (
        3,
        [graph],
        [code],
        [schema.BufferT()],
    )
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def read_log(text: str) -> Adapter:
    """The adapter that LiteRT's log names, or the reason it gives for having found none."""
    if found := SELECTED.search(text):
        kind = found["kind"].strip()
        kind = "software on the CPU" if "CPU" in kind else "" if "Unknown" in kind else kind
        return Adapter(found["name"].strip(), kind, found["backend"])
    if missing := re.search(r"Warning: (Couldn't load Vulkan): ([^\n]*)", text):
        return Adapter(
            reason=tr("Vulkan's loader cannot be loaded: {reason}", reason=missing[2].strip()),
            fix=DRIVER_FIX,
        )
    if old := re.search(r"Warning: (Vulkan [^\n]*required[^\n]*)", text):
        return Adapter(
            reason=tr("the driver is too old for LiteRT: {reason}", reason=old[1].strip()),
            fix=tr("newer: {fix}", fix=DRIVER_FIX),
        )
    if "No adapters found" in text or "No supported adapters" in text:
        return Adapter(reason=tr("no driver offers a GPU"), fix=DRIVER_FIX)
    return Adapter()


def try_adapter(folder: str = "") -> list[str]:
    """Run one addition on the GPU; for a child process, see `edgelab.machine.native_probes`.

    Args:
        folder: of the software GPU, or "".

    Returns:
        [name, kind, backend] of the adapter.

    Raises:
        OSError: none serves; "reason|fix".
    """
    import numpy as np

    with quiet.native_stderr() as log:
        try:
            model = compile_model(one_addition(), folder=folder)
            [given], [wanted] = model.create_input_buffers(0), model.create_output_buffers(0)
            given.write(np.arange(4, dtype=np.float32))
            model.run_by_index(0, [given], [wanted])
            sums, problem = wanted.read(4, np.float32), ""
        except (RuntimeError, OSError) as error:
            sums, problem = None, str(error).strip().splitlines()[-1]
    adapter = read_log(log.text)
    if sums is None:
        raise OSError(f"{adapter.reason or problem}|{adapter.fix or DRIVER_FIX}")
    if list(sums) != [0, 2, 4, 6]:
        name = adapter.name or UNKNOWN_ADAPTER
        raise OSError(tr("{name} adds wrongly: {sums}", name=name, sums=list(sums)) + "|" + DRIVER_FIX)
    return [adapter.name or UNKNOWN_ADAPTER, adapter.kind, adapter.backend]


@cache
def _tried(folder: str, library: str) -> Adapter:
    found, reason = hardware.native("litert_gpu", folder, limit_s=TIME_LIMIT_S)
    if found:
        return Adapter(*found, library=library, software_folder=folder)
    reason, _, fix = reason.partition("|")
    return Adapter(
        library=library,
        reason=reason,
        fix=fix or tr("install the GPU's driver again: {fix}", fix=DRIVER_FIX),
    )


def find(software: bool | None = None) -> Adapter:
    """The adapter to use. The first call tries it, for about a second; later ones remember.

    Args:
        software: True takes the browser's software GPU, False never does; None takes it where no other
            adapter answers and `EDGELAB_SOFTWARE_GPU` is set to 1.

    Returns:
        An adapter, or one without a name that tells the reason and the fix.
    """
    library = library_name()
    if not library:
        reason = (
            tr("this LiteRT has no GPU library")
            if hardware.version_of("ai-edge-litert")
            else tr("LiteRT is missing")
        )
        fix = tr("run `make lab`, on Linux x86-64, Windows or a Mac with Apple's processor")
        return Adapter(reason=reason, fix=fix)
    folder = software_folder()
    if software:
        missing = Adapter(library=library, reason=tr("no browser's software GPU was found"), fix=CHROMIUM_FIX)
        return _tried(folder, library) if folder else missing
    adapter = _tried("", library)
    if adapter.name or software is False:
        return adapter
    if os.environ.get(SOFTWARE_VARIABLE, "0") not in ("", "0") and folder:
        return _tried(folder, library)
    substitute = (
        tr("set {variable}=1 to use Chromium's software GPU", variable=SOFTWARE_VARIABLE)
        if folder
        else CHROMIUM_FIX
    )
    return Adapter(
        library=library,
        reason=adapter.reason,
        fix=tr("{fix}. Without a GPU: {substitute}", fix=adapter.fix, substitute=substitute),
    )
