"""One list of dependencies, and files that keep to the house's rules."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from importlib.metadata import distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from autograder.course.folders import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]]


def test_environment_file_installs_what_pyproject_lists() -> None:
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text(encoding="utf-8"))
    python, pip = environment["dependencies"][0], environment["dependencies"][-1]["pip"]
    assert python == f"python{PROJECT['requires-python']}"
    assert [entry.split("[")[0] for entry in pip] == ["-e ."]
    wanted = set(re.findall(r"\w+", pip[0].split("[")[1]))
    assert {"embedded", "grading"} <= wanted <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_constraint_is_within_the_bounds_of_pyproject(requirement: Requirement) -> None:
    pins = dict(line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if "==" in line)
    normal = {name.lower().replace("_", "-"): version.split(";")[0].strip() for name, version in pins.items()}
    name = requirement.name.lower().replace("_", "-")
    assert name in normal and requirement.specifier.contains(normal[name])


def test_every_dependency_has_a_lower_bound() -> None:
    assert [str(r) for r in requirements() if not any(s.operator == ">=" for s in r.specifier)] == []


def test_constraints_name_no_host() -> None:
    text = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text and "--" not in text


def test_committed_notebooks_have_no_outputs() -> None:
    listed = subprocess.run(["git", "ls-files", "*.ipynb"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        cells = json.loads((REPOSITORY / name).read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), name


def test_every_pin_installs_on_every_python_that_is_promised() -> None:
    """Debian's Python is 3.11.2: a pin that wants 3.11.5 is a conflict there, in words that help nobody."""
    oldest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    wanting = {
        found.name: wanted
        for found in distributions()
        if (wanted := found.metadata.get("Requires-Python")) and not SpecifierSet(wanted).contains(oldest)
    }
    assert wanting == {}
