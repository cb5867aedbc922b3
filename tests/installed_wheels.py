"""Wheels of packages that are installed here, written anew, to test installing without a network."""

from __future__ import annotations

import zipfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def with_requirements(*names: str) -> list[metadata.Distribution]:
    """The distributions of these names and of all that they require here."""
    found, open_names = {}, list(names)
    while open_names:
        name = canonicalize_name(open_names.pop())
        if name in found:
            continue
        found[name] = metadata.distribution(name)
        for line in found[name].requires or ():
            required = Requirement(line)
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                open_names.append(required.name)
    return list(found.values())


def write(folder: Path, *names: str) -> None:
    """One wheel for each of them."""
    folder.mkdir(parents=True)
    for one in with_requirements(*names):
        tags = [line[5:] for line in one.read_text("WHEEL").splitlines() if line.startswith("Tag: ")]
        tag = next((tag for tag in tags if not tag.startswith("py2-")), tags[0])
        name = one.metadata["Name"].replace("-", "_")
        with zipfile.ZipFile(folder / f"{name}-{one.version}-{tag}.whl", "w") as wheel:
            for file in one.files:
                path = Path(file.locate())
                outside = file.parts[0] == ".." or "__pycache__" in file.parts
                if (
                    not outside
                    and path.is_file()
                    and file.name not in ("INSTALLER", "REQUESTED", "direct_url.json")
                ):
                    wheel.write(path, str(file))
