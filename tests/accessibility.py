"""What axe finds wrong with a page, contrast judged once for each kind of text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import kept
import pytest

# A chapter has three thousand words and signs in forty colours; axe takes 12 of its 16 seconds to judge each.
MARK_ONE_OF_EACH_KIND = """() => {
  const seen = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!hasText || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const kind = [style.color, style.fontSize, style.fontWeight, style.textShadow];
    for (let at = element; at; at = at.parentElement) {
      const {backgroundColor, backgroundImage, opacity, position, filter} = getComputedStyle(at);
      kind.push([backgroundColor, backgroundImage, opacity, position, filter].join());
    }
    const key = kind.filter((part, i) => part !== kind[i - 1]).join("|");
    if (!seen.has(key)) element.setAttribute("data-kind-of-text", seen.add(key).size);
  }
}"""
RUN = """([context, options]) => axe.run(context, options).then(
  result => result.violations.map(v => [v.id, v.nodes[0].html.slice(0, 120)]))"""
STANDARDS = ["wcag2a", "wcag2aa", "best-practice"]
RULES = Path(__file__).read_bytes()
# What a chapter says differs from run to run by its figures and digits alone, of which axe judges neither.
CODE_AND_STYLES = re.compile(r"(<(?:style|script)\b.*?</(?:style|script)>)", re.DOTALL)
TEXTS = re.compile(r'>[^<]*<|\balt="[^"]*"')
PICTURES = re.compile(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")


def contrast_findings(page) -> list[list[str]]:
    """Texts that are too pale, one of each kind: (rule, where)."""
    _bring_axe(page)
    page.evaluate(MARK_ONE_OF_EACH_KIND)
    one_of_each = {"include": [["[data-kind-of-text]"]]}
    return page.evaluate(RUN, [one_of_each, {"runOnly": ["color-contrast"]}])


def findings(page) -> list[list[str]]:
    """Everything that axe finds wrong with a page: (rule, where)."""
    _bring_axe(page)
    others = {"runOnly": STANDARDS, "rules": {"color-contrast": {"enabled": False}}}
    return page.evaluate(RUN, [{"include": [["html"]]}, others]) + contrast_findings(page)


def _bring_axe(page) -> None:
    """And unfold everything: axe looks only at what can be seen."""
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    axe = pytest.importorskip("axe_playwright_python")
    if not page.evaluate("'axe' in window"):
        page.evaluate(next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8"))


def judged(judge: Callable[[], list], page: str, *looks: bytes | str) -> list:
    """What a judge finds on a page; it is not asked again about one that differs in figures and digits alone.

    Args:
        judge: gives findings.
        page: HTML.
        looks: styles, and whatever else decides.
    """
    return kept.nothing_found(judge, RULES, shape(page), *looks)


def shape(page: str) -> str:
    """HTML without what changes from run to run: pictures, and which digits stand in texts, not how many."""
    parts = CODE_AND_STYLES.split(page)
    parts[::2] = [TEXTS.sub(_no_digits, PICTURES.sub("data:", part)) for part in parts[::2]]
    return "".join(parts)


def _no_digits(text: re.Match) -> str:
    return re.sub(r"\d", "0", text[0])
