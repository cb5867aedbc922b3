"""Keep what chapter 15 shows of Core ML where Apple's converter is, for computers that have not got it.

    python tools/record_coreml.py

executes the chapter's set-up and its section on Core ML in the fast profile, and writes what it has found to
`data/recorded/coreml.json`. Needs `make coreml`.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "data" / "recorded" / "coreml.json"
SET_UP = 3  # cells: the title, the parameters, the imports
KEEP = """
import platform
from edgelab.machine import hardware
assert coreml_state.can_compile, coreml_state
names = ("coremltools", "tensorflow-cpu", "numpy")
versions = ", ".join(f"{name} {hardware.version_of(name)}" for name in names)
system = f"{platform.system()} on {platform.machine()}"
coreml["where"] = f"{today}: {versions}, {system}, {chain.model_name} on {data.name}"
with artifacts.atomic_path(Path(out)) as part:
    part.write_text(json.dumps(coreml, indent=1) + chr(10), encoding="utf-8")
"""


def main() -> None:
    """Execute these cells and one more that writes what they have shown."""
    import nbclient
    import nbformat

    os.environ["EDGELAB_PROFILE"] = "fast"
    notebook = nbformat.read(ROOT / "notebooks" / "15_mobile.ipynb", as_version=4)
    section = [
        cell for cell in notebook.cells[SET_UP:] if "coreml" in cell.source or "\nHOME = " in cell.source
    ]
    keep = f"from pathlib import Path\ntoday, out = {str(datetime.date.today())!r}, {str(OUT)!r}\n{KEEP}"
    notebook.cells = [*notebook.cells[:SET_UP], *section, nbformat.v4.new_code_cell(keep)]
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": folder}}).execute()


if __name__ == "__main__":
    main()
