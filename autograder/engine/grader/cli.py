"""`python -m autograder grade`: `nbgrader autograde` with a progress display and a table of how every submission ended.

It is nbgrader's own converter with the course's own configuration: what it grades, `nbgrader autograde` need not.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.apps import autogradeapp
from nbgrader.converters import NbGraderException
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy.exc import SAWarning

from autograder.course.folders import COURSE
from autograder.course.release import environment
from autograder.engine.grader.converter import HumanNeeded
from autograder.engine.grader.store import Bundle, Status, Store

LOG = "nbgrader.log"
# From best to worst: a submission is as its worst notebook.
ORDER: tuple[Status, ...] = ("graded", "graded with remarks", "not handed in", "unreadable", "not gradable", "running")
NEEDS_A_HUMAN, INTERRUPTED = 3, 130
SHOWN_REMARKS = 3


class Watcher:
    """Shows what is being graded."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def start(self, notebooks: int) -> None:
        """Says how many notebooks there are."""
        self._progress.update(self._task, total=notebooks)

    def say(self, student: str, notebook: str, words: str) -> None:
        """Says what is being done."""
        place = f"{student}, {notebook}: " if student else ""
        self._progress.update(self._task, description=escape(place + words))

    def advance(self, notebooks: int) -> None:
        """So many notebooks more."""
        self._progress.advance(self._task, notebooks)


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


def add_grade_command(commands: Any) -> argparse.ArgumentParser:
    """Adds `grade` to a command line.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        "grade", help="grade the submissions, with a progress display"
    )
    parser.add_argument("assignment", nargs="?", default="pset4", help="the assignment (default: pset4)")
    parser.add_argument("--course", type=Path, default=COURSE, help="root of the nbgrader course")
    parser.add_argument("--student", default="*", help="only this student (a file pattern)")
    parser.add_argument("--force", action="store_true", help="grade again what is graded already")
    parser.add_argument(
        "--unsafe-no-sandbox",
        action="store_true",
        help="run the students' code with all rights of your account; every result is marked",
    )
    parser.set_defaults(run=run_command)
    return parser


def run_command(arguments: argparse.Namespace) -> int:
    """What `python -m autograder grade` does; returns the exit status."""
    return grade(
        arguments.assignment,
        course=arguments.course,
        student=arguments.student,
        force=arguments.force,
        unsafe_no_sandbox=arguments.unsafe_no_sandbox,
    )


def grade(
    assignment: str = "pset4",
    *,
    course: Path = COURSE,
    student: str = "*",
    force: bool = False,
    unsafe_no_sandbox: bool = False,
    console: Console | None = None,
    endings_table: bool = True,
) -> int:
    """Grades the submissions of a course.

    Args:
        assignment: The assignment's name.
        course: Root of the nbgrader course; its configuration is always `autograder/nbgrader_config.py`.
        student: Only students that match this file pattern.
        force: Grade again what is graded already.
        unsafe_no_sandbox: Run the students' code without a sandbox.
        console: Where to print.
        endings_table: Whether to print how every submission ended.

    Returns:
        0 if everybody is graded; 3 if somebody could not be and needs a human; 130 after Ctrl-C; 1 if grading refused.
    """
    console = console or Console()
    options = [
        assignment,
        f"--CourseDirectory.root={course}",
        f"--CourseDirectory.source_directory={COURSE / 'source'}",
        f"--CourseDirectory.student_id={student}",
        *(["--force"] if force else []),
        *(["--RunTwoProcesses.unsafe_no_sandbox=True"] if unsafe_no_sandbox else []),
    ]
    columns = (
        SpinnerColumn(),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    status = 0
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            run_nbgrader(options, log=course / LOG, watcher=Watcher(progress))
    except HumanNeeded as needed:
        console.print(str(needed), markup=False)
        status = NEEDS_A_HUMAN
    except NbGraderException as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 1
    except SystemExit:
        console.print("Interrupted: every grade that was stored stands.\nRun the same command again to go on.")
        return INTERRUPTED
    if endings_table:
        show(endings(Store(course).bundles(assignment)), console)
    return status


def run_nbgrader(options: list[str], *, log: Path, watcher: Watcher | None = None) -> None:
    """Runs `nbgrader autograde` in this process, typed as in `autograder/`.

    Args:
        options: Its command line.
        log: File for nbgrader's log.
        watcher: Told how far it is.

    Raises:
        NbGraderException: If some submissions could not be graded, or none was found.
        SystemExit: After Ctrl-C.
    """
    os.environ.update(environment())
    with contextlib.chdir(COURSE), _logging_to(log) as handler, warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # nbgrader's own way with its database, which nobody can act on
        app = autogradeapp.AutogradeApp()
        app.initialize(options)
        app.log.handlers = [handler]
        app.log.propagate = False
        app.coursedir.assignment_id = app.extra_args[0]
        # Looked up as nbgrader's own command does: the configuration has put the course's converter there.
        converter = autogradeapp.Autograde(coursedir=app.coursedir, parent=app)
        converter.watcher = watcher
        converter.start()


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[logging.Handler]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    try:
        yield handler
    finally:
        handler.close()


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


def show(found: Iterable[Ending], console: Console) -> None:
    """Prints how each submission ended."""
    table = Table("student", "status", "remarks")
    for ending in found:
        shown = [*ending.remarks[:SHOWN_REMARKS]]
        if len(ending.remarks) > SHOWN_REMARKS:
            shown.append(f"and {len(ending.remarks) - SHOWN_REMARKS} more, in its results")
        table.add_row(escape(ending.student), ending.status, escape("\n".join(shown)))
    console.print(table)
