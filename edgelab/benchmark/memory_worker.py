"""A process that loads one model and tells its own memory: `python -m edgelab.benchmark.memory_worker`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from edgelab.machine.child import ANSWER_MARK

KILOBYTE = 1024  # the unit of /proc


def _measured(file: str) -> dict[str, int]:
    rollup = Path("/proc/self/smaps_rollup").read_text(encoding="ascii", errors="replace")
    mapped = shared = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if re.match(r"^[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(file)
        elif inside and (found := re.match(r"^(Rss|Pss):\s+(\d+)", line)):
            if found[1] == "Rss":
                mapped += int(found[2])
            else:
                shared += int(found[2])
    pss = int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])
    return {"pss": pss * KILOBYTE, "mapped": mapped * KILOBYTE, "shared": shared * KILOBYTE}


def _loaded(file: str, way: str) -> Interpreter:
    content = {"model_path": file} if way == "path" else {"model_content": Path(file).read_bytes()}
    interpreter = Interpreter(num_threads=1, **content)
    interpreter.allocate_tensors()
    interpreter.invoke()
    return interpreter


def main() -> None:
    """Answer questions until nobody asks any more."""
    kept: list[Any] = []
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "load":
            kept.append(_loaded(request["file"], request["way"]))
        sys.stdout.write(ANSWER_MARK + json.dumps(_measured(request["file"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
