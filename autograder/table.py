"""The table at the end of `make grade`: who has how many points, what needs a human, where the feedback is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from rich.console import Console
from rich.table import Table

from autograder.contract import BONUS, EXERCISES, NOTEBOOKS, POINTS, WRITTEN
from autograder.engine.cli import endings
from autograder.engine.store import Store
from autograder.release import ASSIGNMENT

_BONUS_CELLS = {f"{exercise.id}_test" for exercise in EXERCISES if exercise.bonus}


@dataclass(frozen=True)
class Row:
    """One student.

    Attributes:
        student: Their id.
        by_cell: Points of each graded cell, by the cell's id; a written answer that waits for a human is missing.
        waiting: Ids of the written answers that need a human.
        problem: Why the submission, or a part of it, could not be graded, or what a human should know of it; or "".
        feedback: Folder of the feedback pages, if they are there.
    """

    student: str
    by_cell: dict[str, float] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    problem: str = ""
    feedback: Path | None = None

    def by_notebook(self, notebook: str) -> float:
        """Points of one notebook, without the bonus."""
        prefix = notebook.split("_")[0].replace("problem", "p")
        return sum(p for cell, p in self.by_cell.items() if cell.startswith(prefix) and cell not in _BONUS_CELLS)

    @property
    def total(self) -> float:
        """Points without the bonus."""
        return sum(points for cell, points in self.by_cell.items() if cell not in _BONUS_CELLS)

    @property
    def bonus(self) -> float:
        """Bonus points."""
        return sum(points for cell, points in self.by_cell.items() if cell in _BONUS_CELLS)


def unreadable(folder: Path) -> str:
    """Why a submitted folder cannot be graded, in words for the instructor, or ""."""
    notebooks = [folder / f"{name}.ipynb" for name in NOTEBOOKS if (folder / f"{name}.ipynb").exists()]
    if not notebooks:
        return "no notebook was handed in"
    for path in notebooks:
        try:
            nbformat.read(path, as_version=4)
        except Exception as error:  # nbformat raises many kinds; each means that the file is not a notebook
            return f"{path.name} is not a notebook ({type(error).__name__})"
    return ""


def read_rows(course: Path) -> list[Row]:
    """One row for every submission of the course, graded or not.

    Args:
        course: Root of the nbgrader course.
    """
    students = sorted(path.parent.name for path in (course / "submitted").glob(f"*/{ASSIGNMENT}"))
    remarks = {ending.student: "; ".join(ending.remarks) for ending in endings(Store(course).bundles(ASSIGNMENT))}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return [_row(course, gradebook, student, remarks.get(student)) for student in students]


def _row(course: Path, gradebook: Gradebook, student: str, remarks: str | None) -> Row:
    """The row of one student; `remarks` are the engine's, None where nbgrader's own kernel graded."""
    problem = unreadable(course / "submitted" / student / ASSIGNMENT) if remarks is None else remarks
    graded = course / "autograded" / student / ASSIGNMENT
    try:
        submission = gradebook.find_submission(ASSIGNMENT, student)
    except MissingEntry:
        return Row(student, problem=problem or "not graded yet")
    if not graded.exists():
        return Row(student, problem=problem or "grading failed; see nbgrader's log")
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
    written = {exercise.id for exercise in WRITTEN}
    feedback = course / "feedback" / student / ASSIGNMENT
    return Row(
        student,
        by_cell={g.cell.name: float(g.score) for g in grades if not g.needs_manual_grade},
        waiting=tuple(sorted(g.cell.name for g in grades if g.needs_manual_grade and g.cell.name in written)),
        problem=problem,
        feedback=feedback if feedback.exists() else None,
    )


def render(rows: Iterable[Row], console: Console | None = None) -> None:
    """Prints the table."""
    console = console or Console()
    # A log file or a pipe has no width; the reasons must not be cut there.
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(title=f"{ASSIGNMENT}: points by problem", caption="feedback pages: see below")
    table.add_column("student")
    for number in range(1, len(NOTEBOOKS) + 1):
        table.add_column(f"P{number}", justify="right")
    table.add_column(f"of {POINTS:g}", justify="right")
    table.add_column(f"bonus of {BONUS:g}", justify="right")
    table.add_column("needs a human")
    folders = []
    for row in rows:
        written = f"{len(row.waiting)} written answers" if row.waiting else ""
        needs = "\n".join(text for text in (written, shorten(row.problem, 100)) if text)
        points = [f"{row.by_notebook(name):g}" for name in NOTEBOOKS]
        table.add_row(row.student, *points, f"{row.total:g}", f"{row.bonus:g}", needs)
        if row.feedback:
            folders.append(row.feedback)
    console.print(table)
    if folders:
        console.print(f"feedback pages: {folders[0].parent.parent}/<student>/{ASSIGNMENT}/*.html", soft_wrap=True)
