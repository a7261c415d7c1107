"""nbgrader's own commands with the engine plugged in: nobody is lost, and its database and feedback still hold."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
import small_course as small
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde as StockAutograde
from nbgrader.converters import GenerateAssignment, NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    Execute,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)
from nbgrader_course import Course, find_alembic, stop_after
from rich.console import Console
from traitlets.config.loader import PyFileConfigLoader

from autograder.answers import answers_for, reference
from autograder.answers.notebook import write_answers
from autograder.commands import course as course_module
from autograder.commands import grade as command
from autograder.course.cells import grade_id
from autograder.course.contract import AUTO_GRADED, NOTEBOOKS
from autograder.course.folders import ASSIGNMENT, COURSE
from autograder.course.preprocessors import ForgiveStderr, SetExamSeed
from autograder.course.seeds import SECRET_FILE
from autograder.engine.grader import converter, proof, run
from autograder.engine.grader.converter import SandboxedAutograde as Autograde
from autograder.engine.grader.feedback import GenerateFeedback
from autograder.engine.grader.plugs import use_two_processes
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.store import Store
from autograder.exams import EXAMS

ALL = {"s1_double": 5.0, "s2_total": 3.0}
NONE = {"s1_double": 0.0, "s2_total": 0.0}


@pytest.fixture
def course_path(monkeypatch: pytest.MonkeyPatch) -> None:
    find_alembic(monkeypatch)
    monkeypatch.setenv("PSET4_EXAM_SEED", "0")  # the stock way sets it, and this puts it back
    monkeypatch.chdir(COURSE)


def doubled_ids(notebook: dict[str, Any]) -> dict[str, Any]:
    return {**notebook, "cells": [copy.deepcopy(cell) for cell in notebook["cells"] for _ in range(2)]}


def broken_metadata(notebook: dict[str, Any]) -> dict[str, Any]:
    for cell in notebook["cells"]:
        cell["metadata"] = {"nbgrader": {"grade": True, "points": "many", "grade_id": []}}
    return notebook


GRADED = "graded" if small.sandbox_here() else "graded with remarks"


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
        "time": remarks,
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


def interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize("force", [True, False], ids=["forced", "handed in again"])
def test_the_old_grade_stands_until_the_new_one_is_there_and_marks_by_hand_stay(
    course: Course, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    course.hand_in("ada", small.submission())
    course.convert(Autograde)
    with Gradebook(f"sqlite:///{course.root}/gradebook.db") as gradebook:
        gradebook.find_grade("s_words", small.NOTEBOOK, small.ASSIGNMENT, "ada").manual_score = 1.5
        gradebook.db.commit()
    course.hand_in("ada", small.submission({"s1_double": small.DOUBLE}))
    before = course.database()
    with monkeypatch.context() as patch:
        patch.setattr("autograder.engine.grader.run.examine", interrupted)
        with pytest.raises(SystemExit) as stopped:
            course.convert(Autograde, force=force)
    assert stopped.value.code == 130
    assert course.database() == before
    assert course.autograded("ada").cells
    course.convert(Autograde)
    assert course.scores() == {"ada": {"s1_double": 5.0, "s2_total": 0.0}}
    assert [row[4] for row in course.database() if row[2] == "s_words"] == [1.5]


def test_a_grade_that_nbgrader_did_not_learn_whole_counts_as_none(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.hand_in("ada", small.submission())
    course.convert(Autograde)
    course.hand_in("ada", small.submission({}))
    with monkeypatch.context() as patch:
        patch.setattr("autograder.engine.grader.verdicts.SaveVerdicts.preprocess", interrupted)
        with pytest.raises(SystemExit):
            course.convert(Autograde)
    assert Store(course.root).pending("ada", small.ASSIGNMENT)
    assert course.scores() == {"ada": {"s1_double": None, "s2_total": None}}
    course.convert(Autograde)
    assert course.scores() == {"ada": NONE}
    assert not Store(course.root).pending("ada", small.ASSIGNMENT)


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


def test_without_a_sandbox_nobody_is_graded_unless_asked_to(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise SandboxUnavailable("bubblewrap is not installed.")

    monkeypatch.setattr("autograder.engine.grader.proof.try_sandbox", missing)
    course.hand_in("ada", small.submission())
    c = course.config()
    c.RunTwoProcesses.unsafe_no_sandbox = False
    folder = CourseDirectory(config=c)
    folder.assignment_id = small.ASSIGNMENT
    with pytest.raises(NbGraderException, match="bubblewrap"):
        Autograde(coursedir=folder, config=c).start()
    assert course.scores() == {}

    c.RunTwoProcesses.unsafe_no_sandbox = True
    Autograde(coursedir=folder, config=c).start()
    assert course.scores() == {"ada": ALL}
    assert "WITHOUT a sandbox" in course.autograded("ada").cells[0].source


CONFIG = """
from autograder.engine.grader.feedback import GenerateFeedback
from autograder.engine.grader.plugs import use_two_processes

c = get_config()
c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
use_two_processes(c)
"""


@pytest.fixture
def configured(course: Course, monkeypatch: pytest.MonkeyPatch) -> Course:
    """The small course, in the place of the one whose folder nbgrader's commands are started from."""
    (course.root / "nbgrader_config.py").write_text(CONFIG)
    monkeypatch.setattr(course_module, "COURSE", course.root)
    return course


def grade_in_words(course: Course) -> tuple[int, str]:
    """Exit status of `autograder grade`, and its table."""
    shown = Console(record=True, width=150, file=io.StringIO())
    status = command.grade(course.root, *small.sandbox_options(), assignment=small.ASSIGNMENT, console=shown)
    return status, shown.export_text()


def test_the_command_says_how_everybody_ended(configured: Course) -> None:
    course = configured
    course.hand_in("right", small.submission())
    course.hand_in("broken", "{")
    course.hand_in("exits", small.submission({**small.ANSWERS, "s2_total": "import os\nos._exit(0)"}))
    before = dict(os.environ)
    status, text = grade_in_words(course)
    assert status == 0
    lines = text.splitlines()
    said = {name: next(line for line in lines if f" {name} " in line) for name in ("right", "broken", "exits")}
    assert GRADED in said["right"]
    assert "unreadable" in said["broken"] and "not JSON" in said["broken"]
    assert "graded with remarks" in said["exits"]
    assert course.scores()["right"] == ALL
    log = (course.root / "nbgrader.log").read_text()
    assert log.count("Grading right") == 1
    assert "Autograding" in log
    assert dict(os.environ) == before


def test_the_command_says_who_needs_a_human(
    configured: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configured.hand_in("ada", small.submission())
    configured.hand_in("bob", small.submission())
    examine = run.examine

    def broken(exercise: str, student: Any, **options: Any) -> Any:
        if exercise == "s1_double":
            raise ZeroDivisionError
        return examine(exercise, student, **options)

    monkeypatch.setattr(proof, "_faults_of_reference", lambda *_: [])
    monkeypatch.setattr(run, "examine", broken)
    status, text = grade_in_words(configured)
    assert status == 3
    assert "ada, problem0_small: not gradable without a human" in " ".join(capsys.readouterr().out.split())
    assert text.count("not gradable") == 2


def test_the_command_says_why_nobody_is_graded_and_that_it_was_interrupted(
    configured: Course, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = grade_in_words(configured)
    assert status == 1
    assert "there is nothing to grade" in capsys.readouterr().out
    configured.hand_in("ada", small.submission())
    monkeypatch.setattr(converter, "prove", interrupted)
    status, _ = grade_in_words(configured)
    assert status == 130
    assert "every grade that was stored stands\nRun the same command again" in capsys.readouterr().out


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
        stop_after(course, dice.randint(1, 11), dice.uniform(0, 0.2), by=signal.SIGKILL)
        course.convert(Autograde)
        assert course.database() == undisturbed
        assert set(course.statuses().values()) == {GRADED}


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal")
def test_a_killed_run_resumes_to_the_same_database(course: Course) -> None:
    check_kills(course, 2)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal")
def test_ten_killed_runs_resume_to_the_same_database(course: Course) -> None:
    check_kills(course, 10)


STOCK = {
    "exporter_class": NotebookExporter,
    "sanitize_preprocessors": [ClearOutput, DeduplicateIds, OverwriteKernelspec, OverwriteCells, CheckCellMetadata],
    "autograde_preprocessors": [SetExamSeed, Execute, ForgiveStderr, SaveAutoGrades, CheckCellMetadata],
}

HONEST = (
    {},
    {"p1a_conv1d": "the kernel is not flipped", "p1b_maxpool1d": "divided by the size"},
    {"p3d_maxpool_backward": "= in place of +=", "p3b_update": "uphill"},
)


def real_course(root: Path, notebooks: Sequence[str]) -> None:
    """The first students of the real course hand in some of its notebooks."""
    source = root / "source" / ASSIGNMENT
    source.mkdir(parents=True)
    for name in notebooks:
        shutil.copy(COURSE / "source" / ASSIGNMENT / f"{name}.ipynb", source)


def answered(path: Path, wrong: Mapping[str, str]) -> NotebookNode:
    """A released notebook with answers of the bank: the reference, or the wrong ones that are named."""
    notebook = nbformat.read(path, as_version=4)
    answers = {
        name: next(answer for answer in answers_for(name) if answer.name == wrong[name])
        if name in wrong
        else reference(name)
        for name in map(grade_id, notebook.cells)
        if name in EXAMS
    }
    notebook.cells = write_answers(notebook.cells, answers)
    return notebook


def compare_both_ways(tmp_path: Path, notebooks: Sequence[str], students: Sequence[Mapping[str, str]]) -> None:
    grades = {}
    for way in ("stock", "two processes"):
        root = tmp_path / way
        real_course(root, notebooks)
        if way == "two processes":
            shutil.copy(tmp_path / "stock" / SECRET_FILE, root / SECRET_FILE)  # the same exams

        def convert(kind: type, student: str = "*", way: str = way, root: Path = root) -> None:
            c = PyFileConfigLoader("nbgrader_config.py", path=str(COURSE)).load_config()
            c.CourseDirectory.root = str(root)
            if way == "stock":
                c.Autograde.update(STOCK)
            else:
                use_two_processes(c)
                c.RunTwoProcesses.unsafe_no_sandbox = not small.sandbox_here()
            course = CourseDirectory(config=c)
            course.assignment_id, course.student_id = ASSIGNMENT, student
            kind(coursedir=course, config=c).start()

        convert(GenerateAssignment, ".")
        for number, wrong in enumerate(students):
            folder = root / "submitted" / f"student{number}" / ASSIGNMENT
            folder.mkdir(parents=True)
            for name in notebooks:
                nbformat.write(
                    answered(root / "release" / ASSIGNMENT / f"{name}.ipynb", wrong), folder / f"{name}.ipynb"
                )
        convert(StockAutograde if way == "stock" else Autograde)
        with Gradebook(f"sqlite:///{root}/gradebook.db") as gradebook:
            grades[way] = {
                (submission.student.id, grade.cell.name): grade.auto_score
                for submission in gradebook.assignment_submissions(ASSIGNMENT)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
    assert grades["stock"] == grades["two processes"]
    scored = [score for (_, cell), score in grades["stock"].items() if cell.endswith("_test")]
    assert 0 < sum(scored) < 1000
    assert len(scored) == len(students) * sum(e.notebook in notebooks for e in AUTO_GRADED)


def test_honest_submissions_get_the_same_points_in_both_ways(tmp_path: Path, course_path: None) -> None:
    compare_both_ways(tmp_path, ["problem1_forward"], HONEST[1:2])


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_all_honest_submissions_get_the_same_points_in_both_ways(tmp_path: Path, course_path: None) -> None:
    compare_both_ways(tmp_path, NOTEBOOKS, HONEST)


def spoilt(number: int) -> Any:
    """One of ten ways to hand in something malformed or hostile."""
    right = json.loads(json.dumps(small.submission()))
    ways: list[Any] = [
        "",
        json.dumps(right)[:700],
        "[" * 100_000,
        {"cells": 5},
        doubled_ids(right),
        broken_metadata(right),
        small.submission({**small.ANSWERS, "s1_double": "import os\nos._exit(1)"}),
        small.submission(first=["import os\nwhile True:\n    try: os.fork()\n    except OSError: break"]),
        small.submission({**small.ANSWERS, "s1_double": "def double(x):\n    while True: pass"}),
        small.submission(first=["print('x' * 10**8)", "import os\nos.kill(0, 9)"]),
    ]
    return ways[number % len(ways)]


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not small.sandbox_here(), reason="hostile submissions are graded in the sandbox only")
def test_of_two_hundred_submissions_none_is_lost_and_none_disturbed(course: Course) -> None:
    wrong = {**small.ANSWERS, "s2_total": "def total(x):\n    return x.max()"}
    earned = {}
    for number in range(200):
        name = f"student{number:03}"
        if number % 5 == 3:
            course.hand_in(name, spoilt(number // 5))
            continue
        course.hand_in(name, small.submission(wrong if number % 2 else small.ANSWERS))
        earned[name] = {"s1_double": 5.0, "s2_total": 0.0 if number % 2 else 3.0}
    course.convert(Autograde)
    statuses, scores = course.statuses(), course.scores()
    assert len(statuses) == len(scores) == 200
    assert "running" not in statuses.values()
    assert {name: scores[name] for name in earned} == earned
    assert {statuses[name] for name in earned} == {"graded"}
    assert all(0 <= (score or 0) <= 5 for mine in scores.values() for score in mine.values())
