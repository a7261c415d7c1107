"""`autograder grade`: nbgrader's command with a progress display, and how every submission ended."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from autograder.commands import table
from autograder.commands.course import NEEDS_A_HUMAN, Course
from autograder.course import folders
from autograder.engine.grader.progress import INTERRUPTED
from autograder.engine.grader.store import Store

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
