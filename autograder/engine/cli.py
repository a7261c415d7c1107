"""`python -m autograder grade`: `nbgrader autograde` with a progress display and a table of how every submission ended.

It is nbgrader's own converter with the course's own configuration: what it grades, `nbgrader autograde` need not.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.apps.autogradeapp import AutogradeApp
from nbgrader.converters import Autograde, NbGraderException
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from autograder.engine.run import try_sandbox
from autograder.engine.sandbox import SandboxUnavailable
from autograder.engine.store import Bundle, Status, Store

COURSE = Path(__file__).resolve().parent.parent
LOG = "nbgrader.log"
# From best to worst: a submission is as its worst notebook.
ORDER: tuple[Status, ...] = ("graded", "graded with remarks", "not handed in", "unreadable", "running")
SHOWN_REMARKS = 3


class WatchedAutograde(Autograde):  # type: ignore[misc]
    """nbgrader's converter, with somebody to tell how far it is."""

    watcher: Watcher | None = None


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
        self._progress.update(self._task, description=escape(f"{student}, {notebook}: {words}"))

    def advance(self) -> None:
        """One notebook more."""
        self._progress.advance(self._task)


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
) -> int:
    """Grades the submissions of a course.

    Args:
        assignment: The assignment's name.
        course: Root of the nbgrader course; its configuration is always `autograder/nbgrader_config.py`.
        student: Only students that match this file pattern.
        force: Grade again what is graded already.
        unsafe_no_sandbox: Run the students' code without a sandbox.
        console: Where to print.

    Returns:
        0 if every submission has a status and nbgrader stored all of them, else 1.
    """
    console = console or Console()
    if not unsafe_no_sandbox:
        try:
            try_sandbox()
        except SandboxUnavailable as error:
            console.print(str(error), markup=False)
            return 1
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
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            run_nbgrader(options, log=course / LOG, watcher=Watcher(progress))
        stored = True
    except NbGraderException as error:
        console.print(f"nbgrader: {error}", markup=False)
        stored = False
    found = endings(Store(course).bundles(assignment))
    show(found, console)
    return 0 if stored and all(ending.status != "running" for ending in found) else 1


def run_nbgrader(options: list[str], *, log: Path, watcher: Watcher | None = None) -> None:
    """Runs `nbgrader autograde` in this process, typed as in `autograder/`.

    Args:
        options: Its command line.
        log: File for nbgrader's log.
        watcher: Told how far it is.

    Raises:
        NbGraderException: If some submissions could not be graded, or none was found.
    """
    with contextlib.chdir(COURSE), _logging_to(log) as handler:
        app = AutogradeApp()
        app.initialize(options)
        app.log.handlers = [handler]
        app.log.propagate = False
        app.coursedir.assignment_id = app.extra_args[0]
        converter = WatchedAutograde(coursedir=app.coursedir, parent=app)
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
