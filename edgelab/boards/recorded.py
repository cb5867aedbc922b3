"""What sections "On your board" gave on an emulated board, for whoever has none.

`tools/record_board.py` runs the chapters' own cells there and writes it. An emulation answers as an Arm
processor does; it is never timed.
"""

from __future__ import annotations

import json

from edgelab.machine import artifacts
from edgelab.texts import tr


def recorded_session(chapter: str) -> tuple[list[dict[str, str]], str]:
    """What one chapter's section showed.

    Args:
        chapter: such as "09".

    Returns:
        The rows of its table, and a line that says on what, when, and that it is simulated.
    """
    path = artifacts.PROJECT_ROOT / "data" / "recorded" / "board.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    line = tr(
        "No board ran it. Simulated, recorded on {date}: {setting}. An emulation has answers and no time.",
        date=kept["date"],
        setting=kept["setting"],
    )
    return kept["chapters"][chapter], line
