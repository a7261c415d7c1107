"""A course that has been graded: nbgrader's database and graded notebooks, put there without grading anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.api import Gradebook
from nbgrader_course import find_alembic

ASSIGNMENT, NOTEBOOK = "pset4", "problem0"
CONFIG = """
from autograder.engine.grader import feedback, formgrader, pages

c = get_config()
c.CourseDirectory.course_id = "small"
c.GenerateFeedback.preprocessors = [feedback.HideTests, feedback.ShowGrades]
pages.use_safe_pages(c)
feedback.install()
formgrader.install()
"""
# Automatic score, manual score, whether a human has to look at it.
Scores = Mapping[str, tuple[float | None, float | None, bool]]
ALL: Scores = {"one_test": (5.0, None, False), "words": (None, 1.5, False), "two_test": (3.0, None, False)}
MOST = {"one_test": 5.0, "words": 2.0, "two_test": 3.0}
HIDDEN = "hidden-line"


def tagged(cell: NotebookNode, grade_id: str, **about: Any) -> NotebookNode:
    """The cell with nbgrader's marks."""
    flags = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    cell.metadata["nbgrader"] = flags | {"grade_id": grade_id} | about
    return cell


def notebook(words: str = "my words", *, own: Sequence[NotebookNode] = ()) -> NotebookNode:
    """A graded notebook.

    Args:
        words: The written answer.
        own: Cells that the student added at the end.
    """
    hidden = f"### BEGIN HIDDEN TESTS\n{HIDDEN}\n### END HIDDEN TESTS"
    said = [new_output("stream", text="the values are right\n")]
    cells = [
        new_markdown_cell("# A heading\n\nGiven text."),
        tagged(new_code_cell("def one(): ..."), "one", solution=True),
        tagged(new_code_cell(hidden, outputs=said), "one_test", grade=True, locked=True, points=5),
        tagged(new_markdown_cell(words), "words", grade=True, solution=True, points=2),
        tagged(new_code_cell(hidden), "two_test", grade=True, locked=True, points=3),
        *own,
    ]
    whole = new_notebook()
    whole.cells = cells  # `new_notebook` would refuse the malformed ones
    return whole


@dataclass(frozen=True)
class GradedCourse:
    """A course in a folder of its own."""

    root: Path

    @property
    def database(self) -> str:
        """nbgrader's database."""
        return f"sqlite:///{self.root}/gradebook.db"

    def make(self, patch: pytest.MonkeyPatch) -> None:
        """Makes the course, with nobody in it."""
        find_alembic(patch)
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "nbgrader_config.py").write_text(CONFIG)
        with Gradebook(self.database, "small") as gradebook:
            gradebook.add_assignment(ASSIGNMENT)
            gradebook.add_notebook(NOTEBOOK, ASSIGNMENT)
            for name, most in MOST.items():
                kind = "markdown" if name == "words" else "code"
                gradebook.add_grade_cell(name, NOTEBOOK, ASSIGNMENT, max_score=most, cell_type=kind)
            for name in ("one", "words"):
                gradebook.add_solution_cell(name, NOTEBOOK, ASSIGNMENT)

    def folder(self, student: str) -> Path:
        """Where a student's graded notebooks stand."""
        return self.root / "autograded" / student / ASSIGNMENT

    def page(self, student: str) -> Path:
        """Where the student's page belongs."""
        return self.root / "feedback" / student / ASSIGNMENT / f"{NOTEBOOK}.html"

    def grade(self, student: str, graded: NotebookNode | None = None, scores: Scores = ALL) -> None:
        """What grading leaves: a notebook, and scores in the database."""
        self.folder(student).mkdir(parents=True, exist_ok=True)
        nbformat.write(graded or notebook(), self.folder(student) / f"{NOTEBOOK}.ipynb")
        self.score(student, scores)

    def score(self, student: str, scores: Scores = ALL, *, comment: str | None = None, penalty: float = 0.0) -> None:
        """What the database says of the student."""
        with Gradebook(self.database, "small") as gradebook:
            gradebook.update_or_create_student(student)
            gradebook.update_or_create_submission(ASSIGNMENT, student)
            submitted = gradebook.find_submission_notebook(NOTEBOOK, ASSIGNMENT, student)
            submitted.late_submission_penalty = penalty
            for name, (auto, manual, awaited) in scores.items():
                grade = gradebook.find_grade(name, NOTEBOOK, ASSIGNMENT, student)
                grade.auto_score, grade.manual_score, grade.needs_manual_grade = auto, manual, awaited
            gradebook.find_comment("words", NOTEBOOK, ASSIGNMENT, student).manual_comment = comment
            gradebook.db.commit()

    def submission_id(self, student: str) -> str:
        """By which Formgrader knows the student's notebook."""
        with Gradebook(self.database, "small") as gradebook:
            return str(gradebook.find_submission_notebook(NOTEBOOK, ASSIGNMENT, student).id)
