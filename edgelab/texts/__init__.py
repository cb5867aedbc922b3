"""The one place where texts for people become another language.

`EDGELAB_LANGUAGE=de` takes `locale/de/LC_MESSAGES/edgelab.mo`; a path to an `.mo` file takes that one. Read
once, at the first text, so that languages do not mix; what has no translation stays English.

Every text for people stands in `tr("...")`, its values named: `tr("{count} of {total} pictures", count=3,
total=9)`. A plural is `tr_plural("{count} picture", "{count} pictures", 3)`.
"""

from __future__ import annotations

import functools
import gettext
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LOCALE_DIR = Path(__file__).resolve().parent / "locale"


@functools.cache
def _catalogue() -> gettext.NullTranslations:
    language = os.environ.get("EDGELAB_LANGUAGE", "")
    if not language.endswith(".mo"):
        return gettext.translation("edgelab", LOCALE_DIR, [language], fallback=True)
    with Path(language).open("rb") as file:
        return gettext.GNUTranslations(file)


def _filled(translated: str, english: str, values: dict[str, Any]) -> str:
    """The translation with its values, or the English text where a translator has broken a placeholder."""
    try:
        return translated.format(**values)
    except (LookupError, ValueError, AttributeError, TypeError):
        return english.format(**values)


def tr(text: str, /, **values: Any) -> str:
    """A text in the language of the environment variable EDGELAB_LANGUAGE; English when it is not set.

    Args:
        text: in English, a literal. With values it is a template of `str.format`.
        values: what its placeholders stand for.
    """
    # gettext keeps the catalogue's own header under the empty text.
    translated = _catalogue().gettext(text) if text else text
    return _filled(translated, text, values) if values else translated


def tr_plural(one: str, many: str, count: int, /, **values: Any) -> str:
    """A text that depends on a number, by the language's own rule.

    Args:
        one, many: in English, literals.
        count: decides which; fills `{count}`.
        values: what the other placeholders stand for.
    """
    translated = _catalogue().ngettext(one, many, count)
    return _filled(translated, one if count == 1 else many, {"count": count, **values})


def tr_alternatives(names: Iterable[str]) -> str:
    """Names of which one is to be chosen, such as "int8 or uint8"."""
    return (" " + tr("or") + " ").join(names)


def tr_later(text: str) -> str:
    """Mark a text for the catalogue and leave it as it is: a name that code looks up, shown by `tr(name)`."""
    return text
