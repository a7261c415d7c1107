"""A notebook as it was released runs to its end in JupyterLab, and says what is still open."""

from __future__ import annotations

import shutil
from pathlib import Path

import notebook_outputs as shown
import pytest
from lab_pages import Lab, NotebookPage
from playwright.sync_api import BrowserContext

from autograder.course.contract import EXERCISES, NOTEBOOKS

MAX_BYTES = 200_000


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all_reaches_the_end_without_an_answer(
    context: BrowserContext, lab: Lab, released: Path, name: str
) -> None:
    file = f"{name}.ipynb"
    shutil.copy(released / file, lab.folder / file)
    notebook = NotebookPage(context, lab, file)
    reached_the_end = notebook.run_all()
    cells = notebook.save()["cells"]
    assert shown.errors(cells) == []
    assert reached_the_end
    said = shown.words(cells)
    still_open = [exercise.id for exercise in EXERCISES if exercise.notebook == name and exercise.form == "code"]
    assert [
        exercise for exercise in still_open if not any(_says_so(line, exercise) for line in said.splitlines())
    ] == []
    assert "Error displaying widget" not in notebook.page.inner_text("body")
    assert shown.widgets(cells) == 0
    assert "Traceback" not in said
    assert shown.pictures(cells), "no figure shows what will come out"
    assert all(shown.pictures(cells)), "a figure has no text alternative"
    assert notebook.errors == []
    notebook.close()
    lab.end_kernels()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_released_notebook_is_small(released: Path, name: str) -> None:
    assert (released / f"{name}.ipynb").stat().st_size <= MAX_BYTES


def _says_so(line: str, exercise: str) -> bool:
    return line.startswith(f"{exercise} is open")
