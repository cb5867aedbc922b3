import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

tomllib = pytest.importorskip("tomllib", reason="tomllib comes with Python 3.11")
ROOT = Path(__file__).resolve().parents[3]


def requirements_in_yml():
    """The lines of the pip section of environment.yml, and the Python versions conda may choose from."""
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    python = re.search(r'- "?python\s*([^"\n]+)', text).group(1)
    pip_section = text.split("- pip:\n")[1]
    return python, re.findall(r'^\s+- "(.+)"$', pip_section, re.MULTILINE)


@pytest.fixture(scope="module")
def project():
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


def test_conda_users_get_the_packages_of_pyproject(project):
    extras = project["optional-dependencies"]
    chosen = ("cpu", "targets", "cluster", "site", "dev")
    expected = {*project["dependencies"], *(item for name in chosen for item in extras[name])}
    _, items = requirements_in_yml()
    assert items[-1] == "-e ."
    assert set(items[:-1]) == expected


def test_conda_users_get_a_python_of_pyproject_that_tensorflow_has_a_wheel_for(project):
    # Conda takes the newest that it may.
    python, _ = requirements_in_yml()
    minors = [f"3.{minor}" for minor in range(8, 20)]
    allowed, for_conda = (
        set(SpecifierSet(one).filter(minors)) for one in (project["requires-python"], python)
    )
    with_tensorflow = {
        minor
        for minor in allowed
        for flow in map(Requirement, project["optional-dependencies"]["cpu"])
        if flow.marker.evaluate(
            {"python_version": minor, "sys_platform": "linux", "platform_machine": "x86_64", "extra": ""}
        )
    }
    assert for_conda == with_tensorflow < allowed
