"""LiteRT.js fetched by hash, or a clear word why not."""

import http.server
import json
import shutil
import threading

import pytest

from edgelab.errors import TargetError
from edgelab.targets.web import files


@pytest.fixture
def registry(monkeypatch):
    """A registry that gives the wrong package, with the list `asked` of paths."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"not that package")

        def log_message(self, *_):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    served.asked = asked
    monkeypatch.setenv(files.REGISTRY_VARIABLE, f"http://127.0.0.1:{served.server_port}/")
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture
def whole(tmp_path):
    """A folder with all files, as far as this computer has them."""
    if reason := files.missing():
        pytest.skip(f"{reason}; {files.fix()}")
    return shutil.copytree(files.folder(), tmp_path / "web")


def test_a_package_with_another_hash_is_refused_and_nothing_is_left(registry, tmp_path):
    with pytest.raises(TargetError, match="not the package meant") as caught:
        files.fetch(tmp_path / "web")
    assert registry.asked == ["/@litertjs/core/-/core-2.5.3.tgz"]
    assert "hash" in caught.value.why.lower() and not (tmp_path / "web").exists()


def test_without_a_network_the_fix_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv(files.REGISTRY_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(TargetError, match="cannot be fetched") as caught:
        files.fetch(tmp_path / "web")
    assert files.FOLDER_VARIABLE in caught.value.fix


def test_the_registry_is_npms_own_or_told(monkeypatch, tmp_path):
    monkeypatch.delenv(files.REGISTRY_VARIABLE, raising=False)
    monkeypatch.delenv(files.REGISTRY_VARIABLE.lower(), raising=False)
    monkeypatch.setattr(files.Path, "home", classmethod(lambda _: tmp_path))
    (tmp_path / ".npmrc").write_text("fund=false\nregistry = https://registry.test/npm/\n")
    assert files.registry() == "https://registry.test/npm"
    (tmp_path / ".npmrc").unlink()
    monkeypatch.setattr(files.shutil, "which", lambda _: None)
    with pytest.raises(TargetError, match="No npm registry") as caught:
        files.registry()
    assert files.REGISTRY_VARIABLE in caught.value.fix
    monkeypatch.setenv(files.REGISTRY_VARIABLE, "file:///etc")
    with pytest.raises(TargetError, match="no address"):
        files.registry()


def test_what_is_here_is_not_fetched_again(registry, whole):
    assert files.fetch(whole) == whole and registry.asked == []


@pytest.mark.parametrize("name", ["litert.js", "wasm/litert_wasm_internal.wasm"])
def test_a_changed_file_is_noticed(whole, name, monkeypatch):
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(whole))
    assert files.missing() == ""
    (whole / name).write_bytes((whole / name).read_bytes() + b" ")
    assert name in files.missing()
    (whole / name).unlink()
    assert files.missing()
    with pytest.raises(TargetError, match="not here"):
        files.needed()


def test_an_older_or_damaged_folder_is_noticed(whole, monkeypatch):
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(whole))
    manifest = json.loads((whole / files.MANIFEST).read_text())
    for text in (
        "{",
        "[]",
        json.dumps({**manifest, "version": "1.0.0"}),
        json.dumps({"version": files.VERSION}),
    ):
        (whole / files.MANIFEST).write_text(text)
        assert files.missing(), text


def test_the_licence_travels_with_it(whole):
    assert "Apache License" in (whole / "LICENSE.txt").read_text()
    assert "Changed for this course" in (whole / "NOTICE.txt").read_text()
    assert json.loads((whole / "package.json").read_text())["license"] == "Apache-2.0"


def test_another_release_is_refused(tmp_path):
    import io
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/dist/index.js")
        archive.addfile(entry, io.BytesIO(b""))
    with pytest.raises(TargetError, match="release"):
        files.lay_out(stream.getvalue(), stream.getvalue(), tmp_path / "web")
    assert not (tmp_path / "web").exists()
