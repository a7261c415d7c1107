"""Commands for instructors: `python -m autograder --help`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from traitlets.config.loader import PyFileConfigLoader

from autograder.course import folders, release, sample_class, table
from autograder.course.agreement import Disagreement
from autograder.course.course import Course
from autograder.engine.grader.cli import NEEDS_A_HUMAN, add_grade_command, grade
from autograder.engine.grader.converter import pinned_files
from autograder.engine.grader.proof import MachineFault, prove
from autograder.engine.grader.run import try_sandbox
from autograder.engine.grader.sandbox import SandboxUnavailable
from autograder.engine.grader.verdicts import RunTwoProcesses
from pset4.files.assets import AssetError
from pset4.settings import load_settings

SAMPLE_COURSE = folders.COURSE / "sample_course"


def grade_sample_class(root: Path = SAMPLE_COURSE) -> int:
    """Builds the sample class, grades it, writes the feedback pages and prints the table.

    Returns:
        The exit status: 0 if everybody is graded; otherwise as `engine.cli.grade`.
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
    status = grade(
        folders.ASSIGNMENT,
        course=root,
        force=not load_settings().two_processes,  # nbgrader's own way does not see what has changed
        unsafe_no_sandbox=sandbox_is_missing(console),
        console=console,
        endings_table=False,
    )
    if status not in (0, NEEDS_A_HUMAN):
        return status
    console.print("writing the feedback pages ...")
    written = course.feedback()
    table.render(table.read_rows(root))
    console.print(f"{time.perf_counter() - started:.0f} s; nbgrader's log: {root / 'nbgrader.log'}", soft_wrap=True)
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
    settings = RunTwoProcesses(config=config).settings()
    source = folders.COURSE / "source" / folders.ASSIGNMENT
    try:
        with pinned_files():
            prove(source, config, settings, say=lambda words: console.print(words, markup=False))
    except (SandboxUnavailable, MachineFault, AssetError) as reason:
        console.print(str(reason), markup=False, soft_wrap=True)
        return 1
    console.print("This machine grades rightly: the reference answers earn every point in the sandbox.")
    return 0


def write_notebooks() -> None:
    """Writes `notebooks/` from the source."""
    for path in release.generate(folders.NOTEBOOKS):
        print(f"wrote {path}")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notebooks", help="write notebooks/ from autograder/source/")
    commands.add_parser("sample", help="build the sample class, grade it, print the table")
    commands.add_parser("check", help="say whether this machine grades rightly, without grading anybody")
    add_grade_command(commands)
    show = commands.add_parser("table", help="print the table of a graded course")
    show.add_argument("--course", type=Path, default=folders.COURSE, help="root of the nbgrader course")
    arguments = parser.parse_args()
    try:
        run(arguments)
    except Disagreement as disagreement:
        sys.exit(str(disagreement))


def run(arguments: argparse.Namespace) -> None:
    """Runs a command."""
    if arguments.command == "notebooks":
        write_notebooks()
    elif arguments.command == "sample":
        sys.exit(grade_sample_class())
    elif arguments.command == "check":
        sys.exit(check_machine())
    elif arguments.command == "grade":
        sys.exit(arguments.run(arguments))
    else:
        table.render(table.read_rows(arguments.course))


if __name__ == "__main__":
    main()
