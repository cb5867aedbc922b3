"""What a machine has is found in made-up trees of devices."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgelab import environment
from edgelab.environment import MISSING, OK, WARNING, Finding
from edgelab.machine import browsers, hardware

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux' /sys and /proc")
posix_only = pytest.mark.skipif(os.name == "nt", reason="puts a shell script on PATH")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty machine: no /sys, no /proc, no programs; a test adds what it needs."""
    monkeypatch.setattr(hardware, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    for cached in (hardware.processor_name, hardware.instruction_sets, hardware.tensorflow_build):
        cached.cache_clear()
    yield tmp_path
    for cached in (hardware.processor_name, hardware.instruction_sets, hardware.tensorflow_build):
        cached.cache_clear()


def write(path: Path, text: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_program(root: Path, name: str, script: str):
    path = root / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def add_usb(root: Path, vendor: str, product: str):
    folder = root / "sys/bus/usb/devices/1-1"
    write(folder / "idVendor", vendor + "\n")
    write(folder / "idProduct", product + "\n")


def add_pci(root: Path, vendor: str, device: str):
    folder = root / "sys/bus/pci/devices/0000:00:01.0"
    write(folder / "vendor", f"0x{vendor}\n")
    write(folder / "device", f"0x{device}\n")


def test_this_machine_has_what_the_course_needs():
    report = environment.report()
    assert [finding.name for finding in report] == list(environment.PROBES)
    for name in ("TensorFlow", "Keras", "LiteRT", "Jupyter"):
        assert report[name].status == OK, report[name]
    for finding in report:
        assert finding.status in environment.MARKS and finding.detail and finding.why


def test_nothing_is_missing_without_a_word_on_how_to_mend_it():
    for finding in environment.report().with_status(MISSING):
        assert finding.fix or finding.name == "LiteRT GPU", finding


def test_the_report_does_not_import_tensorflow():
    code = "import sys, edgelab.environment as e; e.report(); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def breaks() -> Finding:
    raise RuntimeError("driver <broken>")


def hangs() -> Finding:
    time.sleep(30)
    return Finding("Slow", OK, "at last", "")


def test_a_probe_that_fails_or_hangs_is_a_row():
    broken = environment.guarded("Broken", breaks)()
    assert broken.status == WARNING and "RuntimeError: driver <broken>" in broken.detail
    slow = environment.guarded("Slow", hangs, limit_s=0.05)()
    assert slow.status == WARNING and "no answer within 0.05 s" in slow.detail


def test_report_shows_itself_in_text_and_in_escaped_html():
    report = environment.report({"Broken": breaks})
    assert str(report).startswith("! look     Broken: the probe failed")
    page = report._repr_html_()
    assert "driver &lt;broken&gt;" in page and 'scope="row"' in page and "! look" in page


@posix_only
def test_a_browser_is_told_with_its_version_or_with_the_way_to_one(root, monkeypatch):
    monkeypatch.delenv(browsers.VARIABLE, raising=False)
    monkeypatch.setattr(browsers, "ELSEWHERE", ())
    missing = environment.browser()
    assert missing.status == MISSING and "install Chromium" in missing.fix
    add_program(root, "chromium", "echo 'Chromium 156.0.8078.108 built on Debian'")
    found = environment.browser()
    assert found.status == OK and found.detail == "Chromium 156"


@linux_only
@pytest.mark.parametrize("usb_id", environment.EDGE_TPU_USB_IDS)
def test_a_coral_usb_accelerator_is_found_before_and_after_its_firmware(root, usb_id):
    assert environment.edge_tpu_device().status == MISSING
    add_usb(root, *usb_id.split(":"))
    finding = environment.edge_tpu_device()
    assert finding.status == OK and usb_id in finding.detail


@linux_only
def test_a_coral_pcie_module_needs_its_driver(root):
    add_pci(root, *environment.EDGE_TPU_PCI_ID.split(":"))
    finding = environment.edge_tpu_device()
    assert finding.status == WARNING and "gasket" in finding.fix
    write(root / "dev/apex_0", "")
    assert environment.edge_tpu_device().status == OK


@linux_only
def test_a_rockchip_board_on_usb_needs_adb(root):
    assert environment.rknn_board().status == MISSING
    add_usb(root, "2207", "350b")
    finding = environment.rknn_board()
    assert finding.status == WARNING and "adb" in finding.fix
    add_program(root, "adb", "exit 0")
    assert environment.rknn_board().status == OK


@linux_only
def test_a_rockchip_chip_needs_its_runtime(root):
    write(root / "proc/device-tree/compatible", "radxa,rock-5b\0rockchip,rk3588\0")
    finding = environment.rknn_board()
    assert finding.status == WARNING and "rockchip,rk3588 without librknnrt.so" in finding.detail


@linux_only
def test_an_arm_processor_is_read_with_its_instructions(root):
    write(root / "proc/cpuinfo", "processor : 0\nFeatures : fp asimd aes asimddp\n")
    write(root / "proc/device-tree/model", "Raspberry Pi 5 Model B\0")
    finding = environment.processor()
    assert finding.status == OK
    assert "Raspberry Pi 5 Model B" in finding.detail and "NEON, NEON dot product" in finding.detail


@linux_only
def test_an_old_processor_gets_a_warning_about_int8(root):
    write(root / "proc/cpuinfo", "model name : Old One\nflags : sse2 avx avx2\n")
    finding = environment.processor()
    assert finding.status == WARNING and "AVX2" in finding.detail


@posix_only
def test_an_nvidia_driver_is_read_from_nvidia_smi(root):
    assert environment.nvidia_driver().status == MISSING
    add_program(root, "nvidia-smi", 'echo "NVIDIA T4, 550.54, 15360 MiB"')
    finding = environment.nvidia_driver()
    assert finding.status == OK and "550.54" in finding.detail


@posix_only
def test_an_nvidia_smi_that_fails_or_hangs_counts_as_no_driver(root, monkeypatch):
    monkeypatch.setattr(hardware, "TIME_LIMIT_S", 0.3)
    add_program(root, "nvidia-smi", 'echo "cannot communicate with the driver"; exit 9')
    assert environment.nvidia_driver().status == MISSING
    add_program(root, "nvidia-smi", "exec /bin/sleep 20")
    assert environment.nvidia_driver().status == MISSING


@linux_only
def test_an_nvidia_card_without_a_driver_is_told_how_to_mend_it(root):
    add_pci(root, "10de", "2330")
    finding = environment.nvidia_driver()
    assert finding.status == MISSING and "driver" in finding.fix


@linux_only
def test_a_camera_is_named_without_opening_it(root):
    assert environment.camera().status == MISSING
    write(root / "sys/class/video4linux/video0/name", "Lab Camera\n")
    assert environment.camera().detail == "Lab Camera"


@posix_only
def test_the_edge_tpu_compiler_on_path_is_asked_for_its_version(root):
    add_program(root, "edgetpu_compiler", 'echo "Edge TPU Compiler version 16.0.384591198"')
    assert environment.edge_tpu_compiler().detail == "Edge TPU Compiler version 16.0.384591198"


def test_real_data_must_be_a_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGELAB_DATA", raising=False)
    assert environment.real_data().status == MISSING
    monkeypatch.setenv("EDGELAB_DATA", str(tmp_path / "nothing"))
    assert environment.real_data().status == WARNING
    monkeypatch.setenv("EDGELAB_DATA", str(tmp_path))
    assert environment.real_data().status == OK
