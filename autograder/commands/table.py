"""Tables of a graded course: how every submission ended; who has how many points, and what needs a human."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import shorten

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autograder.course.cells import TEST
from autograder.course.contract import BONUS, EXERCISES, NOTEBOOKS, POINTS
from autograder.course.folders import ASSIGNMENT
from autograder.course.late import Late, Policy, final_points, read_policy, rounded
from autograder.engine.grader.staging import students
from autograder.engine.grader.store import Bundle, Status, Store

# From best to worst: a submission is as its worst notebook.
ORDER: tuple[Status, ...] = ("graded", "graded with remarks", "not handed in", "unreadable", "not gradable", "running")
SHOWN_REMARKS = 3
OPEN = "–"  # where a number would be one that nobody earned
_BONUS_CELLS = {f"{exercise.id}{TEST}" for exercise in EXERCISES if exercise.bonus}

NOT_YET = "not graded yet"
STORING = f"{NOT_YET}: storing its grade was interrupted, so grade once more"


@dataclass(frozen=True)
class Ending:
    """How a submission ended.

    Attributes:
        student: Whose it is.
        status: The worst status of its notebooks.
        remarks: All remarks, each with its notebook.
    """

    student: str
    status: Status
    remarks: tuple[str, ...]


def endings(bundles: Iterable[Bundle]) -> list[Ending]:
    """How each submission ended, by student."""
    by_student: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        by_student.setdefault(bundle.key.student, []).append(bundle)
    return [_ending(student, mine) for student, mine in sorted(by_student.items())]


def _ending(student: str, bundles: list[Bundle]) -> Ending:
    status = max((bundle.status for bundle in bundles), key=ORDER.index)
    remarks = tuple(f"{bundle.key.notebook}: {remark}" for bundle in bundles for remark in bundle.remarks)
    return Ending(student, status, remarks)


def render_endings(found: Iterable[Ending], console: Console) -> None:
    """Prints how each submission ended."""
    table = Table("student", "status", "remarks")
    for ending in found:
        shown = [*ending.remarks[:SHOWN_REMARKS]]
        if len(ending.remarks) > SHOWN_REMARKS:
            shown.append(f"and {len(ending.remarks) - SHOWN_REMARKS} more, in its results")
        table.add_row(escape(ending.student), ending.status, escape("\n".join(shown)))
    console.print(table)


@dataclass(frozen=True)
class Row:
    """One student.

    Attributes:
        student: Their id.
        by_cell: Points of each graded cell, by the cell's id; what waits for a human is missing.
        waiting: Ids of the written answers that need a human.
        ungraded: Ids of the test cells that have no score, because they could not be judged.
        problem: Why the submission, or a part of it, could not be graded, or what a human should know of it; or "".
        graded: Whether there is a grade at all.
        feedback: Folder of the feedback pages, if they are there.
        maxima: What each graded cell is worth, by the cell's id.
        late: How late it came; None where the course has no due date.
        penalty: What a plugin of nbgrader's takes off for lateness; it counts only where the course has no due date.
    """

    student: str
    by_cell: dict[str, float] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    ungraded: tuple[str, ...] = ()
    problem: str = ""
    graded: bool = True
    feedback: Path | None = None
    maxima: Mapping[str, float] = field(default_factory=dict)
    late: Late | None = None
    penalty: float = 0.0

    def by_notebook(self, notebook: str) -> float:
        """Points of one notebook, without the bonus."""
        return sum(p for cell, p in self.by_cell.items() if _belongs(cell, notebook) and cell not in _BONUS_CELLS)

    def is_open(self, notebook: str) -> bool:
        """Whether a part of a notebook that a machine should have judged has no score."""
        return not self.graded or any(_belongs(cell, notebook) for cell in self.ungraded)

    @property
    def total(self) -> float:
        """Points without the bonus."""
        return sum(points for cell, points in self.by_cell.items() if cell not in _BONUS_CELLS)

    @property
    def bonus(self) -> float:
        """Bonus points."""
        return sum(points for cell, points in self.by_cell.items() if cell in _BONUS_CELLS)

    @property
    def final(self) -> float:
        """Points without the bonus, after lateness, rounded: what is handed on."""
        return final_points(max(0.0, self.total - self._penalty), self.late)

    def final_of(self, notebook: str) -> float:
        """A notebook's points without the bonus, after lateness, each rounded: their sum may miss `final` by a cent."""
        return final_points(self.by_notebook(notebook), self.late)

    @property
    def final_bonus(self) -> float:
        """Bonus points after lateness, rounded."""
        return final_points(self.bonus, self.late)

    @property
    def taken_off(self) -> float:
        """What lateness costs, of the points without the bonus."""
        return rounded(rounded(self.total) - self.final)

    @property
    def _penalty(self) -> float:
        return 0.0 if self.late else self.penalty

    @property
    def maximum(self) -> float:
        """What the assignment is worth, without the bonus."""
        return sum(points for cell, points in self.maxima.items() if cell not in _BONUS_CELLS)

    def maximum_of(self, notebook: str) -> float:
        """What a notebook is worth, without the bonus."""
        return sum(p for cell, p in self.maxima.items() if _belongs(cell, notebook) and cell not in _BONUS_CELLS)

    @property
    def has_number(self) -> bool:
        """Whether everything that a machine judges has a score, so that the points are somebody's."""
        return self.graded and not self.ungraded

    @property
    def is_final(self) -> bool:
        """Whether nobody waits for anything: the points can be handed on."""
        return self.has_number and not self.waiting

    @property
    def status(self) -> str:
        """In a few words: who has to do something before this is a grade."""
        if not self.graded:
            return self.problem if self.problem.startswith(NOT_YET) else NOT_YET
        if self.ungraded:
            return f"needs a human: not gradable ({', '.join(self.ungraded)})"
        return f"awaiting a human: {len(self.waiting)} written answers" if self.waiting else "graded"


def _belongs(cell: str, notebook: str) -> bool:
    """Whether a cell stands in a notebook: p1a_conv1d_test in problem1_forward."""
    return cell.startswith(notebook.split("_")[0].replace("problem", "p"))


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
    """One row for every student with a folder in `submitted/`, graded or not.

    Args:
        course: Root of the nbgrader course.

    Raises:
        CannotStore: If the results cannot be read.
        NoLatePolicy: If the extensions cannot be read.
    """
    policy = read_policy(course)
    store = Store(course)
    known = store.known(ASSIGNMENT)
    remarks = {ending.student: "; ".join(ending.remarks) for ending in endings(store.bundles(ASSIGNMENT))}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        maxima = _maxima(gradebook)
        return [
            Row(student, problem=STORING, graded=False, maxima=maxima)
            if known.get(student)
            else replace(_row(course, gradebook, student, remarks.get(student), policy), maxima=maxima)
            for student in students(course / "submitted")
        ]


def _maxima(gradebook: Gradebook) -> dict[str, float]:
    """What each graded cell is worth: as nbgrader knows it, and as it was agreed as long as nbgrader knows nothing."""
    try:
        notebooks = gradebook.find_assignment(ASSIGNMENT).notebooks
    except MissingEntry:
        notebooks = []
    known = {cell.name: float(cell.max_score or 0.0) for notebook in notebooks for cell in notebook.grade_cells}
    agreed = {exercise.id + TEST * (exercise.form == "code"): exercise.points for exercise in EXERCISES}
    return known or agreed


def _row(course: Path, gradebook: Gradebook, student: str, remarks: str | None, policy: Policy | None) -> Row:
    """The row of one student; `remarks` are the engine's, None where nbgrader's own kernel graded."""
    problem = unreadable(course / "submitted" / student / ASSIGNMENT) if remarks is None else remarks
    try:
        submission = gradebook.find_submission(ASSIGNMENT, student)
    except MissingEntry:
        return Row(student, problem=problem or NOT_YET, graded=False)
    if not (course / "autograded" / student / ASSIGNMENT).exists():
        return Row(student, problem=problem or "grading failed; see nbgrader's log", graded=False)
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
    open_cells = sorted(grade.cell.name for grade in grades if grade.needs_manual_grade)
    feedback = course / "feedback" / student / ASSIGNMENT
    return Row(
        student,
        by_cell={g.cell.name: float(g.score) for g in grades if not g.needs_manual_grade},
        waiting=tuple(name for name in open_cells if not name.endswith(TEST)),
        ungraded=tuple(name for name in open_cells if name.endswith(TEST)),
        problem=problem,
        feedback=feedback if feedback.exists() else None,
        late=policy.of(student, submission.timestamp) if policy else None,
        penalty=float(submission.late_submission_penalty or 0.0),
    )


def render(rows: Iterable[Row], console: Console | None = None) -> None:
    """Prints the table."""
    console, rows = console or Console(), list(rows)
    dated = any(row.late for row in rows)
    # A log file or a pipe has no width; the reasons must not be cut there.
    if not console.is_terminal:
        console = Console(file=console.file, width=160)
    table = Table(title=f"{ASSIGNMENT}: points by problem", caption="feedback pages: see below")
    table.add_column("student")
    for number in range(1, len(NOTEBOOKS) + 1):
        table.add_column(f"P{number}", justify="right")
    table.add_column(f"of {POINTS:g}", justify="right")
    table.add_column(f"bonus of {BONUS:g}", justify="right")
    if dated:
        table.add_column("late")
        table.add_column("in the end", justify="right")
    table.add_column("needs a human")
    folders = []
    for row in rows:
        written = f"{len(row.waiting)} written answers" if row.waiting else ""
        ungraded = f"not gradable: {', '.join(row.ungraded)}" if row.ungraded else ""
        needs = "\n".join(text for text in (ungraded, written, shorten(row.problem, 100)) if text)
        points = [OPEN if row.is_open(name) else f"{row.by_notebook(name):g}" for name in NOTEBOOKS]
        total = [OPEN, OPEN] if OPEN in points else [f"{rounded(row.total):g}", f"{rounded(row.bonus):g}"]
        late = _lateness(row, OPEN in points) if dated else []
        table.add_row(escape(row.student), *points, *total, *late, escape(needs))
        if row.feedback:
            folders.append(row.feedback)
    console.print(table)
    if folders:
        console.print(f"feedback pages: {folders[0].parent.parent}/<student>/{ASSIGNMENT}/*.html", soft_wrap=True)


def _lateness(row: Row, is_open: bool) -> list[str]:
    """How late, and what the points are worth after it, the bonus apart."""
    span = f"{row.late.span}: x {row.late.factor:.2f}" if row.late and row.late.span else ""
    bonus = f" + {row.final_bonus:g}" if row.final_bonus else ""
    return [span, OPEN if is_open else f"{row.final:g}{bonus}"]
