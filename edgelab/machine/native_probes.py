"""Ask native libraries what they find, in a process that may die.

`python -m edgelab.machine.native_probes vulkan` is one of them.

A broken driver can end the process that loads it. Each probe prints one JSON list, of device names or of
library versions; an exit code other than 0 means that the library cannot be loaded or has no driver.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import sys
from pathlib import Path

from edgelab.texts import tr

OPENCL_ALL_DEVICES = 0xFFFFFFFF
OPENCL_DEVICE_NAME = 0x102B
VULKAN_DEVICE_KINDS = (
    tr("other"),
    tr("integrated GPU"),
    tr("discrete GPU"),
    tr("virtual GPU"),
    tr("software on the CPU"),
)


def load_first(name: str, *files: str) -> ctypes.CDLL:
    """The first of these library files that loads, else what the linker knows under the short name.

    Raises:
        OSError: none of them.
    """
    for file in files:
        try:
            return ctypes.CDLL(file)
        except OSError:
            continue
    if found := ctypes.util.find_library(name):  # last, since it may run the compiler to look
        return ctypes.CDLL(found)
    raise OSError(tr("the {name} library is not installed", name=name))


class VkInstanceCreateInfo(ctypes.Structure):
    """Vulkan specification, VkInstanceCreateInfo: all optional parts left empty."""

    _fields_ = (
        ("structure_type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application_info", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layer_names", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extension_names", ctypes.c_void_p),
    )


def vulkan() -> list[str]:
    """Names and kinds of all Vulkan devices.

    Raises:
        OSError: no loader, or no driver below it.
    """
    library = load_first("vulkan", "libvulkan.so.1", "vulkan-1.dll", "libvulkan.1.dylib", "libMoltenVK.dylib")
    instance = ctypes.c_void_p()
    info = VkInstanceCreateInfo(structure_type=1)
    if code := library.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)):
        raise OSError(tr("vkCreateInstance returned {code}: no driver", code=code))
    count = ctypes.c_uint32()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    handles = (ctypes.c_void_p * count.value)()
    library.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), handles)
    devices = []
    for handle in handles:
        # VkPhysicalDeviceProperties: five 32-bit numbers, the last of them the kind, then a 256-byte name.
        properties = (ctypes.c_uint8 * 2048)()
        library.vkGetPhysicalDeviceProperties(ctypes.c_void_p(handle), properties)
        data = bytes(properties)
        kind = int.from_bytes(data[16:20], sys.byteorder)
        name = data[20:276].split(b"\0")[0].decode(errors="replace")
        devices.append(f"{name} ({VULKAN_DEVICE_KINDS[kind] if kind < 5 else VULKAN_DEVICE_KINDS[0]})")
    return devices


def opencl() -> list[str]:
    """Names of all OpenCL devices.

    Raises:
        OSError: no loader.
    """
    library = load_first("OpenCL", "libOpenCL.so.1", "OpenCL.dll")
    count = ctypes.c_uint32()
    library.clGetPlatformIDs(0, None, ctypes.byref(count))
    platforms = (ctypes.c_void_p * count.value)()
    library.clGetPlatformIDs(count, platforms, None)
    names = []
    for platform in platforms:
        found = ctypes.c_uint32()
        kinds = ctypes.c_uint64(OPENCL_ALL_DEVICES)
        library.clGetDeviceIDs(ctypes.c_void_p(platform), kinds, 0, None, ctypes.byref(found))
        devices = (ctypes.c_void_p * found.value)()
        library.clGetDeviceIDs(ctypes.c_void_p(platform), kinds, found, devices, None)
        for device in devices:
            name = ctypes.create_string_buffer(256)
            library.clGetDeviceInfo(ctypes.c_void_p(device), OPENCL_DEVICE_NAME, 256, name, None)
            names.append(name.value.decode(errors="replace"))
    return names


def edgetpu() -> list[str]:
    """Version of libedgetpu.

    Raises:
        OSError: it is not installed.
    """
    library = load_first("edgetpu", "libedgetpu.so.1", "libedgetpu.1.dylib", "edgetpu.dll")
    library.edgetpu_version.restype = ctypes.c_char_p
    return [library.edgetpu_version().decode(errors="replace")]


def rknnrt() -> list[str]:
    """Where Rockchip's runtime is.

    Raises:
        OSError: it is not installed.
    """
    library = load_first("rknnrt", "/usr/lib/librknnrt.so")
    return [Path(library._name).name]


def nvinfer() -> list[str]:
    """Version of TensorRT's library, its digits joined as the library gives them.

    Raises:
        OSError: it is not installed.
    """
    library = load_first(
        "nvinfer", "libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "nvinfer_10.dll"
    )
    return [str(library.getInferLibVersion())]


def litert_gpu(folder: str) -> list[str]:
    """Name, kind and interface of the GPU that LiteRT runs on.

    Raises:
        OSError: none; reason and fix, a bar between them.
    """
    from edgelab.machine import gpu_adapter

    return gpu_adapter.try_adapter(folder)


PROBES = {
    "vulkan": vulkan,
    "opencl": opencl,
    "edgetpu": edgetpu,
    "rknnrt": rknnrt,
    "nvinfer": nvinfer,
    "litert_gpu": litert_gpu,
}


def main() -> int:
    """Run the named probe; its list goes to stdout, its reason for failing to stderr."""
    try:
        print(json.dumps(PROBES[sys.argv[1]](*sys.argv[2:])))
    except (OSError, AttributeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
