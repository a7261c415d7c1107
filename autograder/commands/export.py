"""`nbgrader export` for this course: a table in which nobody has a score that is none."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import CsvExportPlugin

from autograder.commands.table import NOT_YET, Row, read_rows
from autograder.course.folders import ASSIGNMENT
from autograder.engine.grader.store import CannotStore

COLUMNS = (
    *("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email"),
    *("raw_score", "late_submission_penalty", "score", "max_score", "status"),
)
NOT_HANDED_IN = "not handed in"


class CourseExport(CsvExportPlugin):  # type: ignore[misc]
    """nbgrader's columns, and one more that says what a score is worth; open ones are empty, and never 0."""

    def export(self, gradebook: Gradebook) -> None:
        """Writes the table."""
        try:
            self.write(gradebook, Path(self.parent.coursedir.root))
        except CannotStore as reason:
            self.log.error("%s", reason)
            raise SystemExit(1) from None

    def write(self, gradebook: Gradebook, course: Path) -> None:
        """Writes the table of the course in a folder."""
        with Path(self.to or "grades.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for assignment in gradebook.assignments:
                if not self.assignment or assignment.name in map(str, self.assignment):
                    writer.writerows(self._lines(gradebook, assignment, course))

    def _lines(self, gradebook: Gradebook, assignment: Any, course: Path) -> Iterator[dict[str, Any]]:
        rows = {row.student: row for row in read_rows(course)} if assignment.name == ASSIGNMENT else {}
        people = {student.id: student for student in gradebook.students}
        for student in sorted(people.keys() | rows.keys()):
            if self.student and student not in map(str, self.student):
                continue
            person = people.get(student)
            yield {
                "assignment": assignment.name,
                "duedate": assignment.duedate,
                "student_id": student,
                **{name: getattr(person, name, None) for name in ("last_name", "first_name", "email")},
                "max_score": assignment.max_score,
                **_score(gradebook, assignment.name, student, rows.get(student)),
            }


def _score(gradebook: Gradebook, assignment: str, student: str, row: Row | None) -> dict[str, Any]:
    """Score, penalty and what they are worth; `row` is None for a student without a folder."""
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        if row is not None:
            return {"status": NOT_YET}
        return {"raw_score": 0.0, "late_submission_penalty": 0.0, "score": 0.0, "status": NOT_HANDED_IN}
    if row is not None and (not row.graded or row.ungraded):
        return {"timestamp": submission.timestamp, "status": row.status}
    penalty = submission.late_submission_penalty or 0.0
    return {
        "timestamp": submission.timestamp,
        "raw_score": submission.score,
        "late_submission_penalty": penalty,
        "score": max(0.0, submission.score - penalty),
        "status": row.status if row is not None else "graded",
    }
