"""Writes the page, or says in a sentence why there is none."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from autograder.commands.course import NEEDS_A_HUMAN
from autograder.commands.places import DATABASE
from autograder.commands.report.facts import gather
from autograder.commands.report.likeness import NotInstalled, alike_answers
from autograder.commands.report.page import page
from autograder.commands.report.released import given_text, titles
from autograder.commands.table import read_rows
from autograder.course.folders import ASSIGNMENT
from autograder.course.late import NoLatePolicy
from autograder.course.whole_files import write_whole
from autograder.engine.grader.staging import students
from autograder.engine.grader.store import CannotStore, Store

PRIVATE = 0o600  # names and grades


def report(*, root: Path, output: Path, console: Console | None = None) -> int:
    """Writes the class report: one HTML file without scripts that asks no other host for anything.

    Args:
        root: Root of the nbgrader course.
        output: The file that is written; one that is there is replaced.
        console: Where to say it.

    Returns:
        0; 3 if somebody waits for a human; 1 if there is nothing to report, or it cannot be written.
    """
    console = console or Console()
    if why_not := _nothing_yet(root):
        console.print(why_not, markup=False, soft_wrap=True)
        return 1
    try:
        rows, bundles = read_rows(root), Store(root).bundles(ASSIGNMENT)
        try:
            alike, note = alike_answers(root, [row.student for row in rows], given_text()), ""
        except NotInstalled as missing:
            alike, note = [], str(missing)
        text = page(gather(rows, bundles, titles()), alike, note)
        write_whole(output, text.encode("utf-8", "replace"), mode=PRIVATE)
    except (NoLatePolicy, CannotStore) as reason:
        console.print(str(reason), markup=False, soft_wrap=True)
        return 1
    except SQLAlchemyError as error:
        words = f"{root / DATABASE} cannot be read as nbgrader's database ({type(error).__name__}): "
        console.print(f"{words}if nbgrader is new, run `nbgrader db upgrade` there.", markup=False, soft_wrap=True)
        return 1
    except OSError as error:
        words = f"{output} cannot be written ({error.strerror}); name another file with --output."
        console.print(words, markup=False, soft_wrap=True)
        return 1
    waiting = [row for row in rows if not row.is_final]
    still = f"; {len(waiting)} of them wait for a human" if waiting else ""
    console.print(f"wrote {output}: {len(rows)} students{still}", markup=False, soft_wrap=True)
    return NEEDS_A_HUMAN if waiting else 0


def _nothing_yet(root: Path) -> str:
    """Why there is nothing to report, or "": to look for grades would make a database."""
    submitted = root / "submitted"
    if not submitted.is_dir() or not students(submitted):
        return f"There is nothing to report: {submitted} holds no hand-in. Collect some with `autograder collect`."
    if not (root / DATABASE).exists():
        return f"There is nothing to report: nobody in {submitted} is graded yet. Run `autograder grade` first."
    return ""
