"""The released notebooks with right answers in them, and attacks as short as while grading."""

from __future__ import annotations

from pathlib import Path

import nbformat

from autograder.commands.sample_class import Member, fill_in
from pset4.settings import load_settings


def write_right_notebooks(released: Path, folder: Path) -> None:
    """Writes them.

    Args:
        released: Folder of the released notebooks.
        folder: Where the answered ones go.
    """
    right, steps = Member("right", "every answer is right"), load_settings().n_iter_while_grading
    for path in sorted(released.glob("*.ipynb")):
        notebook = fill_in(nbformat.read(path, as_version=4), right)
        for cell in notebook.cells:
            cell.source = cell.source.replace("N_ITER = n_iter()", f"N_ITER = {steps}")
        nbformat.write(notebook, folder / path.name)
