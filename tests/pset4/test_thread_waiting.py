"""torch's threads wait without keeping a core busy, however the course is started: torch reads that when imported."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from autograder.course import folders
from autograder.course.contract import NOTEBOOKS

# Prints the variable at the moment at which somebody imports torch, and leaves.
WATCH = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watch())
"""


def at_import_of_torch(code: str, **environment: str) -> str:
    """What the variable is when the code imports torch, in a fresh interpreter."""
    kept = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", WATCH + code]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]  # a notebook's first cell says that the package is there


def code_cells(name: str) -> list[str]:
    notebook = nbformat.read(folders.RELEASED / f"{name}.ipynb", as_version=4)
    return [TransformerManager().transform_cell(c.source) for c in notebook.cells if c.cell_type == "code"]


@pytest.mark.parametrize(
    "code",
    ["import pset4, torch", "from pset4.steps import L2Step", "import pset4; pset4.L2Step", "import autograder.exams"],
)
def test_the_packages_see_to_it_before_anything_imports_torch(code: str) -> None:
    assert at_import_of_torch(code) == "passive"


def test_torch_alone_would_not() -> None:
    assert at_import_of_torch("import torch") == "None"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebooks_first_cell_sees_to_it_without_the_package(name: str) -> None:
    first = code_cells(name)[0]
    imported = {
        alias.name for node in ast.walk(ast.parse(first)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported == {"importlib.util", "os", "sys"}
    assert at_import_of_torch(f"{first}\nimport torch") == "passive"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_the_user_set_stays(name: str) -> None:
    assert at_import_of_torch(f"{code_cells(name)[0]}\nimport pset4, torch", OMP_WAIT_POLICY="active") == "active"
