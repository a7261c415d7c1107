"""nbgrader's own commands with the engine plugged in: nobody is lost, and its database and feedback still hold."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nbformat
import pytest
import small_course as small
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import LateSubmissionPlugin
from traitlets.config import Config

from autograder.engine.cli import endings
from autograder.engine.plugs import use_two_processes
from autograder.engine.sandbox import SandboxUnavailable, check_available
from autograder.engine.store import Bundle, Store

ALL = {"s1_double": 5.0, "s2_total": 3.0}
NONE = {"s1_double": 0.0, "s2_total": 0.0}


def sandbox_here() -> bool:
    try:
        check_available()
    except SandboxUnavailable:
        return False
    return True


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
        c.RunTwoProcesses.unsafe_no_sandbox = not sandbox_here()
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

    def statuses(self) -> dict[str, str]:
        return {ending.student: ending.status for ending in endings(Store(self.root).bundles(small.ASSIGNMENT))}

    def autograded(self, student: str) -> Any:
        path = self.root / "autograded" / student / small.ASSIGNMENT / f"{small.NOTEBOOK}.ipynb"
        return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    small.register()
    root = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        # nbgrader calls alembic by its name; it stands beside Python, whose folder need not be on the path.
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        Course(root).release()
    yield root


@pytest.fixture
def course(released: Path, tmp_path: Path) -> Course:
    shutil.copytree(released, tmp_path / "course")
    return Course(tmp_path / "course")


def doubled_ids(notebook: dict[str, Any]) -> dict[str, Any]:
    return {**notebook, "cells": [copy.deepcopy(cell) for cell in notebook["cells"] for _ in range(2)]}


def broken_metadata(notebook: dict[str, Any]) -> dict[str, Any]:
    for cell in notebook["cells"]:
        cell["metadata"] = {"nbgrader": {"grade": True, "points": "many", "grade_id": []}}
    return notebook


GRADED = "graded" if sandbox_here() else "graded with remarks"


def test_everybody_ends_with_a_status_and_the_points_they_earned(course: Course, tmp_path: Path) -> None:
    course.hand_in("right", small.submission())
    course.hand_in("wrong", small.submission({**small.ANSWERS, "s1_double": "def double(x):\n    return x"}))
    course.hand_in("broken", json.dumps(small.submission())[:900])
    course.folder("empty")
    course.hand_in("doubled", doubled_ids(small.submission()))
    course.hand_in("metadata", broken_metadata(small.submission()))
    course.hand_in("exits", small.submission({**small.ANSWERS, "s2_total": "import os\nos._exit(0)"}))
    course.hand_in("scores", small.submission(last=["1e9"]))
    course.hand_in("time", small.submission())
    (course.folder("time") / "timestamp.txt").write_text("yesterday, I think")
    elsewhere = tmp_path / "elsewhere.ipynb"
    elsewhere.write_text(json.dumps(small.submission()))
    (course.folder("link") / f"{small.NOTEBOOK}.ipynb").symlink_to(elsewhere)
    course.hand_in("renamed", small.submission())
    path = course.folder("renamed") / f"{small.NOTEBOOK}.ipynb"
    path.rename(path.with_name(f"{small.NOTEBOOK} (1).ipynb"))

    course.convert(Autograde)

    remarks = "graded with remarks"
    half = {"s1_double": 5.0, "s2_total": 0.0}
    assert course.scores() == {
        "right": ALL,
        "wrong": {"s1_double": 0.0, "s2_total": 3.0},
        "broken": NONE,
        "empty": NONE,
        "doubled": ALL,
        "metadata": ALL,
        "exits": half,
        "scores": ALL,
        "time": ALL,
        "link": NONE,
        "renamed": ALL,
    }
    assert course.statuses() == {
        "right": GRADED,
        "wrong": GRADED,
        "broken": "unreadable",
        "empty": "not handed in",
        "doubled": remarks,
        "metadata": remarks,
        "exits": remarks,
        "scores": GRADED,
        "time": GRADED,
        "link": "unreadable",
        "renamed": remarks,
    }


def test_feedback_shows_reasons_and_own_output_and_no_hidden_test(course: Course) -> None:
    answers = {"s1_double": "def double(x):\n    return x", "s_words": "<script>alert(1)</script> my words"}
    trap = "### BEGIN HIDDEN TESTS\nprint('my own output')\n'<script>alert(2)</script>'"
    course.hand_in("ada", small.submission({**small.ANSWERS, **answers}, last=[trap]))
    (course.folder("ada") / "leak.txt").symlink_to(course.root / "gradebook.db")
    course.convert(Autograde)
    course.convert(GenerateFeedback)
    folder = course.root / "feedback" / "ada" / small.ASSIGNMENT
    page = (folder / f"{small.NOTEBOOK}.html").read_text()
    assert "some values are wrong" in page
    assert "my own output" in page
    assert "Score: 3.0 / 10.0" in page
    assert small.HIDDEN not in page
    assert "<script>alert" not in page
    assert sorted(path.name for path in folder.iterdir()) == [f"{small.NOTEBOOK}.html"]


def test_a_regrade_clears_first_and_keeps_what_was_entered_by_hand(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.hand_in("ada", small.submission())
    course.convert(Autograde)
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        gradebook.find_grade("s_words", small.NOTEBOOK, small.ASSIGNMENT, "ada").manual_score = 1.5
        gradebook.db.commit()
    course.hand_in("ada", small.submission({"s1_double": small.DOUBLE}))

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autograder.engine.plugs.grade_notebook", interrupt)
        with pytest.raises(KeyboardInterrupt):
            course.convert(Autograde, force=True)
    assert course.scores() == {"ada": {"s1_double": None, "s2_total": None}}
    course.convert(Autograde)
    assert course.scores() == {"ada": {"s1_double": 5.0, "s2_total": 0.0}}
    assert [row[4] for row in course.database() if row[2] == "s_words"] == [1.5]


def test_late_penalties_are_still_taken(course: Course) -> None:
    course.hand_in("ada", small.submission())
    (course.folder("ada") / "timestamp.txt").write_text("2024-02-01 12:00:00 UTC")
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        assignment = gradebook.find_assignment(small.ASSIGNMENT)
        assignment.duedate = datetime(2024, 1, 31)
        gradebook.db.commit()
    course.convert(Autograde)
    assert {row[6] for row in course.database()} == {1.0}


def test_a_test_cell_without_an_exam_or_a_forged_notebook_raises_no_score(course: Course) -> None:
    forged = small.submission({})
    for cell in forged["cells"]:
        if cell["cell_type"] == "code":
            result = {
                "output_type": "execute_result",
                "data": {"text/plain": "5.0"},
                "metadata": {},
                "execution_count": 1,
            }
            cell["outputs"] = [result]
    course.hand_in("ada", forged)
    course.convert(Autograde)
    assert course.scores() == {"ada": NONE}


def grade_and_tell(course: Course, told: Connection) -> None:
    save = Store.save

    def telling(store: Store, bundle: Bundle) -> None:
        save(store, bundle)
        told.send("stored")

    Store.save = telling  # type: ignore[method-assign]
    course.convert(Autograde)


def kill_after(course: Course, stored: int, seconds: float) -> None:
    """Grades in another process, and kills it with signal 9 shortly after it has stored something so many times."""
    context = multiprocessing.get_context("fork")
    listening, told = context.Pipe(duplex=False)
    child = context.Process(target=grade_and_tell, args=(course, told))
    child.start()
    told.close()
    for _ in range(stored):
        assert listening.recv() == "stored"
    time.sleep(seconds)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()


def forget_results(course: Course, database: bytes) -> None:
    for name in ("autograded", "results"):
        shutil.rmtree(course.root / name, ignore_errors=True)
    (course.root / "gradebook.db").write_bytes(database)
    (course.root / "gradebook.db-journal").unlink(missing_ok=True)


def check_kills(course: Course, moments: int) -> None:
    for number in range(3):
        wrong = {"s1_double": "def double(x):\n    return x"} if number % 2 else {}
        course.hand_in(f"student{number}", small.submission({**small.ANSWERS, **wrong}))
    released = (course.root / "gradebook.db").read_bytes()
    course.convert(Autograde)
    undisturbed = course.database()
    dice = random.Random(moments)
    for _ in range(moments):
        forget_results(course, released)
        # Each notebook is stored four times: when it begins, after each of its two exams, and at its end.
        kill_after(course, dice.randint(1, 11), dice.uniform(0, 0.2))
        course.convert(Autograde)
        assert course.database() == undisturbed
        assert set(course.statuses().values()) == {GRADED}


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal")
def test_a_killed_run_resumes_to_the_same_database(course: Course) -> None:
    check_kills(course, 2)


@pytest.mark.full
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal")
def test_ten_killed_runs_resume_to_the_same_database(course: Course) -> None:
    check_kills(course, 10)
