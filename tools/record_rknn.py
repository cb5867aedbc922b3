"""Keep what chapter 6 shows where Rockchip's compiler is, for computers that have not got it.

    python tools/record_rknn.py

executes the chapter in the fast profile and writes its tables to `data/recorded/rknn.json`.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "data" / "recorded" / "rknn.json"
KEEP = """
from edgelab import environment
assert here, available
recorded["where"] = f"{today}: {environment.rknn_version()}, {chain.model_name} on {chain.dataset.name}"
with artifacts.atomic_path(Path(out)) as part:
    part.write_text(json.dumps(recorded, indent=1) + chr(10), encoding="utf-8")
"""


def main() -> None:
    """Execute the chapter and one more cell that writes what it has shown."""
    import nbclient
    import nbformat

    os.environ["EDGELAB_PROFILE"] = "fast"
    notebook = nbformat.read(ROOT / "notebooks" / "06_compile_rknn.ipynb", as_version=4)
    keep = f"today, out = {str(datetime.date.today())!r}, {str(OUT)!r}\n{KEEP}"
    notebook.cells.append(nbformat.v4.new_code_cell(keep))
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": folder}}).execute()


if __name__ == "__main__":
    main()
