"""Ask every address outside the project that its pages link to. It needs a network, so no test runs it.

    python tools/check_links.py         (needs the package `requests`)

Ends with 1 when an address is gone (404, 410 or no such host). What refuses a program, asks it to come back
later, or is down for an hour, is listed and tolerated: a student's browser may well get there. Listed as well
is an address that leads to another one for good.
"""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
# [text](target "title"), with one pair of parentheses inside the target, or <https://...>.
LINK = re.compile(r"\]\(\s*([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\s*\)|<(https?://[^>\s]+)>")
GONE = (404, 410)
MOVED = (301, 308)
TIME_LIMIT_S = 20
LONGEST_WAIT_S = 30
HEADERS = {"User-Agent": "Mozilla/5.0 (link check)"}


def pages() -> list[Path]:
    """All pages a reader opens."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "data").glob("*.md")),
        *sorted((ROOT / "notebooks").glob("*.ipynb")),
    ]


def text_of(page: Path) -> str:
    """The Markdown of a page; of a notebook, that of its text cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def links_in(text: str) -> list[str]:
    """Targets of the links and pictures in Markdown, in order; what stands in code is none."""
    plain = INLINE_CODE.sub("", FENCED.sub("", text))
    return [inside or outside for inside, outside in LINK.findall(plain)]


def is_outside(link: str) -> bool:
    """Whether a link leaves the project."""
    return re.match(r"[a-z]+:", link) is not None


def outside_links() -> dict[str, set[str]]:
    """Addresses outside the project, each with the names of the pages that link to it."""
    used_in: dict[str, set[str]] = {}
    for page in pages():
        for link in links_in(text_of(page)):
            if link.startswith("http"):
                used_in.setdefault(link.partition("#")[0], set()).add(page.name)
    return used_in


def answer_of(address: str) -> tuple[str, str]:
    """Ask for a page, once more where the server wants that.

    Returns:
        "there", "moved", "unsure" or "gone", and what the server said.
    """
    import requests
    from urllib3.util import Retry

    # By GET, since many servers refuse HEAD; of the page only the head is read. "Retry-After" is obeyed once.
    retry = Retry(
        total=10,
        connect=1,
        read=0,
        status=1,
        retry_after_max=LONGEST_WAIT_S,
        raise_on_status=False,
    )
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, requests.adapters.HTTPAdapter(max_retries=retry))
        try:
            with session.get(address, headers=HEADERS, timeout=TIME_LIMIT_S, stream=True) as reply:
                if reply.status_code in GONE:
                    return "gone", str(reply.status_code)
                if not reply.ok:
                    return "unsure", str(reply.status_code)
                if any(step.status_code in MOVED for step in reply.history):
                    return "moved", f"to {reply.url}"
                return "there", str(reply.status_code)
        except requests.RequestException as error:
            no_such_host = "NameResolutionError" in str(error)
            return ("gone" if no_such_host else "unsure"), str(error)[:200]


def main() -> int:
    """Print what did not answer with a page; 1 when something is gone."""
    used_in = outside_links()
    with ThreadPoolExecutor(8) as pool:
        answers = dict(zip(used_in, pool.map(answer_of, used_in), strict=True))
    for address, (state, said) in answers.items():
        if state != "there":
            print(f"{state:6}  {address}  ({said})  in {', '.join(sorted(used_in[address]))}")
    if not any(state == "moved" or said.isdigit() for state, said in answers.values()):
        print("No address answered: is there a network?")
    gone = [address for address, (state, _) in answers.items() if state == "gone"]
    print(f"{len(answers)} addresses, {len(gone)} gone")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
