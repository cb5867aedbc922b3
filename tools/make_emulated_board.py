"""Make a board that is none: an Arm Linux user land under qemu, which the tests log in to by ssh.

`python tools/make_emulated_board.py FOLDER` unpacks Debian packages for arm64, and qemu, into the folder, by
a state of apt's own: nothing of this machine is changed, and no root is needed. `FOLDER/enter COMMAND` then
runs a shell command in it, in name spaces of its own, where the kernel starts Arm programs through qemu
(Linux 6.7 and newer). It shows what is right on Arm, never how fast.

Exit code 3: it cannot be had here, and the last line says why. Debian 12's own qemu 7.2 crashes in LiteRT's
`Interpreter()`: qemu comes from Debian 13.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

SUITE = "trixie"
LAND = ["base-files", "dash", "coreutils", "sed", "mawk", "grep", "libc-bin", "python3", "libstdc++6"]
EMULATOR = "qemu-user"
CPU = "cortex-a76"  # of a Raspberry Pi 5, or the large cores of an RK3588
APT_S, ENTER_S = 300, 60
CANNOT = 3
# An Arm program is known by the first 20 bytes of its file: ELF, 64 bits, little endian, executable or
# library, machine 0xb7.
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
# Each command gets name spaces of its own. BOARD_HOME and BOARD_TMP, where they are set, are /root and /tmp.
ENTER = r"""#!/bin/sh
# Made by tools/make_emulated_board.py: runs a shell command on the emulated board.
if [ "$EDGELAB_INSIDE" != 1 ]; then
  EDGELAB_INSIDE=1 exec unshare --user --map-root-user --mount "$0" "$@"
fi
set -e
root="{folder}/root"
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf '%s' ':edgelab:M::{magic}:{mask}:{folder}/qemu-aarch64:FPC' >/proc/sys/fs/binfmt_misc/register
# Without /sys LiteRT counts no processors, leaves XNNPACK out, and its other kernels round otherwise.
for place in dev proc sys; do mount --rbind "/$place" "$root/$place"; done
[ -z "$BOARD_HOME" ] || mount --bind "$BOARD_HOME" "$root/root"
[ -z "$BOARD_TMP" ] || mount --bind "$BOARD_TMP" "$root/tmp"
exec env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 QEMU_CPU={cpu} \
  "$(command -v chroot)" "$root" /bin/sh -c 'cd; exec /bin/sh -c "$1"' sh "$1"
"""


class CannotBeHadError(Exception):
    """This machine cannot have such a board."""


def sources(folder: Path) -> Path:
    """Debian 13's package source, where this machine's own apt finds Debian."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        text = path.read_text("utf-8") if path.exists() else ""
        if path.suffix == ".sources":
            first = next((part for part in text.split("\n\n") if "Types:" in part), "")
            made = re.sub(r"(?m)^Suites:.*", f"Suites: {SUITE}", first)
            out = folder / "debian.sources"
        else:
            line = next((line for line in text.splitlines() if re.match(r"deb\s.*debian", line)), "")
            made = re.sub(r"(\S+://\S+|file:\S+)\s+\S+", rf"\1 {SUITE}", line, count=1)
            out = folder / "debian.list"
        if "debian" in made:
            out.write_text(made + "\n", "utf-8")
            return out
    raise CannotBeHadError("apt here knows no Debian")


def apt(state: Path, architecture: str, *words: str, folder: Path | None = None) -> None:
    """One apt-get command with a state of its own.

    Raises:
        CannotBeHadError: no apt, or no network.
    """
    parts = state / "etc"
    for place in (state / "lists" / "partial", state / "archives" / "partial", parts):
        place.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    sources(parts)
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": parts,
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "Debug::NoLocking": "1",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "root",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    try:
        done = subprocess.run(
            ["apt-get", *options, "-qq", *words], capture_output=True, text=True, timeout=APT_S, cwd=folder
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBeHadError(f"apt-get: {error}") from error
    if done.returncode:
        raise CannotBeHadError(f"apt-get {words[0]}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def unpack(archives: Path, root: Path) -> None:
    """All packages of a folder, into another; `base-files` first, which makes /bin a link to /usr/bin."""
    for package in sorted(archives.glob("*.deb"), key=lambda path: not path.name.startswith("base-files")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True, timeout=APT_S)


def make(folder: Path) -> None:
    """Fill the folder.

    Raises:
        CannotBeHadError: this machine cannot.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CannotBeHadError("it is made for Linux on x86-64")
    if not all(map(shutil.which, ("apt-get", "dpkg-deb", "unshare", "chroot"))):
        raise CannotBeHadError("apt-get, dpkg-deb, unshare or chroot is missing: no Debian")
    root, state = folder / "root", folder / "state"
    shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    apt(state / "arm64", "arm64", "update")
    apt(state / "arm64", "arm64", "-y", "--download-only", "install", *LAND)
    unpack(state / "arm64" / "archives", root)
    apt(state / "amd64", "amd64", "update")
    apt(state / "amd64", "amd64", "download", EMULATOR, folder=state / "amd64" / "archives")
    unpack(state / "amd64" / "archives", state / "qemu")
    shutil.copy2(state / "qemu" / "usr" / "bin" / "qemu-aarch64", folder / "qemu-aarch64")
    for name in ("dev", "proc", "sys", "tmp", "root"):
        (root / name).mkdir(exist_ok=True)
    for link, target in (("awk", "mawk"), ("sh", "dash")):
        if not (root / "usr" / "bin" / link).is_symlink():
            (root / "usr" / "bin" / link).symlink_to(target)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", "utf-8")
    (root / "etc" / "group").write_text("root:x:0:\n", "utf-8")
    shutil.rmtree(state)


def write_enter(folder: Path) -> Path:
    """The program that runs a command on the board."""
    path = folder / "enter"
    values = {"folder": str(folder), "cpu": CPU, "magic": MAGIC, "mask": MASK}
    text = ENTER
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path


def try_it(folder: Path) -> str:
    """What the board's Python says it runs on.

    Raises:
        CannotBeHadError: nothing, or another processor.
    """
    command = [
        str(folder / "enter"),
        "python3 -c 'import platform; print(platform.machine(), platform.python_version())'",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENTER_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBeHadError(f"it does not start: {error}") from error
    if not done.stdout.startswith("aarch64"):
        words = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise CannotBeHadError(f"the kernel starts no Arm programs for us (Linux 6.7 or newer does): {words}")
    return done.stdout.strip()


def set_up_kit(folder: Path, kit: Path) -> None:
    """Unpack a kit of `python -m edgelab board kit` where the board has its own; this machine does it faster.

    Raises:
        CannotBeHadError: it cannot be set up there.
    """
    with zipfile.ZipFile(kit) as archive:
        place = folder / "home" / ".edgelab" / f"kit-{json.loads(archive.read('about.json'))['version']}"
        if (place / "kit.json").exists():
            return
        shutil.rmtree(place.parent, ignore_errors=True)
        archive.extractall(place)
    done = subprocess.run(
        [str(folder / "enter"), f"python3 .edgelab/{place.name}/set_up.py"],
        capture_output=True,
        text=True,
        timeout=APT_S,
        env={**os.environ, "BOARD_HOME": str(folder / "home")},
    )
    if done.returncode:
        raise CannotBeHadError((done.stderr.strip().splitlines() or ["its kit cannot be set up"])[-1])


def main() -> int:
    """Make it, unless it is there as this program makes it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kit", type=Path, help="a board kit for it, to be set up there")
    options = parser.parse_args()
    folder = options.folder.absolute()
    mark, version = folder / "made", hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    try:
        if not (mark.exists() and mark.read_text("utf-8") == version):
            make(folder)
        write_enter(folder)
        print(f"{folder}: {try_it(folder)}, emulated {CPU}")
        if options.kit:
            set_up_kit(folder, options.kit)
    except (CannotBeHadError, subprocess.SubprocessError, OSError) as error:
        print(f"No emulated board: {error}")
        return CANNOT
    mark.write_text(version, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
