"""Commands for instructors: `python -m autograder --help`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from traitlets.config.loader import PyFileConfigLoader

from autograder.commands import sample_class, table
from autograder.commands.course import NEEDS_A_HUMAN, Course, release_into
from autograder.commands.publish import publish
from autograder.course import folders
from autograder.course.agreement import Disagreement
from autograder.course.environment import environment
from autograder.engine.grader.assets import pinned
from autograder.engine.grader.progress import INTERRUPTED
from autograder.engine.grader.proof import MachineFault, prove
from autograder.engine.grader.run import try_sandbox
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.store import CannotStore, Store
from autograder.engine.grader.verdicts import RunTwoProcesses
from pset4.files.assets import AssetError
from pset4.settings import load_settings

SAMPLE_COURSE = folders.COURSE / "sample_course"
WITH_A_BAR = "--SandboxedAutograde.progress_class=autograder.engine.grader.progress.ProgressBar"
FORCE = "--force"
WITHOUT_SANDBOX = "--RunTwoProcesses.unsafe_no_sandbox=True"


def grade(root: Path, *options: str, assignment: str = folders.ASSIGNMENT, console: Console | None = None) -> int:
    """`nbgrader autograde` with a bar; then a table of how every submission ended.

    Args:
        root: Root of the course.
        *options: Further options of `nbgrader autograde`.
        assignment: The assignment's name.
        console: Where the table is printed.

    Returns:
        0 if everybody is graded; 3 if somebody could not be and needs a human; 130 after Ctrl-C; 1 if grading refused.
    """
    console, course = console or Console(), Course(root)
    status = course.nbgrader("autograde", assignment, WITH_A_BAR, *options)
    if status in (0, NEEDS_A_HUMAN):
        table.render_endings(table.endings(Store(root).bundles(assignment)), console)
    elif status != INTERRUPTED:
        console.print(f"nbgrader's log: {course.log}", soft_wrap=True)
    return status


def grade_sample_class(root: Path = SAMPLE_COURSE) -> int:
    """Builds the sample class, grades it, writes the feedback pages and prints the table.

    Returns:
        The exit status: 0 if everybody is graded; otherwise as `grade`.
    """
    console = Console()
    course = Course(root)
    started = time.perf_counter()
    console.print("releasing the notebooks ...")
    course.release()
    console.print(
        f"building the sample class: {len(sample_class.MEMBERS) + len(sample_class.UNREADABLE)} submissions ..."
    )
    sample_class.build(course.released, course.submitted)
    console.print("grading (half a minute each, and a minute before the first one) ...")
    # nbgrader's own way does not see what has changed
    forced = [] if load_settings().two_processes else [FORCE]
    status = course.autograde(WITH_A_BAR, *forced, *([WITHOUT_SANDBOX] if sandbox_is_missing(console) else []))
    if status not in (0, NEEDS_A_HUMAN):
        return status
    console.print("writing the feedback pages ...")
    written = course.feedback()
    table.render(table.read_rows(root))
    console.print(f"{time.perf_counter() - started:.0f} s; nbgrader's log: {course.log}", soft_wrap=True)
    return status or written


def sandbox_is_missing(console: Console) -> bool:
    """Whether our own sample class must be graded without a sandbox, because this machine has none; says so there."""
    if not load_settings().two_processes:
        return False
    try:
        try_sandbox()
    except SandboxUnavailable as reason:
        console.print(f"{reason}\nThe sample class is our own code: it is graded without a sandbox.", markup=False)
        return True
    return False


def check_machine() -> int:
    """Says whether this machine grades rightly; returns the exit status."""
    console = Console()
    config = PyFileConfigLoader("nbgrader_config.py", path=str(folders.COURSE)).load_config()
    options = RunTwoProcesses(config=config).options()
    try:
        with environment(pinned()):
            prove(folders.SOURCE, config, options, say=lambda words: console.print(words, markup=False))
    except (SandboxUnavailable, MachineFault, AssetError) as reason:
        console.print(str(reason), markup=False, soft_wrap=True)
        return 1
    console.print("This machine grades rightly: the reference answers earn every point in the sandbox.")
    return 0


def write_notebooks() -> None:
    """Writes `notebooks/` from the source."""
    for path in release_into(folders.RELEASED):
        print(f"wrote {path}")


def command_line() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notebooks", help="write notebooks/ from autograder/source/")
    commands.add_parser("sample", help="build the sample class, grade it, print the table")
    commands.add_parser("check", help="say whether this machine grades rightly, without grading anybody")
    publishing = commands.add_parser("publish", help="write the students' repository, which holds no answers")
    publishing.add_argument("folder", type=Path, help="made if it is missing; an earlier one is brought up to date")
    publishing.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    grading = commands.add_parser("grade", help="grade the submissions, with a progress display")
    grading.add_argument("assignment", nargs="?", default=folders.ASSIGNMENT, help="the assignment (default: pset4)")
    grading.add_argument("--student", default="*", help="only this student (a file pattern)")
    grading.add_argument("--force", action="store_true", help="grade again what is graded already")
    grading.add_argument(
        "--unsafe-no-sandbox",
        action="store_true",
        help="run the students' code with all rights of your account; every result is marked",
    )
    show = commands.add_parser("table", help="print the table of a graded course")
    for command in (grading, show):
        command.add_argument("--course", type=Path, default=folders.COURSE, help="root of the nbgrader course")
    return parser


def main() -> None:
    """Runs the command that was typed."""
    try:
        sys.exit(run(command_line().parse_args()))
    except (Disagreement, CannotStore) as reason:
        sys.exit(str(reason))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def run(arguments: argparse.Namespace) -> int:
    """Runs a command; returns the exit status."""
    if arguments.command == "notebooks":
        write_notebooks()
    elif arguments.command == "sample":
        return grade_sample_class()
    elif arguments.command == "check":
        return check_machine()
    elif arguments.command == "publish":
        return publish(arguments.folder, dry_run=arguments.dry_run)
    elif arguments.command == "grade":
        options = [f"--CourseDirectory.student_id={arguments.student}"]
        options += [FORCE] if arguments.force else []
        options += [WITHOUT_SANDBOX] if arguments.unsafe_no_sandbox else []
        return grade(arguments.course, *options, assignment=arguments.assignment)
    else:
        table.render(table.read_rows(arguments.course))
    return 0


if __name__ == "__main__":
    main()
