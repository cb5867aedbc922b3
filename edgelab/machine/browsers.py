"""The browser of this computer: where it is, and what it calls itself. None is started here."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from edgelab.machine import hardware

VARIABLE = "EDGELAB_BROWSER"
NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
)
ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
VERSION = re.compile(r"^(?P<name>\D+?) (?P<major>\d+)\.")


def find() -> str:
    """The browser that can run without a window, or ""."""
    if given := os.environ.get(VARIABLE, ""):
        return shutil.which(given) or ""
    return next(filter(None, map(shutil.which, NAMES)), "") or next(
        (path for path in ELSEWHERE if Path(path).is_file()), ""
    )


def name_of(browser: str) -> str:
    """Name and version, such as "Chromium 156"; its file's name where it does not tell.

    Args:
        browser: from `find`.
    """
    # On Windows the question for the version would open a window.
    told = hardware.output_of(browser, "--version") if os.name != "nt" else ""
    found = VERSION.match(told)
    return f"{found['name']} {found['major']}" if found else Path(browser).stem
