"""A student answers an exercise: types, reads what is wrong, asks for a hint, and gets it right."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import notebook_outputs as shown
import pytest
from lab_pages import Lab, NotebookPage
from playwright.sync_api import BrowserContext

from autograder.answers import reference
from autograder.commands.sample_class import find_answer


@pytest.fixture(scope="module")
def notebook(context: BrowserContext, lab: Lab, released: Path) -> Iterator[NotebookPage]:
    file = "problem1_forward.ipynb"
    shutil.copy(released / file, lab.folder / file)
    page = NotebookPage(context, lab, file)
    page.run_all()
    yield page
    page.close()


def test_a_wrong_answer_is_told_in_stages_and_a_right_one_passes(notebook: NotebookPage) -> None:
    answer, check = (notebook.index(grade_id=name) for name in ("p1a_conv1d", "p1a_conv1d_check"))
    wrong = find_answer("p1a_conv1d", "the kernel is not flipped")
    notebook.type_source(answer, "\n\n".join((*wrong.extra_cells, wrong.source)))
    notebook.run(answer)

    first = notebook.run(check)
    assert "CheckFailed" in first
    assert "flip" in first
    assert "site-packages" not in first  # no trace through the course's code
    assert len(shown.pictures([notebook.cells()[check]])) == 1
    assert "hint=2" in first

    second = notebook.run(notebook.add_cell("checks.p1a_conv1d(conv1d, hint=2)"))
    assert "hint=3" in second
    assert second != first

    notebook.type_source(answer, "\n\n".join((*reference("p1a_conv1d").extra_cells, reference("p1a_conv1d").source)))
    notebook.run(answer)
    passed = notebook.run(check)
    assert "all good" in passed
    assert "CheckFailed" not in passed

    table = notebook.run(notebook.add_cell("checks.summary()"))
    assert "checked" in table.split("p1a_conv1d")[1].splitlines()[0]
    assert "open" in table.split("p1b_maxpool1d")[1].splitlines()[0]
    assert notebook.errors == []


def test_a_picture_that_waited_for_an_answer_comes_to_life(notebook: NotebookPage) -> None:
    answer = notebook.index(grade_id="p1b_maxpool1d")
    figure = notebook.index(text="explore.pooling(")
    assert "p1b_maxpool1d" in notebook.text(figure)
    assert shown.pictures([notebook.cells()[figure]]) == []
    notebook.set_source(answer, reference("p1b_maxpool1d").source)
    notebook.run(answer)
    notebook.run(figure)
    notebook.view(figure).locator(".pset4-live").wait_for()
