"""What axe finds wrong with a page, contrast judged once for each kind of text."""

from __future__ import annotations

from pathlib import Path

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
    axe = pytest.importorskip("axe_playwright_python")
    if not page.evaluate("'axe' in window"):
        page.evaluate(next(Path(axe.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8"))
