"""Feedback pages keep an explorer's still, with its text alternative, where nothing can be dragged."""

from __future__ import annotations

import os
from pathlib import Path

import graded_course as graded
import nbformat
import notebook_outputs as shown
import pytest
from axe_playwright_python.sync_playwright import Axe
from graded_course import ASSIGNMENT, NOTEBOOK, GradedCourse
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbgrader.coursedir import CourseDirectory
from playwright.sync_api import Browser
from traitlets.config import Config

from autograder.engine.grader import feedback, pages


@pytest.fixture(scope="module", params=["problem1_forward", "problem3_backward"])
def executed(request: pytest.FixtureRequest, answered: Path) -> NotebookNode:
    """A right notebook, run as it is while grading."""
    notebook = nbformat.read(answered / f"{request.param}.ipynb", as_version=4)
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": str(answered)}}
    )
    client.execute(env=os.environ | {"NBGRADER_EXECUTION": "autograde"})
    return notebook


def test_stills_stand_in_the_feedback_page(executed: NotebookNode, chromium: Browser, tmp_path: Path) -> None:
    for cell in executed.cells:
        cell.metadata.pop("nbgrader", None)  # there are no grades of these cells
    assert shown.pages(executed.cells) == []  # nothing that moves
    alternatives = shown.pictures(executed.cells)
    assert all(alternatives)

    page = chromium.new_page()
    page.goto(write_page(tmp_path, executed.cells).as_uri())
    seen = page.eval_on_selector_all(
        "#notebook img",
        "(all) => all.filter((i) => i.naturalWidth && (i.closest('details') || i.checkVisibility())).map((i) => i.alt)",
    )
    assert [alt for alt in alternatives if alt not in seen] == []
    found = Axe().run(page, context="#notebook", options={"runOnly": ["image-alt"]}).response["violations"]
    assert found == []
    page.close()


def write_page(root: Path, cells: list[NotebookNode]) -> Path:
    """The feedback page of a graded notebook with these cells."""
    course = GradedCourse(root)
    with pytest.MonkeyPatch.context() as patch:
        course.make(patch)
    course.grade("ada", graded.notebook(own=cells))
    c = Config()
    c.CourseDirectory.root, c.CourseDirectory.course_id = str(root), "small"
    c.GenerateFeedback.preprocessors = [feedback.HideTests, feedback.ShowGrades]
    pages.use_safe_pages(c)
    folder = CourseDirectory(config=c)
    folder.assignment_id = ASSIGNMENT
    feedback.GenerateFeedback(coursedir=folder, config=c).start()
    assert course.page("ada").name == f"{NOTEBOOK}.html"
    return course.page("ada")
