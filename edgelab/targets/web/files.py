"""LiteRT.js and what it needs: fetched once, by hash, laid out as the page wants them, with the licence.

Nothing of it is in the project. `make web-files` fetches two packages, 12 MB, from the npm registry that npm
is configured for, into a cache that all checkouts share; EDGELAB_WEB_FILES names another folder, such as one
that a class without internet shares.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from edgelab.errors import TargetError
from edgelab.machine import artifacts
from edgelab.texts import tr

VERSION = "2.5.3"
FOLDER_VARIABLE = "EDGELAB_WEB_FILES"
REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"  # npm's own name for it
# The integrity that the registry tells of each package, as npm's lock files hold it.
PACKAGES = {
    "@litertjs/core":
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "@litertjs/wasm-utils":
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}  # fmt: skip
# Builds of the runtime: one for any browser, one for WebGPU with parts on the CPU or 8-bit inputs (it needs a
# browser that can suspend WebAssembly), one with threads (it needs an isolated page).
VARIANTS = ("", "jspi_", "threaded_")
BARE_IMPORT = 'from "@litertjs/wasm-utils"'  # a name that only node resolves
# The released tensors know float32, int32 and uint8; a row more, and int8 models run.
UINT8_ROW = """  {
    dtype: "uint8",
    typedArrayConstructor: Uint8Array,
    elementType: ElementType.UINT8
  }"""
INT8_ROW = UINT8_ROW.replace("uint8", "int8").replace("Uint8Array", "Int8Array").replace("UINT8", "INT8")
MANIFEST = "manifest.json"
NOTICE = f"""LiteRT.js {VERSION} (@litertjs/core, @litertjs/wasm-utils), Apache License 2.0:
see LICENSE.txt and package.json.

Changed for this course, in litert.js alone: the import of @litertjs/wasm-utils names a file beside it, and a
row lets tensors hold int8.
"""
TIME_LIMIT_S = 60


def folder() -> Path:
    """Where the files of this version lie, or would lie."""
    if given := os.environ.get(FOLDER_VARIABLE, ""):
        return Path(given)
    import pooch

    return Path(pooch.os_cache("edgelab")) / f"litertjs-{VERSION}"


def names() -> tuple[str, ...]:
    """The files that a page asks for, in the folder."""
    built = [f"wasm/litert_wasm_{variant}internal.{end}" for variant in VARIANTS for end in ("js", "wasm")]
    return ("litert.js", "wasm-utils.js", *built)


def missing() -> str:
    """Why the files cannot be used, or "" where they are here, whole."""
    return _missing(folder())


def _missing(where: Path) -> str:
    try:
        manifest = json.loads((where / MANIFEST).read_text(encoding="utf-8"))
        stamps = tuple((name, (where / name).stat().st_mtime_ns) for name in names())
    except FileNotFoundError:
        return tr("LiteRT.js is not in {folder}", folder=where)
    except (OSError, ValueError) as error:
        return tr("LiteRT.js in {folder} cannot be read: {error}", folder=where, error=error)
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        return tr("{folder} holds another version of LiteRT.js", folder=where)
    changed = _changed(where, json.dumps(manifest, sort_keys=True), stamps)
    return tr("{file} in {folder} is not as it was fetched", file=changed, folder=where) if changed else ""


@cache
def _changed(where: Path, manifest: str, stamps: tuple[tuple[str, int], ...]) -> str:
    """The first file that is not as the manifest says, or ""; read again only when one is written."""
    hashes = json.loads(manifest).get("sha256", {})
    for name, _ in stamps:
        if hashlib.sha256((where / name).read_bytes()).hexdigest() != hashes.get(name):
            return name
    return ""


def fix() -> str:
    """What to do where the files are missing."""
    return tr(
        "run `make web-files` or `python -m edgelab web --fetch` once, with internet (12 MB); without, copy "
        "the folder from a computer that has it and name it in {variable}",
        variable=FOLDER_VARIABLE,
    )


def needed() -> Path:
    """The folder, where all files are in it.

    Raises:
        TargetError: some are not; says what to do.
    """
    if reason := missing():
        raise TargetError(tr("LiteRT.js is not here."), why=reason, fix=fix())
    return folder()


def registry() -> str:
    """The address of the npm registry: from npm's variable, its file of settings, or npm itself.

    Raises:
        TargetError: neither tells one.
    """
    for name in (REGISTRY_VARIABLE, REGISTRY_VARIABLE.lower()):
        if given := os.environ.get(name, "").strip():
            return _address(given)
    for path in (artifacts.PROJECT_ROOT / ".npmrc", Path.home() / ".npmrc"):
        if path.is_file():
            told = re.findall(r"^\s*registry\s*=\s*(\S+)", path.read_text("utf-8", "replace"), re.MULTILINE)
            if told:
                return _address(told[-1])
    if npm := shutil.which("npm"):
        command = [npm, "config", "get", "registry"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_S)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done and done.returncode == 0 and done.stdout.strip().startswith("http"):
            return _address(done.stdout.strip())
    raise TargetError(
        tr("No npm registry is known here."),
        why=tr("npm is not installed, and {variable} is not set", variable=REGISTRY_VARIABLE),
        fix=tr(
            "set {variable} to the address of the registry that your network uses (npm's documentation names "
            "the public one), or install npm; then run `make web-files` again",
            variable=REGISTRY_VARIABLE,
        ),
    )


def _address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise TargetError(
            tr("{address} is no address of a registry.", address=text),
            fix=tr("begin it with https://, in {variable} or .npmrc", variable=REGISTRY_VARIABLE),
        )
    return text.rstrip("/")


def fetch(to: Path | None = None) -> Path:
    """Fetch the packages, check their hashes, and lay them out; nothing is done where they are here already.

    Args:
        to: the folder; `folder()` by default.

    Returns:
        The folder.

    Raises:
        TargetError: no registry, no network, or a package that is not the one meant.
        StorageError: the folder cannot be written.
    """
    to = to or folder()
    if not _missing(to):
        return to
    base = registry()
    with tempfile.TemporaryDirectory(prefix="edgelab-web-") as temporary:
        archives = [_package(name, base, Path(temporary)) for name in PACKAGES]
    lay_out(*archives, to)
    return to


def _package(name: str, base: str, temporary: Path) -> bytes:
    import pooch

    digest = base64.b64decode(PACKAGES[name]).hex()
    address = f"{base}/{name}/-/{name.split('/')[-1]}-{VERSION}.tgz"
    try:
        path = pooch.retrieve(address, known_hash=f"sha512:{digest}", path=temporary, progressbar=False)
    except ValueError as error:  # the hash
        raise TargetError(
            tr("{name} {version} from the registry is not the package meant.", name=name, version=VERSION),
            why=str(error),
            fix=tr("try another registry: {variable}", variable=REGISTRY_VARIABLE),
        ) from error
    except Exception as error:  # requests' own errors, of which there are many
        raise TargetError(
            tr("{name} {version} cannot be fetched.", name=name, version=VERSION), why=str(error), fix=fix()
        ) from error
    return Path(path).read_bytes()


def lay_out(core: bytes, utilities: bytes, to: Path) -> None:
    """Unpack what the page needs; the manifest, written last, makes the folder whole.

    Args:
        core: the archive of @litertjs/core.
        utilities: the archive of @litertjs/wasm-utils.
        to: the folder.

    Raises:
        TargetError: the packages are not as expected: another release.
        StorageError: the folder cannot be written.
    """
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(core)) as archive:
        text = archive.extractfile("package/dist/index.js").read().decode()
        if text.count(BARE_IMPORT) != 1 or text.count(UINT8_ROW) != 1:
            raise TargetError(
                tr("This release of LiteRT.js is not the one that the course was made for."),
                fix=tr("use version {version}", version=VERSION),
            )
        text = text.replace(BARE_IMPORT, 'from "./wasm-utils.js"')
        files["litert.js"] = text.replace(UINT8_ROW, f"{UINT8_ROW},\n{INT8_ROW}").encode()
        files["package.json"] = archive.extractfile("package/package.json").read()
        for name in names():
            if name.startswith("wasm/"):
                files[name] = archive.extractfile(f"package/{name}").read()
    with tarfile.open(fileobj=io.BytesIO(utilities)) as archive:
        files["wasm-utils.js"] = archive.extractfile("package/dist/index.js").read()
    # The packages name their licence without bringing its text; the course stands under the same one.
    files["LICENSE.txt"] = (artifacts.PROJECT_ROOT / "LICENSE").read_bytes()
    files["NOTICE.txt"] = NOTICE.encode()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[MANIFEST] = json.dumps({"version": VERSION, "sha256": hashes}, indent=1).encode()
    for name, content in files.items():
        with artifacts.atomic_path(to / name) as temporary:
            temporary.write_bytes(content)
