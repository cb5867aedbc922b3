"""The browser and the models of the target `web`."""

import importlib.util
from pathlib import Path

_path = Path(__file__).parents[1] / "targets" / "web" / "conftest.py"
_spec = importlib.util.spec_from_file_location("web_target_conftest", _path)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
page, web_files = _module.page, _module.web_files
