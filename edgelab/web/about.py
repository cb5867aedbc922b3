"""What a browser offers to a page: its GPU, its features, and the conditions for both."""

from __future__ import annotations

from typing import Any

from edgelab.errors import TargetError
from edgelab.targets.web import engine
from edgelab.texts import tr

# Features of WebGPU that decide how a network runs there.
FEATURES = ("shader-f16", "subgroups", "timestamp-query")


def rows(where: str = "auto") -> list[dict[str, str]]:
    """Ask a browser, and tell in rows what it offers; where there is none, the one row says what to do.

    Args:
        where: the page to ask, as for the target `web`.
    """
    try:
        page = engine.remembered(where, gpu=True)
    except TargetError as error:
        why = f"{error.what} {error.why}".strip()
        return [_row(tr("browser"), tr("none that can be asked"), why, error.fix)]
    return described(page)


def described(page: engine.Page) -> list[dict[str, str]]:
    """The rows for a page that answers."""
    found = page.found
    return [
        _row(tr("browser"), page.browser, tr("the runtime's limits and errors differ between versions")),
        _secure(found),
        _adapter(page),
        _features(found.get("adapter")),
        _row(
            tr("isolated from other sites"),
            _yes_or_no(found.get("isolated")),
            tr(
                "several threads in wasm, and a finer clock: here one step is {step:.2g} ms",
                step=page.clock_ms,
            ),
        ),
        _row(
            tr("wasm can wait for the GPU"),
            _yes_or_no(found.get("jspi")),
            tr("JSPI: needed where some operators of a model stay on the processor"),
        ),
    ]


def _secure(found: dict[str, Any]) -> dict[str, str]:
    is_secure = found.get("secure") is True
    return _row(
        tr("secure context"),
        _yes_or_no(is_secure),
        tr("without it there is no WebGPU"),
        "" if is_secure else tr("use https://, or an address of this computer itself: http://localhost"),
    )


def _adapter(page: engine.Page) -> dict[str, str]:
    why = tr("the GPU that a page reaches")
    if page.adapter and page.is_software:
        name = tr("{adapter}, played by the processor", adapter=page.adapter)
        return _row(tr("WebGPU adapter"), name, why, tr("right results, no speed: a GPU needs its driver"))
    if page.adapter:
        return _row(tr("WebGPU adapter"), page.adapter, why)
    fix = tr(
        "open chrome://gpu and look for WebGPU; switch on hardware acceleration in the browser's settings; "
        "on Linux also chrome://flags/#enable-unsafe-webgpu"
    )
    return _row(tr("WebGPU adapter"), tr("none"), why, fix)


def _features(adapter: Any) -> dict[str, str]:
    told = adapter.get("features") if isinstance(adapter, dict) else None
    known = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
    wanted = ", ".join(name for name in FEATURES if name in known) or tr("none of them")
    here = tr("{count} in all; {names}", count=len(known), names=wanted) if known else "–"
    return _row(
        tr("WebGPU features"), here, tr("shader-f16 computes with 16 bits, subgroups share between threads")
    )


def _yes_or_no(found: Any) -> str:
    return tr("yes") if found is True else tr("no")


def _row(what: str, here: str, why: str, fix: str = "") -> dict[str, str]:
    return {"what": what, "here": here, "why it matters": why, "how to fix it": fix}
