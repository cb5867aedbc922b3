"""Ask every address outside the project that its pages link to. It needs a network, so no test runs it.

    python tools/check_links.py

Ends with 1 when an address is gone (404, 410 or no such host). What refuses a program, or is down for an
hour, is listed and tolerated: a student's browser may well get there.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
# [text](target "title"), with one pair of parentheses inside the target, or <https://...>.
LINK = re.compile(r"\]\(\s*([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\s*\)|<(https?://[^>\s]+)>")
GONE = (404, 410)
TIME_LIMIT_S = 20
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


def answer_of(address: str) -> tuple[bool, str]:
    """Whether a page may be there, and what its server said."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, headers=HEADERS), timeout=TIME_LIMIT_S
        ) as reply:
            return True, str(reply.status)
    except urllib.error.HTTPError as error:
        return error.code not in GONE, str(error.code)
    except OSError as error:
        return not isinstance(getattr(error, "reason", error), socket.gaierror), str(error)


def main() -> int:
    """Print what did not answer with a page; 1 when something is gone."""
    used_in: dict[str, set[str]] = {}
    for page in pages():
        for link in links_in(text_of(page)):
            if link.startswith("http"):
                used_in.setdefault(link.partition("#")[0], set()).add(page.name)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(answer_of, used_in))
    gone = 0
    for (address, names), (is_there, said) in zip(used_in.items(), answers, strict=True):
        gone += not is_there
        if said != "200":
            print(f"{'unsure' if is_there else 'GONE  '}  {address}  ({said})  in {', '.join(sorted(names))}")
    print(f"{len(used_in)} addresses, {gone} gone")
    return 1 if gone else 0


if __name__ == "__main__":
    sys.exit(main())
