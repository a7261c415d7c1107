"""A class with points: nbgrader's database and folders, written at once, without grading anything."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from nbgrader.api import Grade, Gradebook, SubmittedAssignment, SubmittedNotebook
from nbgrader_course import find_alembic

from autograder.course.contract import EXERCISES, NOTEBOOKS
from autograder.course.folders import ASSIGNMENT

SETTINGS = """
[course]
repository = "someone/course"
branch = "main"
name = "PSet 4"
due = "{due}"
[attack]
n_iter = 20
n_iter_while_grading = 5
"""
CELLS = {
    f"{exercise.id}_test" if exercise.form == "code" else exercise.id: exercise
    for exercise in EXERCISES
    if exercise.points
}


@dataclass(frozen=True)
class Marked:
    """A student with points.

    Attributes:
        id: The student's.
        share: Which part of every cell's points was earned.
        bonus: Which part of the bonus.
        handed_in: When, in UTC.
        open: Ids of the cells that wait for a human.
        last_name: And so on, for tables.
    """

    id: str
    share: float = 1.0
    bonus: float = 0.0
    handed_in: datetime | None = None
    open: Sequence[str] = ()
    last_name: str = ""
    first_name: str = ""
    email: str = ""
    points: Mapping[str, float] = field(default_factory=dict)

    def of(self, cell: str) -> float:
        exercise = CELLS[cell]
        return self.points.get(cell, exercise.points * (self.bonus if exercise.bonus else self.share))


def make_class(root: Path, students: Sequence[Marked]) -> Path:
    """What a graded class leaves in a course's folder."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        find_alembic(patch)
        gradebook = stack.enter_context(Gradebook(f"sqlite:///{root}/gradebook.db", "pset4"))
        stack.enter_context(gradebook.db.no_autoflush)
        assignment = gradebook.add_assignment(ASSIGNMENT)
        cells = {}
        for name in NOTEBOOKS:
            gradebook.add_notebook(name, ASSIGNMENT)
            for cell, exercise in CELLS.items():
                if exercise.notebook == name:
                    kind = "code" if exercise.form == "code" else "markdown"
                    most = exercise.points
                    cells[cell] = gradebook.add_grade_cell(cell, name, ASSIGNMENT, max_score=most, cell_type=kind)
        for student in students:
            for folder in ("submitted", "autograded"):
                (root / folder / student.id / ASSIGNMENT).mkdir(parents=True)
            person = gradebook.add_student(
                student.id, last_name=student.last_name, first_name=student.first_name, email=student.email
            )
            submission = SubmittedAssignment(assignment=assignment, student=person, timestamp=student.handed_in)
            gradebook.db.add(submission)
            for notebook in assignment.notebooks:
                submitted = SubmittedNotebook(notebook=notebook, assignment=submission)
                for cell in notebook.grade_cells:
                    waits = cell.name in student.open
                    gradebook.db.add(
                        Grade(cell=cell, notebook=submitted, auto_score=student.of(cell.name), needs_manual_grade=waits)
                    )
        gradebook.db.commit()
    return root


def set_due(patch: pytest.MonkeyPatch, folder: Path, due: str) -> None:
    """Settings of one's own, with a due date or "" for none."""
    path = folder / "pset4.toml"
    path.write_text(SETTINGS.format(due=due))
    patch.setattr("pset4.settings.settings_file", lambda: path)


def mark_by_hand(root: Path, student: str, cell: str, points: float) -> None:
    """What Formgrader stores."""
    with Gradebook(f"sqlite:///{root}/gradebook.db", "pset4") as gradebook:
        grade = gradebook.find_grade(cell, CELLS[cell].notebook, ASSIGNMENT, student)
        grade.manual_score, grade.needs_manual_grade = points, False
        gradebook.db.commit()
