"""`autograder sample`: a class of right and wrong submissions, graded."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from autograder.commands import sample_class, table
from autograder.commands.course import NEEDS_A_HUMAN, Course
from autograder.commands.grade import FORCE, WITH_A_BAR, WITHOUT_SANDBOX
from autograder.course import folders
from autograder.engine.grader.run import try_sandbox
from autograder.engine.grader.sandbox import SandboxUnavailable
from pset4.settings import load_settings

SAMPLE_COURSE = folders.COURSE / "sample_course"


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
