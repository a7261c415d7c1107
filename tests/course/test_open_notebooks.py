"""A released notebook runs to its end: it shows its figure first, and names every exercise that is open."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from autograder.commands.sample_class import MEMBERS, fill_in
from autograder.course.contract import EXERCISES, NOTEBOOKS
from autograder.course.preprocessors import FillCourseAddress, OpenExercises
from pset4.settings import load_settings

MOST_BYTES = 200_000
CODE = [exercise for exercise in EXERCISES if exercise.form == "code"]


@cache
def executed(path: Path) -> NotebookNode:
    """A notebook after Run All, which stops at the first error."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    return notebook


def said(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.get("outputs", []) if output.output_type == "stream")


def has_picture(cell: NotebookNode) -> bool:
    return any({"image/png", "image/jpeg"} & set(output.get("data", {})) for output in cell.get("outputs", []))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all_names_every_open_exercise(released: Path, name: str) -> None:
    cells = {cell.id: cell for cell in executed(released / f"{name}.ipynb").cells}
    for exercise in (exercise for exercise in CODE if exercise.notebook == name):
        assert said(cells[f"{exercise.id}_check"]).startswith(f"{exercise.id} is open")
    assert not [
        output for cell in cells.values() for output in cell.get("outputs", []) if output.output_type == "error"
    ]
    assert "Traceback" not in "".join(map(said, cells.values()))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_figure_of_what_will_come_out_follows_the_title(released: Path, name: str) -> None:
    cells = executed(released / f"{name}.ipynb").cells
    assert has_picture(cells[2])
    [output] = cells[2].outputs
    [about] = [about for kind, about in output.metadata.items() if kind.startswith("image/")]
    assert len(about["alt"]) > 60


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_released_notebook_is_small_and_asks_colab_to_keep_its_ai_off(released: Path, name: str) -> None:
    path = released / f"{name}.ipynb"
    assert path.stat().st_size < MOST_BYTES
    assert nbformat.read(path, as_version=4).metadata.colab == {"generative_ai_disabled": True}


def test_the_settings_can_leave_colab_s_ai_on(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(load_settings(), ai_on_colab=True)
    monkeypatch.setattr("autograder.course.preprocessors.load_settings", lambda: settings)
    notebook, _ = FillCourseAddress().preprocess(new_notebook(), {})
    assert "colab" not in notebook.metadata


@pytest.mark.parametrize(
    ("source", "released_source"),
    [
        (
            "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION",
            'def double(x):\n    # Your code here.\n    raise NotImplementedError("exercise p9_double is still open")',
        ),
        (
            "doubled = ...\n### BEGIN SOLUTION\ndoubled = 2 * x\n### END SOLUTION",
            "doubled = ...\n# Put your code in the place of each `...`.",
        ),
    ],
    ids=["a function raises", "a variable keeps its dots"],
)
def test_what_is_left_of_an_answer(source: str, released_source: str) -> None:
    cell = new_code_cell(source, metadata={"nbgrader": {"grade_id": "p9_double", "solution": True}})
    notebook, _ = OpenExercises().preprocess(new_notebook(cells=[cell]), {})
    assert notebook.cells[0].source == released_source


def test_problem_3_runs_the_student_s_layers_of_problem_1(released: Path, tmp_path: Path) -> None:
    for name in (NOTEBOOKS[0], NOTEBOOKS[2]):
        notebook = fill_in(nbformat.read(released / f"{name}.ipynb", as_version=4), MEMBERS[0])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    cells = {cell.id: cell for cell in executed(tmp_path / f"{NOTEBOOKS[2]}.ipynb").cells}
    assert said(cells["p3_layers"]).splitlines() == [
        "conv1d: yours, from problem1_forward.ipynb",
        "maxpool1d: yours, from problem1_forward.ipynb",
    ]
    assert "differs" not in str(cells["p3_together"].outputs)
