"""The first code cell of every notebook: on Colab and elsewhere, with and without package, network and address."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

from autograder.course.address import course_repository, on_github
from autograder.course.contract import NOTEBOOKS
from autograder.course.folders import REPOSITORY, SOURCE
from autograder.course.preprocessors import fill_address
from pset4.settings import load_settings

# A shell in which the package is not installed; `%pip` installs it if there is a network.
DRIVER = """
import json, os, sys, types
from pathlib import Path
about = json.load(sys.stdin)
checkout = about["checkout"]
if not about["installed"]:
    sys.path[:] = [p for p in sys.path if not (Path(p or ".") / "pset4" / "__init__.py").exists()]
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="NoColor")
def pip(line):
    print("PIP", line)
    if about["network"]:
        sys.path.append(checkout)
shell.register_magic_function(pip, "line", "pip")
if about["colab"]:
    sys.modules["google"] = types.ModuleType("google")
    sys.modules["google.colab"] = colab = types.ModuleType("google.colab")
    colab.output = types.SimpleNamespace(enable_custom_widget_manager=lambda: print("WIDGETS"))
sys.path.insert(0, "")
for source in about["cells"]:
    done = shell.run_cell(source)
    print("SUCCESS" if done.success else "STOPPED")
"""
IMPORTS = "from pset4 import checks"
USE = "checks.p1a_conv1d"


@dataclass
class Place:
    """Where a notebook is opened."""

    folder: Path
    colab: bool = True
    network: bool = True
    installed: bool = False
    repository: str = "a-university/pset4"
    cells: list[str] = field(default_factory=lambda: ["{setup}", IMPORTS, USE])

    def run(self, name: str = NOTEBOOKS[0]) -> list[str]:
        """The lines that the cells print."""
        setup = fill_address(setup_cell(name), self.repository, "main")
        about: dict[str, Any] = {
            "checkout": str(REPOSITORY),
            "colab": self.colab,
            "network": self.network,
            "installed": self.installed,
            "cells": [cell.replace("{setup}", setup) for cell in self.cells],
        }
        command = [sys.executable, "-c", DRIVER]
        done = subprocess.run(command, cwd=self.folder, input=json.dumps(about), text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def setup_cell(name: str) -> str:
    cells = nbformat.read(SOURCE / f"{name}.ipynb", as_version=4).cells
    return str(next(cell.source for cell in cells if cell.cell_type == "code"))


INSTALL = 'PIP install -qqq "pset4[embedded,handin] @ git+https://github.com/a-university/pset4@main"'


def test_all_notebooks_begin_alike_and_colab_folds_the_code() -> None:
    books = [nbformat.read(SOURCE / f"{name}.ipynb", as_version=4) for name in NOTEBOOKS]
    first = [next(cell for cell in book.cells if cell.cell_type == "code") for book in books]
    assert len({cell.source for cell in first}) == 1
    assert all(cell.metadata.cellView == "form" and cell.metadata.nbgrader.locked for cell in first)


def test_colab_says_that_it_installs_and_then_that_all_is_ready(tmp_path: Path) -> None:
    said = Place(tmp_path).run()
    assert said[0].startswith("Installing the course's package")
    assert said[1:3] == [INSTALL, "WIDGETS"]
    assert said[3].startswith("The course's package is ready")
    assert said.count("SUCCESS") == 3


@pytest.mark.parametrize("installed", [True, False], ids=["restart", "second run"])
def test_nothing_is_installed_twice(tmp_path: Path, installed: bool) -> None:
    said = Place(tmp_path, installed=installed, cells=["{setup}", "{setup}"]).run()
    assert sum(line == INSTALL for line in said) == (0 if installed else 1)
    assert said[-1] == "SUCCESS"


def make_release(folder: Path) -> None:
    (folder / "pset4").mkdir()
    (folder / "pset4" / "problem1_forward.ipynb").write_text("{}", encoding="utf-8")


def make_clone(folder: Path) -> None:
    (folder / "pset4" / "pset4").mkdir(parents=True)
    (folder / "pset4" / "pset4" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "pset4" / "README.md").write_text("", encoding="utf-8")


@pytest.mark.parametrize("make", [make_release, make_clone])
def test_a_folder_of_the_package_s_name_beside_the_notebook_is_not_taken_for_it(tmp_path: Path, make: Any) -> None:
    make(tmp_path)
    said = Place(tmp_path).run()
    assert INSTALL in said
    assert said.count("SUCCESS") == 3


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({"network": False}, "Installing github.com/a-university/pset4 failed. Is there a network?"),
        ({"repository": "OWNER/pset4"}, "This notebook does not know where its course lives."),
        ({"colab": False}, "The course's package is not installed in this kernel"),
    ],
    ids=["no network", "no address", "the wrong kernel"],
)
def test_a_setup_that_fails_ends_in_one_sentence_and_so_does_every_cell_after_it(
    tmp_path: Path, place: dict[str, Any], sentence: str
) -> None:
    said = Place(tmp_path, **place).run()
    ends = [number for number, line in enumerate(said) if line == "STOPPED"]
    assert len(ends) == 3
    assert said[ends[0] - 1].startswith(sentence)
    assert said[ends[0] + 1 :] == 2 * ["The first code cell has to succeed before: run it again.", "STOPPED"]
    assert ("PIP" in " ".join(said)) == (place == {"network": False})


def test_once_the_network_is_back_errors_are_shown_as_ever(tmp_path: Path) -> None:
    later = f"import sys; sys.path.append({str(REPOSITORY)!r})"
    said = Place(tmp_path, network=False, cells=["{setup}", later, "{setup}", "1 / 0"]).run()
    assert said[-1] == "STOPPED"
    assert any("ZeroDivisionError" in line for line in said)


@pytest.mark.parametrize(
    ("remote", "repository"),
    [
        ("https://github.com/a-university/pset4.git", "a-university/pset4"),
        ("https://github.com/a-university/pset4", "a-university/pset4"),
        ("https://someone:secret@github.com/a-university/pset4.git\n", "a-university/pset4"),
        ("git@github.com:a-university/pset4.git", "a-university/pset4"),
        ("ssh://git@github.com/a-university/pset-4.v2.git", "a-university/pset-4.v2"),
        ("https://git.example.org/a-university/pset4.git", ""),
        ("/srv/git/pset4", ""),
        ("", ""),
    ],
)
def test_the_address_is_read_from_origin_without_what_gives_access(remote: str, repository: str) -> None:
    assert on_github(remote) == repository


@pytest.mark.parametrize(
    ("setting", "origin", "address"),
    [
        ("a-university/course", "git@github.com:fork/pset4.git", "a-university/course"),
        ("OWNER/pset4", "git@github.com:fork/pset4.git", "fork/pset4"),
        ("OWNER/pset4", "/srv/git/pset4", "OWNER/pset4"),
        ("OWNER/pset4", None, "OWNER/pset4"),
    ],
)
def test_the_settings_go_before_origin(tmp_path: Path, setting: str, origin: str | None, address: str) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    if origin:
        subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", origin], check=True)
    text = (REPOSITORY / "pset4.toml").read_text(encoding="utf-8").replace("OWNER/pset4", setting)
    (tmp_path / "pset4.toml").write_text(text, encoding="utf-8")
    assert course_repository(load_settings(tmp_path / "pset4.toml"), tmp_path) == address
