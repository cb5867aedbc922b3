"""Every machine and Python that the set-up offers gets exactly one TensorFlow, and each package once.

One Python is newer than TensorFlow's wheels: it gets all that runs models.
"""

import collections
import importlib.util
import re
import sys

import pytest
from packaging.requirements import Requirement

from edgelab.machine import artifacts

ROOT = artifacts.PROJECT_ROOT
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
WITHOUT_TENSORFLOW = "3.14"
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
MACHINES = {
    "x86-64 Linux": ({**LINUX, "platform_machine": "x86_64"}, {}),
    "x86-64 Linux with an NVIDIA card": ({**LINUX, "platform_machine": "x86_64"}, {"nvidia": True}),
    "Raspberry Pi, RK3588, other Arm": ({**LINUX, "platform_machine": "aarch64"}, {}),
    "Jetson": ({**LINUX, "platform_machine": "aarch64"}, {"nvidia": True, "jetson": True}),
    "Arm server with an NVIDIA card": ({**LINUX, "platform_machine": "aarch64"}, {"nvidia": True}),
    "Apple silicon": (
        {
            "sys_platform": "darwin",
            "platform_system": "Darwin",
            "os_name": "posix",
            "platform_machine": "arm64",
        },
        {},
    ),
    "Windows": (
        {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
        {},
    ),
}
# Runtimes that a chapter needs where nothing is trained.
NEEDED = ("ai-edge-litert", "numpy", "jupyterlab", "onnxruntime", "platformdirs")


@pytest.fixture(scope="module")
def script():
    """tools/bootstrap.py, which needs nothing installed."""
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["bootstrap"] = module
    spec.loader.exec_module(module)
    return module


def locked(lock):
    """Every requirement that a lock file names."""
    text = (ROOT / "requirements" / lock).read_text("utf-8").replace("\\\n", "")
    lines = [re.sub(r"\s--hash=\S+", "", line).strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def installed(lock, environment, python):
    """Package by package the versions that a machine gets."""
    values = {
        **environment,
        "python_version": python,
        "python_full_version": f"{python}.5",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    found = collections.defaultdict(list)
    for one in locked(lock):
        if one.marker is None or one.marker.evaluate(values):
            found[one.name].append(str(one.specifier))
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_machine_gets_one_tensorflow_and_one_of_each_package(machine, python, script):
    environment, has = MACHINES[machine]
    chosen = script.plan(environment["sys_platform"], environment["platform_machine"], **has)
    assert not script.unsupported(environment["sys_platform"], environment["platform_machine"])
    found = installed(chosen.lock, environment, python)
    twice = {name: versions for name, versions in found.items() if len(versions) > 1}
    assert not twice
    flows = [name for name in ("tensorflow", "tensorflow-cpu") if name in found]
    assert len(flows) == 1, f"{machine}: {flows or 'no TensorFlow at all'}"
    assert set(NEEDED) <= set(found)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_python_without_tensorflow_gets_all_that_runs_models(machine, script):
    environment, has = MACHINES[machine]
    python = tuple(map(int, WITHOUT_TENSORFLOW.split(".")))
    chosen = script.plan(environment["sys_platform"], environment["platform_machine"], **has, python=python)
    assert chosen.why.startswith("no TensorFlow") and "make PYTHON=python3.13" in chosen.why
    assert chosen.sees_system == ("jetson" in has)
    found = installed(chosen.lock, environment, WITHOUT_TENSORFLOW)
    assert {*NEEDED, "openvino"} <= set(found)
    # Neither is built for it, and Keras needs h5py.
    assert not {"tensorflow", "tensorflow-cpu", "h5py", "keras"} & set(found)
    assert all(len(versions) == 1 for versions in found.values())


def test_the_set_up_offers_the_pythons_that_are_tested(script):
    low, high = script.SUPPORTED
    offered = [f"3.{minor}" for minor in range(low[1], high[1] + 1)]
    assert offered == [*PYTHONS, WITHOUT_TENSORFLOW]
    assert f"3.{script.WITH_TENSORFLOW[1]}" == PYTHONS[-1]


def test_a_jetson_sees_jetpacks_packages_and_gets_no_cuda_of_pip(script):
    chosen = script.plan("linux", "aarch64", jetson=True, nvidia=True)
    assert chosen.sees_system and chosen.lock == "cpu.lock" and "Jetson" in chosen.why
    assert not any(
        name.startswith("nvidia-") for name in installed("cpu.lock", MACHINES["Jetson"][0], "3.10")
    )
    assert not script.plan("linux", "x86_64", nvidia=True).sees_system


def test_the_test_would_find_a_machine_without_tensorflow():
    # What happened to Jetsons: nvidia-smi answers there, and cuda.lock has TensorFlow for x86-64 alone.
    found = installed("cuda.lock", MACHINES["Jetson"][0], "3.10")
    assert "tensorflow" not in found and "tensorflow-cpu" not in found


def test_an_arm_system_too_old_for_the_wheels_is_told(script):
    assert "JetPack 6" in script.unsupported("linux", "aarch64", "2.31")
    assert not script.unsupported("linux", "aarch64", "2.35")


@pytest.mark.parametrize(
    ("system", "machine", "words"),
    [
        ("darwin", "x86_64", "Intel"),
        ("win32", "ARM64", "Windows on Arm"),
        ("linux", "armv7l", "64-bit system"),
        ("linux", "riscv64", "riscv64"),
    ],
)
def test_where_no_tensorflow_is_made_the_set_up_says_so(system, machine, words, script):
    assert words in script.unsupported(system, machine)
