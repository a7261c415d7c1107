"""Commands for instructors: `python -m autograder --help`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from autograder import release, sample_class, table
from autograder.agreement import Disagreement
from autograder.course import Course
from autograder.engine.cli import add_grade_command
from autograder.engine.run import try_sandbox
from autograder.engine.sandbox import SandboxUnavailable
from pset4.settings import load_settings

SAMPLE_COURSE = release.COURSE / "sample_course"


def grade_sample_class(root: Path = SAMPLE_COURSE) -> None:
    """Builds the sample class, grades it, writes the feedback pages and prints the table."""
    console = Console()
    course = Course(root)
    started = time.perf_counter()
    console.print("releasing the notebooks ...")
    course.release()
    console.print(
        f"building the sample class: {len(sample_class.MEMBERS) + len(sample_class.UNREADABLE)} submissions ..."
    )
    sample_class.build(course.released, course.submitted)
    console.print("grading (half a minute each) ...")
    course.autograde(*sandbox_options(console))
    console.print("writing the feedback pages ...")
    course.feedback()
    table.render(table.read_rows(root))
    console.print(f"{time.perf_counter() - started:.0f} s; nbgrader's log: {root / 'nbgrader.log'}", soft_wrap=True)


def sandbox_options(console: Console) -> list[str]:
    """nbgrader's options for grading our own sample class on a machine that has no sandbox; says so there."""
    if not load_settings().two_processes:
        return []
    try:
        try_sandbox()
    except SandboxUnavailable as reason:
        console.print(f"{reason}\nThe sample class is our own code: it is graded without a sandbox.", markup=False)
        return ["--RunTwoProcesses.unsafe_no_sandbox=True"]
    return []


def write_notebooks() -> None:
    """Writes `notebooks/` from the source."""
    for path in release.generate(release.NOTEBOOKS):
        print(f"wrote {path}")


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m autograder", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notebooks", help="write notebooks/ from autograder/source/")
    commands.add_parser("sample", help="build the sample class, grade it, print the table")
    add_grade_command(commands)
    show = commands.add_parser("table", help="print the table of a graded course")
    show.add_argument("--course", type=Path, default=release.COURSE, help="root of the nbgrader course")
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
        grade_sample_class()
    elif arguments.command == "grade":
        sys.exit(arguments.run(arguments))
    else:
        table.render(table.read_rows(arguments.course))


if __name__ == "__main__":
    main()
