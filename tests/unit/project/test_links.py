"""Links inside the project lead to a file, and to a heading in it; `tools/check_links.py` asks the others."""

import contextlib
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from edgelab.course import glossary

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import check_links  # noqa: E402 - a tool, not a package

PAGES = check_links.pages()


def anchors_of(page):
    """What a link to a heading may end in: as GitHub makes it from the heading, and as JupyterLab does."""
    if page.suffix not in (".md", ".ipynb"):
        return set()
    headings = re.findall(r"^#+ +(.+?) *$", check_links.text_of(page), re.MULTILINE)
    plain = [re.sub(r"<a id=\"[^\"]*\"></a>", "", heading) for heading in headings]
    return {glossary.anchor(heading) for heading in plain} | {heading.replace(" ", "-") for heading in plain}


def broken_links(page, text):
    broken = []
    for link in check_links.links_in(text):
        if check_links.is_outside(link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / unquote(name)).resolve() if name else page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and unquote(anchor) not in anchors_of(target):
            broken.append(f"{link}: no such heading")
    return broken


def test_every_term_of_the_glossary_is_found_by_jupyterlab_too():
    headings = re.findall(r"^### (<a id=.(.+?).></a>)?(.+)$", glossary.PATH.read_text("utf-8"), re.MULTILINE)
    for _, marked, term in headings:
        anchor = glossary.anchor(term)
        assert anchor == (marked or term.replace(" ", "-")), f'write ### <a id="{anchor}"></a>{term}'
    terms = [term.lower() for *_, term in headings]
    assert terms == sorted(set(terms))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    assert not broken_links(page, check_links.text_of(page))


def test_all_kinds_of_pages_are_looked_at():
    names = {page.name for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "glossary.md"} <= names
    assert set((ROOT / "notebooks").glob("*.ipynb")) <= set(PAGES)
    assert any(
        check_links.is_outside(link)
        for page in PAGES
        for link in check_links.links_in(check_links.text_of(page))
    )


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    text = (
        "# One heading\n[here](page.md#one-heading) [a](#one-heading)\n"
        "<https://example.org/a_(b)> ![x](gone.png)\n"
        '[b](page.md#two) [c](folder/page.md "title") `[not](a-link)`\n```\n[nor](this)\n```\n'
        "[out](https://example.org/page).\n"
    )
    page.write_text(text)
    assert broken_links(page, text) == [
        "gone.png: no such file",
        "page.md#two: no such heading",
        "folder/page.md: no such file",
    ]
    assert [link for link in check_links.links_in(text) if check_links.is_outside(link)] == [
        "https://example.org/a_(b)",
        "https://example.org/page",
    ]


class Site(BaseHTTPRequestHandler):
    """Pages that are there, gone, elsewhere, busy, slow, or closed to programs."""

    busy_once = True

    def do_HEAD(self):
        self.send_error(405)

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(3)
        headers = {
            "/moved": {"Location": "/page"},
            "/for-now": {"Location": "/page"},
            "/loop": {"Location": "/loop"},
            "/moved-to-nothing": {"Location": "/gone"},
            "/busy-once": {"Retry-After": "1"},
            "/busy": {"Retry-After": "86400"},
        }.get(self.path, {})
        codes = {"/gone": 404, "/gone-for-good": 410, "/moved": 301, "/moved-to-nothing": 301, "/loop": 301}
        codes |= {"/for-now": 302, "/closed": 403, "/broken": 500, "/busy": 429}
        code = codes.get(self.path, 200)
        if self.path == "/busy-once" and Site.busy_once:
            Site.busy_once, code = False, 429
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the other side waits no longer
            self.wfile.write(b"a page")

    def log_message(self, *_): ...


@pytest.fixture(scope="module")
def site():
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "state", "words"),
    [
        ("/page", "there", "200"),
        ("/for-now", "there", "200"),
        ("/busy-once", "there", "200"),
        ("/moved", "moved", "/page"),
        ("/moved-to-nothing", "gone", "404"),
        ("/gone", "gone", "404"),
        ("/gone-for-good", "gone", "410"),
        ("/closed", "unsure", "403"),
        ("/broken", "unsure", "500"),
        ("/busy", "unsure", "429"),
        ("/slow", "unsure", "timed out"),
        ("/loop", "unsure", "redirects"),
    ],
)
def test_every_answer_of_a_server_is_understood(site, monkeypatch, path, state, words):
    if path == "/slow":
        monkeypatch.setattr(check_links, "TIME_LIMIT_S", 1)
    monkeypatch.setattr(check_links, "LONGEST_WAIT_S", 1)
    found, said = check_links.answer_of(site + path)
    assert (found, words in said) == (state, True), said


def test_what_is_gone_fails_the_job_and_is_named(site, monkeypatch, capsys):
    monkeypatch.setattr(check_links, "outside_links", lambda: {f"{site}/page": {"a.md"}})
    assert check_links.main() == 0
    monkeypatch.setattr(check_links, "outside_links", lambda: {f"{site}/gone": {"a.md", "b.ipynb"}})
    assert check_links.main() == 1
    assert f"{site}/gone  (404)  in a.md, b.ipynb\n1 addresses, 1 gone" in capsys.readouterr().out


def test_without_a_network_that_is_what_is_said(monkeypatch, capsys):
    monkeypatch.setattr(check_links, "outside_links", lambda: {"https://no-such-host.invalid/a": {"a.md"}})
    assert check_links.main() == 1
    assert "is there a network?" in capsys.readouterr().out


def test_a_host_that_does_not_exist_is_gone():
    assert check_links.answer_of("https://no-such-host.invalid/page")[0] == "gone"


def test_links_outside_are_encrypted_and_follow_nobody():
    links = check_links.outside_links()
    assert links
    tracking = re.compile(r"[?&](utm_|gclid|fbclid|authuser|ref=)")
    assert not [link for link in links if not link.startswith("https://") or tracking.search(link)]
