"""The small course, graded with nbgrader's own converters, for the tests of the engine's plugs."""

from __future__ import annotations

import contextlib
import csv
import json
import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nbformat
import pytest
import small_course as small
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin
from traitlets.config import Config

from autograder.commands.export import CourseExport
from autograder.commands.table import endings
from autograder.engine.grader.converter import SandboxedAutograde
from autograder.engine.grader.plugs import use_safe_pages, use_two_processes
from autograder.engine.grader.store import Store


class OnePointForLateness(LateSubmissionPlugin):  # type: ignore[misc]
    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Course:
    """A course in a folder of its own."""

    root: Path

    def config(self) -> Config:
        c = Config()
        c.CourseDirectory.root = str(self.root)
        c.CourseDirectory.course_id = "small"
        c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
        use_two_processes(c)
        use_safe_pages(c)
        c.RunTwoProcesses.unsafe_no_sandbox = not small.sandbox_here()
        c.RunTwoProcesses.cell_seconds = 3.0
        c.AssignLatePenalties.plugin_class = OnePointForLateness
        return c

    def convert(self, kind: type, *, force: bool = False, student: str = "*") -> None:
        c = self.config()
        c.BaseConverter.force = force
        course = CourseDirectory(config=c)
        course.assignment_id = small.ASSIGNMENT
        course.student_id = "." if kind is GenerateAssignment else student
        kind(coursedir=course, config=c).start()

    def release(self) -> None:
        source = self.root / "source" / small.ASSIGNMENT
        source.mkdir(parents=True)
        nbformat.write(small.source_notebook(), source / f"{small.NOTEBOOK}.ipynb")
        self.convert(GenerateAssignment)

    def folder(self, student: str) -> Path:
        path = self.root / "submitted" / student / small.ASSIGNMENT
        path.mkdir(parents=True, exist_ok=True)
        return path

    def hand_in(self, student: str, notebook: Any) -> None:
        text = notebook if isinstance(notebook, str) else json.dumps(notebook)
        (self.folder(student) / f"{small.NOTEBOOK}.ipynb").write_text(text, encoding="utf-8")

    def scores(self) -> dict[str, dict[str, float | None]]:
        with Gradebook(f"sqlite:///{self.root}/gradebook.db") as gradebook:
            return {
                submission.student.id: {
                    grade.cell.name.removesuffix("_test"): grade.auto_score
                    for notebook in submission.notebooks
                    for grade in notebook.grades
                    if grade.cell.name.endswith("_test")
                }
                for submission in gradebook.assignment_submissions(small.ASSIGNMENT)
            }

    def database(self) -> list[tuple[Any, ...]]:
        """All that nbgrader knows about grades, in an order of its own."""
        with Gradebook(f"sqlite:///{self.root}/gradebook.db") as gradebook:
            return sorted(
                (
                    s.student.id,
                    n.name,
                    g.cell.name,
                    g.auto_score,
                    g.manual_score,
                    g.needs_manual_grade,
                    n.late_submission_penalty,
                )
                for s in gradebook.assignment_submissions(small.ASSIGNMENT)
                for n in s.notebooks
                for g in n.grades
            )

    def exported(self) -> dict[str, dict[str, str]]:
        """The lines of `nbgrader export`, by student."""
        target = self.root / "grades.csv"
        with Gradebook(f"sqlite:///{self.root}/gradebook.db") as gradebook:
            CourseExport(to=str(target)).write(gradebook, self.root)
        with target.open(encoding="utf-8", newline="") as file:
            return {line["student_id"]: line for line in csv.DictReader(file)}

    def statuses(self) -> dict[str, str]:
        return {ending.student: ending.status for ending in endings(Store(self.root).bundles(small.ASSIGNMENT))}

    def autograded(self, student: str) -> Any:
        path = self.root / "autograded" / student / small.ASSIGNMENT / f"{small.NOTEBOOK}.ipynb"
        return nbformat.read(path, as_version=4)


def find_alembic(patch: pytest.MonkeyPatch) -> None:
    """nbgrader calls alembic by its name; it stands beside Python, whose folder need not be on the path."""
    patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def grade_and_tell(course: Course, force: bool, told: Connection) -> None:
    save = Store.save

    def telling(store: Store, bundle: object) -> None:
        save(store, bundle)  # type: ignore[arg-type]
        told.send("stored")

    Store.save = telling  # type: ignore[method-assign,assignment]
    course.convert(SandboxedAutograde, force=force)


def stop_after(course: Course, stored: int, seconds: float, *, force: bool = False, by: signal.Signals) -> None:
    """Grades in another process, and stops it shortly after it has stored something so many times, or at its end."""
    context = multiprocessing.get_context("fork")
    listening, told = context.Pipe(duplex=False)
    child = context.Process(target=grade_and_tell, args=(course, force, told))
    child.start()
    told.close()
    with contextlib.suppress(EOFError):  # what was stored before is not stored again
        for _ in range(stored):
            listening.recv()
    child.join(seconds)
    assert child.pid is not None
    if child.is_alive():
        os.kill(child.pid, by)
    child.join()
