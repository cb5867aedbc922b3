"""The one place where texts of the package become another language: `EDGELAB_LANGUAGE=de` takes the catalogue
`locale/de/LC_MESSAGES/edgelab.mo`. A text without a translation stays English.
"""

from __future__ import annotations

import functools
import gettext
import os
from pathlib import Path

LOCALE_DIR = Path(__file__).resolve().parent / "locale"


@functools.cache
def _catalogue(language: str, folder: Path) -> gettext.NullTranslations:
    return gettext.translation("edgelab", folder, [language], fallback=True)


def _(text: str) -> str:
    """The text in the language of the environment variable EDGELAB_LANGUAGE; English when it is not set.

    Args:
        text: in English, as it stands in the code.
    """
    language = os.environ.get("EDGELAB_LANGUAGE", "")
    return _catalogue(language, LOCALE_DIR).gettext(text) if language and text else text
