"""The folder of a class: which one is meant, and what must be in it."""

from __future__ import annotations

import os
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

from autograder.course import folders

DATABASE = "gradebook.db"
CONFIG = "nbgrader_config.py"
SUBMITTED = "submitted"


class WrongPlace(Exception):
    """A folder is not what a command needs; the message says where to go."""


def default_course() -> Path:
    """The current folder if it is an nbgrader course, otherwise the one of this repository."""
    here = Path(os.curdir).resolve()
    return here if (here / CONFIG).is_file() else folders.COURSE


def demand(course: Path, needed: str = "") -> Path:
    """The course's folder, if it is one and holds what a command needs.

    Raises:
        WrongPlace: Otherwise; nothing was made in it.
    """
    if not course.is_dir():
        what = "is a file" if course.exists() else "does not exist"
        raise WrongPlace(f"{course} {what}; --course is the folder of a class, which `autograder new` makes.")
    if needed and not (course / needed).exists():
        near = next((place for place in (course / "autograder", course.parent) if (place / needed).exists()), None)
        why = {DATABASE: "nobody is graded there yet: type `autograder grade` first", SUBMITTED: "nobody has handed in"}
        hint = f"Did you mean --course {near}?" if near else "Go to the folder of the class, or name it with --course."
        raise WrongPlace(f"{course} has no {needed} ({why.get(needed, 'it is no course')}). {hint}")
    return course


def demand_student(course: Path, pattern: str) -> None:
    """Makes sure that a pattern means somebody who has handed in.

    Raises:
        WrongPlace: If it means nobody.
    """
    students = sorted(path.name for path in (course / SUBMITTED).iterdir() if path.is_dir())
    if not any(fnmatch(student, pattern) for student in students):
        near = get_close_matches(pattern, students, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(students[:5]) or 'nobody'}."
        raise WrongPlace(f"{course / SUBMITTED} has no {pattern}; {hint}")
